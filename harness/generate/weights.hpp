// How often the generator does what: data with a version. A case is a function of (seed, index, version),
// so a change of any number, or of the generator's use of one, needs a new version.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace faultline::harness {

struct OpWeight {
    std::string_view mnemonic;
    unsigned weight;
};

/// What a program is bent to. Most are drawn by the weights as they are; the others bring together what seldom meets by
/// chance, so that every rule is met in every run.
enum class Theme : std::uint8_t {
    Usual,
    Held,        ///< breakpoints on what MOV SS reads, and what comes behind it
    Extensions,  ///< CR4.DE, I/O breakpoints, DR4 and DR5
    Branches,    ///< DEBUGCTL.BTF, SYSCALL and SYSRET under TF
    Tasks,       ///< task switches
    Stacks,      ///< stacks that cannot take a frame
};

struct Weights {
    int version = 7;

    /// Of a thousand programs, by Theme from Held on. Only the first needs no machine of its own (Profile::machine).
    std::array<unsigned, 5> themes{{80, 50, 20, 30, 40}};

    /// Ops by relative weight; an op that is not named here has `other_op`.
    std::array<OpWeight, 53> ops{{
        {"nop", 30},        {"set-reg", 20},  {"mov-to-dr", 110}, {"mov-from-dr", 50}, {"popf", 60},
        {"iret", 25},       {"load", 70},     {"store", 70},      {"add-mem", 40},     {"mov-ss", 50},
        {"mov-ss-mem", 90}, {"icebp", 40},    {"int3", 25},       {"int", 35},         {"sti", 15},
        {"hlt", 12},        {"syscall", 12},  {"sysret", 8},      {"mov-to-cr4", 25},  {"movs", 20},
        {"rep-movs", 20},   {"rep-stos", 20}, {"in", 15},         {"out", 20},         {"in-dx", 12},
        {"out-dx", 15},     {"outs", 12},     {"rep-outs", 12},   {"ret", 10},         {"wrmsr", 3},
        {"rdmsr", 3},       {"ud2", 12},      {"div", 12},        {"push-mem", 15},    {"pop-mem", 15},
        {"call", 10},       {"jmp", 10},      {"pop-fs", 8},      {"cpuid", 20},       {"pushf", 25},
        {"wbinvd", 6},      {"into", 15},     {"bound", 15},      {"pop-ss", 40},      {"enter", 12},
        {"leave", 6},       {"far-jmp", 15},  {"far-call", 12},   {"far-ret", 12},     {"lss", 12},
        {"ud1", 6},         {"lock-mov", 6},  {"aam", 8},
    }};
    unsigned other_op = 10;
    /// What meets a held breakpoint or a dropped step in a way of its own, each as often as any other.
    std::array<std::string_view, 14> behind_mov_ss{"icebp",      "int3",     "int",     "cpuid", "mov-from-dr",
                                                   "mov-to-dr",  "mov-ss",   "ud2",     "load",  "wbinvd",
                                                   "mov-ss-mem", "rep-stos", "syscall", "hlt"};
    unsigned aim_shadow = 45;  ///< percent: an op behind a load of SS is one of them

    /// By guest::Mode, of the modes that the profile has.
    std::array<unsigned, 4> modes{{55, 15, 18, 12}};

    // Everything below is in percent.
    unsigned cpl3 = 25;
    unsigned gates_dpl0 = 25;
    unsigned de = 30, btf = 3;
    unsigned policy_resume = 8, policy_skip = 22;  ///< the rest sets RF and resumes
    unsigned endless = 10;                         ///< of code breakpoints that no policy gets past
    unsigned policy_keep_dr6 = 40, policy_clear_fault_rf = 40;
    unsigned start_tf = 33, start_rf = 15, start_if = 30, start_iopl3 = 15, start_df = 7, start_nt = 4, start_ac = 5;
    unsigned stale_dr6 = 40, start_gd = 8;

    // Each of the four breakpoints.
    unsigned watch_unused = 25, watch_execute = 25, watch_io = 12;  ///< the rest watches data
    unsigned watch_disabled = 15, watch_unaligned = 20;
    unsigned watch_far = 4;       ///< its address differs from a plain one above bit 31 (ports: above bit 19)
    unsigned watch_stack = 22;    ///< of data watches: the stack's anchors
    unsigned watch_shadowed = 8;  ///< of code breakpoints: an op behind a load of SS
    unsigned watch_len = 2;       ///< of code breakpoints: LEN other than 00b, which is undefined
    unsigned io_without_de = 12;  ///< an I/O breakpoint although CR4.DE = 0 leaves it open
    unsigned io_on_memory = 8;    ///< of I/O breakpoints: DRn is an address in memory, which none of them may meet
    unsigned io_eight = 15;       ///< of I/O breakpoints with LEN = 10b: they keep it, though no port access is so wide

    unsigned aim = 80;        ///< an access aims at an edge of a watched range
    unsigned revisit = 8;     ///< an access goes to where the last one went, or just below
    unsigned read_back = 20;  ///< a store, or PUSHF, is followed by a load of what it wrote
    unsigned reaim = 35;      ///< a set-reg prepares the registers of the next op
    unsigned dr_alias = 9;    ///< of MOV DR: DR4 or DR5
    unsigned dr7_gd = 15, dr_reserved = 15, dr_high = 8;
    unsigned far_base = 3;  ///< RBP holds an address that is not canonical
    unsigned popped_tf = 45, popped_rf = 25;
    unsigned surroundings = 16;             ///< of programs: IDT, TSS or stacks differ from the stage's
    unsigned task = 25;                     ///< of programs in prot32: there are tasks to switch to
    unsigned task_gate = 40;                ///< of those: a vector of the IDT leads to one of them
    unsigned inner_stack = 50;              ///< of those: the stack or the TSS, else gates alone
    unsigned outer_handler = 4;             ///< of gates: to a handler at CPL 3, for which no stack is loaded
    unsigned lost_stack = 2;                ///< of set-reg: the stack pointer, to where no frame can be pushed
    unsigned wild_target = 3;               ///< of returns and indirect jumps: to where nothing can be fetched
    unsigned odd_selector = 7;              ///< of selectors: one that is refused, or differs in an attribute
    unsigned reserved_msr = 12;             ///< of WRMSR: a bit of 63:16
    unsigned alignment_check = 10;          ///< of programs at CPL 3: CR0.AM and EFLAGS.AC
    unsigned wake_nmi = 30, wake_none = 5;  ///< of programs that halt

    // World svm.
    unsigned forced_exceptions = 30;                   ///< a random mask of exceptions intercepted by force
    unsigned no_intercepts = 15, all_intercepts = 15;  ///< but those; the rest has one to four
    unsigned stop_at_exceptions = 8, stop_at_instructions = 8;
    unsigned injection = 20;       ///< VMRUN injects an event
    unsigned vmcb_edge = 6;        ///< VMRUN has, or seems to have, a reason to refuse
    unsigned other_guest = 1;      ///< … in several fields
    unsigned bait = 40;            ///< the first op is one that an intercept stops
    unsigned no_double_fault = 3;  ///< neither #GP nor #DF has a gate
    unsigned intercept_shutdown = 30;
    unsigned other_ports = 15;  ///< of ports where they are intercepted: beside those of the map
    unsigned other_msrpm = 30;  ///< of those that intercept MSRs: another page is their map
};

/// The weights of the programs of one theme.
Weights bent(Weights weights, Theme theme);

}  // namespace faultline::harness
