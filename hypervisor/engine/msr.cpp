#include "hypervisor/engine/msr.hpp"

namespace faultline::engine {
namespace {

/// AMD APM vol 2, "MSR Cross-Reference".
enum Msr : std::uint32_t {
    tsc = 0x10,
    apic_base = 0x1B,
    sysenter_cs = 0x174,
    sysenter_esp = 0x175,
    sysenter_eip = 0x176,
    debug_ctl = guest::debugctl::msr,
    last_branch_from = 0x1DB,
    last_branch_to = 0x1DC,
    last_int_from = 0x1DD,
    last_int_to = 0x1DE,
    pat = 0x277,
    efer_msr = 0xC000'0080,
    star = 0xC000'0081,
    lstar = 0xC000'0082,
    cstar = 0xC000'0083,
    sf_mask = 0xC000'0084,
    fs_base = 0xC000'0100,
    gs_base = 0xC000'0101,
    kernel_gs_base = 0xC000'0102,
    tsc_aux = 0xC000'0103,
};

/// LBR and BTF. Bus-lock trap and the freeze bits are not there; 10:7 read as zero, every other bit must be zero.
/// AMD APM vol 2, "Debug-Control MSR (DebugCtl)".
constexpr std::uint64_t debugctl_writable = guest::debugctl::lbr | guest::debugctl::btf;
constexpr std::uint64_t debugctl_ignored = 0xF << 7;

/// Registers that hold what was written: which, and whether only canonical addresses may be.
struct Plain {
    std::uint64_t* value = nullptr;
    bool address = false;
};

Plain plain(Machine& m, std::uint32_t index) {
    switch (index) {
        case sysenter_cs: return {&m.cpu.sysenter_cs};
        case sysenter_esp: return {&m.cpu.sysenter_esp, true};
        case sysenter_eip: return {&m.cpu.sysenter_eip, true};
        case star: return {&m.cpu.star};
        case lstar: return {&m.cpu.lstar, true};
        case cstar: return {&m.cpu.cstar, true};
        case fs_base: return {&m.cpu.segment[fs].base, true};
        case gs_base: return {&m.cpu.segment[gs].base, true};
        case kernel_gs_base: return {&m.cpu.kernel_gs_base, true};
        case apic_base: return {&m.cpu.apic_base};
        default: return {};
    }
}

/// AMD APM vol 2, "Extended Feature Enable Register (EFER)": LMA follows from LME and paging, LME cannot change under
/// paging.
bool write_efer(Machine& m, std::uint64_t value) {
    constexpr std::uint64_t defined = efer::sce | efer::lme | efer::lma | efer::nxe;
    const std::uint64_t fixed = efer::lma | (m.cpu.cr0 & cr0::pg ? efer::lme : 0);
    if (value & ~defined || (value ^ m.cpu.efer) & fixed) return false;
    m.cpu.efer = value;
    m.paging_changed();
    return true;
}

/// Each byte one of UC, WC, WT, WP, WB, UC−. AMD APM vol 2, "PAT Register".
bool valid_pat(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
        const std::uint64_t type = value >> shift & 0xFF;
        if (type > 7 || type == 2 || type == 3) return false;
    }
    return true;
}

}  // namespace

bool read_msr(Machine& m, std::uint32_t index, std::uint64_t& value) {
    if (const Plain p = plain(m, index); p.value) {
        value = *p.value;
        return true;
    }
    switch (index) {
        case tsc: value = m.clock() + m.cpu.tsc_offset; return true;
        case debug_ctl: value = m.debug.debugctl; return true;
        case last_branch_from: value = m.debug.last_branch_from; return true;
        case last_branch_to: value = m.debug.last_branch_to; return true;
        case last_int_from: value = m.debug.last_int_from; return true;
        case last_int_to: value = m.debug.last_int_to; return true;
        case pat: value = m.cpu.pat; return true;
        case efer_msr: value = m.cpu.efer; return true;
        case sf_mask: value = m.cpu.sfmask; return true;
        case tsc_aux: value = m.cpu.tsc_aux; return true;
        default: return false;
    }
}

bool write_msr(Machine& m, std::uint32_t index, std::uint64_t value) {
    if (const Plain p = plain(m, index); p.value) {
        if (p.address && !canonical(value)) return false;
        *p.value = value;
        return true;
    }
    switch (index) {
        case tsc: m.cpu.tsc_offset = value - m.clock(); return true;
        case debug_ctl:
            if (value & ~(debugctl_writable | debugctl_ignored)) return false;
            m.debug.debugctl = value & debugctl_writable;
            return true;
        case pat:
            if (!valid_pat(value)) return false;
            m.cpu.pat = value;
            return true;
        case efer_msr: return write_efer(m, value);
        case sf_mask: m.cpu.sfmask = static_cast<std::uint32_t>(value); return true;
        case tsc_aux:
            if (value >> 32) return false;
            m.cpu.tsc_aux = value;
            return true;
        default: return false;
    }
}

}  // namespace faultline::engine
