#include "hypervisor/guest/stage/identify.hpp"

#include <cstring>
#include <string_view>

namespace faultline::guest {
namespace {

enum Index : std::size_t { Basic, Signature, Structured, Extended, ExtendedFeatures, Brand };

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
