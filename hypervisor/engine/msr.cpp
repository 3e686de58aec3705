#include "hypervisor/engine/msr.hpp"

#include "hypervisor/engine/cpuid.hpp"

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
    vm_cr_msr = 0xC001'0114,
    vm_hsave_pa = 0xC001'0117,
    svm_key = 0xC001'0118,
};

/// LBR and BTF. Bus-lock trap and the freeze bits are not there; 10:7 read as zero, every other bit must be zero.
/// AMD APM vol 2, "Debug-Control MSR (DebugCtl)".
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
/// paging. "When this bit [VM_CR.SVMDIS] is set, writes to EFER treat the SVME bit as MBZ."
bool write_efer(Machine& m, std::uint64_t value) {
    const std::uint64_t must_be_zero = ~efer::defined | (m.svm.vm_cr & vm_cr::svmdis ? efer::svme : 0);
    const std::uint64_t fixed = efer::lma | (m.cpu.cr0 & cr0::pg ? efer::lme : 0);
    if (value & must_be_zero || (value ^ m.cpu.efer) & fixed) return false;
    m.cpu.efer = value;
    m.paging_changed();
    return true;
}

/// AMD APM vol 2, "VM_CR MSR (C001_0114h)": LOCK makes itself and SVMDIS keep what they are.
bool write_vm_cr(Machine& m, std::uint64_t value) {
    if (value & ~vm_cr::defined || (value & vm_cr::svmdis && m.cpu.efer & efer::svme)) return false;
    std::uint64_t& now = m.svm.vm_cr;
    const std::uint64_t kept = now & vm_cr::lock ? vm_cr::lock | vm_cr::svmdis : 0;
    now = (now & kept) | (value & ~kept);
    return true;
}

/// AMD APM vol 2, "SVM_KEY MSR (C001_0118h)".
bool write_svm_key(Machine& m, std::uint64_t value) {
    if (!(m.svm.vm_cr & vm_cr::lock))
        m.svm.key = value;
    else if (value != 0 && value == m.svm.key)
        m.svm.vm_cr &= ~vm_cr::lock;
    return true;
}

/// AMD APM vol 2, "VM_HSAVE_PA MSR (C001_0117h)".
bool write_host_save_area(Machine& m, std::uint64_t value) {
    if (value % Memory::page_size || value >> physical_address_bits) return false;
    m.svm.host_save_area = value;
    return true;
}

}  // namespace

bool is_pat(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
        const std::uint64_t type = value >> shift & 0xFF;
        if (type > 7 || type == 2 || type == 3) return false;
    }
    return true;
}

bool read_msr(Machine& m, std::uint32_t index, std::uint64_t& value) {
    if (const Plain p = plain(m, index); p.value) {
        value = *p.value;
        return true;
    }
    switch (index) {
        case tsc: value = m.time_stamp(); return true;
        case debug_ctl: value = m.debug.debugctl; return true;
        case last_branch_from: value = m.debug.last_branch_from; return true;
        case last_branch_to: value = m.debug.last_branch_to; return true;
        case last_int_from: value = m.debug.last_int_from; return true;
        case last_int_to: value = m.debug.last_int_to; return true;
        case pat: value = m.cpu.pat; return true;
        case efer_msr: value = m.cpu.efer; return true;
        case sf_mask: value = m.cpu.sfmask; return true;
        case tsc_aux: value = m.cpu.tsc_aux; return true;
        case vm_cr_msr: value = m.svm.vm_cr; return true;
        case vm_hsave_pa: value = m.svm.host_save_area; return true;
        case svm_key: value = 0; return true;
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
            if (value & ~(DebugUnit::writable_debugctl | debugctl_ignored)) return false;
            m.debug.debugctl = value & DebugUnit::writable_debugctl;
            return true;
        case pat:
            if (!is_pat(value)) return false;
            m.cpu.pat = value;
            return true;
        case efer_msr: return write_efer(m, value);
        case sf_mask: m.cpu.sfmask = static_cast<std::uint32_t>(value); return true;
        case tsc_aux:
            if (value >> 32) return false;
            m.cpu.tsc_aux = value;
            return true;
        case vm_cr_msr: return write_vm_cr(m, value);
        case vm_hsave_pa: return write_host_save_area(m, value);
        case svm_key: return write_svm_key(m, value);
        default: return false;
    }
}

}  // namespace faultline::engine
