// The guest state and controls that VMRUN refuses: AMD APM vol 2, "VMRUN Instruction", Canonicalization and Consistency
// Checks, in its order.
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Vmr001 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-001", "VMRUN refuses a guest whose EFER.SVME is clear", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && !has(stim.efer, efer::svme); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr002 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-002", "VMRUN refuses CR0.CD = 0 with CR0.NW = 1", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && !has(stim.cr0, cr0::cd) && has(stim.cr0, cr0::nw); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr003 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-003", "VMRUN refuses a CR0 with a bit set in its upper half", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && has(stim.cr0, ~0xFFFFFFFFull); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr004 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-004", "VMRUN refuses bits 63:52 of CR3 in long mode, which must be zero",
                                          SVM_VMRUN "; CR2 and CR3 Registers, Control Register 3 (CR3)—Long Mode");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && cr3_mbz_set(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr100 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-100", "VMRUN refuses a bit of CR4 that must be zero", SVM_VMRUN "; CR4 Register");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && has(stim.cr4, cr4::mbz); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr005 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-005", "VMRUN refuses a DR6 with a bit set in its upper half", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && has(stim.dr6, ~0xFFFFFFFFull); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr006 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-006", "VMRUN refuses a DR7 with a bit set in its upper half", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && has(stim.dr7, ~0xFFFFFFFFull); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr101 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-101", "VMRUN refuses a bit of EFER that must be zero",
                                          SVM_VMRUN "; Extended Feature Enable Register (EFER)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && has(stim.efer, efer::mbz); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr102 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-102", "VMRUN refuses EFER.LMA or EFER.LME on a processor without long mode", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && !pre.long_mode && has(stim.efer, efer::lma | efer::lme); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr008 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-008", "VMRUN refuses EFER.LME with CR0.PG and without CR4.PAE", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && long_mode_guest(stim) && !has(stim.cr4, cr4::pae); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr103 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-103", "VMRUN refuses EFER.LME with CR0.PG and without CR0.PE", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && long_mode_guest(stim) && !has(stim.cr0, cr0::pe); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr009 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-009", "VMRUN refuses CS.L with CS.D in long mode", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return entering(stim) && long_mode_guest(stim) && has(stim.cr4, cr4::pae) &&
               has(stim.cs_attributes, attribute::l) && has(stim.cs_attributes, attribute::d);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr011 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-011", "VMRUN refuses a guest without the VMRUN intercept", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && !has(stim.intercepts_4, bit_of(Intercept::Vmrun)); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr012 : RuleBase {
    static constexpr RuleInfo info = arch(
        "VMR-012", "VMRUN refuses an I/O permissions map whose last byte lies at or above the highest physical address",
        SVM_VMRUN "; I/O Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && iopm_beyond(pre, stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr104 : RuleBase {
    static constexpr RuleInfo info = arch(
        "VMR-104", "VMRUN refuses an MSR permissions map whose last byte lies at or above the highest physical address",
        SVM_VMRUN "; MSR Intercepts, MSR Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && msrpm_beyond(pre, stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr112 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-112", "VMRUN may leave an I/O permissions map unchecked that nothing uses",
             SVM_VMRUN "; kvm-unit-tests, svm, test_msrpm_iopm_bitmap_addrs, asks with the intercept set");
    using excepts = Excepts<Vmr012>;
    FAULTLINE_APPLIES { return entering(stim) && iopm_beyond(pre, stim) && !iopm_used(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr113 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-113", "VMRUN may leave an MSR permissions map unchecked that nothing uses",
             SVM_VMRUN "; kvm-unit-tests, svm, test_msrpm_iopm_bitmap_addrs, asks with the intercept set");
    using excepts = Excepts<Vmr104>;
    FAULTLINE_APPLIES { return entering(stim) && msrpm_beyond(pre, stim) && !msrpm_used(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr010 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-010", "VMRUN refuses ASID 0, the host's", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && stim.asid == 0; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr106 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-106", "VMRUN refuses a reserved bit of S_CET", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && (stim.s_cet & pre.s_cet_reserved) != 0; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr105 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-105", "VMRUN refuses CR4.CET without CR0.WP", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && has(stim.cr4, cr4::cet) && !has(stim.cr0, cr0::wp); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr016 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-016",
                                          "Without nested paging, VMRUN refuses a guest in PAE paging whose page "
                                          "directory pointers have a reserved bit set",
                                          APM2 "VMRUN Instruction, Loading Guest State");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && bad_pdpte(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Svm044 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-044", "VMRUN refuses NMI virtualization without the NMI intercept", APM2 "NMI Virtualization");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return entering(stim) && pre.v_nmi && nmi_virtual_without_intercept(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr120 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-120", "VMRUN refuses nested paging for a host that does not page", APM2 "Enabling Nested Paging");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return nested_paging_asked(pre, stim) && !has(stim.standing, standing::host_paging); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr121 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-121", "VMRUN refuses bits 63:52 of nCR3, which must be zero",
                                          APM2 "Nested Paging and VMRUN/#VMEXIT; CR2 and CR3 Registers");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return nested_paging_asked(pre, stim) && has(stim.nested_cr3, 0xFFFull << 52); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr122 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-122", "Under nested paging, VMRUN refuses a G_PAT with a reserved memory type",
             APM2 "Nested Paging and VMRUN/#VMEXIT; PAT Register");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return nested_paging_asked(pre, stim) && reserved_memory_type(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr107 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-107", "What VMRUN refuses exits with VMEXIT_INVALID",
                                          SVM_VMRUN "; Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return entering(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, guest::svm::exit_code::invalid); }
};

inline constexpr auto state_rules =
    boost::hana::tuple_t<Vmr001, Vmr002, Vmr003, Vmr004, Vmr100, Vmr005, Vmr006, Vmr101, Vmr102, Vmr008, Vmr103, Vmr009,
                         Vmr011, Vmr012, Vmr104, Vmr112, Vmr113, Vmr010, Vmr106, Vmr105, Vmr016, Svm044, Vmr120, Vmr121,
                         Vmr122, Vmr107>;

}  // namespace faultline::oracle::svm
