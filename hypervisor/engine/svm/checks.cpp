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
bool ends_beyond(const Machine& m, std::uint64_t base, std::uint64_t size) {
    if (m.quirk(Quirk::permission_map_base_rounded_up)) base += 0xFFF;
    if (m.quirk(Quirk::permission_map_end_unchecked)) size = 1;
    return ((base & ~0xFFFull) + (size - 1)) >> physical_address_bits != 0 || base >> physical_address_bits != 0;
}

/// The ways to be illegal that a quirk knows nothing of.
struct Unless {
    const Machine& m;
    bool operator()(Quirk accepts, bool illegal) const { return illegal && !m.quirk(accepts); }
};

bool illegal_registers(const Machine& m, const Vmcb& v) {
    const Unless illegal{m};
    const bool cd = v.cr0 & cr0::cd, nw = v.cr0 & cr0::nw;
    return illegal(Quirk::vmrun_accepts_no_svme, !(v.efer & efer::svme)) ||
           illegal(Quirk::vmrun_accepts_nw_without_cd, !cd && nw) ||
           illegal(Quirk::vmrun_accepts_cr0_upper_half, v.cr0 >> 32) ||
           illegal(Quirk::vmrun_accepts_cr3_reserved, v.cr3 >> physical_address_bits) ||
           illegal(Quirk::vmrun_accepts_cr4_reserved, v.cr4 & ~cr4::defined) ||
           illegal(Quirk::vmrun_accepts_dr6_upper_half, v.dr6 >> 32) ||
           illegal(Quirk::vmrun_accepts_dr7_upper_half, v.dr7 >> 32) ||
           illegal(Quirk::vmrun_accepts_efer_reserved, v.efer & ~efer::defined);
}

/// "Enabling NMI Virtualization requires the NMI intercept bit to be set." "NMI Virtualization".
bool illegal_interrupts(const Machine& m, const Vmcb& v) {
    return Unless{m}(Quirk::vmrun_accepts_virtual_nmi_alone,
                     v.virtual_interrupts & guest::svm::vintr::nmi_enable && !intercepts_of(v).has(Intercept::Nmi));
}

bool illegal_mode(const Machine& m, const Vmcb& v) {
    const Unless illegal{m};
    const bool paged_long_mode = v.efer & efer::lme && v.cr0 & cr0::pg;
    const unsigned long_and_big = attribute::long_mode | attribute::big;
    return paged_long_mode &&
           (illegal(Quirk::vmrun_accepts_long_mode_without_pae, !(v.cr4 & cr4::pae)) ||
            illegal(Quirk::vmrun_accepts_long_mode_without_pe, !(v.cr0 & cr0::pe)) ||
            illegal(Quirk::vmrun_accepts_cs_l_and_d, (v.cs.attributes & long_and_big) == long_and_big));
}

/// "Enabling Nested Paging", "Nested Paging and VMRUN/#VMEXIT".
bool illegal_nested_paging(const Machine& m, const Vmcb& v) {
    const Unless illegal{m};
    return v.nested_control & 1 &&
           (!(m.cpu.cr0 & cr0::pg) ||
            illegal(Quirk::vmrun_accepts_ncr3_reserved, v.nested_cr3 >> physical_address_bits) ||
            illegal(Quirk::vmrun_accepts_reserved_pat, !is_pat(v.g_pat)));
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
    const Unless illegal{m};
    const Intercepts wanted = intercepts_of(v);
    return illegal_registers(m, v) || illegal_mode(m, v) || illegal_interrupts(m, v) ||
           illegal(Quirk::vmrun_accepts_no_vmrun_intercept, !wanted.has(Intercept::Vmrun)) ||
           illegal(Quirk::vmrun_accepts_iopm_beyond_memory, ends_beyond(m, v.iopm_base, iopm_size)) ||
           illegal(Quirk::vmrun_accepts_msrpm_beyond_memory, ends_beyond(m, v.msrpm_base, msrpm_size)) ||
           illegal(Quirk::vmrun_accepts_asid_0, v.asid == 0) || is_illegal_injection(m, v) ||
           illegal_nested_paging(m, v) || illegal_pdpes(m, v) || (m.quirks.any() && QuirkHooks::refuses_entry(m, v));
}

}  // namespace faultline::engine
