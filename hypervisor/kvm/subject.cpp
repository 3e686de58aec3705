// Who stands behind /dev/kvm: read from sysfs and procfs.
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "hypervisor/kvm/kvm_backend.hpp"
#include "hypervisor/kvm/machine.hpp"

namespace faultline::kvm {
namespace {

namespace fs = std::filesystem;
const fs::path modules = "/sys/module";

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator i(folder, error), end; !error && i != end; i.increment(error))
        names.push_back(i->path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

/// The first processor's entries of /proc/cpuinfo.
std::map<std::string, std::string> cpuinfo() {
    std::map<std::string, std::string> entries;
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line) && !line.empty();) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        const auto key_end = line.find_last_not_of("\t ", colon - 1);
        const auto value = line.find_first_not_of(' ', colon + 1);
        entries[line.substr(0, key_end + 1)] = value == std::string::npos ? "" : line.substr(value);
    }
    return entries;
}

bool has_flag(const std::string& flags, const std::string& flag) {
    return (" " + flags + " ").find(" " + flag + " ") != std::string::npos;
}

/// The vendor module in charge. A loaded module holds kvm; built-in ones all have a folder, and which of them
/// serves follows from the processor.
std::string vendor_module(const std::string& cpu_flags) {
    std::vector<std::string> candidates;
    for (const auto& name : names_in(modules / "kvm/holders"))
        if (name.rfind("kvm_", 0) == 0) candidates.push_back(name);
    if (candidates.empty())
        for (const auto& name : names_in(modules))
            if (name.rfind("kvm_", 0) == 0) candidates.push_back(name);
    const auto take = [&](const char* name) {
        return std::find(candidates.begin(), candidates.end(), name) != candidates.end();
    };
    if (has_flag(cpu_flags, "vmx") && take("kvm_intel")) return "kvm_intel";
    if (has_flag(cpu_flags, "svm") && take("kvm_amd")) return "kvm_amd";
    std::erase(candidates, "kvm_intel");
    std::erase(candidates, "kvm_amd");
    return candidates.empty() ? "" : candidates.front();
}

/// "module.name=value …" of what this user may read.
std::string parameters_of(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& module : names)
        for (const auto& parameter : names_in(modules / module / "parameters")) {
            std::ifstream in(modules / module / "parameters" / parameter);
            std::string value;
            if (!std::getline(in, value)) continue;
            if (!text.empty()) text += ' ';
            text += module + "." + parameter + "=" + value;
        }
    return text;
}

}  // namespace

tl::expected<guest::Subject, guest::Unavailable> kvm_subject() {
    if (auto kvm = open_kvm(); !kvm) return tl::unexpected(kvm.error());
    utsname system{};
    uname(&system);
    const auto cpu = cpuinfo();
    const auto entry = [&](const char* key) {
        const auto found = cpu.find(key);
        return found == cpu.end() ? std::string() : found->second;
    };
    guest::Subject subject;
    subject.backend = "kvm";
    subject.version = system.release;
    subject.module = vendor_module(entry("flags"));
    subject.module_parameters = parameters_of(subject.module.empty() ? std::vector<std::string>{"kvm"}
                                                                     : std::vector<std::string>{"kvm", subject.module});
    subject.cpu = entry("model name");
    if (const auto microcode = entry("microcode"); !microcode.empty()) subject.cpu += " microcode " + microcode;
    return subject;
}

}  // namespace faultline::kvm
