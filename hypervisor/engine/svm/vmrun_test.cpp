// VMRUN and #VMEXIT: what is checked, loaded, saved and reloaded. AMD APM vol 2 (24593, ~2024), "VMRUN Instruction",
// "#VMEXIT"; section titles stand at the tests.
#include <gtest/gtest.h>

#include <functional>

#include "hypervisor/engine/cpuid.hpp"
#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

using Change = std::function<void(Vmcb&)>;

/// The exit code after this change of a VMCB that is legal without it.
std::uint64_t code_after(const Change& change) {
    SvmMachine t;
    change(t.vmcb);
    return t.run({0xF4});
}
bool is_refused(const Change& change) { return code_after(change) == exit_code::invalid; }

// ---- "Canonicalization and Consistency Checks" --------------------------------------------------------------------

TEST(VmrunChecks, AVmcbWithoutFaultsIsEntered) {
    EXPECT_EQ(code_after([](Vmcb&) {}), code_of(Intercept::Hlt));
}

TEST(VmrunChecks, SvmeMustBeSet) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.efer &= ~efer::svme; }));
}

TEST(VmrunChecks, NotWriteThroughNeedsCacheDisable) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr0 |= cr0::nw; }));
    EXPECT_FALSE(is_refused([](Vmcb& v) { v.cr0 |= cr0::nw | cr0::cd; }));
    EXPECT_FALSE(is_refused([](Vmcb& v) { v.cr0 |= cr0::cd; }));
}

TEST(VmrunChecks, UpperHalvesOfCr0Dr6Dr7MustBeZero) {
    for (unsigned bit = 32; bit < 64; ++bit) {
        EXPECT_TRUE(is_refused([&](Vmcb& v) { v.cr0 |= 1ull << bit; })) << bit;
        EXPECT_TRUE(is_refused([&](Vmcb& v) { v.dr6 |= 1ull << bit; })) << bit;
        EXPECT_TRUE(is_refused([&](Vmcb& v) { v.dr7 |= 1ull << bit; })) << bit;
    }
}

TEST(VmrunChecks, LowerHalvesOfDr6AndDr7AreTakenWithTheirFixedBits) {
    SvmMachine t;
    t.vmcb.dr6 = 0x0000'1000;
    t.vmcb.dr7 = 0x0000'D800;
    EXPECT_EQ(t.run({0xF4}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.dr6, guest::dr::dr6_reset);
    EXPECT_EQ(t.vmcb.dr7, guest::dr::dr7_reset);
}

TEST(VmrunChecks, ReservedBitsOfCr3Cr4EferMustBeZero) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr3 |= 1ull << physical_address_bits; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr3 |= 1ull << 63; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr4 |= 1ull << 32; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr4 |= 1ull << 15; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.efer |= 1ull << 63; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.efer |= 1 << 9; }));
}

TEST(VmrunChecks, LongModeWithPagingNeedsPaeAndProtection) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr4 &= ~cr4::pae; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cr0 &= ~cr0::pe; }));
    EXPECT_FALSE(is_refused([](Vmcb& v) { v.cr4 &= ~cr4::pae, v.efer &= ~(efer::lme | efer::lma); }));
}

TEST(VmrunChecks, ACodeSegmentIsNotBothLongAndBigInLongMode) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.cs.attributes |= attribute::big; }));
    EXPECT_FALSE(is_refused([](Vmcb& v) {
        v.cs.attributes |= attribute::big;
        v.efer &= ~(efer::lme | efer::lma);
        v.cr0 &= ~cr0::pg;
    }));
}

TEST(VmrunChecks, VmrunMustBeIntercepted) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.intercept_4 &= ~1u; }));
}

TEST(VmrunChecks, TheHostsAddressSpaceIdIsNoGuests) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.asid = 0; }));
}

// "I/O Permissions Map", "MSR Intercepts": "if the address of the last byte … is greater than or equal to the maximum
// supported physical address"; "ignores the lower 12 bits".
TEST(VmrunChecks, PermissionMapsEndWithinPhysicalAddressSpace) {
    constexpr std::uint64_t limit = 1ull << physical_address_bits;
    EXPECT_FALSE(is_refused([](Vmcb& v) { v.iopm_base = limit - 0x3000 + 0xFFF; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.iopm_base = limit - 0x2000; }));
    EXPECT_FALSE(is_refused([](Vmcb& v) { v.msrpm_base = limit - 0x2000 + 0xFFF; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.msrpm_base = limit - 0x1000; }));
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.msrpm_base = ~0ull; }));
}

// "Basic Operation": "setting any reserved bits in the PDPEs also causes a #VMEXIT".
TEST(VmrunChecks, PagingStructuresPointersOfPaeHaveNoReservedBits) {
    for (const std::uint64_t reserved : {0ull, 1ull << 1, 1ull << 63}) {
        SvmMachine t;
        t.vmcb.efer &= ~(efer::lme | efer::lma);
        t.vmcb.cs.attributes = 0xC9B;
        t.write(0x50000, place::pd | 1 | reserved);
        t.vmcb.cr3 = 0x50000;
        EXPECT_EQ(t.run({0xF4}), reserved ? exit_code::invalid : code_of(Intercept::Hlt)) << reserved;
    }
}

// "Event Injection"
TEST(VmrunChecks, EventsOfReservedTypesAreRefused) {
    for (const unsigned type : {1u, 5u, 6u, 7u})
        EXPECT_TRUE(is_refused([&](Vmcb& v) { v.event_injection = event_info::valid | type << 8 | 0x30; })) << type;
}

TEST(VmrunChecks, ExceptionsHaveVectorsOfExceptions) {
    EXPECT_TRUE(is_refused([](Vmcb& v) { v.event_injection = event_info::make(event_info::Exception, 2); }));
    for (const unsigned number : {32u, 0x80u, 0xFFu})
        EXPECT_TRUE(is_refused([&](Vmcb& v) {
            v.event_injection = event_info::make(event_info::Exception, static_cast<std::uint8_t>(number));
        })) << number;
}

TEST(VmrunChecks, BoundAndIntoAreImpossibleIn64BitMode) {
    for (const std::uint8_t number : {vector::of, vector::br})
        EXPECT_TRUE(is_refused([&](Vmcb& v) { v.event_injection = event_info::make(event_info::Exception, number); }));
}

TEST(VmrunChecks, WithoutValidEventInjectionIsIgnored) {
    EXPECT_FALSE(is_refused([](Vmcb& v) { v.event_injection = 7u << 8; }));
}

TEST(VmrunChecks, AnInvalidVmcbLeavesItsStateAlone) {
    SvmMachine t;
    t.vmcb.asid = 0;
    t.vmcb.rip = 0x1234;
    t.vmcb.cr2 = 0x5678;
    EXPECT_EQ(t.run(), exit_code::invalid);
    EXPECT_EQ(t.vmcb.rip, 0x1234u);
    EXPECT_EQ(t.vmcb.cr2, 0x5678u);
    EXPECT_EQ(t.vmcb.exit_int_info, 0u);
}

// ---- Loading ------------------------------------------------------------------------------------------------------

TEST(Vmrun, LoadsTheListedState) {
    SvmMachine t;
    t.vmcb.rax = 0x1111;
    t.vmcb.cr2 = 0x2222;
    t.vmcb.dr6 = guest::dr::dr6_reset | 1;
    t.vmcb.dr7 = 0x401;
    t.vmcb.rflags = rflags::fixed1 | rflags::cf;
    t.m.debug.address[0] = 0x3333;
    t.m.cpu.r[rbx] = 0x4444;
    t.run({0x90, 0xF4});
    EXPECT_EQ(t.vmcb.rip, place::guest + 1);
    EXPECT_EQ(t.vmcb.rax, 0x1111u);
    EXPECT_EQ(t.vmcb.cr2, 0x2222u);
    EXPECT_EQ(t.vmcb.dr6, guest::dr::dr6_reset | 1);
    EXPECT_EQ(t.vmcb.dr7, 0x401u);
    EXPECT_EQ(t.vmcb.rflags, rflags::fixed1 | rflags::cf);
    EXPECT_EQ(t.vmcb.rsp, place::guest_stack);
    EXPECT_EQ(t.m.debug.address[0], 0x3333u) << "DR0 to DR3 are not switched";
    EXPECT_EQ(t.m.cpu.r[rbx], 0x4444u) << "nor are other general purpose registers";
}

// "The processor reads the current privilege level from the CPL field in the VMCB"; "forces … 0" in real mode.
TEST(Vmrun, ThePrivilegeLevelIsTheVmcbs) {
    SvmMachine t;
    t.guest_at_cpl3();
    t.intercept_exception(vector::gp);
    EXPECT_EQ(t.run({0xF4}), exception(vector::gp));
    EXPECT_EQ(t.vmcb.cpl, 3);
}

TEST(Vmrun, RealModeIsAtCpl0) {
    SvmMachine t;
    t.vmcb.efer = efer::svme;
    t.vmcb.cr0 = cr0::et;
    t.vmcb.cs = {place::guest >> 4, 0x9B, 0xFFFF, place::guest};
    t.vmcb.rip = 0;
    t.vmcb.cpl = 3;
    EXPECT_EQ(t.run({0xF4}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.cpl, 0);
}

// "Paged Real Mode"
TEST(Vmrun, RealModeMayBePaged) {
    SvmMachine t;
    t.vmcb.efer = efer::svme;
    t.vmcb.cr0 = cr0::et | cr0::pg;
    t.vmcb.cr4 = 0;
    t.vmcb.cs = {0, 0x9B, 0xFFFF, 0};
    t.vmcb.rip = 0x123;
    const std::uint32_t directory = 0x50000, table = 0x51000;
    t.write(directory, table | 7);
    t.write(table, place::guest | 7);
    t.vmcb.cr3 = directory;
    t.code({0xF4}, place::guest + 0x123);
    EXPECT_EQ(t.run(), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, 0x123u);
}

// "a #GP fault is delivered inside the guest; the rIP … is not considered illegal guest state"
TEST(Vmrun, AWrongRipIsTheGuestsFault) {
    SvmMachine t;
    t.vmcb.rip = 1ull << 60;
    t.run();
    EXPECT_EQ(t.vmcb.exit_code, code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(vector::gp));
}

TEST(Vmrun, BasesAreCanonicalised) {
    SvmMachine t;
    t.vmcb.ds.base = 0x0000'8000'0000'0000;
    t.vmcb.gdtr.base |= 0xFFFFull << 48;
    EXPECT_EQ(t.run({0xF4}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.ds.base, 0xFFFF'8000'0000'0000);
    EXPECT_EQ(t.vmcb.gdtr.base, place::gdt);
}

// "VMRUN and TF/RF Bits in EFLAGS"
TEST(Vmrun, GuestTfTrapsAfterTheFirstInstruction) {
    SvmMachine t;
    t.vmcb.rflags |= rflags::tf;
    t.intercept_exception(vector::db);
    EXPECT_EQ(t.run({0x90, 0x90}), exception(vector::db));
    EXPECT_EQ(t.vmcb.rip, place::guest + 1);
    EXPECT_EQ(t.vmcb.dr6, guest::dr::dr6_reset | guest::dr::dr6_bs);
}

TEST(Vmrun, GuestRfHidesABreakpointOnTheFirstInstructionOnly) {
    SvmMachine t;
    t.m.debug.address[0] = place::guest;
    t.vmcb.dr7 = 0x402;
    t.intercept_exception(vector::db);
    t.vmcb.rflags |= rflags::rf;
    EXPECT_EQ(t.run({0x90, 0xEB, 0xFD}), exception(vector::db)) << "the second time round";
    EXPECT_EQ(t.m.steps_taken(), 3u);
    t.vmcb.rflags &= ~rflags::rf;
    EXPECT_EQ(t.run(), exception(vector::db));
    EXPECT_EQ(t.m.steps_taken(), 1u);
    EXPECT_EQ(t.vmcb.rip, place::guest);
    EXPECT_EQ(t.vmcb.dr6, guest::dr::dr6_reset | 1);
}

TEST(Vmrun, HostTfTrapsBehindTheVmrun) {
    SvmMachine t;
    t.m.set_rflags(rflags::fixed1 | rflags::tf);
    t.guest_code({0x90, 0x90, 0xF4});
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, SvmMachine::handler(vector::db) + 1);
    EXPECT_EQ(t.frame().rip, place::code + 3);
    EXPECT_EQ(t.m.debug.dr6 & guest::dr::dr6_bs, guest::dr::dr6_bs);
    EXPECT_EQ(t.vmcb.rflags, rflags::fixed1) << "no TF in the guest";
    EXPECT_EQ(t.vmcb.rip, place::guest + 2);
}

TEST(Vmrun, HostRfHidesABreakpointOnTheVmrunAndIsCleared) {
    SvmMachine t;
    t.m.debug.address[0] = place::code;
    t.arm(0x402);
    t.guest_code({0xF4});
    t.m.set_rflags(rflags::fixed1 | rflags::rf);
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, place::code + 4);
    EXPECT_EQ(t.vmcb.exit_code, code_of(Intercept::Hlt));
    EXPECT_FALSE(t.m.cpu.rflags & rflags::rf);
}

TEST(Vmrun, ABreakpointOnTheVmrunComesFirst) {
    SvmMachine t;
    t.m.debug.address[0] = place::code;
    t.arm(0x402);
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.frame().rip, place::code);
    EXPECT_EQ(t.vmcb.exit_code, 0u);
}

// "Interrupt Shadows"
TEST(Vmrun, TheInterruptShadowIsLoadedAndSaved) {
    const auto saved = [](std::uint64_t loaded, std::initializer_list<int> bytes) {
        SvmMachine t;
        t.intercept(Intercept::Cpuid);
        t.vmcb.interrupt_shadow = loaded;
        EXPECT_EQ(t.run(bytes), code_of(Intercept::Cpuid));
        return t.vmcb.interrupt_shadow;
    };
    EXPECT_EQ(saved(1, {0x0F, 0xA2}), 1u) << "the CPUID has not been executed";
    EXPECT_EQ(saved(1, {0x90, 0x0F, 0xA2}), 0u);
    EXPECT_EQ(saved(0, {0xFB, 0x0F, 0xA2}), 1u) << "STI";
    EXPECT_EQ(saved(0, {0x8E, 0xD0, 0x0F, 0xA2}), 1u) << "MOV SS";
    EXPECT_EQ(saved(0, {0x0F, 0xA2}), 0u);
}

// "Control Bits"
TEST(Vmrun, TscOffsetAddsToTheGuestsTimeOnly) {
    SvmMachine t;
    t.vmcb.tsc_offset = 1ull << 40;
    t.m.cpu.r[rdx] = 0;
    EXPECT_EQ(t.run({0x0F, 0x31, 0xF4}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.m.cpu.r[rdx], 1u << 8);
    EXPECT_LT(t.m.time_stamp(), 1000u);
}

// "Virtualizing APIC.TPR"
TEST(Vmrun, Cr8IsVirtualWithVirtualMasking) {
    for (const bool masking : {false, true}) {
        SvmMachine t;
        t.m.cpu.cr8 = 3;
        t.vmcb.virtual_interrupts = 5 | (masking ? vintr::masking : 0);
        t.vmcb.rax = 9;
        // MOV RBX, CR8; MOV CR8, RAX; HLT
        EXPECT_EQ(t.run({0x44, 0x0F, 0x20, 0xC3, 0x44, 0x0F, 0x22, 0xC0, 0xF4}), code_of(Intercept::Hlt));
        EXPECT_EQ(t.m.cpu.r[rbx], masking ? 5u : 3u);
        EXPECT_EQ(t.m.cpu.cr8, masking ? 3u : 9u);
        EXPECT_EQ(t.vmcb.virtual_interrupts & 0xFF, 9u);
    }
}

// ---- #VMEXIT ------------------------------------------------------------------------------------------------------

TEST(Vmexit, TheCodeBehindVmrunGoesOn) {
    SvmMachine t;
    t.vmcb.rax = 0x77;
    t.guest_code({0xB8, 0x55, 0, 0, 0, 0xF4});
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, place::code + 4);
    EXPECT_EQ(t.m.cpu.r[rax], place::vmcb);
    EXPECT_EQ(t.m.cpu.r[rsp], place::stack);
    EXPECT_EQ(t.vmcb.rax, 0x55u);
    EXPECT_EQ(t.vmcb.rip, place::guest + 5);
}

TEST(Vmexit, HostStateIsReloaded) {
    SvmMachine t;
    t.m.set_rflags(rflags::fixed1 | rflags::of);
    const Cpu host = t.m.cpu;
    t.vmcb.efer = efer::svme;
    t.vmcb.cr0 = cr0::pe | cr0::et;
    t.vmcb.cr4 = 0;
    t.vmcb.cr3 = 0;
    t.vmcb.cs.attributes = 0xC9B;
    t.guest_at_cpl3();
    t.vmcb.cs.attributes = 0xCFB;
    t.vmcb.gdtr = {0, 0, 1, 2};
    t.vmcb.idtr = {0, 0, 3, 4};
    t.vmcb.ds = t.vmcb.es = {0x33, 0xF3, 0xFFFF, 0x10};
    t.intercept_exception(vector::gp);
    EXPECT_EQ(t.run({0xF4}), exception(vector::gp));
    const Cpu& now = t.m.cpu;
    EXPECT_EQ(now.cr0, host.cr0);
    EXPECT_EQ(now.cr3, host.cr3);
    EXPECT_EQ(now.cr4, host.cr4);
    EXPECT_EQ(now.efer, host.efer);
    EXPECT_EQ(now.rflags, host.rflags);
    EXPECT_EQ(now.rip, host.rip);
    EXPECT_EQ(now.r[rsp], host.r[rsp]);
    EXPECT_EQ(now.gdt_base, host.gdt_base);
    EXPECT_EQ(now.gdt_limit, host.gdt_limit);
    EXPECT_EQ(now.idt_base, host.idt_base);
    EXPECT_EQ(now.idt_limit, host.idt_limit);
    EXPECT_EQ(now.cpl, 0);
    for (const SegmentSlot slot : {es, cs, ss, ds}) EXPECT_EQ(now.segment[slot].selector, host.segment[slot].selector);
    EXPECT_TRUE(t.m.long64());
}

// "Disables all breakpoints in the host DR7 register"; "Clears all intercepts"; "clearing the GIF".
TEST(Vmexit, DisablesBreakpointsInterceptsAndInterrupts) {
    SvmMachine t;
    t.arm(0x4FF);
    t.run({0xF4});
    EXPECT_EQ(t.m.debug.dr7() & guest::dr::dr7_enables, 0u);
    EXPECT_FALSE(t.m.svm.intercepts.any());
    EXPECT_FALSE(t.m.svm.gif);
}

TEST(Vmexit, NothingOfTheGuestsIsPendingInTheHost) {
    SvmMachine t;
    t.m.debug.address[0] = place::data;
    t.vmcb.dr7 = 0x402 | 3 << 16;
    t.m.cpu.r[rcx] = place::kernel_ss;
    t.write(place::data, place::kernel_ss);
    t.m.cpu.r[rbx] = place::data;
    t.intercept(Intercept::Cpuid);
    // MOV SS, [RBX] holds its breakpoint back until the CPUID, which is intercepted.
    t.guest_code({0x8E, 0x13, 0x0F, 0xA2});
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.vmcb.exit_code, code_of(Intercept::Cpuid));
    EXPECT_EQ(t.m.cpu.rip, place::code + 4) << "no #DB in the host";
}

TEST(Vmexit, AnExitOnAnInvalidVmcbIsOneLikeAnyOther) {
    SvmMachine t;
    t.vmcb.asid = 0;
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, place::code + 4);
    EXPECT_EQ(t.vmcb.exit_code, exit_code::invalid);
    EXPECT_FALSE(t.m.svm.gif);
    EXPECT_EQ(t.m.cpu.r[rax], place::vmcb);
}

// "State Saved on Exit": RF is cleared when an instruction completes, and an intercepted one has not.
TEST(Vmexit, AnInstructionThatBeganWithRfKeepsIt) {
    SvmMachine t;
    t.intercept(Intercept::Cpuid);
    t.vmcb.rflags |= rflags::rf;
    EXPECT_EQ(t.run({0x0F, 0xA2}), code_of(Intercept::Cpuid));
    EXPECT_TRUE(t.vmcb.rflags & rflags::rf);
    EXPECT_EQ(t.run({0x90, 0x0F, 0xA2}), code_of(Intercept::Cpuid));
    EXPECT_EQ(t.vmcb.rip, place::guest + 1);
    EXPECT_FALSE(t.vmcb.rflags & rflags::rf);
}

TEST(Vmexit, HostRfIsNotTheGuests) {
    SvmMachine t;
    t.m.set_rflags(rflags::fixed1 | rflags::rf);
    t.vmcb.event_injection = event_info::make(event_info::External, 0xFF);
    t.vmcb.idtr.limit = 0;
    t.intercept_exception(vector::gp);
    EXPECT_EQ(t.run_as_code(), Exit::Hlt);
    EXPECT_EQ(t.vmcb.exit_code, exception(vector::gp));
    EXPECT_FALSE(t.vmcb.rflags & rflags::rf);
}

// "Last Branch Record Virtualization"
TEST(Vmexit, LbrVirtualisationSwitchesDebugctlAndTheBranches) {
    for (const bool virtualised : {false, true}) {
        SvmMachine t;
        t.m.debug.debugctl = 0;
        t.m.debug.last_branch_from = 0x1111;
        t.vmcb.virtualisation = virtualised;
        t.vmcb.debugctl = guest::debugctl::lbr;
        EXPECT_EQ(t.run({0xEB, 0x00, 0xF4}), code_of(Intercept::Hlt));
        EXPECT_EQ(t.vmcb.branch_from, virtualised ? place::guest : 0);
        EXPECT_EQ(t.vmcb.branch_to, virtualised ? place::guest + 2 : 0);
        EXPECT_EQ(t.m.debug.last_branch_from, 0x1111u);
        EXPECT_EQ(t.m.debug.debugctl, 0u);
    }
}

TEST(Vmexit, OnlyTheProcessorsFieldsAreWritten) {
    SvmMachine t;
    Vmcb painted;
    std::memset(&painted, 0xA5, sizeof painted);
    t.m.write_physical(place::vmcb, &t.vmcb, sizeof t.vmcb);
    t.m.enter_guest(place::vmcb);
    t.m.write_physical(place::vmcb, &painted, sizeof painted);
    t.guest_code({0xF4});
    t.resume();
    EXPECT_EQ(t.vmcb.exit_code, code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, place::guest);
    EXPECT_EQ(t.vmcb.intercept_cr, painted.intercept_cr);
    EXPECT_EQ(t.vmcb.fs, painted.fs);
    EXPECT_EQ(t.vmcb.asid, painted.asid);
    EXPECT_EQ(t.vmcb.star, painted.star);
}

// ---- GIF. "Global Interrupt Flag, STGI and CLGI Instructions" -------------------------------------------------------

TEST(Gif, WithoutItInterruptsWait) {
    SvmMachine t;
    t.m.set_rflags(rflags::fixed1 | rflags::if_);
    t.m.svm.gif = false;
    t.m.inject_nmi();
    t.m.inject_interrupt(0x40);
    t.code({0x90, 0x0F, 0x01, 0xDC, 0x90});
    t.m.run(2);
    EXPECT_EQ(t.m.cpu.rip, place::code + 4);
    t.step();
    EXPECT_EQ(t.handler_at(t.m.cpu.rip), vector::nmi);
}

TEST(Gif, WithoutItBreakpointsAreDiscardedAndStepsAreNot) {
    SvmMachine t;
    t.m.svm.gif = false;
    t.m.debug.address[0] = place::code;
    t.m.debug.address[1] = place::data;
    t.arm(0x40A | 3 << 20);
    t.m.cpu.r[rbx] = place::data;
    t.code({0x88, 0x03, 0x0F, 0x01, 0xDC, 0x90, 0xF4});  // MOV [RBX], AL; STGI; NOP; HLT
    EXPECT_EQ(t.m.run(10), Exit::Hlt);
    EXPECT_EQ(t.m.cpu.rip, place::code + 7) << "neither the execute nor the data breakpoint";

    t.m.drop(Machine::halted);
    t.m.svm.gif = false;
    t.m.cpu.rip = place::code;
    t.m.set_rflags(rflags::fixed1 | rflags::tf);
    EXPECT_EQ(t.run_to_handler(), vector::db);
    EXPECT_EQ(t.m.debug.dr6, guest::dr::dr6_reset | guest::dr::dr6_bs);
}

}  // namespace
}  // namespace faultline::engine
