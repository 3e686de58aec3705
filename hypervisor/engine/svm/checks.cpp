// What VMRUN refuses. AMD APM vol 2 (24593, ~2024), "VMRUN Instruction", "Canonicalization and Consistency Checks";
// each line below is a line of that list.
#include <array>

#include "hypervisor/engine/cpuid.hpp"
#include "hypervisor/engine/mmu.hpp"
#include "hypervisor/engine/msr.hpp"
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint64_t iopm_size = 0x3000, msrpm_size = 0x2000;

/// "The address of the last byte … greater than or equal to the maximum supported physical address"; the low 12 bits
/// are ignored.
bool ends_beyond(std::uint64_t base, std::uint64_t size) {
    return ((base & ~0xFFFull) + (size - 1)) >> physical_address_bits != 0 || base >> physical_address_bits != 0;
}

bool illegal_registers(const Vmcb& v) {
    const bool cd = v.cr0 & cr0::cd, nw = v.cr0 & cr0::nw;
    return !(v.efer & efer::svme) || (!cd && nw) || v.cr0 >> 32 || v.cr3 >> physical_address_bits ||
           v.cr4 & ~cr4::defined || v.dr6 >> 32 || v.dr7 >> 32 || v.efer & ~efer::defined;
}

/// "Enabling NMI Virtualization requires the NMI intercept bit to be set." "NMI Virtualization".
bool illegal_interrupts(const Vmcb& v) {
    return v.virtual_interrupts & guest::svm::vintr::nmi_enable && !intercepts_of(v).has(Intercept::Nmi);
}

bool illegal_mode(const Vmcb& v) {
    const bool paged_long_mode = v.efer & efer::lme && v.cr0 & cr0::pg;
    const bool pae = v.cr4 & cr4::pae, pe = v.cr0 & cr0::pe;
    const unsigned long_and_big = attribute::long_mode | attribute::big;
    return paged_long_mode && (!pae || !pe || (v.cs.attributes & long_and_big) == long_and_big);
}

/// "Enabling Nested Paging", "Nested Paging and VMRUN/#VMEXIT".
bool illegal_nested_paging(const Machine& m, const Vmcb& v) {
    return v.nested_control & 1 &&
           (!(m.cpu.cr0 & cr0::pg) || v.nested_cr3 >> physical_address_bits || !is_pat(v.g_pat));
}

/// "The processor will also read the four PDPEs …; setting any reserved bits in the PDPEs also causes a #VMEXIT."
bool illegal_pdpes(const Machine& m, const Vmcb& v) {
    if (v.nested_control & 1) return false;  // read when they are needed: "Legacy PAE Mode"
    const bool pae_paging = v.cr0 & cr0::pg && v.cr4 & cr4::pae && !(v.efer & efer::lme);
    if (!pae_paging) return false;
    std::array<std::uint64_t, 4> pdpes;
    m.memory.read(v.cr3 & 0xFFFF'FFE0, pdpes.data(), sizeof pdpes);
    for (const std::uint64_t entry : pdpes)
        if (entry & 1 && entry & Mmu::reserved_in_pdpe) return true;
    return false;
}

}  // namespace

bool is_illegal(const Machine& m, const Vmcb& v) {
    const Intercepts wanted = intercepts_of(v);
    return illegal_registers(v) || illegal_mode(v) || illegal_interrupts(v) || !wanted.has(Intercept::Vmrun) ||
           ends_beyond(v.iopm_base, iopm_size) || ends_beyond(v.msrpm_base, msrpm_size) || v.asid == 0 ||
           is_illegal_injection(v) || illegal_nested_paging(m, v) || illegal_pdpes(m, v);
}

}  // namespace faultline::engine
