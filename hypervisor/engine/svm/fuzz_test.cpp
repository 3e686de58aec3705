// Whatever stands in a VMCB and in what it points to, a run ends in one of the ways a machine can end. What the memory
// holds, only the sanitizers can say.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "hypervisor/engine/svm/exits.hpp"
#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

class VmcbFuzzer {
public:
    explicit VmcbFuzzer(unsigned seed) : random_(seed) {}

    void run() {
        SvmMachine t;
        t.m.cpu.r[rcx] = number();
        t.m.cpu.r[rdx] = number();
        t.m.cpu.r[rsi] = number();
        t.m.cpu.r[rdi] = number();
        t.m.svm.host_save_area = one_in(8) ? number() & 0xFFFF'FFFF'F000 : std::uint64_t{place::host_save};
        scribble(t.vmcb);
        const std::vector<std::uint8_t> bytes = program();
        t.m.write_physical(place::guest, bytes.data(), bytes.size());
        if (one_in(4)) t.m.inject_nmi();
        if (one_in(4)) t.m.inject_interrupt(static_cast<std::uint8_t>(random_()));
        const bool by_code = one_in(2);
        if (by_code)
            t.run_as_code(50);
        else
            t.run(50);
        for (int again = 0; again < 3 && t.last_exit != Exit::Shutdown && t.last_exit != Exit::Unimplemented; ++again) {
            t.m.drop(Machine::halted);
            if (t.m.svm.in_guest)
                t.resume(20);
            else if (by_code)
                t.run_as_code(50);
            else
                t.run(50);
        }
        if (t.last_exit == Exit::VmExit) {
            ASSERT_EQ(why_never(t.vmcb.exit_code), "") << t.vmcb.exit_code;
        }
        const Cpu& cpu = t.m.cpu;
        ASSERT_LE(cpu.cpl, 3);
        ASSERT_EQ(cpu.rflags & rflags::fixed1, rflags::fixed1);
        ASSERT_TRUE(t.m.svm.in_guest || !t.m.svm.intercepts.any());
    }

private:
    bool one_in(unsigned n) { return random_() % n == 0; }

    /// Numbers at edges, in memory, or anywhere.
    std::uint64_t number() {
        switch (random_() % 5) {
            case 0: return random_() << 32 | random_();
            case 1: return ~0ull << random_() % 64;
            case 2: return 1ull << random_() % 64;
            case 3: return random_() % Memory::size & ~0xFFFull;
            default: return Memory::size - 0x2000 + random_() % 0x4000;
        }
    }

    /// Instructions that may be intercepted, and any bytes.
    std::vector<std::uint8_t> program() {
        static const std::vector<std::uint8_t> some[] = {{0x0F, 0x20, 0xC0},
                                                         {0x0F, 0x22, 0xC0},
                                                         {0x0F, 0x22, 0xD8},
                                                         {0x0F, 0x21, 0xF8},
                                                         {0x0F, 0x23, 0xF0},
                                                         {0x0F, 0x30},
                                                         {0x0F, 0x32},
                                                         {0x0F, 0xA2},
                                                         {0x0F, 0x01, 0xD8},
                                                         {0x0F, 0x01, 0xDA},
                                                         {0x0F, 0x01, 0xDB},
                                                         {0x0F, 0x01, 0xDC},
                                                         {0x0F, 0x01, 0xDD},
                                                         {0x0F, 0x01, 0x0B},
                                                         {0x0F, 0x01, 0x1B},
                                                         {0x0F, 0x00, 0xD8},
                                                         {0xCC},
                                                         {0xCD, 0x80},
                                                         {0x48, 0xCF},
                                                         {0xF1},
                                                         {0xF3, 0x6C},
                                                         {0x6E},
                                                         {0xEC},
                                                         {0xEF},
                                                         {0x9C},
                                                         {0x9D},
                                                         {0xFB},
                                                         {0x8E, 0xD0},
                                                         {0xF3, 0x90},
                                                         {0x88, 0x06},
                                                         {0x0F, 0x0B}};
        std::vector<std::uint8_t> bytes;
        while (bytes.size() < 64) {
            if (one_in(8)) bytes.push_back(static_cast<std::uint8_t>(random_()));
            const auto& next = some[random_() % std::size(some)];
            bytes.insert(bytes.end(), next.begin(), next.end());
        }
        return bytes;
    }

    /// Mostly a VMCB that is entered: a few fields anything, or some bits flipped, or all bytes random.
    void scribble(Vmcb& vmcb) {
        auto* const bytes = reinterpret_cast<std::uint8_t*>(&vmcb);
        if (one_in(16)) {
            for (std::size_t n = 0; n < sizeof vmcb; ++n) bytes[n] = static_cast<std::uint8_t>(random_());
            return;
        }
        for (std::uint64_t flips = random_() % 6; flips-- > 0;)
            bytes[random_() % 0x6A0] ^= static_cast<std::uint8_t>(1u << random_() % 8);
        std::uint64_t* const fields[] = {&vmcb.iopm_base, &vmcb.msrpm_base, &vmcb.cr3,       &vmcb.rip,
                                         &vmcb.rsp,       &vmcb.nested_cr3, &vmcb.gdtr.base, &vmcb.idtr.base,
                                         &vmcb.next_rip,  &vmcb.ss.base,    &vmcb.rflags,    &vmcb.virtual_interrupts};
        for (std::uint64_t changes = random_() % 3; changes-- > 0;) *fields[random_() % std::size(fields)] = number();
        if (one_in(3)) vmcb.event_injection = event_info::valid | random_() % 0x1000 | random_() % 0x10000 << 32;
        if (one_in(3)) {
            vmcb.nested_control = 1;
            if (!one_in(8)) vmcb.g_pat = 0x0007'0406'0007'0406;
            if (!one_in(3)) vmcb.nested_cr3 = place::pml4;  // tables that let the guest run
        }
        if (one_in(2)) vmcb.intercept_exceptions = static_cast<std::uint32_t>(random_());
        if (one_in(2)) vmcb.intercept_3 = static_cast<std::uint32_t>(random_());
        if (one_in(2)) vmcb.intercept_4 = static_cast<std::uint32_t>(random_()) | 1;
        if (one_in(4)) vmcb.intercept_cr = vmcb.intercept_dr = static_cast<std::uint32_t>(random_());
        if (one_in(4)) {
            vmcb.cr0 = cr0::et | (one_in(2) ? cr0::pe : 0) | (one_in(2) ? cr0::pg : 0);
            vmcb.efer = efer::svme;
            if (one_in(2)) vmcb.cr4 = 0;
        }
    }

    std::mt19937_64 random_;
};

TEST(SvmFuzz, AnyVmcbLeadsToAnArchitecturalEnd) {
    for (unsigned seed = 0; seed < 3000; ++seed) {
        SCOPED_TRACE(seed);
        VmcbFuzzer(seed).run();
        if (HasFatalFailure()) return;
    }
}

// ---- Each by name: what it ends in -------------------------------------------------------------------------------

TEST(SvmHostile, AVmcbThatIsNotThereIsInvalidAndSaysSoToNobody) {
    for (const std::uint64_t address :
         std::array<std::uint64_t, 3>{Memory::size, 0x7FFF'FFFF'F000, (1ull << 48) - 0x1000}) {
        SvmMachine t;
        t.m.enter_guest(address);
        EXPECT_EQ(t.m.run(100), Exit::VmExit);
        EXPECT_FALSE(t.m.svm.in_guest);
    }
}

TEST(SvmHostile, AVmcbThatEndsBeyondMemoryIsReadAsFarAsItGoes) {
    SvmMachine t;
    constexpr std::uint64_t control_area = 0x400;
    t.m.write_physical(Memory::size - control_area, &t.vmcb, control_area);
    t.m.enter_guest(Memory::size - control_area);
    EXPECT_EQ(t.m.run(100), Exit::VmExit) << "the guest's state is all ones";
}

TEST(SvmHostile, APermissionsMapThatIsNotThereAsksForEveryExit) {
    SvmMachine t;
    t.intercept(Intercept::Io);
    t.intercept(Intercept::Msr);
    t.vmcb.iopm_base = 0x7F'FFFF'0000;
    t.vmcb.msrpm_base = 0x7F'FFFF'8000;
    EXPECT_EQ(t.run({0xE4, 0x10, 0xF4}), code_of(Intercept::Io));
    t.vmcb.rip = place::guest;
    t.m.cpu.r[rcx] = 0x1D9;
    EXPECT_EQ(t.run({0x0F, 0x32, 0xF4}), code_of(Intercept::Msr));
}

TEST(SvmHostile, PermissionsMapsAtTheEndOfMemoryAreReadWithinIt) {
    SvmMachine t;
    t.intercept(Intercept::Io);
    t.vmcb.iopm_base = Memory::size - 0x1000;  // ports from 8000h on lie beyond
    t.m.cpu.r[rdx] = 0x7FFF;
    EXPECT_EQ(t.run({0xED, 0xF4}), code_of(Intercept::Io)) << "four ports, three of them beyond";
    t.vmcb.rip = place::guest;
    EXPECT_EQ(t.run({0xEC, 0xF4}), code_of(Intercept::Hlt));
}

TEST(SvmHostile, AGuestThatNeverExitsEndsAtTheStepLimitAndMayGoOn) {
    SvmMachine t;
    t.run({0xEB, 0xFE});
    EXPECT_EQ(t.last_exit, Exit::StepLimit);
    EXPECT_TRUE(t.m.svm.in_guest);
    t.resume(10);
    EXPECT_EQ(t.last_exit, Exit::StepLimit);

    SvmMachine by_code;
    by_code.guest_code({0xEB, 0xFE});
    EXPECT_EQ(by_code.run_as_code(1000), Exit::StepLimit);
    EXPECT_TRUE(by_code.m.svm.in_guest);
}

TEST(SvmHostile, AGuestWhoseEveryExceptionFaultsExitsOrShutsDown) {
    SvmMachine t;
    t.vmcb.idtr.limit = 0;
    t.run({0x0F, 0x0B});
    EXPECT_EQ(t.last_exit, Exit::Shutdown);
    SvmMachine asked;
    asked.vmcb.idtr.limit = 0;
    asked.intercept(Intercept::Shutdown);
    EXPECT_EQ(asked.run({0x0F, 0x0B}), code_of(Intercept::Shutdown));
}

TEST(SvmHostile, AGuestMayOverwriteItsOwnVmcb) {
    SvmMachine t;
    t.m.cpu.r[rdi] = place::vmcb;
    t.m.cpu.r[rcx] = 0x1000;
    t.vmcb.rax = 0xFF;
    t.guest_code({0xF3, 0xAA, 0xF4});
    EXPECT_EQ(t.run(10'000), code_of(Intercept::Hlt)) << "REP STOSB: the processor has its own copy";
    EXPECT_EQ(t.vmcb.rip, place::guest + 2) << "and writes what #VMEXIT writes";
    EXPECT_EQ(t.vmcb.intercept_cr, 0xFFFF'FFFF) << "and nothing else";
}

}  // namespace
}  // namespace faultline::engine
