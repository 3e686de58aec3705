// The chapter's operational form, over a domain: see outcomes.hpp. It goes through a delivery in the order of the
// manual's pseudocode (Intel SDM vol 2, "INT n/INTO/INT3/INT1—Call to Interrupt Procedure") and uses none of the words
// of situation.hpp. It branches on values only through its list of outcomes (outcome_list.hpp).
#pragma once

#include "oracle/chapters/exceptions/outcomes.hpp"

namespace faultline::oracle::exceptions {

template <class D>
class Finder {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    using Outcome = OutcomeIn<D>;

    static constexpr std::uint64_t divide_error = 0, breakpoint_range = 5, invalid_opcode = 6, double_fault = 8,
                                   invalid_tss = 10, not_present = 11, stack_fault = 12, general_protection = 13,
                                   page_fault = 14, alignment_check = 17;
    enum class Second { Benign, Contributory, PageFault };

public:
    /// `without`: an Alternative to leave out; Alternative::Count: none.
    Finder(const Pre<D>& pre, const Stimulus<D>& stim, OutcomesIn<D>& out, const Bits& without)
        : pre_(pre), stim_(stim), out_(out), without_(without) {}

    void find() {
        if (out_.pick(stim_.kind, kind::last) == kind::raise) return raise();
        by_exception_ = stim_.source == source::exception;
        by_software_ = stim_.source == source::software;
        if (out_.decide(pre_.mode == mode::real_mode)) return real_address_mode();
        ext_ = ite(by_software_, Bits(0), Bits(1));
        long_ = out_.decide(pre_.mode == mode::long_mode);
        through_idt();
    }

private:
    Bool may(Alternative a) const { return without_ != static_cast<std::uint64_t>(a); }

    // --- An op that cannot complete

    Outcome raised(const Bits& vector, const Bits& error) const {
        Outcome o{};
        o.response.result = result::raised;
        o.response.vector = vector;
        o.response.error = error;
        return o;
    }
    void raise(const Bits& vector, const Bits& error = 0) { out_.add(raised(vector, error)); }
    void raise_page_fault(const Bool& instruction) {
        const auto bit = [](const Bool& set, std::uint64_t value) { return ite(set, Bits(value), Bits(0)); };
        Outcome o = raised(page_fault, bit(stim_.present, 1) | bit(stim_.write, 2) | bit(stim_.user, 4) |
                                           bit(instruction && pre_.fetch_flag, 16));
        o.response.writes_cr2 = true;
        o.response.cr2 = o.cr2_low = stim_.address;
        o.cr2_high = stim_.address + ite(may(Alternative::Xcp158), stim_.span, Bits(0));
        out_.add(o);
    }
    void raise() {
        const Bits selector = stim_.selector & ~3ull;
        switch (out_.pick(stim_.cause, cause::last)) {
            case cause::invalid_opcode: return raise(invalid_opcode);
            case cause::divide: return raise(divide_error);
            case cause::bound: return raise(breakpoint_range);
            case cause::access:
                if (out_.decide(stim_.out_of_range))
                    return raise(ite(stim_.stack, Bits(stack_fault), Bits(general_protection)));
                if (!out_.decide(stim_.misaligned)) return raise_page_fault(false);
                raise(alignment_check);
                return out_.when(stim_.page && may(Alternative::Xcp147), [&] { raise_page_fault(false); });
            case cause::fetch:
                if (out_.decide(stim_.out_of_range)) return raise(general_protection);
                return raise_page_fault(true);
            case cause::selector: return raise(general_protection, selector);
            case cause::absent_selector:
                raise(ite(stim_.stack, Bits(stack_fault), Bits(not_present)), selector);
                return out_.when(stim_.stack && stim_.iret && may(Alternative::Xcp117),
                                 [&] { raise(not_present, selector); });
            case cause::task_selector:
                return raise(ite(stim_.iret, Bits(invalid_tss), Bits(general_protection)), selector);
            case cause::gate_dpl: return raise(general_protection, (stim_.vector << 3) + 2);
            default: return raise(general_protection);
        }
    }

    // --- A delivery that meets a fault: Intel SDM vol 3, "Double Fault Exception (#DF)", and "Error Code"

    /// The event is `vector`, raised by the processor.
    Bool event_is(std::uint64_t vector) const { return by_exception_ && stim_.vector == vector; }
    void meet(Second second, const Bits& vector, const Bits& error) {
        Outcome o{};
        o.met_vector = vector, o.met_error = error;
        if (second == Second::PageFault) {
            const Bool any = may(Alternative::Xcp244);
            o.response.writes_cr2 = true;
            o.response.cr2 = stim_.push_address;
            o.cr2_low = ite(any, stim_.push_low, stim_.push_address);
            o.cr2_high = ite(any, stim_.push_high, stim_.push_address);
        }
        const auto shut_down = [&] {
            o.response.result = result::shutdown;
            out_.add(o);
        };
        if (second != Second::Benign) {
            if (out_.decide(event_is(double_fault))) return shut_down();
            Bool doubled = event_is(page_fault);
            if (second == Second::Contributory)
                doubled = doubled || (by_exception_ &&
                                      (stim_.vector == divide_error || (ule(Bits(invalid_tss), stim_.vector) &&
                                                                        ule(stim_.vector, Bits(general_protection)))));
            if (out_.decide(doubled)) {
                o.response.result = result::double_fault;
                o.response.vector = double_fault;
                o.response.rip = stim_.origin;
                o.response.rf = true;
                o.rip_any = may(Alternative::Xcp010);
                o.rf_any = may(Alternative::Xcp008);
                return out_.add(o);
            }
        } else {
            out_.when(event_is(double_fault), shut_down);
        }
        o.response.result = result::serial;
        o.response.vector = vector;
        o.response.error = error;
        o.response.rip = stim_.origin;
        o.response.rf = true;
        o.rf_any = !pre_.intel && !stim_.rf && may(Alternative::Xcp222);
        out_.add(o);
    }
    void contributory(std::uint64_t vector, const Bits& index) {
        meet(Second::Contributory, vector, (index & 0xFFFC) | ext_);
    }
    void refuse_push() {
        const Bool user = (inner_ ? stim_.cs_dpl : pre_.cpl) == 3;
        meet(Second::PageFault, page_fault,
             ite(stim_.push_present, Bits(1), Bits(0)) | 2 | ite(user, Bits(4), Bits(0)));
    }

    // --- Protected and long mode

    void through_idt() {
        const Bits gate = (stim_.vector << 3) + 2;
        const auto gate_fault = [&](std::uint64_t vector) { meet(Second::Contributory, vector, gate + ext_); };
        if (out_.decide(stim_.gate_outside)) return gate_fault(general_protection);
        const bool task = out_.decide(stim_.gate_type == gate::task);
        if (task ? long_ : out_.decide(stim_.gate_type == gate::reserved)) return gate_fault(general_protection);
        if (out_.decide(by_software_ && stim_.gate_dpl < pre_.cpl))
            return meet(Second::Contributory, general_protection, gate);
        if (out_.decide(!stim_.gate_present)) return gate_fault(not_present);
        if (task) return task_gate();

        const Bits& selector = stim_.gate_selector;
        if (out_.decide(ule(selector, Bits(3)))) return contributory(general_protection, 0);
        if (out_.decide(stim_.cs_outside)) return contributory(general_protection, selector);
        if (out_.decide(!stim_.cs_code || pre_.cpl < stim_.cs_dpl)) return contributory(general_protection, selector);
        if (long_ && out_.decide(!stim_.cs_long)) {
            contributory(general_protection, selector);
            out_.when(may(Alternative::Xcp190), [&] { gate_fault(general_protection); });
            return out_.when(!stim_.cs_present && may(Alternative::Xcp041),
                             [&] { contributory(not_present, selector); });
        }
        if (out_.decide(!stim_.cs_present)) return contributory(not_present, selector);
        inner_ = out_.decide(!stim_.cs_conforming && stim_.cs_dpl < pre_.cpl);
        long_ ? ia_32e_mode_stack() : legacy_stack();
    }
    void task_gate() {
        if (out_.decide(!stim_.tss_available)) return contributory(general_protection, stim_.gate_selector);
        if (out_.decide(!stim_.tss_present)) return contributory(not_present, stim_.gate_selector);
        Outcome o = entered();
        o.response.result = result::task_switch;
        o.response.selector = stim_.gate_selector;
        out_.add(o);
    }

    void ia_32e_mode_stack() {
        ist_ = out_.decide(stim_.gate_ist != 0);
        const bool loaded = inner_ || ist_;
        if (loaded && out_.decide(stim_.slot_outside)) return contributory(invalid_tss, pre_.tr);
        if (out_.decide(stim_.sp_out_of_range)) {
            contributory(stack_fault, 0);
            out_.when(may(Alternative::Xcp241), [&] { contributory(stack_fault, pre_.ss); });
            if (loaded) out_.when(may(Alternative::Xcp199), [&] { contributory(invalid_tss, pre_.tr); });
            return;
        }
        const Bits aligned = (loaded ? stim_.new_sp : pre_.sp) & ~15ull;
        if (out_.decide(stim_.target_out_of_range)) {
            contributory(general_protection, 0);
            return out_.when(!pre_.intel && may(Alternative::Xcp192), [&] { push_64(aligned); });
        }
        push_64(aligned);
    }
    void push_64(const Bits& top) {
        if (out_.decide(stim_.push_page)) return refuse_push();
        Outcome o = in_handler(8, true, top);
        if (inner_) o.response.ss = stim_.cs_dpl;
        out_.add(o);
        if (ist_ && !inner_)
            out_.when(may(Alternative::Xcp059), [&] {
                Outcome nulled = o;
                nulled.response.ss = pre_.cpl;
                out_.add(nulled);
            });
    }

    void legacy_stack() {
        if (inner_) {
            if (out_.decide(stim_.slot_outside)) return contributory(invalid_tss, pre_.tr);
            out_.when(stim_.slot_edge && may(Alternative::Xcp242), [&] { contributory(invalid_tss, pre_.tr); });
            if (out_.decide(ule(stim_.new_ss, Bits(3)))) return contributory(invalid_tss, 0);
            if (out_.decide(stim_.ss_outside || (stim_.new_ss & 3) != stim_.cs_dpl || stim_.ss_dpl != stim_.cs_dpl ||
                            !stim_.ss_writable))
                return contributory(invalid_tss, stim_.new_ss);
            if (out_.decide(!stim_.ss_present)) return contributory(stack_fault, stim_.new_ss);
        }
        if (out_.decide(stim_.sp_out_of_range)) return contributory(stack_fault, inner_ ? stim_.new_ss : Bits(0));
        if (out_.decide(stim_.target_out_of_range)) return contributory(general_protection, 0);
        out_.when(stim_.push_misaligned && may(Alternative::Xcp245),
                  [&] { meet(Second::Benign, alignment_check, ext_); });
        if (out_.decide(stim_.push_page)) return refuse_push();
        Outcome o = in_handler(4, inner_, inner_ ? stim_.new_sp : pre_.sp);
        o.response.frame &= 0xFFFFFFFF;
        if (inner_) o.response.ss = stim_.new_ss;
        out_.add(o);
    }

    /// What frames and task switches share.
    Outcome entered() const {
        Outcome o{};
        o.response.rip = stim_.rip;
        o.response.rf = stim_.rf;
        const Bool code = by_exception_ && pre_.mode != mode::real_mode &&
                          (stim_.vector == double_fault || stim_.vector == alignment_check ||
                           (ule(Bits(invalid_tss), stim_.vector) && ule(stim_.vector, Bits(page_fault))));
        o.response.pushes_error = code;
        o.response.error = ite(code, stim_.error, Bits(0));
        o.held_any = ite(may(Alternative::Xcp228), stim_.watched, Bits(0));
        return o;
    }
    /// In the handler, with three slots and what else belongs there pushed below `top`; SS as it was.
    Outcome in_handler(unsigned slot, bool stack, const Bits& top) const {
        Outcome o = entered();
        Response<D>& r = o.response;
        r.result = result::delivered;
        r.pushes_stack = stack;
        r.slot = slot;
        r.frame = top - slot * (stack ? 5 : 3) - ite(r.pushes_error, Bits(slot), Bits(0));
        r.cpl = inner_ ? stim_.cs_dpl : pre_.cpl;
        r.ss = pre_.ss;
        r.if_ = pre_.if_ && stim_.gate_type != gate::interrupt;
        r.ac = pre_.ac;
        return o;
    }

    // --- Real mode

    void real_address_mode() {
        if (out_.decide(stim_.gate_outside)) return meet(Second::Contributory, general_protection, 0);
        if (out_.decide(stim_.sp_out_of_range)) return meet(Second::Contributory, stack_fault, 0);
        out_.when(stim_.sp_edge && may(Alternative::Xcp251), [&] { meet(Second::Contributory, stack_fault, 0); });
        Outcome o = in_handler(2, false, pre_.sp);
        o.response.frame &= 0xFFFF;
        o.response.if_ = false;
        o.response.ac = false;
        o.response.nt = pre_.nt;
        out_.add(o);
    }

    const Pre<D>& pre_;
    const Stimulus<D>& stim_;
    OutcomesIn<D>& out_;
    const Bits without_;
    Bool by_exception_ = false, by_software_ = false;
    Bits ext_ = 0;
    bool long_ = false, inner_ = false, ist_ = false;
};

/// The right responses, added to `out`.
template <class D>
void find_outcomes(const Pre<D>& pre, const Stimulus<D>& stim, OutcomesIn<D>& out, const typename D::Bits& without) {
    Finder<D>(pre, stim, out, without).find();
}

}  // namespace faultline::oracle::exceptions
