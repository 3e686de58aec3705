#include "oracle/chapters/consistency.hpp"

#include "oracle/chapters/exceptions/chapter.hpp"
#include "oracle/chapters/exceptions/formal.hpp"

namespace faultline::oracle::exceptions {
namespace {

using P = Pre<Judging>;
using S = Stimulus<Judging>;
using R = Response<Judging>;

/// Draws deliveries of which few things are wrong, so that every check is the first to fail in some.
class Draw : public Drawing {
public:
    using Drawing::Drawing;

    std::uint64_t selector() { return of(0, 3, 8, 0x10, 0x1B, 0x23, 0x28, 0x48, 0x80, 0x104); }

    std::pair<P, S> situation() {
        P p{};
        S s{};
        p.mode = below(3);
        const bool real = p.mode == mode::real_mode, wide = p.mode == mode::long_mode;
        p.code64 = wide && chance(60);
        p.cpl = real || chance(40) ? 0 : 3;
        p.cs = selector(), p.ss = selector(), p.tr = of(0x28, 0x80, 0x8B);
        p.sp = of(0x31F00, 0x31F08, 0x31F0D, 4, 0) + below(3);
        if (p.code64 && chance(30)) p.sp = bits();
        if (real) p.sp &= 0xFFFF;
        p.tf = chance(50), p.if_ = chance(50), p.nt = chance(50), p.ac = chance(50), p.fetch_flag = chance(50);
        const auto vendor = below(3);
        p.amd = vendor == 0, p.intel = vendor == 1;
        chance(25) ? raise(p, s) : deliver(p, s, real, wide);
        return {p, s};
    }

    /// A response near what is right: one outcome, with what it leaves open drawn and up to two fields disturbed.
    R response(const P& p, const S& s, const Outcomes& right) {
        const Outcome& o = right[below(right.size())];
        R r = o.response;
        if (o.rip_any && chance(50)) r.rip = bits();
        if (o.rf_any && chance(50)) r.rf = !r.rf;
        if (r.writes_cr2 && chance(50)) r.cr2 = of(o.cr2_low, o.cr2_high, s.push_low, s.push_high, s.address + s.span);
        r.held ^= bits() & o.held_any;
        for (auto changes = below(3); changes > 0; --changes) disturb(p, s, r);
        return r;
    }

private:
    void raise(const P& p, S& s) {
        s.kind = kind::raise;
        s.selector = selector();
        s.vector = of(1, 3, 4, 0x20, 0xFF);
        s.stack = chance(50), s.iret = chance(50), s.user = chance(50);
        s.address = of(0x3FFFF, 0x42000, 0x46000) + below(16), s.span = below(4);
        const bool real = p.mode == mode::real_mode;
        do s.cause = below(cause::last + 1);
        while ((real &&
                (s.cause == cause::privilege || s.cause == cause::io_permission || s.cause >= cause::null_selector)) ||
               (s.cause == cause::nested_task && p.mode != mode::long_mode));
        if (s.cause == cause::access) {
            s.out_of_range = chance(40), s.misaligned = chance(40), s.page = chance(50);
            s.present = chance(50), s.write = chance(50);
            if (real) s.misaligned = s.page = false, s.out_of_range = true;
            if (!s.out_of_range && !s.misaligned) s.page = true;
        }
        if (s.cause == cause::fetch) {
            s.out_of_range = real || chance(30), s.page = !s.out_of_range || (!real && chance(50));
            s.present = chance(50), s.stack = false, s.span = 0;
        }
    }
    void deliver(const P& p, S& s, bool real, bool wide) {
        s.kind = kind::deliver;
        s.source = chance(55) ? source::exception : 1 + below(3);
        s.vector = s.source == source::exception ? (real ? of(0, 1, 5, 6, 7, 8, 12, 13, 16)
                                                         : of(0, 1, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 8, 14))
                   : s.source == source::icebp   ? 1
                                                 : of(1, 2, 3, 4, 8, 9, 10, 13, 14, 17, 0x20, 0xFF);
        const bool code = s.source == source::exception && (s.vector == 17 || (s.vector >= 10 && s.vector <= 14));
        s.error = code && !real ? of(0, 7, 0x28, 0xFFFF) : 0;
        s.origin = 0x20000 + below(4);
        s.rip = s.source == source::software || s.source == source::icebp ? s.origin + 1 + below(2) : s.origin;
        s.rf = chance(40);
        s.watched = chance(20) ? below(16) : 0;
        s.sp_out_of_range = chance(8);
        s.gate_outside = chance(5);
        if (real) {
            s.gate_dpl = below(4), s.gate_type = below(4), s.sp_edge = !s.sp_out_of_range && chance(30);
            return;
        }
        s.gate_type = chance(75) ? below(2) : 2 + below(2);
        s.gate_dpl = chance(50) ? 3 : 0;
        s.gate_present = chance(90);
        s.gate_selector = chance(80) ? of(8, 0xB, 0x50, 0x80) : selector();
        s.gate_ist = wide && chance(35) ? 1 + below(7) : 0;
        s.target_out_of_range = chance(8);
        s.cs_outside = chance(4), s.cs_code = chance(95), s.cs_conforming = chance(20);
        s.cs_dpl = chance(75) ? 0 : below(4), s.cs_present = chance(92), s.cs_long = chance(90);
        s.tss_available = chance(70), s.tss_present = chance(70);
        s.slot_outside = chance(5), s.slot_edge = !wide && !s.slot_outside && chance(10);
        s.new_sp = of(0x16000, 0x16008, 0x1600D, 0x19000) + (wide && chance(10) ? 0xFFFF8000'00000000 : 0);
        s.new_ss = chance(85) ? of(0x10, 0x10 | s.cs_dpl, 0x58 | s.cs_dpl) : selector();
        s.ss_outside = chance(4), s.ss_writable = chance(95), s.ss_present = chance(93);
        s.ss_dpl = chance(93) ? s.cs_dpl : below(4);
        s.push_page = chance(20), s.push_present = chance(50);
        s.push_low = 0x15000 + below(16), s.push_address = s.push_low + below(16),
        s.push_high = s.push_address + below(8);
        const bool inner = !s.cs_conforming && s.cs_dpl < p.cpl;
        s.push_misaligned = !wide && !inner && p.cpl == 3 && p.ac && chance(40);
    }

    void disturb(const P& p, const S& s, R& r) {
        switch (below(22)) {
            case 0: r.result = below(6); break;
            case 1: r.vector = of(0, 5, 6, 8, 10, 11, 12, 13, 14, 17); break;
            case 2: r.error ^= of(1, 1, 2, 4, 8, 16, 32, 0x80, 1ull << below(20)); break;
            case 3:
                r.error = of(0, 1, s.vector << 3 | 2, s.vector << 3 | 3, s.gate_selector & 0xFFFC, p.tr & 0xFFFC,
                             p.ss & 0xFFFC, s.new_ss & 0xFFFC, s.error, (s.selector & 0xFFFC), s.selector) |
                          (chance(50) ? 1 : 0);
                break;
            case 4:
                r.writes_cr2 = !r.writes_cr2;
                if (!r.writes_cr2)
                    r.cr2 = 0;
                else
                    r.cr2 = s.push_address;
                break;
            case 5: r.cr2 = of(s.address, s.push_address, s.address + s.span + 1, s.push_high + 1, s.push_low); break;
            case 6: r.rip = of(s.rip, s.origin, 0); break;
            case 7: r.rf = !r.rf; break;
            case 8:
                r.pushes_error = !r.pushes_error, r.error = r.pushes_error ? s.error : 0;
                if (chance(70)) r.frame += r.pushes_error ? 0 - r.slot : r.slot;
                break;
            case 9:
                r.pushes_stack = !r.pushes_stack;
                if (chance(70)) r.frame += r.pushes_stack ? 0 - 2 * r.slot : 2 * r.slot;
                break;
            case 10: r.slot = of(2, 4, 8); break;
            case 11: r.frame += of(2, 4, 8, 0 - 8, 0 - 4, 0 - 2, 1); break;
            case 12: r.cpl = of(0, 1, 3, s.cs_dpl, p.cpl); break;
            case 13: r.ss = of(0, p.ss, s.new_ss, p.cpl, s.cs_dpl); break;
            case 14: r.if_ = !r.if_; break;
            case 15: r.tf = !r.tf; break;
            case 16: r.nt = !r.nt; break;
            case 17: r.rf_after = !r.rf_after; break;
            case 18: r.ac = !r.ac; break;
            case 19: r.selector = chance(50) ? s.gate_selector : selector(); break;
            case 20: r.held ^= 1ull << below(4); break;
            case 21: otherwise(s, r); break;
        }
    }
    /// A whole other end of the delivery, normalised.
    void otherwise(const S& s, R& r) {
        if (s.kind == kind::raise) {
            r = {};
            r.result = result::raised, r.vector = of(0, 5, 6, 10, 11, 12, 13, 14, 17);
            return;
        }
        const R was = r;
        r = {};
        r.result = 1 + below(5);
        r.held = 0;
        switch (r.result) {
            case result::delivered: r = was, r.result = result::delivered, r.vector = 0; break;
            case result::serial: r.vector = of(10, 11, 12, 13, 14), r.rip = s.origin, r.rf = true; break;
            case result::double_fault: r.vector = 8, r.rip = s.origin, r.rf = true; break;
            case result::shutdown: break;
            default: r.rip = s.rip, r.rf = s.rf, r.selector = s.gate_selector; break;
        }
        if (r.result != result::delivered && chance(60)) r.writes_cr2 = was.writes_cr2, r.cr2 = was.cr2;
        if (r.result == result::serial) r.error = was.error;
    }
};

struct Subject {
    using Formal = exceptions::Formal;
    using Alternative = exceptions::Alternative;
    using Draw = exceptions::Draw;
    static auto rules() { return rule_table(); }
    static constexpr int draws_per_alternative = 4000;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Exceptions, ChapterConsistency, Subject);

}  // namespace
}  // namespace faultline::oracle::exceptions
