#include "hypervisor/guest/stage/identify.hpp"

#include <cstring>
#include <initializer_list>
#include <string_view>

namespace faultline::guest {
namespace {

enum Index : std::size_t { Basic, Signature, Structured, Extended, ExtendedFeatures, Brand, Sizes = Brand + 3, Svm };

Identity read(std::span<const std::uint8_t> guest_memory) {
    Identity identity{};
    if (guest_memory.size() >= identity_address + sizeof identity)
        std::memcpy(&identity, guest_memory.data() + identity_address, sizeof identity);
    return identity;
}

bool has_extended(const Identity& identity, std::uint32_t leaf) {
    const std::uint32_t highest = identity.cpuid[Extended].eax;
    return highest >= 0x8000'0000 && highest >= leaf;
}

/// A bit of a control register that exists where CPUID says so.
struct Optional {
    unsigned bit;
    bool there;
};
std::uint64_t absent(std::initializer_list<Optional> bits) {
    std::uint64_t all = 0;
    for (const auto& [bit, there] : bits) all |= std::uint64_t{!there} << bit;
    return all;
}

/// AMD APM vol 2 (24593), "CR4 Register" and "Extended Feature Enable Register (EFER)", with the CPUID bits that their
/// fields name. EFER.LMSLE, UAIE and AIBRSE have theirs in leaves not read here: taken as absent.
Features::Svm svm_of(const Identity& identity) {
    Features::Svm svm;
    if (!has_extended(identity, 0x8000'000A)) return svm;
    const auto& leaf = identity.cpuid;
    const auto on = [](std::uint32_t word, unsigned bit) { return (word >> bit & 1) != 0; };
    const auto extended = leaf[ExtendedFeatures];
    if (!on(extended.ecx, 2)) return svm;
    svm.asids = leaf[Svm].ebx;
    svm.edx = leaf[Svm].edx;
    svm.physical_bits = static_cast<std::uint8_t>(leaf[Sizes].eax);
    svm.long_mode = on(extended.edx, 29);
    const bool structured = leaf[Basic].eax >= 7;
    const std::uint32_t ebx7 = structured ? leaf[Structured].ebx : 0, ecx7 = structured ? leaf[Structured].ecx : 0;
    const std::uint32_t ecx = leaf[Signature].ecx, edx = leaf[Signature].edx;
    svm.shadow_stacks = on(ecx7, 7);
    svm.cr4_absent = absent({{0, on(edx, 1)},
                             {1, on(edx, 1)},
                             {2, on(edx, 4)},
                             {3, on(edx, 2)},
                             {4, on(edx, 3)},
                             {5, on(edx, 6)},
                             {6, on(edx, 7)},
                             {7, on(edx, 13)},
                             {9, on(edx, 24)},
                             {10, on(edx, 25)},
                             {11, on(ecx7, 2)},
                             {12, on(ecx7, 16)},
                             {16, on(ebx7, 0)},
                             {17, on(ecx, 17)},
                             {18, on(ecx, 26)},
                             {20, on(ebx7, 7)},
                             {21, on(ebx7, 20)},
                             {22, on(ecx7, 3)},
                             {23, on(ecx7, 7)}});
    svm.efer_absent = absent({{0, on(extended.edx, 11)},
                              {8, svm.long_mode},
                              {10, svm.long_mode},
                              {11, on(extended.edx, 20)},
                              {13, false},
                              {14, on(extended.edx, 25)},
                              {15, on(extended.ecx, 17)},
                              {17, on(leaf[Sizes].ebx, 8)},
                              {18, on(leaf[Sizes].ebx, 13)},
                              {20, false},
                              {21, false}});
    return svm;
}

}  // namespace

Features features_of(std::span<const std::uint8_t> guest_memory) {
    const Identity identity = read(guest_memory);
    const auto& basic = identity.cpuid[Basic];
    char name[12];
    std::memcpy(name, &basic.ebx, 4);
    std::memcpy(name + 4, &basic.edx, 4);
    std::memcpy(name + 8, &basic.ecx, 4);
    const std::string_view vendor(name, sizeof name);

    Features features;
    // Hygon's processors follow AMD's manual.
    if (vendor == "AuthenticAMD" || vendor == "HygonGenuine") features.vendor = Vendor::Amd;
    if (vendor == "GenuineIntel") features.vendor = Vendor::Intel;
    features.signature = identity.cpuid[Signature].eax;
    // A leaf above the highest one answers with the data of another leaf on Intel processors: Intel SDM vol 2A,
    // "CPUID—CPU Identification".
    if (basic.eax >= 7) {
        features.rtm = identity.cpuid[Structured].ebx >> 11 & 1;
        features.bus_lock_detect = identity.cpuid[Structured].ecx >> 24 & 1;
    }
    if (has_extended(identity, 0x8000'0001)) features.dbext = identity.cpuid[ExtendedFeatures].ecx >> 26 & 1;
    features.btf = identity.debugctl & debugctl::btf;
    features.svm = svm_of(identity);
    return features;
}

std::string brand_of(std::span<const std::uint8_t> guest_memory) {
    const Identity identity = read(guest_memory);
    if (!has_extended(identity, 0x8000'0004)) return {};
    char name[3 * sizeof(Identity::Leaf) + 1] = {};
    std::memcpy(name, &identity.cpuid[Brand], sizeof name - 1);
    std::string brand = name;
    brand.erase(0, brand.find_first_not_of(' '));
    brand.erase(brand.find_last_not_of(' ') + 1);
    return brand;
}

}  // namespace faultline::guest
