// The processor beneath, as Linux describes it: for backends whose programs run on it.
#pragma once

#include <fstream>
#include <map>
#include <string>

namespace faultline::guest {

/// The first processor's entries of /proc/cpuinfo.
class CpuInfo {
public:
    CpuInfo() {
        std::ifstream in("/proc/cpuinfo");
        for (std::string line; std::getline(in, line) && !line.empty();) {
            const auto colon = line.find(':');
            if (colon == std::string::npos) continue;
            const auto key_end = line.find_last_not_of("\t ", colon - 1);
            const auto value = line.find_first_not_of(' ', colon + 1);
            entries_[line.substr(0, key_end + 1)] = value == std::string::npos ? "" : line.substr(value);
        }
    }

    /// Empty when the kernel does not say.
    std::string entry(const std::string& key) const {
        const auto found = entries_.find(key);
        return found == entries_.end() ? std::string() : found->second;
    }
    bool has_flag(const std::string& flag) const {
        return (" " + entry("flags") + " ").find(" " + flag + " ") != std::string::npos;
    }
    /// `name` of the processor and the revision of its microcode, as Subject::cpu has them.
    std::string with_microcode(const std::string& name) const {
        const auto microcode = entry("microcode");
        return microcode.empty() ? name : name + " microcode " + microcode;
    }

private:
    std::map<std::string, std::string> entries_;
};

}  // namespace faultline::guest
