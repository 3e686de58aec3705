// Between two instructions: which interrupt comes, physical or virtual, and whether it exits. AMD APM vol 2, "Interrupt
// Intercepts", "Interrupt and Local APIC Support", "Global Interrupt Flag, STGI and CLGI Instructions", "Virtual GIF".
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

#define SVM_VINTR APM2 "Injecting Virtual (INTR) Interrupts"
#define SVM_VNMI APM2 "NMI Virtualization"
#define SVM_GIF APM2 "Global Interrupt Flag, STGI and CLGI Instructions"
#define SVM_MASKING APM2 "Physical (INTR) Interrupt Masking in EFLAGS"

namespace faultline::oracle::svm {

// --- Whether any may come

struct Svm160 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-160", "With GIF clear no interrupt comes and none exits", SVM_GIF);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && !has(stim.standing, standing::gif); }
    FAULTLINE_ALLOWS { return r.event == event::none; }
};

struct Svm161 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-161", "In an interrupt shadow no interrupt comes and none exits", SVM_VINTR "; Interrupt Shadows");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && stim.shadow; }
    FAULTLINE_ALLOWS { return r.event == event::none; }
};

struct Svm162 : RuleBase {
    static constexpr RuleInfo info =
        free("SVM-162", "An NMI may come in an interrupt shadow", APM2 "NMI Intercept (\"may be blocked\")");
    using excepts = Excepts<Svm161>;
    FAULTLINE_APPLIES {
        return between_instructions(stim) && stim.shadow && has(stim.standing, standing::gif) && nmi_comes(stim);
    }
    FAULTLINE_ALLOWS { return r.event == event::nmi; }
};

// --- Physical ones

struct Svm041 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-041", "A pending NMI comes before every other interrupt",
                                          APM2 "NMI Support; Simultaneous Interrupts");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return window_open(stim) && nmi_comes(stim); }
    FAULTLINE_ALLOWS { return r.event == event::nmi; }
};

struct Svm163 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-163", "An NMI comes only where one is pending and none is being handled",
                                          APM2 "NMI Support; NMI—Non-Maskable-Interrupt Exception (Vector 2)");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && !nmi_comes(stim); }
    FAULTLINE_ALLOWS { return r.event != event::nmi; }
};

struct Svm164 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-164", "A physical interrupt comes before a virtual one, taken or exiting", SVM_VINTR);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return window_open(stim) && intr_comes(stim) && !nmi_comes(stim); }
    FAULTLINE_ALLOWS { return r.event == event::intr; }
};

struct Svm165 : RuleBase {
    static constexpr RuleInfo info =
        free("SVM-165", "A virtual NMI may come before a physical maskable interrupt",
             SVM_VNMI " (\"follows the same rules as a physical NMI\"); Injecting Virtual (INTR) Interrupts");
    using excepts = Excepts<Svm164>;
    FAULTLINE_APPLIES {
        return window_open(stim) && intr_comes(stim) && !nmi_comes(stim) && virtual_nmi_comes(pre, stim);
    }
    FAULTLINE_ALLOWS { return r.event == event::virtual_nmi; }
};

struct Svm166 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-166", "No physical interrupt comes that is not pending", APM2 "INTR Intercept");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && !has(stim.standing, standing::intr); }
    FAULTLINE_ALLOWS { return r.event != event::intr; }
};

struct Svm167 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-167", "Without V_INTR_MASKING the guest's RFLAGS.IF masks physical interrupts", SVM_MASKING);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return between_instructions(stim) && !controls(stim, guest::svm::vintr::masking) &&
               !has(stim.standing, standing::guest_if);
    }
    FAULTLINE_ALLOWS { return r.event != event::intr; }
};

struct Svm168 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-168", "With V_INTR_MASKING the host's RFLAGS.IF at VMRUN masks physical interrupts", SVM_MASKING);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return between_instructions(stim) && controls(stim, guest::svm::vintr::masking) &&
               !has(stim.standing, standing::host_if);
    }
    FAULTLINE_ALLOWS { return r.event != event::intr; }
};

// --- Virtual NMIs

struct Svm042 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-042", "A pending virtual NMI that nothing masks comes, before any virtual interrupt", SVM_VNMI);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return window_open(stim) && virtual_nmi_comes(pre, stim) && !nmi_comes(stim) && !intr_comes(stim);
    }
    FAULTLINE_ALLOWS { return r.event == event::virtual_nmi; }
};

struct Svm169 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-169", "No virtual NMI comes without V_NMI_ENABLE and V_NMI on a processor that has them", SVM_VNMI);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && !virtual_nmi_pending(pre, stim); }
    FAULTLINE_ALLOWS { return r.event != event::virtual_nmi; }
};

struct Svm043 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-043", "V_NMI_MASK holds back a virtual NMI", SVM_VNMI);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && controls(stim, guest::svm::vintr::nmi_mask); }
    FAULTLINE_ALLOWS { return r.event != event::virtual_nmi; }
};

// --- Virtual interrupts

struct Svm170 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-170", "A clear virtual GIF holds back virtual interrupts and virtual NMIs",
             APM2 "Virtual GIF (VGIF); NMI Virtualization");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && virtual_gif_clear(pre, stim); }
    FAULTLINE_ALLOWS { return !one_of(r.event, event::virtual_intr, event::virtual_nmi); }
};

struct Svm171 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-171", "A pending virtual interrupt that nothing masks comes where nothing comes before it", SVM_VINTR);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return window_open(stim) && virtual_intr_comes(pre, stim) && !virtual_nmi_comes(pre, stim) &&
               !nmi_comes(stim) && !intr_comes(stim);
    }
    FAULTLINE_ALLOWS { return r.event == event::virtual_intr; }
};

struct Svm172 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-172", "No virtual interrupt comes without V_IRQ", SVM_VINTR);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && !controls(stim, guest::svm::vintr::irq); }
    FAULTLINE_ALLOWS { return r.event != event::virtual_intr; }
};

struct Svm173 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-173", "The guest's RFLAGS.IF masks virtual interrupts",
                                          SVM_VINTR "; Physical (INTR) Interrupt Masking");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && !has(stim.standing, standing::guest_if); }
    FAULTLINE_ALLOWS { return r.event != event::virtual_intr; }
};

struct Svm174 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-174", "A virtual interrupt whose priority is not above V_TPR waits, unless V_IGN_TPR is set", SVM_VINTR);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim) && priority_too_low(stim); }
    FAULTLINE_ALLOWS { return r.event != event::virtual_intr; }
};

// --- Whether it exits

struct Svm175 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-175", "An NMI that comes exits exactly where the NMI intercept is asked for", APM2 "NMI Support");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::nmi, r.exits == has(stim.intercepts_3, bit_of(Intercept::Nmi)));
    }
};

struct Svm176 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-176", "A physical interrupt that comes exits exactly where the INTR intercept is asked for",
             APM2 "INTR Intercept");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::intr, r.exits == has(stim.intercepts_3, bit_of(Intercept::Intr)));
    }
};

struct Svm177 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-177", "A virtual interrupt that comes exits exactly where the VINTR intercept is asked for",
             APM2 "Virtual Interrupt Intercept");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return implies(r.event == event::virtual_intr,
                       r.exits == has(stim.intercepts_3, bit_of(Intercept::VirtualInterrupt)));
    }
};

struct Svm045 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-045", "A virtual NMI meets no intercept: the NMI intercept is for physical ones", SVM_VNMI);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS { return !(r.event == event::virtual_nmi && r.exits); }
};

struct Svm178 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-178", "Where no interrupt comes, none exits", APM2 "Interrupt Intercepts");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS { return !(r.event == event::none && r.exits) && ule(r.event, typename D::Bits(event::last)); }
};

struct Svm179 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-179", "INTR, NMI and virtual interrupts exit with 60h, 61h and 64h",
                                          APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        using Bits = typename D::Bits;
        return exits_with<D>(r, ite(r.event == event::nmi, Bits(number(Intercept::Nmi)),
                                    ite(r.event == event::intr, Bits(number(Intercept::Intr)),
                                        Bits(number(Intercept::VirtualInterrupt)))));
    }
};

// --- What is taken

struct Svm180 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-180", "A virtual interrupt is taken by the vector in V_INTR_VECTOR", SVM_VINTR);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return implies(takes(r, event::virtual_intr), r.vector == (stim.virtual_interrupts >> 32 & 0xFF));
    }
};

struct Svm181 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-181", "An NMI is taken by vector 2, virtual or not", SVM_VNMI "; NMI Support");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS { return implies(takes(r, event::nmi) || takes(r, event::virtual_nmi), r.vector == vec::nmi); }
};

struct Svm182 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-182", "A physical interrupt is taken by the vector that it brings",
                                          SVM_VINTR " (\"running an INTACK cycle\")");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS { return implies(takes(r, event::intr), r.vector == stim.vector); }
};

struct Svm183 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-183", "V_IRQ is cleared where the virtual interrupt is taken, and stays pending where it exits",
             SVM_VINTR "; Virtual Interrupt Intercept");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return has(r.pending, guest::svm::vintr::irq) ==
               (controls(stim, guest::svm::vintr::irq) && !takes(r, event::virtual_intr));
    }
};

struct Svm184 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-184", "A virtual NMI that is taken clears V_NMI; nothing else does", SVM_VNMI);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return has(r.pending, guest::svm::vintr::nmi) ==
               (controls(stim, guest::svm::vintr::nmi) && r.event != event::virtual_nmi);
    }
};

struct Svm185 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-185", "A virtual NMI that is taken sets V_NMI_MASK; nothing else changes it", SVM_VNMI);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return has(r.pending, guest::svm::vintr::nmi_mask) ==
                   (controls(stim, guest::svm::vintr::nmi_mask) || r.event == event::virtual_nmi) &&
               !has(r.pending, ~pending_bits);
    }
};

// --- What an exit shows

struct Svm186 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-186", "An interrupt that exits has interrupted between two instructions",
                                          SVM_OPERATION "; State Saved on Exit");
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return !r.exits || (r.rip == stim.rip && r.rf == stim.rf && r.shadow == stim.shadow && r.cr2 == stim.cr2 &&
                            r.dr6 == stim.dr6 && r.dr7 == stim.dr7);
    }
};

struct Svm187 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-187", "nRIP of an interrupt's exit is zero, and EXITINTINFO is not valid", SVM_SAVED "; " SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return between_instructions(stim); }
    FAULTLINE_ALLOWS {
        return int_info_is<D>(r, guest::svm::event_info::valid, 0) && (!r.exits || !pre.nrips || r.next_rip == 0);
    }
};

inline constexpr auto boundary_rules =
    boost::hana::tuple_t<Svm160, Svm161, Svm162, Svm041, Svm163, Svm164, Svm165, Svm166, Svm167, Svm168, Svm042, Svm169,
                         Svm043, Svm170, Svm171, Svm172, Svm173, Svm174, Svm175, Svm176, Svm177, Svm045, Svm178, Svm179,
                         Svm180, Svm181, Svm182, Svm183, Svm184, Svm185, Svm186, Svm187>;

}  // namespace faultline::oracle::svm
