#include "hypervisor/engine/cpuid.hpp"

#include <cstring>
#include <string_view>

#include "hypervisor/engine/memory.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint32_t signature = 0x00A0'0F11;  ///< family 19h, model 01h, stepping 1

namespace edx1 {
constexpr std::uint32_t de = 1 << 2, pse = 1 << 3, tsc = 1 << 4, msr = 1 << 5, pae = 1 << 6, mce = 1 << 7, cx8 = 1 << 8,
                        pge = 1 << 13, cmov = 1 << 15, pat = 1 << 16, clfsh = 1 << 19;
constexpr std::uint32_t all = de | pse | tsc | msr | pae | mce | cx8 | pge | cmov | pat | clfsh;
}  // namespace edx1
namespace ecx1 {
constexpr std::uint32_t monitor = 1 << 3, cmpxchg16b = 1 << 13, movbe = 1 << 22, popcnt = 1 << 23;
constexpr std::uint32_t all = monitor | cmpxchg16b | movbe | popcnt;
}  // namespace ecx1
namespace ebx7 {
constexpr std::uint32_t invpcid = 1 << 10;
}
namespace ext {
constexpr std::uint32_t lahf_sahf = 1, svm = 1 << 2, abm = 1 << 5, prefetch = 1 << 8;  // ECX
constexpr std::uint32_t syscall = 1 << 11, nx = 1 << 20, page_1gb = 1 << 26, rdtscp = 1 << 27,
                        long_mode = 1 << 29;  // EDX
/// Leaf 8000_0001 EDX repeats these bits of leaf 1.
constexpr std::uint32_t repeated = edx1::all & ~edx1::clfsh;
}  // namespace ext
/// AMD APM vol 2, "Secure Virtual Machine": what each of its sections says about EDX.
namespace svm {
constexpr std::uint32_t revision = 1, address_spaces = 0x8000;
constexpr std::uint32_t nested_paging = 1, lbr_virtualisation = 1 << 1, lock = 1 << 2, next_rip = 1 << 3,
                        flush_by_asid = 1 << 6, decode_assists = 1 << 7, pause_filter = 1 << 10, virtual_gif = 1 << 16,
                        virtual_nmi = 1 << 25, idle_hlt = 1 << 30;
constexpr std::uint32_t edx = nested_paging | lbr_virtualisation | lock | next_rip | flush_by_asid | decode_assists |
                              pause_filter | virtual_gif | virtual_nmi | idle_hlt;
}  // namespace svm

CpuidLeaf text(std::string_view sixteen) {
    CpuidLeaf leaf;
    static_assert(sizeof leaf == 16);
    std::memcpy(&leaf, sixteen.data(), sizeof leaf);
    return leaf;
}

constexpr std::string_view brand = "Faultline built-in AMD machine\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
constexpr std::uint32_t last_leaf = 7, last_extended = 0x8000'000A;
constexpr CpuidLeaf vendor{0, 0x6874'7541, 0x444D'4163, 0x6974'6E65};  // AuthenticAMD

}  // namespace

CpuidLeaf cpuid_leaf(std::uint32_t number) {
    switch (number) {
        case 0: return {last_leaf, vendor.ebx, vendor.ecx, vendor.edx};
        case 1: return {signature, 8 << 8, ecx1::all, edx1::all};     // CLFLUSH line: 8 quadwords
        case 5: return {Memory::line_size, Memory::line_size, 0, 0};  // MONITOR's line; no extensions
        case 7: return {0, ebx7::invpcid, 0, 0};                      // of subleaf 0
        case 0x8000'0000: return {last_extended, vendor.ebx, vendor.ecx, vendor.edx};
        case 0x8000'0001:
            return {signature, 0, ext::lahf_sahf | ext::svm | ext::abm | ext::prefetch,
                    ext::repeated | ext::syscall | ext::nx | ext::page_1gb | ext::rdtscp | ext::long_mode};
        case 0x8000'0002:
        case 0x8000'0003:
        case 0x8000'0004: {
            static constexpr std::size_t piece = sizeof(CpuidLeaf);
            char padded[3 * piece] = {};
            brand.copy(padded, sizeof padded - 1);
            return text({padded + (number - 0x8000'0002) * piece, piece});
        }
        case 0x8000'0008: return {physical_address_bits | 48 << 8, 0, 0, 0};
        case 0x8000'000A: return {svm::revision, svm::address_spaces, 0, svm::edx};
        default: return {};
    }
}

}  // namespace faultline::engine
