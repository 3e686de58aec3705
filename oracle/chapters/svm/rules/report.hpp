// What the exit of an intercepted instruction reports: AMD APM vol 2, "State Saved on Exit", "Decode Assists", "IOIO
// Intercepts", "MSR Intercepts". EXITINFO1 and EXITINFO2 are undefined where these rules are silent ("#VMEXIT"), and so
// are the reserved bits of what they speak about.
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

namespace faultline::oracle::svm {

struct Svm001 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-001", "The exit code is the number of the intercept", APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return asked(stim) && !accesses_dr(stim) && !accesses_cr0(stim) && !armed_selected(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, stim.intercept); }
};

struct Svm002 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-002", "A DR access exits with 20h, written 30h, plus the register's number as encoded",
             APM2 "Appendix C, SVM Intercept Exit Codes", "S1");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return asked(stim) && accesses_dr(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, stim.intercept); }
};

struct Svm027 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-027", "The intercept of every CR0 access wins over the selective one", SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return asked(stim) && accesses_cr0(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, stim.intercept); }
};

struct Svm131 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-131", "A CR0 write by the selective intercept alone exits with its code",
                                          APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return selected(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, number(Intercept::Cr0Selective)); }
};

struct Svm193 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-193", "HLT by the idle intercept alone exits with its code",
                                          APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return idle_selected(pre, stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, number(Intercept::IdleHlt)); }
};

struct Svm194 : RuleBase {
    static constexpr RuleInfo info = arch(
        "SVM-194", "MWAIT that would have waited exits with the conditional intercept's code where both are asked for",
        SVM_INSTRUCTIONS);
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return armed_selected(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, number(Intercept::MwaitArmed)); }
};

struct Svm009 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-009", "An intercepted instruction has done nothing: RIP is its own", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.rip == stim.rip; }
};

struct Svm132 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-132", "RF is what it was before the intercepted instruction",
                                          SVM_SAVED "; RFLAGS Register, Resume Flag (RF) Bit");
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.rf == stim.rf; }
};

struct Svm040 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-040", "An intercepted instruction leaves the interrupt shadow that it stands in",
             SVM_SAVED "; Interrupt Shadows");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.shadow == stim.shadow; }
};

struct Svm133 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-133", "An intercepted instruction leaves CR2", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.cr2 == stim.cr2; }
};

struct Svm134 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-134", "An intercepted instruction leaves DR6", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Dr6;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.dr6 == stim.dr6; }
};

struct Svm135 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-135", "An intercepted instruction leaves DR7", SVM_OPERATION);
    static constexpr Aspect aspect = Aspect::Dr7;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.dr7 == stim.dr7; }
};

struct Svm136 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-136", "An intercepted instruction interrupts no delivery: EXITINTINFO is not valid", SVM_DURING);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return executing(stim); }
    FAULTLINE_ALLOWS { return int_info_is<D>(r, guest::svm::event_info::valid, 0); }
};

struct Svm137 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-137", "nRIP is the next sequential instruction's, whatever the intercepted one would do", SVM_SAVED);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return executing(stim) && pre.nrips && !checks(stim, Intercept::Icebp, Intercept::TaskSwitch); }
    FAULTLINE_ALLOWS { return !r.exits || r.next_rip == stim.next_rip; }
};

struct Svm018 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-018", "nRIP of an intercepted ICEBP is the next instruction's", SVM_SAVED "; Instruction Intercepts");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Icebp) && pre.nrips; }
    FAULTLINE_ALLOWS { return !r.exits || r.next_rip == stim.next_rip; }
};

// --- Decode assists

struct Svm138 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-138", "MOV to or from CR shows itself in bit 63 of EXITINFO1, and its general register",
             APM2 "MOV CRx/DRx Intercepts");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return asked(stim) && accesses_cr(stim) && stim.form == form::mov && pre.decode_assists; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, stim.gpr | 1ull << 63); }
};

struct Svm139 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-139", "LMSW, SMSW and CLTS leave bit 63 of EXITINFO1 clear", APM2 "MOV CRx/DRx Intercepts");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return asked(stim) && accesses_cr0(stim) && stim.form != form::mov && pre.decode_assists; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 1ull << 63, 0); }
};

struct Svm010 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-010", "MOV to or from DR shows its general register in EXITINFO1",
                                          APM2 "MOV CRx/DRx Intercepts", "S1");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return accesses_dr(stim) && pre.decode_assists; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, stim.gpr); }
};

struct Svm140 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-140", "INT n shows its vector in EXITINFO1", APM2 "INTn Intercepts");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::SoftwareInterrupt) && pre.decode_assists; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, stim.vector); }
};

struct Svm141 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-141", "INVLPG shows its linear address in EXITINFO1", APM2 "INVLPG and INVLPGA Intercepts");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Invlpg) && pre.decode_assists; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, stim.address); }
};

// --- I/O

struct Svm195 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-195", "nRIP of an intercepted task switch is zero", SVM_SAVED " (\"For all other intercepts\")");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return switches_task(stim) && pre.nrips; }
    FAULTLINE_ALLOWS { return !r.exits || r.next_rip == 0; }
};

struct Svm188 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-188", "EXITINFO1 of a task switch has the selector of the incoming TSS in bits 15:0",
             APM2 "Task Switch Intercept");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return switches_task(stim); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 0xFFFF, stim.number); }
};

struct Svm189 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-189", "EXITINFO2 of a task switch says in bit 36 that IRET, in bit 38 that a far jump caused it",
             APM2 "Task Switch Intercept");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return switches_task(stim); }
    FAULTLINE_ALLOWS {
        using Bits = typename D::Bits;
        const Bits cause =
            ite(stim.form == form::iret, Bits(1ull << 36), ite(stim.form == form::jump, Bits(1ull << 38), Bits(0)));
        return !r.exits || ((r.info2 ^ cause) & 0x50'0000'0000) == 0;
    }
};

struct Svm196 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-196", "EXITINFO2 of a task switch by an instruction has bit 44 clear: there is no error code",
             APM2 "Task Switch Intercept");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return switches_task(stim); }
    FAULTLINE_ALLOWS { return !r.exits || !has(r.info2, 1ull << 44); }
};

struct Svm142 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-142", "EXITINFO1 of an I/O intercept names the port in bits 31:16",
                                          SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 0xFFFF0000, stim.number << 16); }
};

struct Svm143 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-143", "EXITINFO1 of an I/O intercept has bit 0 set for input, clear for output",
             SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 1, ite(stim.write, typename D::Bits(0), typename D::Bits(1))); }
};

struct Svm144 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-144", "EXITINFO1 of an I/O intercept has STR set for INS and OUTS alone",
                                          SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 4, ite(stim.string, typename D::Bits(4), typename D::Bits(0))); }
};

struct Svm145 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-145", "EXITINFO1 of an I/O intercept has REP set for repeated accesses alone",
             SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 8, ite(stim.rep, typename D::Bits(8), typename D::Bits(0))); }
};

struct Svm146 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-146", "EXITINFO1 of an I/O intercept has one of SZ8, SZ16, SZ32 set",
                                          SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 0x70, stim.width << 4); }
};

/// Of IN and OUT, which address no memory, the manual does not say what stands there.
struct Svm147 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-147", "EXITINFO1 of INS and OUTS has one of A16, A32, A64 set",
                                          SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io) && stim.string; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 0x380, stim.address_size << 6); }
};

struct Svm148 : RuleBase {
    static constexpr RuleInfo info =
        arch("SVM-148", "EXITINFO1 of OUTS names the effective segment", SVM_IOIO ", (REP) OUTS and INS");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io) && stim.string && stim.write; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 0x1C00, stim.segment << 10); }
};

struct Svm149 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-149", "EXITINFO1 of INS names ES", SVM_IOIO ", (REP) OUTS and INS");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io) && stim.string && !stim.write; }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 0x1C00, 0); }
};

struct Svm022 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-022", "EXITINFO2 of an I/O intercept is RIP of the next instruction",
                                          SVM_IOIO ", I/O Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Io); }
    FAULTLINE_ALLOWS { return !r.exits || r.info2 == stim.next_rip; }
};

struct Svm150 : RuleBase {
    static constexpr RuleInfo info = arch("SVM-150", "EXITINFO1 of an MSR intercept is 0 for RDMSR, 1 for WRMSR",
                                          SVM_MSR ", MSR Intercept Information");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return checks(stim, Intercept::Msr); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, ite(stim.write, typename D::Bits(1), typename D::Bits(0))); }
};

inline constexpr auto report_rules =
    boost::hana::tuple_t<Svm001, Svm002, Svm027, Svm131, Svm193, Svm194, Svm009, Svm132, Svm040, Svm133, Svm134, Svm135,
                         Svm136, Svm137, Svm018, Svm138, Svm139, Svm010, Svm140, Svm141, Svm195, Svm188, Svm189, Svm196,
                         Svm142, Svm143, Svm144, Svm145, Svm146, Svm147, Svm148, Svm149, Svm022, Svm150>;

}  // namespace faultline::oracle::svm
