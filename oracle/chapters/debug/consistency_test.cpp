#include "oracle/chapters/consistency.hpp"

#include "oracle/chapters/debug/chapter.hpp"
#include "oracle/chapters/debug/formal.hpp"

namespace faultline::oracle::debug {
namespace {

using P = Pre<Judging>;
using S = Stimulus<Judging>;
using R = Response<Judging>;

/// Draws values that are likely to meet: few addresses, settings that matter.
class Draw : public Drawing {
public:
    using Drawing::Drawing;

    std::uint64_t address() {
        return of(0x40000, 0x40000, 0x40008, 0x80) + (chance(50) ? below(16) : 0) +
               (chance(4) ? 0xFFFF8000'00000000 : 0) + (chance(10) ? 0x10000 : 0);
    }
    std::uint64_t dr(std::uint64_t rip) { return chance(40) ? rip : address(); }

    std::pair<P, S> situation() {
        P p{};
        S s{};
        const std::uint64_t weighted[] = {kind::ordinary, kind::ordinary, kind::rep,   kind::rep,        kind::mov_dr,
                                          kind::mov_dr,   kind::load_ss,  kind::sti,   kind::popf,       kind::iret,
                                          kind::sysret,   kind::syscall,  kind::int_n, kind::int3,       kind::icebp,
                                          kind::hlt,      kind::boundary, kind::wake,  kind::task_switch};
        s.kind = weighted[below(std::size(weighted))];
        s.rip = 0x20000;
        s.next = s.rip + below(4) * 4;
        p.dr0 = dr(s.rip), p.dr1 = dr(s.rip), p.dr2 = dr(s.rip), p.dr3 = dr(s.next);
        const auto vendor = below(3);
        p.amd = vendor == 0, p.intel = vendor == 1;
        p.rtm = !p.amd && chance(30), p.bus_lock = chance(30);
        p.de = chance(50);
        p.cpl = chance(75) ? 0 : 3;
        p.tf = chance(40), p.rf = chance(25);
        p.shadow = chance(30);
        p.debugctl = chance(70) ? 0 : below(4);
        const std::uint64_t low_ones = 0xFFFE07F0;
        p.dr6 = low_ones | (chance(50) ? bits() & 0xE00F : 0) | (p.rtm && chance(50) ? 0 : 0x10000) |
                (p.bus_lock && chance(50) ? 0 : 0x800);
        p.dr7 = 0x400 | (bits() & 0xFFFF0000) | (chance(80) ? bits() & 0xFF : 0) | (chance(30) ? 0x2000 : 0) |
                (bits() & 0x300) | (p.rtm ? bits() & 0x800 : 0);

        if (chance(10))
            p.dr0 = 0x10080 + below(8), p.de = true, p.dr7 = (p.dr7 & ~0xF0000ull) | of(2, 6, 0xE) << 16 | 1;

        s.length0 = of(0, 1, 2, 4, 8), s.address0 = address(), s.write0 = chance(50);
        s.length1 = chance(40) ? of(1, 2, 4, 8) : 0, s.address1 = address(), s.write1 = chance(50);
        s.length2 = chance(10) ? 8 : 0, s.address2 = address();
        s.length3 = chance(10) ? 8 : 0, s.address3 = address();
        s.length4 = chance(10) ? 8 : 0, s.address4 = address(), s.write4 = chance(50);
        s.io = chance(45) && (s.kind == kind::ordinary || s.kind == kind::rep), s.io_port = (0x80 + below(8)) & 0xFFFF,
        s.io_width = of(1, 2, 4);
        s.dr_number = chance(50) ? of(6, 7) : below(chance(80) ? 8 : 16), s.dr_write = chance(60);
        s.dr_value = chance(70) ? bits() & 0xFFFFFFFF : bits();
        if (s.kind == kind::mov_dr) s.length0 = s.length1 = s.length2 = s.length3 = s.length4 = 0;
        if (s.kind == kind::mov_dr && s.dr_number < 4 && chance(20)) s.dr_value = s.next;
        s.branch = chance(30), s.faults = chance(20);
        s.vector = s.faults ? of(6, 13, 14) : of(1, 3, 0x20), s.error = s.faults ? below(8) : 0;
        s.tf_after = chance(50) ? p.tf : chance(50), s.rf_after = chance(30);
        s.debugctl_after = chance(70) ? p.debugctl : below(4);
        s.last = chance(50), s.continues = chance(40);
        if (s.kind == kind::rep && !s.last) s.next = s.rip;
        if (s.kind != kind::rep) s.last = true, s.continues = false;
        if (s.continues) p.shadow = false, p.rf = false;
        s.task_trap = s.kind == kind::task_switch && chance(40);
        if (s.kind != kind::iret && s.kind != kind::task_switch) s.rf_after = false;
        if (s.kind == kind::icebp || s.kind == kind::mov_dr || s.kind >= kind::boundary) s.faults = false;
        if (s.kind != kind::ordinary && s.kind != kind::iret && s.kind != kind::sysret && s.kind != kind::syscall &&
            s.kind != kind::task_switch)
            s.branch = false;
        if (s.kind == kind::boundary)
            p.shadow = p.tf = p.rf = s.tf_after = false, s.next = s.rip, s.debugctl_after = p.debugctl;
        if (s.kind == kind::wake) p.shadow = false, s.next = s.rip;
        if (p.shadow || s.kind == kind::rep || s.kind == kind::boundary) {
            for (unsigned n = 0; n < 4; ++n)
                if ((p.dr7 >> 2 * n & 3) && (p.dr7 >> (16 + 4 * n) & 3) && chance(50)) p.held |= 1u << n;
            if (s.kind == kind::boundary && (!p.held || chance(20))) p.held |= 0x4000;
        }
        return {p, s};
    }

    /// A response near what is right: one outcome with don't-care bits drawn and up to two fields disturbed.
    R response(const P& p, const S& s, const Outcomes& right) {
        const Outcome& o = right[below(right.size())];
        R r = o.response;
        r.dr6 ^= bits() & o.dr6_any;
        if (o.rf_any && chance(50)) r.rf = !r.rf;
        if (chance(10)) return unremarkable(p, s);
        for (auto changes = below(3); changes > 0; --changes) switch (below(13)) {
                case 0: r.event = below(7); break;
                case 1: r.vector = of(0, 1, 3, 6, 13, s.vector); break;
                case 2: r.error = chance(50) ? s.error : below(4); break;
                case 3: r.rip = chance(50) ? s.rip : s.next; break;
                case 4: r.rf = !r.rf; break;
                case 5: r.tf = !r.tf; break;
                case 6: r.dr6 ^= of(1, 2, 4, 8, 0x2000, 0x4000, 0x8000, 0x800, 0x10000, 1ull << below(34)); break;
                case 7: r.dr7 ^= chance(20) ? 0x100 : 1ull << below(34); break;
                case 8: r.debugctl ^= 1 + below(3); break;
                case 9: r.dr_value = of(p.dr6, p.dr7, 0, s.dr_value, p.dr1); break;
                case 10:
                    r.held =
                        of(0, p.held, 1ull << below(4), p.held ^ (1ull << below(4)), p.held | 0x4000, p.held & bits());
                    break;
                case 11: r.shadow = !r.shadow; break;
                case 12:  // a whole other event, normalised
                    r.event = below(7);
                    r.dr6 ^= below(16);
                    r.vector = r.event == event::none ? 0 : r.event == event::fault ? of(6, 13) : 1;
                    r.error = 0, r.dr_value = 0;
                    r.rip = chance(50) ? s.rip : s.next;
                    break;
            }
        return r;
    }

    /// The response of an op that simply completed, whatever should have happened.
    R unremarkable(const P& p, const S& s) {
        R r{};
        r.rip = s.next, r.rf = s.rf_after, r.tf = s.tf_after;
        r.dr6 = p.dr6, r.dr7 = p.dr7, r.debugctl = s.debugctl_after;
        if (chance(30)) {  // … or was stepped
            r.event = event::trap, r.vector = 1, r.dr6 |= 0x14000, r.dr6 &= ~0xFull, r.debugctl = 0;
            r.dr7 &= ~0x2000ull;
            r.rf = s.kind == kind::rep && !s.last;
        }
        return r;
    }
};

struct Subject {
    using Formal = debug::Formal;
    using Alternative = debug::Alternative;
    using Draw = debug::Draw;
    static auto rules() { return rule_table(); }
    static constexpr int draws_per_alternative = 2000;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Debug, ChapterConsistency, Subject);

TEST(DebugChapter, AGeneralDetectFaultChangesNoRegisterButItsOwnBits) {
    Draw draw(17);
    int seen = 0;
    for (int i = 0; i < 50000; ++i) {
        const auto [p, s] = draw.situation();
        Outcomes all;
        outcomes(p, s, all);
        for (const Outcome& o : all) {
            if (o.response.event != event::gd_db) continue;
            ++seen;
            const std::uint64_t may_change =
                guest::dr::dr6_bd | guest::dr::dr6_b | guest::dr::dr6_rtm | (o.dr6_any & guest::dr::dr6_bld);
            EXPECT_EQ((o.response.dr6 ^ p.dr6) & ~may_change, 0u);
            EXPECT_EQ(o.response.dr7, p.dr7 & ~guest::dr::dr7_gd);
            EXPECT_EQ(o.response.dr_value, 0u);
        }
    }
    EXPECT_GT(seen, 100);
}

}  // namespace
}  // namespace faultline::oracle::debug
