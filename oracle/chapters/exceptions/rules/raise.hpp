// Which exception an op's fault becomes, with which error code and CR2. Intel SDM vol 3, chapter Interrupt and
// Exception Handling; AMD APM vol 2, chapter Exceptions and Interrupts.
#pragma once

#include "oracle/chapters/exceptions/rules/rules.hpp"

namespace faultline::oracle::exceptions {

struct Xcp171 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-171", "An undefined instruction raises #UD", SDM3_INT "Invalid Opcode Exception (#UD)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::invalid_opcode); }
    FAULTLINE_ALLOWS { return raises(r, vec::ud); }
};

struct Xcp132 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-132", "An instruction that CPL or IOPL forbids raises #GP",
                                          SDM3_INT "General Protection Exception (#GP)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::privilege); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp172 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-172", "A port that neither IOPL nor the I/O permission bitmap allows raises #GP",
             SDM2_2024 "IN—Input from Port");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::io_permission); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp140 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-140", "A data access beyond the limit of SS raises #SS, of another segment #GP",
             SDM3_INT "Stack Fault Exception (#SS), General Protection Exception (#GP); XTF, memop-seg");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return raising(stim, cause::access) && in_protected_mode(pre) && stim.out_of_range && !stim.misaligned &&
               !stim.page;
    }
    FAULTLINE_ALLOWS { return (stim.stack && raises(r, vec::ss)) || (!stim.stack && raises(r, vec::gp)); }
};

struct Xcp141 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-141",
             "In long mode an address that is not canonical, or beyond a limit, raises #SS through the stack segment, "
             "else #GP",
             SDM3_INT "Stack Fault Exception (#SS), General Protection Exception (#GP); XTF, memop-seg");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES {
        return raising(stim, cause::access) && in_long_mode(pre) && stim.out_of_range && !stim.misaligned && !stim.page;
    }
    FAULTLINE_ALLOWS { return (stim.stack && raises(r, vec::ss)) || (!stim.stack && raises(r, vec::gp)); }
};

struct Xcp088 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-088", "In real mode an operand that crosses offset FFFFh raises #SS through the stack segment, else #GP",
        SDM3 "Segment Wraparound");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::access) && in_real_mode(pre) && stim.out_of_range; }
    FAULTLINE_ALLOWS { return (stim.stack && raises(r, vec::ss)) || (!stim.stack && raises(r, vec::gp)); }
};

struct Xcp146 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-146", "Limit and canonical checks come before alignment and paging",
             SDM3 "Memory Management Overview: segmentation forms the linear address that paging translates");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::access) && stim.out_of_range && (stim.misaligned || stim.page); }
    FAULTLINE_ALLOWS { return (stim.stack && raises(r, vec::ss)) || (!stim.stack && raises(r, vec::gp)); }
};

struct Xcp148 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-148", "A misaligned data access under CR0.AM, EFLAGS.AC and CPL 3 raises #AC",
             SDM3_INT "Alignment Check Exception (#AC)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::access) && !stim.out_of_range && stim.misaligned; }
    FAULTLINE_ALLOWS { return raises(r, vec::ac); }
};

struct Xcp147 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-147", "Of a misaligned access that paging refuses too, either #AC or #PF may be raised",
             SDM3_INT "Priority Among Simultaneous Exceptions and Interrupts (order within a class is model specific)");
    using excepts = Excepts<Xcp148>;
    FAULTLINE_APPLIES { return raising(stim, cause::access) && !stim.out_of_range && stim.misaligned && stim.page; }
    FAULTLINE_ALLOWS { return raises(r, vec::pf); }
};

struct Xcp173 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-173", "A data access that paging refuses raises #PF", SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::access) && !stim.out_of_range && !stim.misaligned && stim.page; }
    FAULTLINE_ALLOWS { return raises(r, vec::pf); }
};

struct Xcp184 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-184", "An instruction beyond the limit of CS raises #GP when it is fetched",
             SDM3_INT "General Protection Exception (#GP)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::fetch) && stim.out_of_range; }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp159 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-159", "A fetch that paging refuses raises #PF", SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::fetch) && !stim.out_of_range && stim.page; }
    FAULTLINE_ALLOWS { return raises(r, vec::pf); }
};

struct Xcp145 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-145", "A near branch beyond the limit of CS, or to an address that is not canonical, raises #GP",
             SDM2_2024 "JMP—Jump, CALL—Call Procedure");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::branch_target); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp161 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-161", "A division by zero, or whose quotient does not fit, raises #DE",
                                          SDM3_INT "Divide Error Exception (#DE)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::divide); }
    FAULTLINE_ALLOWS { return raises(r, vec::de); }
};

struct Xcp003 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-003", "BOUND outside its bounds raises #BR", SDM3_INT "BOUND Range Exceeded Exception (#BR)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::bound); }
    FAULTLINE_ALLOWS { return raises(r, vec::br); }
};

struct Xcp178 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-178", "Setting a reserved bit of a control register or MSR raises #GP",
                                          SDM3_INT "General Protection Exception (#GP)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::reserved_bits); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp179 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-179", "A null selector where none may stand raises #GP",
                                          SDM3_INT "General Protection Exception (#GP)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::null_selector); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp130 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-130", "Loading a selector of the wrong type or privilege, or beyond the table, raises #GP",
             SDM3_INT "General Protection Exception (#GP)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::selector); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp131 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-131", "Loading a segment register other than SS with a segment that is not present raises #NP",
             SDM3_INT "Segment Not Present (#NP)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::absent_selector) && !stim.stack; }
    FAULTLINE_ALLOWS { return raises(r, vec::np); }
};

struct Xcp180 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-180", "Loading SS with a segment that is not present raises #SS",
                                          SDM3_INT "Stack Fault Exception (#SS)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::absent_selector) && stim.stack; }
    FAULTLINE_ALLOWS { return raises(r, vec::ss); }
};

struct Xcp117 : RuleBase {
    static constexpr RuleInfo info =
        free("XCP-117", "IRET may report an absent SS as #NP",
             SDM2_2024 "IRET/IRETD—Interrupt Return (#NP: \"If the return code or stack segment is not present\")");
    using excepts = Excepts<Xcp180>;
    FAULTLINE_APPLIES { return raising(stim, cause::absent_selector) && stim.stack && stim.iret; }
    FAULTLINE_ALLOWS { return raises(r, vec::np); }
};

struct Xcp182 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-182", "INT n, INT3 and INTO through a gate with DPL below CPL raise #GP with the gate's code, EXT clear",
        INTN, "S2");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::gate_dpl); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp) && r.error == gate_code(stim); }
};

struct Xcp111 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-111", "IRET with NT = 1 in long mode raises #GP", SDM2_2024 "IRET/IRETD—Interrupt Return");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::nested_task); }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp066 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-066", "JMP and CALL to a TSS that is busy, or is none, raise #GP", SDM3 "Task Switching");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::task_selector) && !stim.iret; }
    FAULTLINE_ALLOWS { return raises(r, vec::gp); }
};

struct Xcp067 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-067", "IRET to a task whose TSS is not busy, or is none, raises #TS",
                                          SDM3_INT "Invalid TSS Exception (#TS)");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return raising(stim, cause::task_selector) && stim.iret; }
    FAULTLINE_ALLOWS { return raises(r, vec::ts); }
};

struct Xcp181 : RuleBase {
    static constexpr RuleInfo info = arch(
        "XCP-181", "A fault about a selector carries the selector without RPL, and EXT clear", SDM3_INT "Error Code");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return (raising(stim, cause::selector) || raising(stim, cause::absent_selector) ||
                raising(stim, cause::task_selector));
    }
    FAULTLINE_ALLOWS { return r.error == (stim.selector & 0xFFFC); }
};

struct Xcp183 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-183", "A fault that is about no selector, gate or page carries error code 0", SDM3_INT "Error Code");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES {
        return raising(stim) &&
               !(raising(stim, cause::selector) || raising(stim, cause::absent_selector) ||
                 raising(stim, cause::task_selector)) &&
               stim.cause != cause::gate_dpl;
    }
    FAULTLINE_ALLOWS { return raises(r, vec::pf) || r.error == 0; }
};

struct Xcp150 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-150", "P of a raised #PF is clear exactly where the page is not present",
                                          SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim) && (stim.cause == cause::access || stim.cause == cause::fetch); }
    FAULTLINE_ALLOWS { return implies(raises(r, vec::pf), has(r.error, pf::p) == stim.present); }
};

struct Xcp174 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-174", "W of a raised #PF is set exactly for a write", SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim) && (stim.cause == cause::access || stim.cause == cause::fetch); }
    FAULTLINE_ALLOWS { return implies(raises(r, vec::pf), has(r.error, pf::w) == stim.write); }
};

struct Xcp152 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-152", "U of a raised #PF is set exactly for an access by CPL 3", SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim) && (stim.cause == cause::access || stim.cause == cause::fetch); }
    FAULTLINE_ALLOWS { return implies(raises(r, vec::pf), has(r.error, pf::u) == stim.user); }
};

struct Xcp151 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-151", "I/D of a #PF is set exactly for a fetch, where EFER.NXE or CR4.SMEP is",
             SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim) && (stim.cause == cause::access || stim.cause == cause::fetch); }
    FAULTLINE_ALLOWS {
        return implies(raises(r, vec::pf), has(r.error, pf::id) == (stim.cause == cause::fetch && pre.fetch_flag));
    }
};

struct Xcp175 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-175",
             "Bits 3, 5 and above of a raised #PF's error code are clear: nothing here sets reserved bits or keys",
             SDM3 "Page-Fault Exceptions");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim) && (stim.cause == cause::access || stim.cause == cause::fetch); }
    FAULTLINE_ALLOWS { return implies(raises(r, vec::pf), !has(r.error, ~(pf::p | pf::w | pf::u | pf::id))); }
};

struct Xcp185 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-185", "A raised #PF writes CR2", SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim); }
    FAULTLINE_ALLOWS { return implies(raises(r, vec::pf), r.writes_cr2); }
};

struct Xcp021 : RuleBase {
    static constexpr RuleInfo info =
        arch("XCP-021", "An op's exception that is no #PF leaves CR2 alone", SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim); }
    FAULTLINE_ALLOWS { return implies(r.writes_cr2, r.vector == vec::pf); }
};

struct Xcp176 : RuleBase {
    static constexpr RuleInfo info = arch("XCP-176", "CR2 holds the first address of the access that paging refuses",
                                          SDM3_INT "Page-Fault Exception (#PF)");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return raising(stim); }
    FAULTLINE_ALLOWS { return implies(raises(r, vec::pf) && r.writes_cr2, r.cr2 == stim.address); }
};

struct Xcp158 : RuleBase {
    static constexpr RuleInfo info = free(
        "XCP-158",
        "CR2 may hold the address of any further byte of the access, or of a far return's frame, in that page",
        SDM3_INT "Page-Fault Exception (#PF) (the address \"that generated the exception\", which byte is not said)");
    using excepts = Excepts<Xcp176>;
    FAULTLINE_APPLIES { return raising(stim); }
    FAULTLINE_ALLOWS {
        return raises(r, vec::pf) && r.writes_cr2 && !ule(r.cr2, stim.address) && ule(r.cr2, stim.address + stim.span);
    }
};

inline constexpr auto raise_rules =
    boost::hana::tuple_t<Xcp171, Xcp132, Xcp172, Xcp140, Xcp141, Xcp088, Xcp146, Xcp148, Xcp147, Xcp173, Xcp184, Xcp159,
                         Xcp145, Xcp161, Xcp003, Xcp178, Xcp179, Xcp130, Xcp131, Xcp180, Xcp117, Xcp182, Xcp111, Xcp066,
                         Xcp067, Xcp181, Xcp183, Xcp150, Xcp174, Xcp152, Xcp151, Xcp175, Xcp185, Xcp021, Xcp176,
                         Xcp158>;

}  // namespace faultline::oracle::exceptions
