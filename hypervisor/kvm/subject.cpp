// Who stands behind /dev/kvm: read from sysfs and procfs.
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "hypervisor/guest/host.hpp"
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

/// The vendor module in charge. A loaded module holds kvm; built-in ones all have a folder, and which of them
/// serves follows from the processor.
std::string vendor_module(const guest::CpuInfo& cpu) {
    std::vector<std::string> candidates;
    for (const auto& name : names_in(modules / "kvm/holders"))
        if (name.rfind("kvm_", 0) == 0) candidates.push_back(name);
    if (candidates.empty())
        for (const auto& name : names_in(modules))
            if (name.rfind("kvm_", 0) == 0) candidates.push_back(name);
    const auto take = [&](const char* name) {
        return std::find(candidates.begin(), candidates.end(), name) != candidates.end();
    };
    if (cpu.has_flag("vmx") && take("kvm_intel")) return "kvm_intel";
    if (cpu.has_flag("svm") && take("kvm_amd")) return "kvm_amd";
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
    const guest::CpuInfo cpu;
    guest::Subject subject;
    subject.backend = "kvm";
    subject.version = system.release;
    subject.module = vendor_module(cpu);
    subject.module_parameters = parameters_of(subject.module.empty() ? std::vector<std::string>{"kvm"}
                                                                     : std::vector<std::string>{"kvm", subject.module});
    subject.cpu = cpu.with_microcode(cpu.entry("model name"));
    return subject;
}

}  // namespace faultline::kvm
