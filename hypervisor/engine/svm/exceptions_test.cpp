// Exception intercepts and event injection. AMD APM vol 2 (24593, ~2024), "Exception Intercepts" and its parts,
// "Intercepts during IDT Interrupt Delivery", "EXITINTINFO Pseudo-Code", "Event Injection".
#include <gtest/gtest.h>

#include "hypervisor/engine/svm/svm_machine.hpp"
#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

/// 32-bit protected mode for guests that need it, in the tables of LegacyMachine.
struct LegacySvmMachine : LegacyMachine {
    Vmcb vmcb{};

    LegacySvmMachine() {
        const Cpu& cpu = m.cpu;
        m.svm.host_save_area = place::host_save;
        vmcb.cs = vmcb_segment(cpu.segment[cs]);
        vmcb.ss = vmcb.ds = vmcb.es = vmcb_segment(cpu.segment[ss]);
        vmcb.gdtr = {0, 0, cpu.gdt_limit, cpu.gdt_base};
        vmcb.idtr = {0, 0, cpu.idt_limit, cpu.idt_base};
        vmcb.cr0 = cpu.cr0;
        vmcb.efer = efer::svme;
        vmcb.rflags = rflags::fixed1;
        vmcb.rip = place::guest;
        vmcb.rsp = place::guest_stack;
        vmcb.asid = 1;
        vmcb.intercept_3 = 1u << 24;  // HLT
        vmcb.intercept_4 = 1;         // VMRUN
    }
    std::uint64_t run(std::initializer_list<int> bytes) {
        code(bytes, place::guest);
        m.write_physical(place::vmcb, &vmcb, sizeof vmcb);
        m.enter_guest(place::vmcb);
        const Exit exit = m.run(1000);
        m.memory.read(place::vmcb, &vmcb, sizeof vmcb);
        return exit == Exit::VmExit ? vmcb.exit_code : SvmMachine::no_exit;
    }
};

// ---- What an intercepted exception leaves ---------------------------------------------------------------------------

TEST(ExceptionIntercepts, AFaultLeavesTheInstructionAndNothingElse) {
    SvmMachine t;
    t.intercept_exception(vector::ud);
    EXPECT_EQ(t.run({0x0F, 0x0B}), exception(vector::ud));
    EXPECT_EQ(t.vmcb.rip, place::guest);
    EXPECT_EQ(t.vmcb.rsp, place::guest_stack);
    EXPECT_EQ(t.vmcb.next_rip, 0u);
    EXPECT_EQ(t.vmcb.exit_int_info, 0u);
    EXPECT_FALSE(t.vmcb.rflags & rflags::rf) << "RF is for the stack frame";
}

TEST(ExceptionIntercepts, ReportErrorCodes) {
    SvmMachine t;
    t.intercept_exception(vector::gp);
    t.vmcb.rax = 0x1234;
    EXPECT_EQ(t.run({0x8E, 0xD8}), exception(vector::gp)) << "MOV DS, AX";
    EXPECT_EQ(t.vmcb.exit_info_1, 0x1234u & 0xFFFC);

    SvmMachine u;
    u.intercept_exception(vector::ss);
    u.vmcb.rsp = 1ull << 60;
    EXPECT_EQ(u.run({0x50}), exception(vector::ss));
    EXPECT_EQ(u.vmcb.exit_info_1, 0u);
}

// "#PF (Page Fault)": "tested before CR2 is written"; "Nested and Intercepted #PF"
TEST(ExceptionIntercepts, APageFaultLeavesCr2AndReportsAddressErrorAndBytes) {
    SvmMachine t;
    t.intercept_exception(vector::pf);
    t.vmcb.cr2 = 0x1111;
    t.m.cpu.r[rbx] = Memory::size + 8;
    EXPECT_EQ(t.run({0x88, 0x03}), exception(vector::pf)) << "MOV [RBX], AL";
    EXPECT_EQ(t.vmcb.cr2, 0x1111u);
    EXPECT_EQ(t.vmcb.exit_info_1, pf::write);
    EXPECT_EQ(t.vmcb.exit_info_2, Memory::size + 8);
    EXPECT_EQ(t.vmcb.next_rip, 0u);
    EXPECT_EQ(t.vmcb.instruction_length, 15);
    EXPECT_EQ(t.vmcb.instruction_bytes[0], 0x88);
    EXPECT_EQ(t.vmcb.instruction_bytes[1], 0x03);
}

TEST(ExceptionIntercepts, AFetchsPageFaultHasNoBytes) {
    SvmMachine t;
    t.intercept_exception(vector::pf);
    t.vmcb.rip = Memory::size;
    EXPECT_EQ(t.run(), exception(vector::pf));
    EXPECT_EQ(t.vmcb.exit_info_2, Memory::size);
    EXPECT_EQ(t.vmcb.instruction_length, 0);
}

TEST(ExceptionIntercepts, InstructionBytesEndWhereTheyCannotBeFetched) {
    SvmMachine t;
    t.intercept_exception(vector::pf);
    t.m.cpu.r[rbx] = Memory::size;
    t.vmcb.rip = Memory::size - 5;
    t.code({0x88, 0x03, 0x90}, Memory::size - 5);
    EXPECT_EQ(t.run(), exception(vector::pf));
    EXPECT_EQ(t.vmcb.instruction_length, 5);
}

TEST(ExceptionIntercepts, WithoutOneCr2IsWritten) {
    SvmMachine t;
    t.m.cpu.r[rbx] = Memory::size + 8;
    EXPECT_EQ(t.run({0x88, 0x03}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.cr2, Memory::size + 8);
}

// "#DB (Debug)": "the value saved for DR6 and DR7 matches what would be visible to a #DB exception handler".
TEST(ExceptionIntercepts, ADebugExceptionHasWrittenDr6AndDr7) {
    SvmMachine t;
    t.intercept_exception(vector::db);
    t.vmcb.dr7 |= guest::dr::dr7_gd;
    EXPECT_EQ(t.run({0x0F, 0x21, 0xC0}), exception(vector::db));
    EXPECT_EQ(t.vmcb.dr6, guest::dr::dr6_reset | guest::dr::dr6_bd);
    EXPECT_EQ(t.vmcb.dr7, guest::dr::dr7_reset) << "GD";
    EXPECT_EQ(t.vmcb.rip, place::guest);
    EXPECT_EQ(t.vmcb.next_rip, 0u);
}

TEST(ExceptionIntercepts, ATrapHasExecutedItsInstruction) {
    SvmMachine t;
    t.intercept_exception(vector::db);
    t.m.debug.address[2] = place::data;
    t.vmcb.dr7 |= 2 << 4 | 3 << 24;
    t.m.cpu.r[rbx] = place::data;
    t.vmcb.rax = 0x5A;
    EXPECT_EQ(t.run({0x88, 0x03, 0x90}), exception(vector::db));
    EXPECT_EQ(t.vmcb.rip, place::guest + 2);
    EXPECT_EQ(t.vmcb.dr6, guest::dr::dr6_reset | 4);
    EXPECT_EQ(t.read(place::data) & 0xFF, 0x5Au);
}

// "When an interrupt-based instruction causes an intercept, the rIP of the instruction is stored in the VMCB". "State
// Saved on Exit": nRIP.
TEST(ExceptionIntercepts, Int3IntoAndBoundAreMetAtTheInstruction) {
    SvmMachine t;
    t.intercept_exception(vector::bp);
    EXPECT_EQ(t.run({0xCC}), exception(vector::bp));
    EXPECT_EQ(t.vmcb.rip, place::guest);
    EXPECT_EQ(t.vmcb.next_rip, place::guest + 1);
    EXPECT_EQ(t.vmcb.exit_int_info, 0u);

    LegacySvmMachine u;
    u.vmcb.intercept_exceptions = 1u << vector::of;
    u.vmcb.rflags |= rflags::of;
    EXPECT_EQ(u.run({0xCE}), exception(vector::of));
    EXPECT_EQ(u.vmcb.rip, place::guest);
    EXPECT_EQ(u.vmcb.next_rip, place::guest + 1);

    LegacySvmMachine v;
    v.vmcb.intercept_exceptions = 1u << vector::br;
    v.vmcb.rax = 5;
    v.m.cpu.r[rbx] = place::data;  // bounds 0 and 0
    EXPECT_EQ(v.run({0x62, 0x03}), exception(vector::br));
    EXPECT_EQ(v.vmcb.rip, place::guest);
    EXPECT_EQ(v.vmcb.next_rip, place::guest + 2);
}

TEST(ExceptionIntercepts, Int3IsInterceptedBeforeItsGateIsLookedAt) {
    SvmMachine t;
    t.guest_at_cpl3();  // the gates have DPL 0
    t.intercept_exception(vector::bp);
    t.intercept_exception(vector::gp);
    EXPECT_EQ(t.run({0xCC}), exception(vector::bp));
}

// "External interrupts and software interrupts (INTn instruction) do not check the exception intercepts".
TEST(ExceptionIntercepts, DoNotApplyToIntNAndIcebp) {
    for (const int number : {1, 3, 6, 13}) {
        SvmMachine t;
        t.vmcb.intercept_exceptions = ~0u;
        EXPECT_EQ(t.run({0xCD, number}), code_of(Intercept::Hlt)) << number;
        EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(static_cast<unsigned>(number)));
    }
    SvmMachine t;
    t.vmcb.intercept_exceptions = ~0u;
    EXPECT_EQ(t.run({0xF1}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(vector::db));
}

// ---- Exceptions while an event is being delivered -------------------------------------------------------------------

/// The gate of `number` is not present: #NP with this error code.
void absent_gate(SvmMachine& t, unsigned number) {
    t.write(place::idt + 16 * number, t.read(place::idt + 16 * number) & ~(1ull << 47));
}
/// The gate's type is none: #GP.
void broken_gate(SvmMachine& t, unsigned number) {
    t.write(place::idt + 16 * number, t.read(place::idt + 16 * number) & ~(0xFull << 40));
}
constexpr std::uint32_t gate_error(unsigned number, bool external) { return number * 8 | 2 | external; }

// The example of "Exception Intercepts".
TEST(NestedExceptions, AreCheckedBeforeTheyBecomeADoubleFault) {
    for (const bool gp_intercepted : {true, false}) {
        SvmMachine t;
        absent_gate(t, vector::ud);  // #UD, whose delivery raises #NP …
        broken_gate(t, vector::np);  // … whose delivery raises #GP
        t.intercept_exception(vector::df);
        if (gp_intercepted) t.intercept_exception(vector::gp);
        const std::uint64_t code = t.run({0x0F, 0x0B});
        EXPECT_EQ(code, exception(gp_intercepted ? vector::gp : vector::df));
        EXPECT_EQ(t.vmcb.exit_int_info,
                  event_info::make(event_info::Exception, vector::np, gate_error(vector::ud, true)));
        EXPECT_EQ(t.vmcb.exit_info_1, gp_intercepted ? gate_error(vector::np, true) : 0);
        EXPECT_EQ(t.vmcb.rip, place::guest);
    }
}

// The example of "Intercepts during IDT Interrupt Delivery".
TEST(NestedExceptions, ThePriorEventsAreOneAggregate) {
    SvmMachine t;
    absent_gate(t, vector::gp);
    broken_gate(t, vector::np);
    // #GP, and in its delivery #NP: #DF, whose stack is not there.
    t.write(place::idt + 16 * vector::df, t.read(place::idt + 16 * vector::df) | 1ull << 32);
    t.write(place::tss + 0x24, Memory::size + 0x1000);
    t.intercept_exception(vector::pf);
    t.m.cpu.r[rcx] = 0x1FFF;
    EXPECT_EQ(t.run({0x0F, 0x32}), exception(vector::pf)) << "RDMSR of an MSR that does not exist";
    EXPECT_EQ(t.vmcb.exit_int_info, event_info::make(event_info::Exception, vector::df, 0));
    EXPECT_EQ(t.vmcb.rip, place::guest);
}

TEST(NestedExceptions, TheTypeTellsTheEvent) {
    const auto reported = [](std::initializer_list<int> bytes, auto prepare) {
        SvmMachine t;
        for (const unsigned number : {1u, 2u, 3u, 0x30u, 0x80u}) absent_gate(t, number);
        t.intercept_exception(vector::np);
        prepare(t);
        EXPECT_EQ(t.run(bytes), exception(vector::np));
        EXPECT_EQ(t.vmcb.rip, place::guest);
        EXPECT_EQ(t.vmcb.next_rip, 0u);
        return t.vmcb.exit_int_info;
    };
    const auto nothing = [](SvmMachine&) {};
    namespace info = event_info;
    EXPECT_EQ(reported({0xCD, 0x80}, nothing), info::make(info::Software, 0x80));
    EXPECT_EQ(reported({0xCD, 0x03}, nothing), info::make(info::Software, 3));
    EXPECT_EQ(reported({0xCC}, nothing), info::make(info::Exception, 3));
    EXPECT_EQ(reported({0xF1}, nothing), info::make(info::Exception, 1));
    EXPECT_EQ(reported({0x90}, [](SvmMachine& t) { t.m.inject_nmi(); }), info::make(info::Nmi, 2));
    EXPECT_EQ(reported({0x90},
                       [](SvmMachine& t) {
                           t.m.inject_interrupt(0x30);
                           t.vmcb.rflags |= rflags::if_;
                       }),
              info::make(info::External, 0x30));
}

TEST(NestedExceptions, OnceDeliveryHasSucceededNothingIsReported) {
    SvmMachine t;
    t.intercept_exception(vector::ud);
    t.code({0x0F, 0x0B}, SvmMachine::handler(0x80));
    EXPECT_EQ(t.run({0xCD, 0x80}), exception(vector::ud));
    EXPECT_EQ(t.vmcb.exit_int_info, 0u);
}

// "If the result of combining exceptions is a double-fault or shutdown, the processor checks whether those are
// intercepted"; a fault in the delivery of #DF is looked at by itself first.
TEST(NestedExceptions, AFaultInTheDeliveryOfADoubleFaultExitsAsItselfOrAsShutdown) {
    for (const bool gp_intercepted : {true, false}) {
        SvmMachine t;
        broken_gate(t, vector::df);
        t.vmcb.event_injection = event_info::make(event_info::Exception, vector::df, 0);
        t.intercept(Intercept::Shutdown);
        t.intercept(Intercept::Exception + vector::gp, gp_intercepted);
        EXPECT_EQ(t.run({0x90}), gp_intercepted ? exception(vector::gp) : code_of(Intercept::Shutdown));
        EXPECT_EQ(t.vmcb.exit_int_info, event_info::make(event_info::Exception, vector::df, 0));
    }
}

// ---- "Event Injection" ---------------------------------------------------------------------------------------------

/// The guest's frame at the first instruction of the handler that the event led to.
struct Injected {
    std::uint64_t handler = 0;
    TestMachine::Frame frame;
    std::uint64_t frame_bytes = 0, event_after = 0;
};

template <class Prepare>
Injected inject(std::uint64_t event, Prepare prepare) {
    SvmMachine t;
    t.vmcb.event_injection = event;
    prepare(t);
    EXPECT_EQ(t.run({0x90}), code_of(Intercept::Hlt));
    Injected result;
    result.handler = t.vmcb.rip;
    result.frame_bytes = (t.vmcb.cpl == 0 ? place::guest_stack : 0) - t.vmcb.rsp;
    t.m.cpu.r[rsp] = t.vmcb.rsp;
    result.frame = t.frame(event & event_info::has_error);
    result.event_after = t.vmcb.event_injection;
    return result;
}
Injected inject(std::uint64_t event) {
    return inject(event, [](SvmMachine&) {});
}

TEST(EventInjection, InterruptsComeWhateverTheFlagsSay) {
    const Injected i = inject(event_info::make(event_info::External, 0x41));
    EXPECT_EQ(i.handler, SvmMachine::handler(0x41));
    EXPECT_EQ(i.frame.rip, place::guest);
    EXPECT_EQ(i.frame.rflags, rflags::fixed1);
    EXPECT_EQ(i.event_after & event_info::valid, 0u);
}

TEST(EventInjection, AnNmiHasVector2AndBlocksNone) {
    SvmMachine t;
    t.vmcb.event_injection = event_info::make(event_info::Nmi, 0x99);
    EXPECT_EQ(t.run({0x90}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(vector::nmi));
    EXPECT_FALSE(t.m.nmi_blocked);
}

TEST(EventInjection, ExceptionsPushTheErrorCodeTheyAreGiven) {
    const Injected with = inject(event_info::make(event_info::Exception, vector::gp, 0x1234));
    EXPECT_EQ(with.handler, SvmMachine::handler(vector::gp));
    EXPECT_EQ(with.frame.error, 0x1234u);
    EXPECT_EQ(with.frame.rip, place::guest);
    EXPECT_EQ(with.frame.rflags, rflags::fixed1 | rflags::rf) << "a fault";
    EXPECT_EQ(with.frame_bytes, 48u);
    const Injected without = inject(event_info::make(event_info::Exception, vector::ud));
    EXPECT_EQ(without.handler, SvmMachine::handler(vector::ud));
    EXPECT_EQ(without.frame_bytes, 40u);
}

TEST(EventInjection, IsNotSubjectToIntercepts) {
    const Injected i = inject(event_info::make(event_info::Exception, vector::ud), [](SvmMachine& t) {
        t.vmcb.intercept_exceptions = ~0u;
        t.intercept(Intercept::SoftwareInterrupt);
    });
    EXPECT_EQ(i.handler, SvmMachine::handler(vector::ud));
}

TEST(EventInjection, SoftwareInterruptsReturnToTheNextRip) {
    const Injected i = inject(event_info::make(event_info::Software, 0x80), [](SvmMachine& t) {
        t.vmcb.next_rip = place::guest + 2;
        t.intercept(Intercept::SoftwareInterrupt);
    });
    EXPECT_EQ(i.handler, SvmMachine::handler(0x80));
    EXPECT_EQ(i.frame.rip, place::guest + 2);
}

// "Injecting an exception (TYPE = 3) with vectors 3 or 4 behaves like a trap raised by INT3 and INTO instructions"
TEST(EventInjection, Vector3IsATrapThatChecksTheGatesPrivilege) {
    const Injected i = inject(event_info::make(event_info::Exception, vector::bp),
                              [](SvmMachine& t) { t.vmcb.next_rip = place::guest + 1; });
    EXPECT_EQ(i.handler, SvmMachine::handler(vector::bp));
    EXPECT_EQ(i.frame.rip, place::guest + 1);
    for (const std::uint8_t number : {vector::bp, vector::ud}) {
        SvmMachine t;
        t.guest_at_cpl3();  // the gates have DPL 0
        t.intercept_exception(vector::gp);
        t.vmcb.event_injection = event_info::make(event_info::Exception, number);
        const bool refused = number == vector::bp;
        EXPECT_EQ(t.run({0x90}), refused ? exception(vector::gp) : code_of(Intercept::Hlt));
        EXPECT_EQ(t.vmcb.exit_info_1, refused ? gate_error(vector::bp, false) : 0);
    }
}

TEST(EventInjection, SecondaryFaultsAreInterceptedWithTheEventTold) {
    SvmMachine t;
    absent_gate(t, 0x41);
    t.intercept_exception(vector::np);
    t.vmcb.event_injection = event_info::make(event_info::External, 0x41);
    EXPECT_EQ(t.run({0x90}), exception(vector::np));
    EXPECT_EQ(t.vmcb.exit_info_1, gate_error(0x41, true));
    EXPECT_EQ(t.vmcb.exit_int_info, event_info::make(event_info::External, 0x41));
    EXPECT_EQ(t.vmcb.event_injection & event_info::valid, 0u);
    EXPECT_EQ(t.vmcb.rip, place::guest);
}

TEST(EventInjection, AnExitRightAfterwardsLeadsBackToTheCodeBehindVmrun) {
    SvmMachine t;
    absent_gate(t, 0x41);
    t.intercept_exception(vector::np);
    t.vmcb.event_injection = event_info::make(event_info::External, 0x41);
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, place::code + 4);
    EXPECT_EQ(t.vmcb.exit_code, exception(vector::np));
}

// Whatever EXITINTINFO told can be injected again as it is.
TEST(EventInjection, WhatAnExitInterruptedCanGoOn) {
    SvmMachine t;
    absent_gate(t, 0x80);
    t.intercept_exception(vector::np);
    EXPECT_EQ(t.run({0xCD, 0x80}), exception(vector::np));
    t.write(place::idt + 16 * 0x80, t.read(place::idt + 16 * 0x80) | 1ull << 47);
    t.vmcb.event_injection = t.vmcb.exit_int_info;
    t.vmcb.next_rip = t.vmcb.rip + 2;
    EXPECT_EQ(t.run(), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(0x80));
}

// ---- Tasks. "Task Switch Intercept" --------------------------------------------------------------------------------

constexpr std::uint64_t by_iret = 1ull << 36, by_jump = 1ull << 38, has_error = 1ull << 44, saved_rf = 1ull << 48;

LegacySvmMachine task_machine() {
    LegacySvmMachine t;
    t.vmcb.intercept_3 |= 1u << 29;
    t.vmcb.intercept_exceptions = 1u << vector::np | 1u << vector::gp | 1u << vector::ts;
    return t;
}

TEST(TaskSwitchIntercept, ReportsTheTaskAndHowItCameAbout) {
    LegacySvmMachine t = task_machine();
    EXPECT_EQ(t.run({0xEA, 0, 0, 0, 0, selector::task, 0}), code_of(Intercept::TaskSwitch)) << "JMP";
    EXPECT_EQ(t.vmcb.exit_info_1 & 0xFFFF, selector::task);
    EXPECT_EQ(t.vmcb.exit_info_2 >> 32 << 32, by_jump);
    EXPECT_EQ(t.vmcb.rip, place::guest);
    EXPECT_EQ(t.vmcb.next_rip, 0u);

    LegacySvmMachine u = task_machine();
    EXPECT_EQ(u.run({0x9A, 0, 0, 0, 0, selector::task_gate0, 0}), code_of(Intercept::TaskSwitch)) << "CALL";
    EXPECT_EQ(u.vmcb.exit_info_1 & 0xFFFF, selector::task) << "of the TSS, not of the gate";
    EXPECT_EQ(u.vmcb.exit_info_2 >> 32, 0u);

    LegacySvmMachine v = task_machine();
    v.vmcb.rflags |= rflags::nt;
    v.write16(place::tss, selector::busy_task);
    EXPECT_EQ(v.run({0xCF}), code_of(Intercept::TaskSwitch)) << "IRET";
    EXPECT_EQ(v.vmcb.exit_info_1 & 0xFFFF, selector::busy_task);
    EXPECT_EQ(v.vmcb.exit_info_2 >> 32 << 32, by_iret);
}

TEST(TaskSwitchIntercept, AnExceptionsTellsItsErrorCodeAndTheEvent) {
    LegacySvmMachine t = task_machine();
    t.vmcb.intercept_exceptions = 0;
    t.gate(vector::gp, selector::task, LegacyMachine::task_gate, 0);
    t.vmcb.rax = 0x5678;
    EXPECT_EQ(t.run({0x8E, 0xD8}), code_of(Intercept::TaskSwitch)) << "MOV DS, AX";
    EXPECT_EQ(t.vmcb.exit_info_2, has_error | saved_rf | 0x5678);
    EXPECT_EQ(t.vmcb.exit_int_info, event_info::make(event_info::Exception, vector::gp, 0x5678));
}

TEST(TaskSwitchIntercept, ComesAfterTheChecksOfTheTss) {
    LegacySvmMachine t = task_machine();
    EXPECT_EQ(t.run({0xEA, 0, 0, 0, 0, selector::absent_task, 0}), exception(vector::np));
    LegacySvmMachine u = task_machine();
    EXPECT_EQ(u.run({0xEA, 0, 0, 0, 0, selector::busy_task, 0}), exception(vector::gp));
    LegacySvmMachine v = task_machine();
    EXPECT_EQ(v.run({0xEA, 0, 0, 0, 0, selector::short_task, 0}), exception(vector::ts));
}

}  // namespace
}  // namespace faultline::engine
