#include "oracle/chapters/debug/outcomes.hpp"

#include "hypervisor/guest/types.hpp"

namespace faultline::oracle::debug {
namespace {

using namespace guest::dr;
using Mask = std::uint64_t;  // bits 3:0 stand for DR0–DR3

constexpr std::uint64_t btf_bit = guest::debugctl::btf, tracing = guest::debugctl::btf | guest::debugctl::lbr;

/// Which breakpoint registers the op meets, in the ways that matter.
struct Met {
    Mask code = 0;            ///< enabled instruction breakpoint at the op
    Mask code_undefined = 0;  ///< the same with LEN ≠ 00
    Mask fetched = 0;         ///< either, enabled or not
    Mask hit = 0;             ///< enabled data or I/O breakpoint
    Mask hit_data = 0;        ///< those of hit that are data breakpoints
    Mask undefined = 0;       ///< enabled, R/W = 10 without CR4.DE
    Mask undefined_io = 0;    ///< enabled, I/O breakpoint of eight bytes
    Mask low_port = 0;        ///< enabled I/O breakpoint that equals the port in 16 bits only
    Mask disabled = 0;        ///< disabled data or I/O breakpoint
};

class Finder {
public:
    Finder(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out, Alternative without)
        : pre_(pre), stim_(stim), out_(out), without_(without) {
        find_matches();
        found_dr6_ = pre.dr6;
        found_dr7_ = pre.dr7;
    }

    void find() {
        if (stim_.kind == kind::boundary) return held_trap();
        if (stim_.kind == kind::wake) return deliver(pre_.rf, false);
        if (code_breakpoint()) return;
        if (stim_.faults) return fault(stim_.vector, stim_.error);
        switch (stim_.kind) {
            case kind::mov_dr: return move_dr();
            case kind::int_n:
            case kind::int3: return deliver(false, pre_.rf && !pre_.intel && may(Alternative::Xcp006));
            case kind::icebp: return icebp();
            case kind::load_ss: return load_ss();
            default: return complete();
        }
    }

private:
    bool may(Alternative a) const { return a != without_; }

    // --- matching

    static bool share_byte(std::uint64_t a, std::uint64_t a_length, std::uint64_t b, std::uint64_t b_length) {
        return a - b < b_length || b - a < a_length;
    }
    static std::uint64_t size_of(unsigned len) {
        constexpr std::uint64_t sizes[] = {1, 2, 8, 4};
        return sizes[len];
    }
    void find_matches() {
        const std::uint64_t registers[] = {pre_.dr0, pre_.dr1, pre_.dr2, pre_.dr3};
        for (unsigned n = 0; n < 4; ++n) match(n, registers[n]);
    }
    void match(unsigned n, std::uint64_t address) {
        const Mask self = 1u << n;
        const bool on = pre_.dr7 >> 2 * n & 3;
        const auto control = static_cast<unsigned>(pre_.dr7 >> (16 + 4 * n) & 0xF);
        const unsigned rw = control & 3, len = control >> 2;
        const std::uint64_t size = size_of(len), base = address & ~(size - 1);

        if (rw == 0) {
            const bool defined = len == 0;
            const bool matched = defined ? address == stim_.rip : stim_.rip - base < size || stim_.rip - address < size;
            if (!matched) return;
            met_.fetched |= self;
            if (on) (defined ? met_.code : met_.code_undefined) |= self;
            return;
        }
        bool read = false, written = false;
        const auto look = [&](std::uint64_t at, std::uint64_t length, bool write) {
            if (length != 0 && share_byte(at, length, base, size)) (write ? written : read) = true;
        };
        look(stim_.address0, stim_.length0, stim_.write0);
        if (stim_.length1) look(stim_.address1, stim_.length1, stim_.write1);
        if (stim_.length2) look(stim_.address2, stim_.length2, stim_.write2);
        if (stim_.length3) look(stim_.address3, stim_.length3, stim_.write3);
        if (stim_.length4) look(stim_.address4, stim_.length4, stim_.write4);
        const bool memory = read || written;
        const bool port = stim_.io && stim_.io_width != 0 && share_byte(stim_.io_port, stim_.io_width, base, size);

        Mask* met = nullptr;
        if (rw == 1 && written) met = &met_.hit;
        if (rw == 3 && memory) met = &met_.hit;
        if (rw == 2 && !pre_.de && (memory || port)) met = &met_.undefined;
        if (rw == 2 && pre_.de && port) met = size == 8 ? &met_.undefined_io : &met_.hit;
        if (rw == 2 && pre_.de && !port && size != 8 && stim_.io && stim_.io_width != 0 && on &&
            share_byte(stim_.io_port, stim_.io_width, base & 0xFFFF, size))
            met_.low_port |= self;
        if (!met) return;
        if (!on) {
            met_.disabled |= self;
            return;
        }
        *met |= self;
        if (met == &met_.hit && rw != 2) met_.hit_data |= self;
    }

    // --- building responses

    Response<Judging> blank(std::uint64_t what) const {
        Response<Judging> r{};
        r.event = what;
        r.rip = stim_.rip;
        r.tf = pre_.tf;
        r.dr6 = pre_.dr6;
        r.dr7 = pre_.dr7;
        r.debugctl = pre_.debugctl;
        return r;
    }
    /// #DB: DR6 from `dr6` with B0–B3 replaced, DR7.GD and DEBUGCTL cleared.
    Outcome db(std::uint64_t what, std::uint64_t dr6, Mask met, Mask possibly, std::uint64_t causes = 0) const {
        Outcome o{blank(what), possibly & ~met, false};
        o.response.vector = 1;
        o.response.dr6 = (dr6 & ~dr6_b) | met | causes | dr6_rtm;
        o.response.dr7 = found_dr7_ & ~dr7_gd;
        o.response.debugctl = pre_.debugctl & ~tracing;
        if (pre_.bus_lock && !pre_.amd && !(dr6 & dr6_bld) && may(Alternative::Dbg084)) o.dr6_any |= dr6_bld;
        return o;
    }
    /// Before the op, with what was held lost, shown with this #DB, or kept for the handler's first instruction.
    void add_fault_class(Outcome o) {
        const Mask held = pre_.held & dr6_b;
        if (held && may(Alternative::Exe033)) {
            Outcome kept = o;
            kept.response.held = held;
            out_.add(kept);
            if (o.response.event != event::fault) o.dr6_any |= held;
        }
        out_.add(o);
    }
    /// Adds the response, and where branches are stepped also the one that steps this delivery.
    void add_stepped_delivery(const Outcome& o, bool fault_class) {
        const auto add = [&](const Outcome& one) { fault_class ? add_fault_class(one) : out_.add(one); };
        if (pre_.tf && pre_.debugctl & btf_bit && may(Alternative::Exe013)) {
            const std::size_t before = out_.size();
            add(o);
            const std::size_t after = out_.size();
            for (std::size_t i = before; i < after; ++i) {
                Outcome stepped = out_[i];
                stepped.response.held |= dr6_bs;
                out_.add(stepped);
            }
            return;
        }
        add(o);
    }
    void fault(std::uint64_t vector, std::uint64_t error) {
        Outcome o{blank(event::fault)};
        o.response.vector = vector;
        o.response.error = error;
        o.response.rf = true;
        add_stepped_delivery(o, true);
    }
    void deliver(bool rf, bool rf_any) {
        Outcome o{blank(event::delivered), 0, rf_any};
        o.response.vector = stim_.vector;
        o.response.rip = stim_.next;
        o.response.rf = rf;
        o.response.held = pre_.held;
        add_stepped_delivery(o, false);
    }
    void held_trap() {
        Outcome o = db(event::trap, pre_.dr6, pre_.held & dr6_b, 0, pre_.held & dr6_bs);
        o.response.tf = false;
        out_.add(o);
    }

    // --- the moments of an op

    Mask disabled_fetch() const {
        return may(Alternative::Dbg056) ? met_.fetched & ~met_.code & ~met_.code_undefined : 0;
    }
    /// True when the op cannot get past it.
    bool code_breakpoint() {
        if (!met_.fetched || pre_.rf || stim_.continues) return false;
        if (pre_.shadow && pre_.intel) return false;
        const Mask possible = may(Alternative::Dbg036) ? met_.code_undefined : 0;
        if (met_.code) {
            add_fault_class(db(event::code_db, pre_.dr6, met_.code, possible | disabled_fetch()));
            return !(pre_.shadow && !pre_.amd && may(Alternative::Exe010));
        }
        for (unsigned n = 0; n < 4; ++n)
            if (possible >> n & 1) add_fault_class(db(event::code_db, pre_.dr6, 1u << n, possible | disabled_fetch()));
        return false;
    }

    void general_detect() {
        const Mask shown = may(Alternative::Dbg056) ? met_.fetched : 0;
        Outcome o = db(event::gd_db, pre_.dr6, 0, shown, dr6_bd);
        o.response.rf = true;
        o.rf_any = may(Alternative::Dbg026);
        add_fault_class(o);
    }
    void move_dr() {
        constexpr std::uint64_t ud = 6, gp = 13;
        const auto number = stim_.dr_number;
        const bool gd = pre_.dr7 & dr7_gd;
        const bool status = number == 4 || number == 6, control = number == 5 || number == 7;
        const bool high = stim_.dr_write && (status || control) && stim_.dr_value >> 32;
        if (number > 7 || ((number == 4 || number == 5) && pre_.de)) {
            fault(ud, 0);
            if (pre_.cpl != 0 && may(Alternative::Xcp170)) fault(gp, 0);
            return;
        }
        if (pre_.cpl != 0) {
            fault(gp, 0);
            if (gd && may(Alternative::Dbg015)) general_detect();
            return;
        }
        if (gd) {
            general_detect();
            if (high && may(Alternative::Dbg017)) fault(gp, 0);
            return;
        }
        if (high) return fault(gp, 0);

        if (stim_.dr_write && status) found_dr6_ = corrected_dr6(stim_.dr_value);
        if (stim_.dr_write && control) found_dr7_ = corrected_dr7(stim_.dr_value);
        const std::uint64_t registers[] = {pre_.dr0, pre_.dr1, pre_.dr2, pre_.dr3};
        if (number < 4)
            dr_value_ = stim_.dr_write ? stim_.dr_value : registers[number];
        else if (!stim_.dr_write)
            dr_value_ = status ? pre_.dr6 : pre_.dr7;
        complete();
    }
    std::uint64_t corrected_dr6(std::uint64_t value) const {
        const std::uint64_t writable =
            dr6_b | dr6_bd | dr6_bs | dr6_bt | (pre_.bus_lock ? dr6_bld : 0) | (pre_.rtm ? dr6_rtm : 0);
        return (value & writable) | (dr6_reset & ~writable);
    }
    std::uint64_t corrected_dr7(std::uint64_t value) const {
        return (value & (0xFFFF23FF | (pre_.rtm ? 0x800u : 0u))) | dr7_reset;
    }

    void icebp() {
        const Mask held = pre_.held & dr6_b, before = pre_.dr6 & dr6_b & ~held;
        const Mask either = may(Alternative::Dbg055) && (!pre_.amd || held) ? before : 0;
        const Mask shown = may(Alternative::Dbg056) ? met_.fetched : 0;
        Outcome o = db(event::icebp, pre_.dr6, held | (pre_.amd ? before : 0), shown);
        o.dr6_any |= either;
        o.response.rip = stim_.next;
        o.rf_any = pre_.rf && !pre_.intel && may(Alternative::Xcp006);
        out_.add(o);
        if (pre_.debugctl & tracing && may(Alternative::Exe038)) {
            o.response.debugctl = pre_.debugctl;
            out_.add(o);
        }
    }

    Outcome completed(Mask held) const {
        Outcome o{blank(event::none)};
        after_op(o.response);
        o.response.dr6 = found_dr6_;
        o.response.dr7 = found_dr7_;
        o.response.debugctl = stim_.debugctl_after;
        o.response.held = held;
        return o;
    }
    void after_op(Response<Judging>& r) const {
        r.rip = stim_.next;
        r.tf = stim_.tf_after;
        r.rf = stim_.rf_after;
        r.dr_value = dr_value_;
    }
    void load_ss() {
        if (pre_.shadow) {
            complete();
            if (may(Alternative::Exe032)) {
                Outcome o = completed((pre_.held & dr6_b) | met_.hit);
                o.response.shadow = true;
                out_.add(o);
            }
            return;
        }
        const Mask undefined = may(Alternative::Dbg032) ? met_.undefined : 0;
        for (Mask also = undefined;; also = (also - 1) & undefined) {
            Outcome o = completed(met_.hit | also);
            o.response.shadow = true;
            out_.add(o);
            if (!also) break;
        }
    }

    /// Whether a step trap is due, and whether the other answer is right as well.
    struct Step {
        bool due, other;
    };
    Step step() const {
        const bool by_after = stim_.kind == kind::syscall || stim_.kind == kind::sysret;
        const bool tf = by_after ? stim_.tf_after : pre_.tf, btf = pre_.debugctl & btf_bit;
        const bool counts = !btf || stim_.branch;
        const bool due = tf && counts;
        switch (stim_.kind) {
            case kind::rep: return {due, due && !stim_.last && may(Alternative::Exe014)};
            case kind::hlt: return {due, due && may(Alternative::Exe030)};
            case kind::sysret:
                return {due, pre_.tf != stim_.tf_after && counts && (pre_.tf || !pre_.amd) && may(Alternative::Exe029)};
            case kind::ordinary: {
                const bool toggled = (stim_.debugctl_after ^ pre_.debugctl) & btf_bit;
                return {due, pre_.tf && toggled && !stim_.branch && may(Alternative::Exe031)};
            }
            default: return {due, false};
        }
    }
    /// Enabled instruction breakpoints on the instruction behind the op, as the op leaves the debug registers.
    Mask fetched_next() const {
        std::uint64_t registers[] = {pre_.dr0, pre_.dr1, pre_.dr2, pre_.dr3};
        if (stim_.kind == kind::mov_dr && stim_.dr_write && stim_.dr_number < 4)
            registers[stim_.dr_number] = stim_.dr_value;
        Mask fetched = 0;
        for (unsigned n = 0; n < 4; ++n) {
            if ((found_dr7_ >> 2 * n & 3) == 0 || (found_dr7_ >> (16 + 4 * n) & 3) != 0) continue;
            const std::uint64_t size = size_of(static_cast<unsigned>(found_dr7_ >> (18 + 4 * n) & 3));
            if (stim_.next - (registers[n] & ~(size - 1)) < size || stim_.next - registers[n] < size)
                fetched |= 1u << n;
        }
        return fetched;
    }
    void trap(bool stepped, Mask met, Mask possibly, Mask late) {
        Outcome o = db(event::trap, found_dr6_, met, possibly, stepped ? dr6_bs : 0);
        after_op(o.response);
        if (stim_.kind == kind::rep && !stim_.last) o.response.rf = true;
        o.response.held = late;
        out_.add(o);
    }
    void complete() {
        const auto [due, other] = step();
        const Mask all = met_.hit | (pre_.held & dr6_b);
        const Mask optional = (may(Alternative::Dbg032) ? met_.undefined : 0) |
                              (may(Alternative::Exe039) ? met_.undefined_io : 0) |
                              (may(Alternative::Exe040) && !pre_.amd ? met_.low_port : 0);
        const Mask shown = optional | (may(Alternative::Dbg056) ? met_.fetched | met_.disabled : 0) |
                           (may(Alternative::Dbg095) ? fetched_next() : 0);
        const bool between = stim_.kind == kind::rep && !stim_.last;
        const Mask met_port = met_.hit & ~met_.hit_data;
        const Mask deferrable =
            between && may(Alternative::Dbg087) ? ((pre_.held & dr6_b) | met_.hit_data) & ~met_port : 0;

        // What is reported now comes first: where the tape shows a #DB, that is the likely one.
        for (const bool stepped : {true, false}) {
            if (stepped != due && !other) continue;
            for (Mask late = 0;; late = (late - deferrable) & deferrable) {  // every subset, ascending
                const Mask now = all & ~late;
                const bool waits = stim_.kind == kind::hlt && stepped != due;
                if ((stepped || now) && !waits) trap(stepped, now, shown & ~late, late);
                if (!stepped && !now) {
                    if (!waits)
                        for (unsigned n = 0; n < 4; ++n)
                            if ((optional & ~late) >> n & 1) trap(false, 1u << n, shown & ~late, late);
                    out_.add(completed(late));
                }
                if (late == deferrable) break;
            }
        }
    }

    const Pre<Judging>& pre_;
    const Stimulus<Judging>& stim_;
    Outcomes& out_;
    Alternative without_;
    Met met_;
    std::uint64_t found_dr6_ = 0, found_dr7_ = 0, dr_value_ = 0;
};

}  // namespace

void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out, Alternative without) {
    out.clear();
    Finder(pre, stim, out, without).find();
}

bool matches(const Outcome& outcome, const Response<Judging>& r) {
    const auto& o = outcome.response;
    return o.event == r.event && o.vector == r.vector && o.error == r.error && o.rip == r.rip &&
           (outcome.rf_any || o.rf == r.rf) && o.tf == r.tf && ((o.dr6 ^ r.dr6) & ~outcome.dr6_any) == 0 &&
           o.dr7 == r.dr7 && o.debugctl == r.debugctl && o.dr_value == r.dr_value && o.held == r.held &&
           o.shadow == r.shadow;
}

}  // namespace faultline::oracle::debug
