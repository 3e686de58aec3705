// Whatever stands in descriptor tables and TSSs, a run ends, in one of the ways a machine can end, and its registers
// are ones a machine can have.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "hypervisor/engine/test_legacy.hpp"

namespace faultline::engine {
namespace {

class Scribbler {
public:
    explicit Scribbler(unsigned seed) : random_(seed) {}

    std::uint64_t pick(std::uint64_t below) { return random_() % below; }
    bool one_in(unsigned n) { return pick(n) == 0; }

    void run() {
        const bool long_mode = one_in(2), real = !long_mode && one_in(4);
        LegacyMachine legacy;
        TestMachine wide;
        TestMachine& t = long_mode ? wide : legacy;
        if (real) legacy.real_mode();
        if (!real && one_in(2)) {
            if (long_mode)
                t.at_cpl3();
            else
                legacy.legacy_cpl3();
        }
        Cpu& cpu = t.m.cpu;
        for (std::uint64_t n = pick(12); n-- > 0;) t.write(place::gdt + 8 * pick(32), descriptor_like());
        for (std::uint64_t n = pick(12); n-- > 0;) t.write(place::idt + 8 * pick(48), gate_like());
        for (std::uint64_t n = pick(12); n-- > 0;) t.write(place::tss + 4 * pick(160), number());
        if (one_in(4)) cpu.gdt_limit = static_cast<std::uint16_t>(pick(0x120));
        if (one_in(4)) cpu.idt_limit = static_cast<std::uint16_t>(pick(0x220));
        if (one_in(4)) cpu.tr.limit = static_cast<std::uint32_t>(pick(0x80));
        if (one_in(8)) cpu.gdt_base = number();
        if (one_in(8)) cpu.idt_base = number();
        if (one_in(8)) cpu.tr.base = number();
        if (one_in(8)) cpu.segment[ss].limit = static_cast<std::uint32_t>(number());
        if (one_in(8)) cpu.segment[ss].attributes ^= static_cast<std::uint16_t>(1u << pick(12));
        if (one_in(8)) cpu.segment[cs].limit = static_cast<std::uint32_t>(number());
        if (one_in(4)) cpu.ldtr = {selector::ldt, place::gdt, 0xFF, 0x82};
        if (one_in(4)) cpu.cr0 |= cr0::am;
        if (one_in(8)) cpu.r[rsp] = number();
        for (unsigned n = 0; n < 8; ++n)
            if (n != rsp) cpu.r[n] = one_in(2) ? pick(0x100) : number();
        cpu.rflags = (pick(1u << 22) & 0x3C'7FD7) | rflags::fixed1;
        for (int n = 0; n < 24; ++n)
            t.write(cpu.segment[ss].base + cpu.r[rsp] % 0x80000 + 4 * static_cast<unsigned>(n), number());
        t.m.registers_changed();
        program(t, long_mode ? place::code : cpu.segment[cs].base + cpu.rip);
        if (one_in(4)) t.m.inject_interrupt(static_cast<std::uint8_t>(pick(48)));
        if (one_in(4)) t.m.inject_nmi();

        for (int runs = 0; runs < 4; ++runs) {
            const Exit exit = t.m.run(40);
            ASSERT_LE(t.m.steps_taken(), 40u);
            ASSERT_LE(cpu.cpl, 3);
            ASSERT_EQ(cpu.rflags & rflags::fixed1, rflags::fixed1);
            ASSERT_EQ(cpu.rflags & ~std::uint64_t{0x3F'7FD7}, 0u);
            if (!t.m.real_mode() && exit != Exit::Unimplemented) {
                // SS may be null only where the mode lets it, and the level is that of the code segment.
                ASSERT_EQ(cpu.segment[cs].selector & 3, cpu.cpl) << static_cast<int>(exit);
            }
            if (t.m.long64() && exit != Exit::Shutdown) {
                ASSERT_TRUE(canonical(cpu.segment[cs].base));
            }
            if (exit == Exit::Shutdown || exit == Exit::Unimplemented) break;
            t.m.drop(Machine::halted);
        }
    }

private:
    /// Numbers that lie at edges, near the tables, or anywhere.
    std::uint64_t number() {
        static constexpr std::array<std::uint64_t, 14> edges = {0,
                                                                1,
                                                                3,
                                                                0x10,
                                                                0x67,
                                                                0xFFFF,
                                                                0x10000,
                                                                0xFFFFF,
                                                                0xFFFFFFFF,
                                                                0x7FFFFFFF,
                                                                place::tss,
                                                                place::task_tss,
                                                                0x7FFF'FFFF'FFFF,
                                                                0x8000'0000'0000};
        switch (pick(4)) {
            case 0: return edges[pick(edges.size())];
            case 1: return pick(0x28) * 8 + pick(8);
            case 2: return place::code + pick(0x2'0000);
            default: return random_();
        }
    }
    std::uint64_t descriptor_like() {
        const std::uint64_t attributes = one_in(4) ? pick(0x1000) : 0x80 | pick(0x80) | pick(16) << 8;
        const std::uint64_t base = one_in(3) ? number() & 0xFFFF'FFFF : one_in(2) ? place::task_tss : 0;
        return descriptor(base, one_in(2) ? 0xFFFFF : pick(0x200), attributes);
    }
    std::uint64_t gate_like() {
        static constexpr std::array<unsigned, 6> types = {0x8E, 0x8F, 0x85, 0xEE, 0x86, 0xE5};
        const unsigned rights = one_in(4) ? static_cast<unsigned>(pick(256)) : types[pick(types.size())];
        const auto to = static_cast<std::uint16_t>(one_in(3) ? number() : pick(32) * 8);
        return legacy_gate(to, one_in(3) ? number() & 0xFFFF'FFFF : place::handlers, rights) | pick(8) << 32;
    }
    /// A few instructions that look at tables.
    void program(TestMachine& t, std::uint64_t at) {
        static constexpr std::array<std::array<int, 7>, 24> ops = {{
            {0xCF},
            {0x48, 0xCF},
            {0x66, 0xCF},
            {0xCB},
            {0xCA, 8, 0},
            {0xCC},
            {0xCD, 0x20},
            {0xCD, 8},
            {0xCE},
            {0xF1},
            {0x0F, 0x0B},
            {0xEA, 0, 0, 2, 0, 0x30, 0},
            {0x9A, 0, 0, 2, 0, 0x30, 0},
            {0xEA, 0, 0, 2, 0, 0x40, 0},
            {0x9A, 0, 0, 2, 0, 8, 0},
            {0xFF, 0x28},
            {0xFF, 0x18},
            {0x8E, 0xD0},
            {0x8E, 0xD9},
            {0x17},
            {0x0F, 0x00, 0xD8},
            {0x0F, 0x00, 0xD0},
            {0x0F, 0xB2, 0x00},
            {0x0F, 0x05},
        }};
        for (int n = 0; n < 6; ++n) {
            const auto& op = ops[pick(ops.size())];
            std::array<std::uint8_t, 7> bytes;
            for (std::size_t b = 0; b < bytes.size(); ++b)
                bytes[b] = static_cast<std::uint8_t>(op[b] ? op[b] : b == 3 ? 2 : 0);
            if (op[0] == 0xEA || op[0] == 0x9A) bytes[5] = static_cast<std::uint8_t>(pick(32) * 8);
            t.m.write_physical(at % Memory::size, bytes.data(), bytes.size());
            at += 1 + pick(7);
        }
    }

    std::mt19937_64 random_;
};

TEST(Tables, OfAnyContentEndInOneOfTheWaysAMachineCanEnd) {
    for (unsigned seed = 0; seed < 300 && !testing::Test::HasFatalFailure(); ++seed) {
        SCOPED_TRACE(seed);
        Scribbler(seed).run();
    }
}

}  // namespace
}  // namespace faultline::engine
