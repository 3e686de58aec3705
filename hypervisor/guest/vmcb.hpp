// The virtual machine control block: where a hypervisor asks for intercepts and reads what an exit reports. Layout and
// numbers only; what they mean, oracle and engine each read for themselves. AMD APM vol 2 (24593, ~2024), Appendix B,
// "Layout of VMCB", and Appendix C, "SVM Intercept Exit Codes".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hypervisor/guest/image.hpp"

namespace faultline::guest::svm {

struct VmcbSegment {
    std::uint16_t selector, attributes;  ///< attributes: descriptor bits 55:52 and 47:40, as in guest::Segment
    std::uint32_t limit;
    std::uint64_t base;
    auto operator<=>(const VmcbSegment&) const = default;
};

/// 4 KiB, the control area first. Every byte is named or reserved.
struct Vmcb {
    std::uint32_t intercept_cr;  ///< reads in 15:0, writes in 31:16
    std::uint32_t intercept_dr;  ///< the same
    std::uint32_t intercept_exceptions;
    std::uint32_t intercept_3, intercept_4, intercept_5;  ///< `Intercept` numbers their bits
    std::array<std::uint8_t, 0x24> reserved_018;
    std::uint16_t pause_filter_threshold, pause_filter_count;
    std::uint64_t iopm_base, msrpm_base, tsc_offset;
    std::uint32_t asid;
    std::uint8_t tlb_control;
    std::array<std::uint8_t, 3> reserved_05d;
    std::uint64_t virtual_interrupts;  ///< bits in `vintr`
    std::uint64_t interrupt_shadow;    ///< bit 0
    std::uint64_t exit_code, exit_info_1, exit_info_2, exit_int_info;
    std::uint64_t nested_control;  ///< bit 0: nested paging
    std::uint64_t avic_apic_bar, ghcb;
    std::uint64_t event_injection;
    std::uint64_t nested_cr3;
    std::uint64_t virtualisation;  ///< bit 0: LBR, 1: VMLOAD and VMSAVE
    std::uint32_t clean_bits, reserved_0c4;
    std::uint64_t next_rip;
    std::uint8_t instruction_length;
    std::array<std::uint8_t, 15> instruction_bytes;
    std::uint64_t avic_backing_page, reserved_0e8, avic_logical_table, avic_physical_table, reserved_100, vmsa;
    std::uint64_t vmgexit_rax;
    std::uint8_t vmgexit_cpl;
    std::array<std::uint8_t, 7> reserved_119;
    std::uint64_t bus_lock_counter;
    std::array<std::uint8_t, 0x400 - 0x128> reserved_128;
    // State save area.
    VmcbSegment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    std::array<std::uint8_t, 0x2B> reserved_4a0;
    std::uint8_t cpl;
    std::uint32_t reserved_4cc;
    std::uint64_t efer;
    std::array<std::uint8_t, 0x70> reserved_4d8;
    std::uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    std::array<std::uint8_t, 0x58> reserved_580;
    std::uint64_t rsp, s_cet, ssp, isst, rax;
    std::uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    std::uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    std::uint64_t cr2;
    std::array<std::uint8_t, 0x20> reserved_648;
    std::uint64_t g_pat, debugctl, branch_from, branch_to, exception_from, exception_to;
    std::array<std::uint8_t, 0x1000 - 0x698> reserved_698;
};
static_assert(sizeof(Vmcb) == 0x1000 && std::is_trivial_v<Vmcb> && std::is_standard_layout_v<Vmcb>);
#define FAULTLINE_AT(field, offset) static_assert(offsetof(Vmcb, field) == offset)
FAULTLINE_AT(intercept_cr, 0x000);
FAULTLINE_AT(intercept_dr, 0x004);
FAULTLINE_AT(intercept_exceptions, 0x008);
FAULTLINE_AT(intercept_3, 0x00C);
FAULTLINE_AT(intercept_4, 0x010);
FAULTLINE_AT(intercept_5, 0x014);
FAULTLINE_AT(pause_filter_threshold, 0x03C);
FAULTLINE_AT(pause_filter_count, 0x03E);
FAULTLINE_AT(iopm_base, 0x040);
FAULTLINE_AT(msrpm_base, 0x048);
FAULTLINE_AT(tsc_offset, 0x050);
FAULTLINE_AT(asid, 0x058);
FAULTLINE_AT(tlb_control, 0x05C);
FAULTLINE_AT(virtual_interrupts, 0x060);
FAULTLINE_AT(interrupt_shadow, 0x068);
FAULTLINE_AT(exit_code, 0x070);
FAULTLINE_AT(exit_info_1, 0x078);
FAULTLINE_AT(exit_info_2, 0x080);
FAULTLINE_AT(exit_int_info, 0x088);
FAULTLINE_AT(nested_control, 0x090);
FAULTLINE_AT(ghcb, 0x0A0);
FAULTLINE_AT(event_injection, 0x0A8);
FAULTLINE_AT(nested_cr3, 0x0B0);
FAULTLINE_AT(virtualisation, 0x0B8);
FAULTLINE_AT(clean_bits, 0x0C0);
FAULTLINE_AT(next_rip, 0x0C8);
FAULTLINE_AT(instruction_length, 0x0D0);
FAULTLINE_AT(instruction_bytes, 0x0D1);
FAULTLINE_AT(avic_backing_page, 0x0E0);
FAULTLINE_AT(vmsa, 0x108);
FAULTLINE_AT(vmgexit_rax, 0x110);
FAULTLINE_AT(vmgexit_cpl, 0x118);
FAULTLINE_AT(bus_lock_counter, 0x120);
FAULTLINE_AT(es, 0x400);
FAULTLINE_AT(cs, 0x410);
FAULTLINE_AT(ss, 0x420);
FAULTLINE_AT(gdtr, 0x460);
FAULTLINE_AT(idtr, 0x480);
FAULTLINE_AT(tr, 0x490);
FAULTLINE_AT(cpl, 0x4CB);
FAULTLINE_AT(efer, 0x4D0);
FAULTLINE_AT(cr4, 0x548);
FAULTLINE_AT(cr3, 0x550);
FAULTLINE_AT(cr0, 0x558);
FAULTLINE_AT(dr7, 0x560);
FAULTLINE_AT(dr6, 0x568);
FAULTLINE_AT(rflags, 0x570);
FAULTLINE_AT(rip, 0x578);
FAULTLINE_AT(rsp, 0x5D8);
FAULTLINE_AT(rax, 0x5F8);
FAULTLINE_AT(star, 0x600);
FAULTLINE_AT(kernel_gs_base, 0x620);
FAULTLINE_AT(cr2, 0x640);
FAULTLINE_AT(g_pat, 0x668);
FAULTLINE_AT(debugctl, 0x670);
FAULTLINE_AT(branch_from, 0x678);
#undef FAULTLINE_AT

/// Bits of `Vmcb::virtual_interrupts`.
namespace vintr {
inline constexpr std::uint64_t irq = 1ull << 8, gif = 1ull << 9, nmi = 1ull << 11, nmi_mask = 1ull << 12,
                               ignore_tpr = 1ull << 20, masking = 1ull << 24, gif_enable = 1ull << 25,
                               nmi_enable = 1ull << 26;
}  // namespace vintr

/// Bits of EVENTINJ and EXITINTINFO. "Event Injection"; "Intercepts during IDT Interrupt Delivery".
namespace event_info {
inline constexpr std::uint64_t has_error = 1ull << 11, valid = 1ull << 31;
enum Type : std::uint64_t { External = 0, Nmi = 2, Exception = 3, Software = 4 };
constexpr std::uint64_t make(Type type, std::uint8_t vector) { return valid | std::uint64_t{type} << 8 | vector; }
constexpr std::uint64_t make(Type type, std::uint8_t vector, std::uint32_t error) {
    return make(type, vector) | has_error | std::uint64_t{error} << 32;
}
}  // namespace event_info

/// What may be intercepted, numbered as the VMCB's first six words number their bits, and so the exit code, too.
enum class Intercept : std::uint16_t {
    ReadCr0 = 0x000,    ///< and on, to CR15
    WriteCr0 = 0x010,   ///< and on, to CR15
    ReadDr0 = 0x020,    ///< and on, to DR15
    WriteDr0 = 0x030,   ///< and on, to DR15
    Exception = 0x040,  ///< and on, one for each vector up to 31
    Intr = 0x060,
    Nmi,
    Smi,
    Init,
    VirtualInterrupt,
    Cr0Selective,
    StoreIdtr,
    StoreGdtr,
    StoreLdtr,
    StoreTr,
    LoadIdtr,
    LoadGdtr,
    LoadLdtr,
    LoadTr,
    Rdtsc,
    Rdpmc,
    Pushf,
    Popf,
    Cpuid,
    Rsm,
    Iret,
    SoftwareInterrupt,
    Invd,
    Pause,
    Hlt,
    Invlpg,
    Invlpga,
    Io,
    Msr,
    TaskSwitch,
    FerrFreeze,
    Shutdown,
    Vmrun = 0x080,
    Vmmcall,
    Vmload,
    Vmsave,
    Stgi,
    Clgi,
    Skinit,
    Rdtscp,
    Icebp,
    Wbinvd,
    Monitor,
    Mwait,
    MwaitArmed,
    Xsetbv,
    Rdpru,
    EferWriteTrap,
    Cr0WriteTrap = 0x090,  ///< and on, to CR15
    Invlpgb = 0x0A0,
    IllegalInvlpgb,
    Invpcid,
    Mcommit,
    Tlbsync,
    BusLock,
    IdleHlt,
};
static_assert(static_cast<int>(Intercept::Shutdown) == 0x7F && static_cast<int>(Intercept::EferWriteTrap) == 0x8F);
constexpr Intercept operator+(Intercept first, unsigned n) {
    return static_cast<Intercept>(static_cast<unsigned>(first) + n);
}
inline constexpr unsigned intercept_words = 6;

/// Exit codes that are no intercept's number.
namespace exit_code {
inline constexpr std::uint64_t nested_page_fault = 0x400, vmgexit = 0x403, invalid = ~0ull;
constexpr std::uint64_t of(Intercept what) { return static_cast<std::uint64_t>(what); }
}  // namespace exit_code

/// The first six words of a VMCB, as a value.
struct Intercepts {
    std::array<std::uint32_t, intercept_words> words{};
    bool has(Intercept what) const {
        const auto n = static_cast<unsigned>(what);
        return words[n / 32] >> n % 32 & 1;
    }
    void set(Intercept what, bool on = true) {
        const auto n = static_cast<unsigned>(what);
        words[n / 32] = (words[n / 32] & ~(1u << n % 32)) | std::uint32_t{on} << n % 32;
    }
    bool any() const { return *this != Intercepts{}; }
    auto operator<=>(const Intercepts&) const = default;
};

inline Intercepts intercepts_of(const Vmcb& v) {
    return {{v.intercept_cr, v.intercept_dr, v.intercept_exceptions, v.intercept_3, v.intercept_4, v.intercept_5}};
}

inline VmcbSegment vmcb_segment(const Segment& segment) {
    return {segment.selector, segment.attributes, segment.limit, segment.base};
}

}  // namespace faultline::guest::svm
