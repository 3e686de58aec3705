// The chapter's operational form, over a domain: see outcomes.hpp. It uses none of the words of situation.hpp.
// It branches on values only through its list of outcomes (outcome_list.hpp).
#pragma once

#include "hypervisor/guest/types.hpp"
#include "oracle/chapters/debug/outcomes.hpp"

namespace faultline::oracle::debug {

/// [a, a + a_length) and [b, b + b_length) share a byte.
template <class Bits>
auto share_byte(const Bits& a, const Bits& a_length, const Bits& b, const Bits& b_length) {
    return a - b < b_length || b - a < a_length;
}
/// Bytes that LEN stands for.
template <class Bits>
Bits size_of(const Bits& len) {
    return ite(len == 0, Bits(1), ite(len == 1, Bits(2), ite(len == 2, Bits(8), Bits(4))));
}
/// Whether an instruction breakpoint of undefined LEN might match at `rip`.
template <class Bits>
auto could_match(const Bits& address, const Bits& size, const Bits& rip) {
    return rip - (address & ~(size - 1)) < size || rip - address < size;
}

template <class D>
class Finder {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    using Mask = Bits;  // bits 3:0 stand for DR0–DR3
    using Outcome = OutcomeIn<D>;

    static constexpr std::uint64_t all_four = guest::dr::dr6_b, dr6_b = guest::dr::dr6_b, dr6_bld = guest::dr::dr6_bld,
                                   dr6_bd = guest::dr::dr6_bd, dr6_bs = guest::dr::dr6_bs, dr6_bt = guest::dr::dr6_bt,
                                   dr6_rtm = guest::dr::dr6_rtm, dr6_reset = guest::dr::dr6_reset,
                                   dr7_gd = guest::dr::dr7_gd, dr7_reset = guest::dr::dr7_reset,
                                   btf_bit = guest::debugctl::btf,
                                   tracing = guest::debugctl::btf | guest::debugctl::lbr;

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

public:
    /// `without`: an Alternative to leave out; Alternative::Count: none.
    Finder(const Pre<D>& pre, const Stimulus<D>& stim, OutcomesIn<D>& out, const Bits& without)
        : pre_(pre), stim_(stim), out_(out), without_(without), found_dr6_(pre.dr6), found_dr7_(pre.dr7) {}

    void find() {
        kind_ = out_.pick(stim_.kind, kind::last);
        if (kind_ == kind::boundary) return held_trap();
        if (kind_ == kind::wake) return deliver(pre_.rf, false);
        find_matches();
        if (code_breakpoint()) return;
        if (out_.decide(stim_.faults)) return fault(stim_.vector, stim_.error);
        switch (kind_) {
            case kind::mov_dr: return move_dr();
            case kind::int_n:
            case kind::int3: return deliver(false, pre_.rf && !pre_.intel && may(Alternative::Xcp006));
            case kind::icebp: return icebp();
            case kind::load_ss: return load_ss();
            case kind::task_switch: return task_switch();
            default: return complete();
        }
    }

private:
    Bool may(Alternative a) const { return without_ != static_cast<std::uint64_t>(a); }
    static Mask only_if(const Bool& condition, const Mask& mask) { return ite(condition, mask, Mask(0)); }
    /// Register n is in the mask.
    static Bool in(const Mask& mask, unsigned n) { return (mask & 1ull << n) != 0; }

    // --- matching

    void find_matches() {
        match(0, pre_.dr0);
        match(1, pre_.dr1);
        match(2, pre_.dr2);
        match(3, pre_.dr3);
    }
    void match(unsigned n, const Bits& address) {
        const auto note = [n](Mask& mask, const Bool& condition) { mask |= ite(condition, Bits(1ull << n), Bits(0)); };
        const Bool on = (pre_.dr7 & 3ull << 2 * n) != 0;
        const Bits rw = pre_.dr7 >> (16 + 4 * n) & 3, len = pre_.dr7 >> (18 + 4 * n) & 3;
        const Bits size = size_of(len), base = address & ~(size - 1);

        const Bool execute = rw == 0, defined = len == 0;
        const Bool fetched =
            execute && ((defined && address == stim_.rip) || (!defined && could_match(address, size, stim_.rip)));
        note(met_.fetched, fetched);
        note(met_.code, fetched && on && defined);
        note(met_.code_undefined, fetched && on && !defined);

        Bool read = false, written = false;
        const auto look = [&](const Bits& at, const Bits& length, const Bool& write) {
            const Bool shares = !execute && length != 0 && share_byte(at, length, base, size);
            written = written || (shares && write);
            read = read || (shares && !write);
        };
        look(stim_.address0, stim_.length0, stim_.write0);
        look(stim_.address1, stim_.length1, stim_.write1);
        look(stim_.address2, stim_.length2, stim_.write2);
        look(stim_.address3, stim_.length3, stim_.write3);
        look(stim_.address4, stim_.length4, stim_.write4);
        const Bool port_type = rw == 2 && stim_.io && stim_.io_width != 0;
        const Bool port = port_type && share_byte(stim_.io_port, stim_.io_width, base, size);
        const Bool memory = read || written;

        const Bool data = (rw == 1 && written) || (rw == 3 && memory);
        const Bool hit = data || (port && pre_.de && len != 2);
        const Bool undefined = rw == 2 && !pre_.de && (memory || port);
        const Bool undefined_io = port && pre_.de && len == 2;
        note(met_.hit, on && hit);
        note(met_.hit_data, on && data);
        note(met_.undefined, on && undefined);
        note(met_.undefined_io, on && undefined_io);
        note(met_.low_port, port_type && on && !port && pre_.de && len != 2 &&
                                share_byte(stim_.io_port, stim_.io_width, base & 0xFFFF, size));
        note(met_.disabled, !on && (hit || undefined || undefined_io));
    }

    // --- building responses

    Response<D> blank(std::uint64_t what) const {
        Response<D> r{};
        r.event = what;
        r.rip = stim_.rip;
        r.tf = pre_.tf;
        r.dr6 = pre_.dr6;
        r.dr7 = pre_.dr7;
        r.debugctl = pre_.debugctl;
        return r;
    }
    /// #DB: DR6 from `dr6` with B0–B3 replaced, DR7.GD and DEBUGCTL cleared.
    Outcome db(std::uint64_t what, const Bits& dr6, const Mask& met, const Mask& possibly,
               const Bits& causes = 0) const {
        Outcome o{blank(what), possibly & ~met, false};
        o.response.vector = 1;
        o.response.dr6 = (dr6 & ~dr6_b) | met | causes | dr6_rtm;
        o.response.dr7 = found_dr7_ & ~dr7_gd;
        o.response.debugctl = pre_.debugctl & ~tracing;
        o.dr6_any |= only_if(pre_.bus_lock && !pre_.amd && (dr6 & dr6_bld) == 0 && may(Alternative::Dbg084), dr6_bld);
        return o;
    }
    /// Before the op, with what was held lost, shown with this #DB, or kept for the handler's first instruction.
    void add_fault_class(Outcome o) {
        const Mask held = pre_.held & dr6_b;
        if (out_.decide(held != 0 && may(Alternative::Exe033))) {
            Outcome kept = o;
            kept.response.held |= held;
            out_.add(kept);
            o.dr6_any |= only_if(o.response.event != event::fault, held);
        }
        out_.add(o);
    }
    /// Adds the response, and where branches are stepped also the one that steps this delivery.
    void add_stepped_delivery(Outcome o, bool fault_class) {
        const auto add = [&] { fault_class ? add_fault_class(o) : out_.add(o); };
        add();
        if (out_.decide(pre_.tf && (pre_.debugctl & btf_bit) != 0 && may(Alternative::Exe013))) {
            o.response.held |= dr6_bs;
            add();
        }
    }
    void fault(const Bits& vector, const Bits& error) {
        Outcome o{blank(event::fault), 0, false};
        o.response.vector = vector;
        o.response.error = error;
        o.response.rf = true;
        add_stepped_delivery(o, true);
    }
    void deliver(const Bool& rf, const Bool& rf_any) {
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
        return only_if(may(Alternative::Dbg056), met_.fetched & ~met_.code & ~met_.code_undefined);
    }
    /// True when the op cannot get past it.
    bool code_breakpoint() {
        if (out_.decide(met_.fetched == 0 || pre_.rf || stim_.continues || (pre_.shadow && pre_.intel))) return false;
        const Mask possible = only_if(may(Alternative::Dbg036), met_.code_undefined);
        if (out_.decide(met_.code != 0)) {
            add_fault_class(db(event::code_db, pre_.dr6, met_.code, possible | disabled_fetch()));
            return !out_.decide(pre_.shadow && !pre_.amd && may(Alternative::Exe010));
        }
        for (unsigned n = 0; n < 4; ++n)
            out_.when(in(possible, n),
                      [&] { add_fault_class(db(event::code_db, pre_.dr6, 1ull << n, possible | disabled_fetch())); });
        return false;
    }

    void general_detect() {
        const Mask shown = only_if(may(Alternative::Dbg056), met_.fetched);
        Outcome o = db(event::gd_db, pre_.dr6, 0, shown, dr6_bd);
        o.response.rf = true;
        o.rf_any = may(Alternative::Dbg026);
        add_fault_class(o);
    }
    void move_dr() {
        constexpr std::uint64_t ud = 6, gp = 13;
        const Bits& number = stim_.dr_number;
        const Bool gd = (pre_.dr7 & dr7_gd) != 0, write = stim_.dr_write;
        const Bool status = number == 4 || number == 6, control = number == 5 || number == 7;
        const Bool high = write && (status || control) && stim_.dr_value >> 32 != 0;
        if (out_.decide(Bits(7) < number || ((number == 4 || number == 5) && pre_.de))) {
            fault(ud, 0);
            out_.when(pre_.cpl != 0 && may(Alternative::Xcp170), [&] { fault(gp, 0); });
            return;
        }
        if (out_.decide(pre_.cpl != 0)) {
            fault(gp, 0);
            out_.when(gd && may(Alternative::Dbg015), [&] { general_detect(); });
            return;
        }
        if (out_.decide(gd)) {
            general_detect();
            out_.when(high && may(Alternative::Dbg017), [&] { fault(gp, 0); });
            return;
        }
        if (out_.decide(high)) return fault(gp, 0);

        found_dr6_ = ite(write && status, corrected_dr6(stim_.dr_value), pre_.dr6);
        found_dr7_ = ite(write && control, corrected_dr7(stim_.dr_value), pre_.dr7);
        const Bits address =
            ite(number == 0, pre_.dr0, ite(number == 1, pre_.dr1, ite(number == 2, pre_.dr2, pre_.dr3)));
        dr_value_ =
            ite(number < 4, ite(write, stim_.dr_value, address), ite(write, Bits(0), ite(status, pre_.dr6, pre_.dr7)));
        complete();
    }
    Bits corrected_dr6(const Bits& value) const {
        const Bits writable =
            (only_if(pre_.bus_lock, dr6_bld) | only_if(pre_.rtm, dr6_rtm)) | (dr6_b | dr6_bd | dr6_bs | dr6_bt);
        return (value & writable) | (~writable & dr6_reset);
    }
    Bits corrected_dr7(const Bits& value) const {
        return (value & (only_if(pre_.rtm, 0x800) | 0xFFFF23FF)) | dr7_reset;
    }

    void icebp() {
        const Mask held = pre_.held & dr6_b, before = pre_.dr6 & dr6_b & ~held;
        const Mask either = only_if(may(Alternative::Dbg055) && (!pre_.amd || held != 0), before);
        const Mask shown = only_if(may(Alternative::Dbg056), met_.fetched);
        Outcome o = db(event::icebp, pre_.dr6, held | only_if(pre_.amd, before), shown);
        o.dr6_any |= either;
        o.response.rip = stim_.next;
        o.rf_any = pre_.rf && !pre_.intel && may(Alternative::Xcp006);
        out_.add(o);
        out_.when((pre_.debugctl & tracing) != 0 && may(Alternative::Exe038), [&] {
            Outcome traced = o;
            traced.response.debugctl = pre_.debugctl;
            out_.add(traced);
        });
    }

    Outcome completed(const Mask& held) const {
        Outcome o{blank(event::none), 0, false};
        after_op(o.response);
        o.response.dr6 = found_dr6_;
        o.response.dr7 = found_dr7_;
        o.response.debugctl = stim_.debugctl_after;
        o.response.held = held;
        return o;
    }
    void after_op(Response<D>& r) const {
        r.rip = stim_.next;
        r.tf = stim_.tf_after;
        r.rf = stim_.rf_after;
        r.dr_value = dr_value_;
    }
    void load_ss() {
        if (out_.decide(pre_.shadow)) {
            complete();
            out_.when(may(Alternative::Exe032), [&] {
                Outcome o = completed((pre_.held & dr6_b) | met_.hit);
                o.response.shadow = true;
                out_.add(o);
            });
            return;
        }
        const Mask undefined = only_if(may(Alternative::Dbg032), met_.undefined);
        out_.each_subset(undefined, all_four, [&](const Mask& left_out) {
            Outcome o = completed(met_.hit | (undefined & ~left_out));
            o.response.shadow = true;
            out_.add(o);
        });
    }

    /// The new task starts without the old one's local breakpoints; whether LE goes with them, nobody says.
    void task_switch() {
        constexpr std::uint64_t local = 0x55, exact = 0x100;
        found_dr7_ = pre_.dr7 & ~local;
        complete();
        if (out_.decide((found_dr7_ & exact) != 0 && may(Alternative::Exe052))) {
            found_dr7_ = found_dr7_ & ~exact;
            complete();
        }
    }

    /// Whether a step trap is due, and whether the other answer is right as well.
    struct Step {
        Bool due, other;
    };
    Step step() const {
        const bool by_after = kind_ == kind::syscall || kind_ == kind::sysret;
        const Bool tf = by_after ? stim_.tf_after : pre_.tf, btf = (pre_.debugctl & btf_bit) != 0;
        const Bool counts = !btf || stim_.branch;
        const Bool due = tf && counts;
        switch (kind_) {
            case kind::rep: return {due, due && !stim_.last && may(Alternative::Exe014)};
            case kind::hlt: return {due, due && may(Alternative::Exe030)};
            case kind::sysret:
                return {due, pre_.tf != stim_.tf_after && counts && (pre_.tf || !pre_.amd) && may(Alternative::Exe029)};
            case kind::task_switch: return {due, (pre_.tf || stim_.tf_after) && counts && may(Alternative::Exe054)};
            case kind::ordinary: {
                const Bool toggled = ((stim_.debugctl_after ^ pre_.debugctl) & btf_bit) != 0;
                return {due, pre_.tf && toggled && !stim_.branch && may(Alternative::Exe031)};
            }
            default: return {due, false};
        }
    }
    /// Enabled instruction breakpoints on the instruction behind the op, as the op leaves the debug registers.
    Mask fetched_next() const {
        const Bits registers[] = {pre_.dr0, pre_.dr1, pre_.dr2, pre_.dr3};
        Mask fetched = 0;
        for (unsigned n = 0; n < 4; ++n) {
            const bool writes = kind_ == kind::mov_dr;
            const Bits at =
                writes ? ite(stim_.dr_write && stim_.dr_number == n, stim_.dr_value, registers[n]) : registers[n];
            const Bool armed = (found_dr7_ & 3ull << 2 * n) != 0 && (found_dr7_ & 3ull << (16 + 4 * n)) == 0;
            const Bits size = size_of(found_dr7_ >> (18 + 4 * n) & 3);
            const Bool here = armed && could_match(at, size, stim_.next);
            fetched |= ite(here, Bits(1ull << n), Bits(0));
        }
        return fetched;
    }
    void trap(bool stepped, const Mask& met, const Mask& possibly, const Mask& late) {
        Outcome o =
            db(event::trap, found_dr6_, met, possibly, only_if(stim_.task_trap, dr6_bt) | (stepped ? dr6_bs : 0));
        after_op(o.response);
        if (kind_ == kind::rep) o.response.rf = o.response.rf || !stim_.last;
        o.response.held = late;
        out_.add(o);
    }
    void complete() {
        const Step stepping = step();
        const Mask all = met_.hit | (pre_.held & dr6_b);
        const Mask optional = only_if(may(Alternative::Dbg032), met_.undefined) |
                              only_if(may(Alternative::Exe039), met_.undefined_io) |
                              only_if(may(Alternative::Exe040) && !pre_.amd, met_.low_port);
        const Mask shown = optional | only_if(may(Alternative::Dbg056), met_.fetched | met_.disabled) |
                           only_if(may(Alternative::Dbg095), fetched_next());
        const Mask met_port = met_.hit & ~met_.hit_data;
        Mask deferrable = 0;
        if (kind_ == kind::rep)
            deferrable =
                only_if(!stim_.last && may(Alternative::Dbg087), ((pre_.held & dr6_b) | met_.hit_data) & ~met_port);

        // What is reported now comes first: where the tape shows a #DB, that is the likely one.
        for (const bool stepped : {true, false}) {
            const Bool as_due = stepping.due == stepped;
            out_.when(as_due || stepping.other, [&] {
                const Bool waits = kind_ == kind::hlt ? !as_due : Bool(false);
                out_.each_subset(deferrable, all_four, [&](const Mask& late) {
                    const Mask now = all & ~late;
                    out_.when((Bool(stepped) || now != 0 || stim_.task_trap) && !waits,
                              [&] { trap(stepped, now, shown & ~late, late); });
                    if (stepped) return;
                    out_.when(now == 0 && !stim_.task_trap, [&] {
                        for (unsigned n = 0; n < 4; ++n)
                            out_.when(!waits && in(optional & ~late, n),
                                      [&] { trap(false, 1ull << n, shown & ~late, late); });
                        out_.add(completed(late));
                    });
                });
            });
        }
    }

    const Pre<D>& pre_;
    const Stimulus<D>& stim_;
    OutcomesIn<D>& out_;
    Bits without_;
    std::uint64_t kind_ = 0;
    Met met_;
    Bits found_dr6_, found_dr7_, dr_value_ = 0;
};

/// What is right, added to `out`; never nothing for a valid stimulus.
template <class D>
void find_outcomes(const Pre<D>& pre, const Stimulus<D>& stim, OutcomesIn<D>& out, const typename D::Bits& without) {
    Finder<D>(pre, stim, out, without).find();
}

}  // namespace faultline::oracle::debug
