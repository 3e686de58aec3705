// Control and debug registers, IN and OUT, CPUID, time stamps, MSRs, caches, and what CPUID does not announce.
#include "hypervisor/engine/cpuid.hpp"
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/msr.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/ports.hpp"
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

bool require_cpl0(Machine& m) { return m.cpu.cpl == 0 || m.raise_gp(); }

// ---- Control registers. AMD APM vol 2, "System-Control Registers" -----------------------------------------------

/// The register of a MOV to or from a control or debug register: 64 bits in 64-bit mode, else 32, whatever the
/// prefixes.
std::uint64_t whole_register(const Machine& m, std::uint8_t offset) {
    return m.long64() ? reg<std::uint64_t>(m, offset) : reg<std::uint32_t>(m, offset);
}

void set_whole_register(Machine& m, std::uint8_t offset, std::uint64_t value) {
    set_reg<std::uint64_t>(m, offset, m.long64() ? value : static_cast<std::uint32_t>(value));
}

/// EXITINFO1 of the intercepts of MOV CR and MOV DR. AMD APM vol 2, "MOV CRx/DRx Intercepts".
constexpr std::uint64_t general_register(std::uint8_t offset) { return offset / 8; }
constexpr std::uint64_t is_mov_cr = 1ull << 63;

/// AMD APM vol 2, "CR0 Register"; "Activating Long Mode" and "Leaving Long Mode" for what PG does where LME is set.
bool check_cr0(Machine& m, std::uint64_t value) {
    const Cpu& cpu = m.cpu;
    const bool pages = value & cr0::pg, paged = cpu.cr0 & cr0::pg;
    if (value >> 32 || (pages && !(value & cr0::pe)) || (value & cr0::nw && !(value & cr0::cd))) return m.raise_gp();
    if (pages && !paged && cpu.efer & efer::lme)
        if (!(cpu.cr4 & cr4::pae) || cpu.segment[cs].attributes & attribute::long_mode) return m.raise_gp();
    return pages || !paged || !m.long64() || m.raise_gp();
}

bool write_cr0(Machine& m, std::uint64_t value) {
    Cpu& cpu = m.cpu;
    if (!check_cr0(m, value)) return false;
    if (!(value & cr0::pg)) cpu.efer &= ~efer::lma;
    if (value & cr0::pg && cpu.efer & efer::lme) cpu.efer |= efer::lma;
    cpu.cr0 = (value & cr0::defined) | cr0::et;
    m.segments_changed();
    m.paging_changed();
    return true;
}

bool write_cr4(Machine& m, std::uint64_t value) {
    m.cpu.cr4 = value;
    m.debug.set_de((value & cr4::de) != 0);
    m.breakpoints_changed();
    m.paging_changed();
    return true;
}

// ---- CR8. In a guest, AMD APM vol 2, "Virtualizing APIC.TPR" ------------------------------------------------------

constexpr std::uint64_t v_tpr = 0xFF;

std::uint64_t task_priority(const Machine& m) {
    return m.svm.virtual_interrupts & guest::svm::vintr::masking ? m.svm.virtual_interrupts & 0xF : m.cpu.cr8;
}

void write_task_priority(Machine& m, std::uint64_t value) {
    std::uint64_t& control = m.svm.virtual_interrupts;
    if (m.svm.in_guest) control = (control & ~v_tpr) | value;
    if (!(control & guest::svm::vintr::masking)) m.cpu.cr8 = value;
}

/// What a MOV to this control register raises whoever executes it.
bool check_cr(Machine& m, unsigned number, std::uint64_t value) {
    switch (number) {
        case 0: return check_cr0(m, value);
        case 2: return true;
        case 3: return !(value >> physical_address_bits) || m.raise_gp();
        case 4: return !(value & ~cr4::defined || (m.long_mode() && !(value & cr4::pae))) || m.raise_gp();
        case 8: return value <= 15 || m.raise_gp();
        default: return m.raise_ud();
    }
}

/// "Triggers only if a bit other than CR0.TS or CR0.MP is being changed". AMD APM vol 2, "Instruction Intercepts", of
/// the selective intercept.
bool changes_more_than_ts_and_mp(const Machine& m, std::uint64_t value) {
    const std::uint64_t unselected = m.quirk(Quirk::selective_sees_ts_and_mp) ? 0 : cr0::ts | cr0::mp;
    return (((value & cr0::defined) | cr0::et) ^ m.cpu.cr0) & ~unselected;
}

bool mov_to_cr(Machine& m, const Instruction& i) {
    if (!require_cpl0(m)) return false;
    const std::uint64_t value = whole_register(m, i.src), info = is_mov_cr | general_register(i.src);
    if (!check_cr(m, i.dst, value)) return false;
    const bool selected = i.dst == 0 && changes_more_than_ts_and_mp(m, value);
    if (m.quirk(Quirk::selective_before_cr0_write) && selected && m.exits_on(Intercept::Cr0Selective, info))
        return false;
    if (m.exits_on(Intercept::WriteCr0 + i.dst, info)) return false;
    if (selected && m.exits_on(Intercept::Cr0Selective, info)) return false;
    switch (i.dst) {
        case 0: return write_cr0(m, value);
        case 2: m.cpu.cr2 = value; return true;
        case 3:
            m.cpu.cr3 = value;
            m.paging_changed();
            return true;
        case 4: return write_cr4(m, value);
        default: write_task_priority(m, value); return true;
    }
}

bool mov_from_cr(Machine& m, const Instruction& i) {
    if (!require_cpl0(m)) return false;
    const auto read = [&](std::uint64_t value) {
        if (m.exits_on(Intercept::ReadCr0 + i.src, is_mov_cr | general_register(i.dst))) return false;
        set_whole_register(m, i.dst, value);
        return true;
    };
    switch (i.src) {
        case 0: return read(m.cpu.cr0);
        case 2: return read(m.cpu.cr2);
        case 3: return read(m.cpu.cr3);
        case 4: return read(m.cpu.cr4);
        case 8: return read(task_priority(m));
        default: return m.raise_ud();
    }
}

/// Not a matter of the selective intercept.
bool clts(Machine& m, const Instruction&) {
    if (!require_cpl0(m) || m.exits_on(Intercept::WriteCr0)) return false;
    m.cpu.cr0 &= ~cr0::ts;
    return true;
}

/// Bits 3:0 of CR0; PE cannot be cleared. The intercepts come before memory is read, and so whatever would be written.
struct Lmsw {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (!require_cpl0(m) || m.exits_on(Intercept::WriteCr0) || m.exits_on(Intercept::Cr0Selective)) return false;
        std::uint16_t value;
        if (!read_destination<std::uint16_t, form>(m, i, value)) return false;
        return write_cr0(m, (m.cpu.cr0 & ~0xEull) | (value & 0xF));
    }
};

struct Smsw {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (m.exits_on(Intercept::ReadCr0)) return false;
        if constexpr (form == Form::M)
            return m.store(linear_address(m, i), static_cast<std::uint16_t>(m.cpu.cr0), via(i));
        set_reg<T>(m, i.dst, static_cast<T>(m.cpu.cr0));
        return true;
    }
};

// ---- Debug registers. AMD APM vol 2, "Debug Registers" ----------------------------------------------------------

/// The manual orders none of these checks; #UD is found in decoding, general detect while executing.
bool may_access_dr(Machine& m, unsigned number, const std::uint64_t* written) {
    bool undefined = (number == 4 || number == 5) && m.cpu.cr4 & cr4::de, allowed = m.cpu.cpl == 0,
         detected = m.debug.general_detect();
    if (m.quirks.any()) [[unlikely]]
        if (QuirkHooks::refuses_dr(m, number, written, undefined, allowed, detected)) return false;
    if (undefined) return m.raise_ud();
    if (!allowed) return m.raise_gp();
    if (!detected) return true;
    m.fault = {vector::db, 0, guest::dr::dr6_bd};
    return false;
}

/// As which its intercept knows the register: DR4 and DR5 under their own numbers.
unsigned intercepted_number(const Machine& m, unsigned number) {
    return m.quirk(Quirk::dr_alias_exits_as_itself) && (number == 4 || number == 5) ? number + 2 : number;
}

bool mov_to_dr(Machine& m, const Instruction& i) {
    const unsigned number = i.dst;
    const std::uint64_t value = whole_register(m, i.src);
    if (!may_access_dr(m, number, &value)) return false;
    // "All normal exception checks take precedence over the SVM intercepts": the one of the upper half, too.
    const bool upper_half = number >= 4 && value >> 32;
    if (!upper_half && m.exits_on(Intercept::WriteDr0 + intercepted_number(m, number), general_register(i.src)))
        return false;
    if (m.quirks.any()) [[unlikely]]
        if (const auto answer = QuirkHooks::write_dr(m, number, value)) return *answer;
    if (number < 4) {
        m.debug.address[number] = value;
        m.breakpoints_changed();
        return true;
    }
    if (upper_half) return m.raise_gp();
    if (number == 4 || number == 6) {
        m.debug.dr6 = DebugUnit::writable_dr6(value);
    } else {
        m.debug.set_dr7(DebugUnit::writable_dr7(value));
        m.breakpoints_changed();
    }
    return true;
}

bool mov_from_dr(Machine& m, const Instruction& i) {
    const unsigned number = i.src;
    if (!may_access_dr(m, number, nullptr)) return false;
    if (m.exits_on(Intercept::ReadDr0 + intercepted_number(m, number), general_register(i.dst))) return false;
    std::uint64_t value = number < 4                   ? m.debug.address[number]
                          : number == 4 || number == 6 ? m.debug.dr6
                                                       : m.debug.dr7();
    if (m.quirk(Quirk::dr4_dr5_not_aliased) && (number == 4 || number == 5)) value = m.quirk_state.spare[number - 4];
    set_whole_register(m, i.dst, value);
    return true;
}

// ---- Port I/O ---------------------------------------------------------------------------------------------------

std::uint16_t immediate_port(const Instruction& i) { return static_cast<std::uint16_t>(i.imm & 0xFF); }

struct In {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const auto port = form == Form::RI ? immediate_port(i) : static_cast<std::uint16_t>(m.cpu.r[rdx]);
        if (!may_use_port(m, port, sizeof(T)) || exits_on_port(m, i, port, sizeof(T), IoKind::In)) return false;
        set_reg<T>(m, offset_of(rax), static_cast<T>(port_in(m, port, sizeof(T))));
        return true;
    }
};

struct Out {
    template <class T>
    static bool to(Machine& m, const Instruction& i, std::uint16_t port) {
        if (!may_use_port(m, port, sizeof(T)) || exits_on_port(m, i, port, sizeof(T), IoKind::Out)) return false;
        port_out(m, port, sizeof(T), static_cast<std::uint32_t>(reg<T>(m, offset_of(rax))));
        return true;
    }
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return to<T>(m, i, static_cast<std::uint16_t>(m.cpu.r[rdx]));
    }
};

template <class T>
bool out_immediate(Machine& m, const Instruction& i) {
    return Out::to<T>(m, i, immediate_port(i));
}

constexpr Row out_row() {
    Row row = row_of<Out, Form::RR>();
    // The port comes first: neither register nor memory, then the accumulator.
    row.handler[static_cast<std::size_t>(Form::None)] = {out_immediate<std::uint8_t>, out_immediate<std::uint16_t>,
                                                         out_immediate<std::uint32_t>, nullptr};
    return row;
}

// ---- Identification, time, MSRs ---------------------------------------------------------------------------------

void set_pair(Machine& m, std::uint64_t value) {
    m.cpu.r[rax] = static_cast<std::uint32_t>(value);
    m.cpu.r[rdx] = value >> 32;
}

bool cpuid(Machine& m, const Instruction&) {
    if (m.exits_on(Intercept::Cpuid)) return false;
    const auto number = static_cast<std::uint32_t>(m.cpu.r[rax]);
    const bool no_such_subleaf = number == 7 && static_cast<std::uint32_t>(m.cpu.r[rcx]) != 0;
    const CpuidLeaf leaf = no_such_subleaf ? CpuidLeaf{} : cpuid_leaf(number);
    m.cpu.r[rax] = leaf.eax;
    m.cpu.r[rbx] = leaf.ebx;
    m.cpu.r[rcx] = leaf.ecx;
    m.cpu.r[rdx] = leaf.edx;
    return true;
}

template <Intercept intercept>
bool read_time(Machine& m) {
    if (m.cpu.cpl != 0 && m.cpu.cr4 & cr4::tsd) return m.raise_gp();
    if (m.exits_on(intercept)) return false;
    set_pair(m, m.time_stamp());
    return true;
}

bool rdtsc(Machine& m, const Instruction&) { return read_time<Intercept::Rdtsc>(m); }

bool rdtscp(Machine& m, const Instruction&) {
    const bool as_rdtsc = m.quirk(Quirk::rdtscp_meets_rdtsc_intercept);
    if (!(as_rdtsc ? read_time<Intercept::Rdtsc>(m) : read_time<Intercept::Rdtscp>(m))) return false;
    m.cpu.r[rcx] = static_cast<std::uint32_t>(m.cpu.tsc_aux);
    return true;
}

/// Four counters, which nothing can start: their MSRs are missing. AMD APM vol 3, "RDPMC": four of them without CPUID's
/// extension.
bool rdpmc(Machine& m, const Instruction&) {
    const bool allowed = m.cpu.cpl == 0 || m.cpu.cr4 & cr4::pce;
    if (!allowed || static_cast<std::uint32_t>(m.cpu.r[rcx]) > 3) return m.raise_gp();
    if (m.exits_on(Intercept::Rdpmc)) return false;
    set_pair(m, 0);
    return true;
}

/// What all MSRs have in common comes before the intercept, and what is special to one after it. AMD APM vol 2, "RDMSR
/// and WRMSR Behavior".
bool rdmsr(Machine& m, const Instruction&) {
    const auto index = static_cast<std::uint32_t>(m.cpu.r[rcx]);
    if (!require_cpl0(m) || exits_on_msr(m, index, false)) return false;
    std::uint64_t value;
    if (!read_msr(m, index, value)) return m.raise_gp();
    set_pair(m, value);
    return true;
}

bool wrmsr(Machine& m, const Instruction&) {
    const auto index = static_cast<std::uint32_t>(m.cpu.r[rcx]);
    if (!require_cpl0(m) || exits_on_msr(m, index, true)) return false;
    const std::uint64_t value = m.cpu.r[rdx] << 32 | static_cast<std::uint32_t>(m.cpu.r[rax]);
    return write_msr(m, index, value) || m.raise_gp();
}

/// INVLPG, WBINVD, INVD: privileged, and without effect on a coherent TLB and no cache.
template <Intercept intercept>
bool privileged_nothing(Machine& m, const Instruction&) {
    return require_cpl0(m) && !m.exits_on(m.quirk(Quirk::wbinvd_meets_invd_intercept) ? Intercept::Invd : intercept);
}

/// The linear address of a memory operand.
std::uint64_t operand_address(const Machine& m, const Instruction& i, std::uint64_t offset) {
    return m.long64() ? offset : static_cast<std::uint32_t>(m.cpu.segment[i.segment].base + offset);
}

/// EXITINFO1 "provides the linear address after segment base addition and address size masking". AMD APM vol 2, "INVLPG
/// and INVLPGA Intercepts".
bool invlpg(Machine& m, const Instruction& i) {
    if (!require_cpl0(m)) return false;
    return !m.exits_on(Intercept::Invlpg, operand_address(m, i, linear_address(m, i)));
}

/// The TLB is coherent: only the operands matter. AMD APM vol 3, "INVPCID"; there is no CR4.PCIDE, so that 0 is the
/// only PCID.
bool invpcid(Machine& m, const Instruction& i) {
    if (!require_cpl0(m) || m.exits_on(Intercept::Invpcid)) return false;
    constexpr std::uint64_t one_address = 0, types = 4, of_one_process = 2;
    const std::uint64_t type = whole_register(m, i.dst), at = linear_address(m, i);
    std::uint64_t pcid, address;
    if (type >= types) return m.raise_gp();
    if (!m.load(at, pcid, via(i)) || !m.load(at + sizeof pcid, address, via(i))) return false;
    if (type < of_one_process && pcid != 0) return m.raise_gp();
    return type != one_address || canonical(address) || m.raise_gp();
}

/// AMD APM vol 3, "MONITOR": of one byte in DS, or another segment; no hints in RDX count, no extensions in RCX are
/// there.
bool monitor(Machine& m, const Instruction& i) {
    if (m.cpu.cpl != 0) return m.raise_ud();
    if (static_cast<std::uint32_t>(m.cpu.r[rcx]) != 0) return m.raise_gp();
    const std::uint64_t offset = with_base(m, i, index_register(m, i, rax));
    std::uint8_t byte;
    if (!m.load(offset, byte, via(i)) || m.exits_on(Intercept::Monitor)) return false;
    m.monitor(m.mmu.translate(operand_address(m, i, offset), Access::Read, false).physical);
    return true;
}

/// AMD APM vol 3, "MWAIT". A wait may end for reasons of the processor's own, and this one's ends at once. Its
/// intercepts: "The conditional intercept is checked first" ("Instruction Intercepts").
bool mwait(Machine& m, const Instruction&) {
    if (m.cpu.cpl != 0) return m.raise_ud();
    if (static_cast<std::uint32_t>(m.cpu.r[rcx]) != 0) return m.raise_gp();
    if ((m.is_monitoring() && m.exits_on(Intercept::MwaitArmed)) || m.exits_on(Intercept::Mwait)) return false;
    m.monitor(Machine::never);
    return true;
}

/// Outside SMM, which this machine does not have, undefined; the intercept comes first.
bool rsm(Machine& m, const Instruction&) { return m.exits_on(Intercept::Rsm) ? false : m.raise_ud(); }

/// Instructions whose CPUID bit is clear, or that do not exist in long mode on AMD (SYSENTER, SYSEXIT).
bool absent(Machine& m, const Instruction&) { return m.raise_ud(); }

}  // namespace

std::span<const Entry> system_family() {
    static constexpr Entry entries[] = {
        {special::mov_to_cr, any_form(mov_to_cr)},
        {special::mov_from_cr, any_form(mov_from_cr)},
        {special::mov_to_dr, any_form(mov_to_dr)},
        {special::mov_from_dr, any_form(mov_from_dr)},
        {ZYDIS_MNEMONIC_CLTS, any_form(clts)},
        {ZYDIS_MNEMONIC_LMSW, row_of<Lmsw, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_SMSW, row_of<Smsw, Form::R, Form::M>()},
        {ZYDIS_MNEMONIC_IN, row_of<In, Form::RR, Form::RI>()},
        {ZYDIS_MNEMONIC_OUT, out_row()},
        {ZYDIS_MNEMONIC_CPUID, any_form(cpuid)},
        {ZYDIS_MNEMONIC_RDTSC, any_form(rdtsc)},
        {ZYDIS_MNEMONIC_RDTSCP, any_form(rdtscp)},
        {ZYDIS_MNEMONIC_RDMSR, any_form(rdmsr)},
        {ZYDIS_MNEMONIC_WRMSR, any_form(wrmsr)},
        {ZYDIS_MNEMONIC_RDPMC, any_form(rdpmc)},
        {ZYDIS_MNEMONIC_INVLPG, any_form(invlpg)},
        {ZYDIS_MNEMONIC_WBINVD, any_form(privileged_nothing<Intercept::Wbinvd>)},
        {ZYDIS_MNEMONIC_INVD, any_form(privileged_nothing<Intercept::Invd>)},
        {ZYDIS_MNEMONIC_RSM, any_form(rsm)},
        {ZYDIS_MNEMONIC_SYSENTER, any_form(absent)},
        {ZYDIS_MNEMONIC_SYSEXIT, any_form(absent)},
        {ZYDIS_MNEMONIC_CLAC, any_form(absent)},
        {ZYDIS_MNEMONIC_STAC, any_form(absent)},
        {ZYDIS_MNEMONIC_MONITOR, any_form(monitor)},
        {ZYDIS_MNEMONIC_MWAIT, any_form(mwait)},
        {ZYDIS_MNEMONIC_XGETBV, any_form(absent)},
        {ZYDIS_MNEMONIC_XSETBV, any_form(absent)},
        {ZYDIS_MNEMONIC_MONITORX, any_form(absent)},
        {ZYDIS_MNEMONIC_MWAITX, any_form(absent)},
        {ZYDIS_MNEMONIC_RDPRU, any_form(absent)},
        {ZYDIS_MNEMONIC_INVLPGB, any_form(absent)},
        {ZYDIS_MNEMONIC_TLBSYNC, any_form(absent)},
        {ZYDIS_MNEMONIC_INVPCID, any_form(invpcid)},
        {ZYDIS_MNEMONIC_MCOMMIT, any_form(absent)},
        {ZYDIS_MNEMONIC_VMCALL, any_form(absent)},
        {ZYDIS_MNEMONIC_VMLAUNCH, any_form(absent)},
        {ZYDIS_MNEMONIC_VMRESUME, any_form(absent)},
        {ZYDIS_MNEMONIC_VMXOFF, any_form(absent)},
        {ZYDIS_MNEMONIC_VMXON, any_form(absent)},
        {ZYDIS_MNEMONIC_VMREAD, any_form(absent)},
        {ZYDIS_MNEMONIC_VMWRITE, any_form(absent)},
        {ZYDIS_MNEMONIC_VMPTRLD, any_form(absent)},
        {ZYDIS_MNEMONIC_VMPTRST, any_form(absent)},
        {ZYDIS_MNEMONIC_VMCLEAR, any_form(absent)},
    };
    return entries;
}

}  // namespace faultline::engine
