// What VMRUN lets pass: AMD APM vol 2, "VMRUN Instruction" and "Event Injection". What looks wrong and is not on the
// manual's list is legal; where the text leaves a doubt, VMRUN may refuse.
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Vmr007 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-007", "Bits of the lower halves of DR6 and DR7 that cannot hold their value are no reason to refuse",
             SVM_VMRUN " (only bits 63:32 are on its list)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && odd_debug_registers(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr013 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-013", "CR0.PG without CR0.PE is legal: paged real mode", SVM_VMRUN "; Paged Real Mode");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && paged_real_mode(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr014 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-014", "RIP beyond its limit or not canonical is no reason to refuse: the guest gets its #GP",
             APM2 "VMRUN Instruction, Loading Guest State");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && stim.bad_rip; }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr015 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-015", "A segment base that is not canonical is no reason to refuse",
                                          SVM_VMRUN " (\"VMRUN and #VMEXIT canonicalize\")");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && has(stim.standing, standing::bad_base); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr108 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-108", "EFER.LMA need not agree with EFER.LME and CR0.PG", SVM_VMRUN " (not on its list)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && odd_lma(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr109 : RuleBase {
    static constexpr RuleInfo info = arch("VMR-109", "CS.L with CS.D is legal outside long mode", SVM_VMRUN);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && long_and_default_outside_long_mode(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr110 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-110", "VMRUN ignores the low twelve bits of both permissions maps' addresses",
             APM2 "I/O Permissions Map; MSR Intercepts, MSR Permissions Map");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && unaligned_map(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc103 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-103", "Without V nothing else in EVENTINJ counts", SVM_INJECTION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && leftover_injection(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc104 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-104", "The vector of an injected NMI is ignored", SVM_INJECTION);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && odd_nmi(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Exc105 : RuleBase {
    static constexpr RuleInfo info = arch("EXC-105", "Interrupts may be injected with the vectors of exceptions",
                                          SVM_INJECTION "; Exception Intercepts");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && interrupt_in_exception_range(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

struct Vmr111 : RuleBase {
    static constexpr RuleInfo info =
        arch("VMR-111", "VMRUN enters a guest that it has no reason to refuse", APM2 "VMRUN Instruction");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return legal(pre, stim) && !odd(stim); }
    FAULTLINE_ALLOWS { return !r.exits; }
};

/// Every rule by which a guest is entered.
using Entries = Excepts<Vmr007, Vmr013, Vmr014, Vmr015, Vmr108, Vmr109, Vmr110, Exc103, Exc104, Exc105, Vmr111>;

struct Vmr114 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-114", "VMRUN may refuse bits of CR3 between the processor's physical addresses and bit 51",
             APM2 "CR2 and CR3 Registers (\"a given implementation may support fewer bits\")");
    using excepts = Entries;
    FAULTLINE_APPLIES {
        return entering(stim) && long_mode_guest(stim) && has(stim.cr3 & ~(pre.physical_limit - 1), 0xFFFFFFFFFFFFFull);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr115 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-115", "VMRUN may refuse the upper half of CR3 outside long mode, where CR3 has none",
             APM2 "CR2 and CR3 Registers");
    using excepts = Entries;
    FAULTLINE_APPLIES { return entering(stim) && !long_mode_guest(stim) && has(stim.cr3, ~0xFFFFFFFFull); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr116 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-116", "VMRUN may refuse a bit of CR4 whose feature the processor lacks", APM2 "CR4 Register");
    using excepts = Entries;
    FAULTLINE_APPLIES { return entering(stim) && (stim.cr4 & pre.cr4_absent) != 0; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr117 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-117", "VMRUN may refuse a bit of EFER whose feature the processor lacks, or that reads as zero",
             APM2 "Extended Feature Enable Register (EFER)");
    using excepts = Entries;
    FAULTLINE_APPLIES { return entering(stim) && ((stim.efer & pre.efer_absent) != 0 || has(stim.efer, efer::raz)); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr118 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-118", "VMRUN may refuse an ASID that the processor does not have",
             APM2 "VMRUN Instruction, Control Bits (\"the maximum ASID value … is implementation specific\")");
    using excepts = Entries;
    FAULTLINE_APPLIES { return entering(stim) && ule(pre.asid_count, stim.asid); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr119 : RuleBase {
    static constexpr RuleInfo info = free("VMR-119", "VMRUN may refuse NMI virtualization where the processor has none",
                                          APM2 "NMI Virtualization; Layout of VMCB (SBZ)");
    using excepts = Entries;
    FAULTLINE_APPLIES { return entering(stim) && !pre.v_nmi && nmi_virtual_without_intercept(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr123 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-123", "VMRUN may refuse bits of nCR3 between the processor's physical addresses and bit 51",
             APM2 "CR2 and CR3 Registers (\"a given implementation may support fewer bits\")");
    using excepts = Entries;
    FAULTLINE_APPLIES { return nested_paging_asked(pre, stim) && ule(pre.physical_limit, stim.nested_cr3); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Vmr124 : RuleBase {
    static constexpr RuleInfo info =
        free("VMR-124", "VMRUN may refuse NP_ENABLE where the processor has no nested paging",
             APM2 "Detecting Nested Paging Support; Layout of VMCB (SBZ)");
    using excepts = Entries;
    FAULTLINE_APPLIES { return entering(stim) && !pre.nested_paging && has(stim.standing, standing::nested_paging); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc106 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-106",
             "VMRUN may refuse to inject an exception of a feature that the processor may lack: #CP, #HV, #VC, #SX",
             SVM_INJECTION "; Vectors");
    using excepts = Entries;
    FAULTLINE_APPLIES { return featured_vector(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc107 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-107", "VMRUN may refuse an exception that nothing raises in the guest's mode",
             SVM_INJECTION " (\"impossible for the guest mode\", with one example)");
    using excepts = Entries;
    FAULTLINE_APPLIES { return vector_of_other_modes(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc108 : RuleBase {
    static constexpr RuleInfo info = free("EXC-108", "Without NRIPS, VMRUN may refuse to inject a software interrupt",
                                          SVM_INJECTION " (\"cannot be properly injected\")");
    using excepts = Entries;
    FAULTLINE_APPLIES { return injecting(stim, guest::svm::event_info::Software) && !pre.nrips; }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc109 : RuleBase {
    static constexpr RuleInfo info = free("EXC-109", "VMRUN may refuse a reserved bit of EVENTINJ that should be zero",
                                          SVM_INJECTION ", EVENTINJ Field in the VMCB");
    using excepts = Entries;
    FAULTLINE_APPLIES { return injecting(stim) && has(stim.injection, 0x7FFFF000); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Exc110 : RuleBase {
    static constexpr RuleInfo info =
        free("EXC-110", "VMRUN may refuse EV where the event has no error code, and its absence where it has one",
             SVM_INJECTION " (says what EV should be, and not that it is checked)");
    using excepts = Entries;
    FAULTLINE_APPLIES { return strange_error(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

inline constexpr auto entry_rules =
    boost::hana::tuple_t<Vmr007, Vmr013, Vmr014, Vmr015, Vmr108, Vmr109, Vmr110, Exc103, Exc104, Exc105, Vmr111, Vmr114,
                         Vmr115, Vmr116, Vmr117, Vmr118, Vmr119, Vmr123, Vmr124, Exc106, Exc107, Exc108, Exc109,
                         Exc110>;

}  // namespace faultline::oracle::svm
