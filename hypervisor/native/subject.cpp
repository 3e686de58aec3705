#include "hypervisor/native/subject.hpp"

#include <cpuid.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <cstring>
#include <string>
#include <vector>

#include "hypervisor/guest/host.hpp"
#include "hypervisor/guest/stage/identify.hpp"
#include "hypervisor/native/native_backend.hpp"

namespace faultline::native {
namespace {

guest::Identity::Leaf cpuid(std::uint32_t leaf) {
    guest::Identity::Leaf l{};
    __cpuid_count(leaf, 0, l.eax, l.ebx, l.ecx, l.edx);
    return l;
}

/// The signature of a hypervisor in leaf 4000_0000h, which CPUID 1 ECX[31] announces.
std::string hypervisor_beneath() {
    if (!(cpuid(1).ecx >> 31)) return "";
    const auto leaf = cpuid(0x4000'0000);
    char name[13] = {};
    std::memcpy(name, &leaf.ebx, 4);
    std::memcpy(name + 4, &leaf.ecx, 4);
    std::memcpy(name + 8, &leaf.edx, 4);
    return name[0] ? name : "unnamed";
}

}  // namespace

guest::Features host_features() {
    guest::Identity identity{};
    constexpr std::uint32_t leaves[] = {0, 1, 7, 0x8000'0000, 0x8000'0001, 0x8000'0002, 0x8000'0003, 0x8000'0004};
    for (std::size_t i = 0; i < std::size(leaves); ++i) identity.cpuid[i] = cpuid(leaves[i]);
    std::vector<std::uint8_t> memory(guest::identity_address + sizeof identity);
    std::memcpy(memory.data() + guest::identity_address, &identity, sizeof identity);
    guest::Features features = guest::features_of(memory);
    features.cpl3 = guest::Features::Execution::Silicon;
    return features;
}

bool five_level_paging() {
    static const bool so = guest::CpuInfo().has_flag("la57");
    return so;
}

guest::Subject native_subject() {
    utsname system{};
    uname(&system);
    const guest::CpuInfo cpu;
    guest::Subject subject;
    subject.backend = "native";
    subject.version = system.release;
    subject.module = hypervisor_beneath();
    subject.cpu = cpu.with_microcode(fmt::format("{} signature {:08x}", cpu.entry("model name"), cpuid(1).eax));
    return subject;
}

}  // namespace faultline::native
