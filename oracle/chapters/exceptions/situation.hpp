// The words in which the rules of this chapter are written: which check of a delivery fails first, what class an
// exception is of, what a response shows. Declarative and generic; operational.hpp has its own reading of the same
// manuals and uses none of this.
#pragma once

#include "oracle/chapters/exceptions/records.hpp"

namespace faultline::oracle::exceptions {

/// Vectors.
namespace vec {
inline constexpr std::uint64_t de = 0, db = 1, bp = 3, of = 4, br = 5, ud = 6, nm = 7, df = 8, ts = 10, np = 11,
                               ss = 12, gp = 13, pf = 14, mf = 16, ac = 17, mc = 18, xm = 19;
}
/// Bits of a page fault's error code.
namespace pf {
inline constexpr std::uint64_t p = 1, w = 2, u = 4, id = 16;
}

// --- Moments ------------------------------------------------------------------------------------------------

template <class D>
typename D::Bool raising(const Stimulus<D>& stim) {
    return stim.kind == kind::raise;
}
template <class D>
typename D::Bool raising(const Stimulus<D>& stim, std::uint64_t cause) {
    return raising(stim) && stim.cause == cause;
}
template <class D>
typename D::Bool delivering(const Stimulus<D>& stim) {
    return stim.kind == kind::deliver;
}
template <class D>
typename D::Bool in_long_mode(const Pre<D>& pre) {
    return pre.mode == mode::long_mode;
}
template <class D>
typename D::Bool in_protected_mode(const Pre<D>& pre) {
    return pre.mode == mode::protected_mode;
}
template <class D>
typename D::Bool in_real_mode(const Pre<D>& pre) {
    return pre.mode == mode::real_mode;
}

// --- The event ----------------------------------------------------------------------------------------------

template <class D>
typename D::Bool from(const Stimulus<D>& stim, std::uint64_t source) {
    return stim.source == source;
}
template <class D>
typename D::Bool exception(const Stimulus<D>& stim, std::uint64_t vector) {
    return from(stim, source::exception) && stim.vector == vector;
}
/// Intel SDM vol 3, "Double Fault Exception (#DF)", Interrupt and Exception Classes.
template <class D>
typename D::Bool contributory(const Stimulus<D>& stim) {
    return exception(stim, vec::de) || exception(stim, vec::ts) || exception(stim, vec::np) ||
           exception(stim, vec::ss) || exception(stim, vec::gp);
}
template <class D>
typename D::Bool benign(const Stimulus<D>& stim) {
    return !contributory(stim) && !exception(stim, vec::pf) && !exception(stim, vec::df);
}
/// A processor exception that comes with an error code.
template <class D>
typename D::Bool carries_error(const Stimulus<D>& stim) {
    return exception(stim, vec::df) || exception(stim, vec::ts) || exception(stim, vec::np) ||
           exception(stim, vec::ss) || exception(stim, vec::gp) || exception(stim, vec::pf) || exception(stim, vec::ac);
}

// --- The gate -----------------------------------------------------------------------------------------------
// A word `x_ok` says that its check and all before it succeed; Intel SDM vol 2, "INT n/INTO/INT3/INT1".

template <class D>
typename D::Bool gate_type_wrong(const Pre<D>& pre, const Stimulus<D>& stim) {
    return !in_real_mode(pre) &&
           (stim.gate_type == gate::reserved || (in_long_mode(pre) && stim.gate_type == gate::task));
}
template <class D>
typename D::Bool gate_dpl_below(const Pre<D>& pre, const Stimulus<D>& stim) {
    return !in_real_mode(pre) && !ule(pre.cpl, stim.gate_dpl);
}
template <class D>
typename D::Bool gate_type_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return delivering(stim) && !stim.gate_outside && !gate_type_wrong(pre, stim);
}
template <class D>
typename D::Bool gate_dpl_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return gate_type_ok(pre, stim) && !(from(stim, source::software) && gate_dpl_below(pre, stim));
}
template <class D>
typename D::Bool gate_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return gate_dpl_ok(pre, stim) && (in_real_mode(pre) || stim.gate_present);
}
/// Some check of the gate itself fails.
template <class D>
typename D::Bool gate_refused(const Pre<D>& pre, const Stimulus<D>& stim) {
    return delivering(stim) && !gate_ok(pre, stim);
}

// --- Task gates ---------------------------------------------------------------------------------------------

template <class D>
typename D::Bool through_task_gate(const Pre<D>& pre, const Stimulus<D>& stim) {
    return gate_ok(pre, stim) && in_protected_mode(pre) && stim.gate_type == gate::task;
}
template <class D>
typename D::Bool task_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return through_task_gate(pre, stim) && stim.tss_available && stim.tss_present;
}

// --- The handler's code segment -----------------------------------------------------------------------------

template <class D>
typename D::Bool null(const typename D::Bits& selector) {
    return !has(selector, 0xFFFC);
}
/// The gate's selector is looked at.
template <class D>
typename D::Bool cs_reached(const Pre<D>& pre, const Stimulus<D>& stim) {
    return gate_ok(pre, stim) && !in_real_mode(pre) && !through_task_gate(pre, stim);
}
template <class D>
typename D::Bool cs_found(const Pre<D>& pre, const Stimulus<D>& stim) {
    return cs_reached(pre, stim) && !null<D>(stim.gate_selector) && !stim.cs_outside;
}
template <class D>
typename D::Bool cs_type_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return cs_found(pre, stim) && stim.cs_code;
}
template <class D>
typename D::Bool cs_dpl_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return cs_type_ok(pre, stim) && ule(stim.cs_dpl, pre.cpl);
}
template <class D>
typename D::Bool cs_size_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return cs_dpl_ok(pre, stim) && (!in_long_mode(pre) || stim.cs_long);
}
template <class D>
typename D::Bool cs_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return cs_size_ok(pre, stim) && stim.cs_present;
}

// --- The stack ----------------------------------------------------------------------------------------------

/// Where every check so far succeeds: to an inner level, so that the stack changes.
template <class D>
typename D::Bool inward(const Pre<D>& pre, const Stimulus<D>& stim) {
    return !in_real_mode(pre) && !stim.cs_conforming && !ule(pre.cpl, stim.cs_dpl);
}
template <class D>
typename D::Bool by_ist(const Pre<D>& pre, const Stimulus<D>& stim) {
    return in_long_mode(pre) && stim.gate_ist != 0;
}
/// The stack pointer comes out of the TSS.
template <class D>
typename D::Bool stack_from_tss(const Pre<D>& pre, const Stimulus<D>& stim) {
    return inward(pre, stim) || by_ist(pre, stim);
}
template <class D>
typename D::Bool handler_cpl(const Pre<D>& pre, const Stimulus<D>& stim, std::uint64_t cpl) {
    return (inward(pre, stim) && stim.cs_dpl == cpl) || (!inward(pre, stim) && pre.cpl == cpl);
}
template <class D>
typename D::Bool slot_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return cs_ok(pre, stim) && !(stack_from_tss(pre, stim) && stim.slot_outside);
}
/// Protected mode: SSn is looked at.
template <class D>
typename D::Bool new_ss_reached(const Pre<D>& pre, const Stimulus<D>& stim) {
    return slot_ok(pre, stim) && in_protected_mode(pre) && inward(pre, stim);
}
template <class D>
typename D::Bool new_ss_found(const Pre<D>& pre, const Stimulus<D>& stim) {
    return new_ss_reached(pre, stim) && !null<D>(stim.new_ss) && !stim.ss_outside;
}
template <class D>
typename D::Bool new_ss_rpl_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return new_ss_found(pre, stim) && (stim.new_ss & 3) == stim.cs_dpl;
}
template <class D>
typename D::Bool new_ss_dpl_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return new_ss_rpl_ok(pre, stim) && stim.ss_dpl == stim.cs_dpl;
}
template <class D>
typename D::Bool new_ss_type_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return new_ss_dpl_ok(pre, stim) && stim.ss_writable;
}
template <class D>
typename D::Bool ss_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return (new_ss_type_ok(pre, stim) && stim.ss_present) ||
           (slot_ok(pre, stim) && !(in_protected_mode(pre) && inward(pre, stim))) ||
           (in_real_mode(pre) && gate_ok(pre, stim));
}
template <class D>
typename D::Bool stack_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return ss_ok(pre, stim) && !stim.sp_out_of_range;
}

// --- The end of a delivery ----------------------------------------------------------------------------------

template <class D>
typename D::Bool target_ok(const Pre<D>& pre, const Stimulus<D>& stim) {
    return stack_ok(pre, stim) && !stim.target_out_of_range;
}
template <class D>
typename D::Bool arrives(const Pre<D>& pre, const Stimulus<D>& stim) {
    return target_ok(pre, stim) && !stim.push_page;
}
/// Every check succeeds, but paging refuses a push.
template <class D>
typename D::Bool push_refused(const Pre<D>& pre, const Stimulus<D>& stim) {
    return target_ok(pre, stim) && stim.push_page;
}
/// A check fails: the delivery meets a contributory exception.
template <class D>
typename D::Bool refused(const Pre<D>& pre, const Stimulus<D>& stim) {
    return delivering(stim) && !target_ok(pre, stim) && !task_ok(pre, stim);
}

// --- Responses ----------------------------------------------------------------------------------------------

template <class D>
typename D::Bool is(const Response<D>& r, std::uint64_t result) {
    return r.result == result;
}
template <class D>
typename D::Bool nested(const Response<D>& r) {
    return is(r, result::serial) || is(r, result::double_fault);
}
template <class D>
typename D::Bool raises(const Response<D>& r, std::uint64_t vector) {
    return is(r, result::raised) && r.vector == vector;
}
template <class D>
typename D::Bool serial(const Response<D>& r, std::uint64_t vector) {
    return is(r, result::serial) && r.vector == vector;
}
/// Where the event is given up for a further exception, that is `vector`.
template <class D>
typename D::Bool meets(const Response<D>& r, std::uint64_t vector) {
    return !is(r, result::serial) || r.vector == vector;
}
/// … and its error code, EXT aside, is `code`.
template <class D>
typename D::Bool code_is(const Response<D>& r, const typename D::Bits& code) {
    return !is(r, result::serial) || (r.error & ~1ull) == code;
}
/// #PF in place of the event, raised or serial.
template <class D>
typename D::Bool page_fault(const Response<D>& r) {
    return raises(r, vec::pf) || serial(r, vec::pf);
}
template <class D>
typename D::Bits gate_code(const Stimulus<D>& stim) {
    return (stim.vector << 3) | 2;
}
/// What follows when the delivery meets a contributory exception, `vector`.
template <class D>
typename D::Bool ends_in_contributory(const Stimulus<D>& stim, const Response<D>& r, std::uint64_t vector) {
    return !r.writes_cr2 && ((benign(stim) && serial(r, vector)) ||
                             ((contributory(stim) || exception(stim, vec::pf)) && is(r, result::double_fault)) ||
                             (exception(stim, vec::df) && is(r, result::shutdown)));
}
template <class D>
typename D::Bool ends_in_page_fault(const Stimulus<D>& stim, const Response<D>& r) {
    return r.writes_cr2 && (((benign(stim) || contributory(stim)) && serial(r, vec::pf)) ||
                            (exception(stim, vec::pf) && is(r, result::double_fault)) ||
                            (exception(stim, vec::df) && is(r, result::shutdown)));
}

/// Fields that the result makes meaningless are zero.
template <class D>
typename D::Bool normalised(const Stimulus<D>& stim, const Response<D>& r) {
    const auto lands = is(r, result::delivered), switches = is(r, result::task_switch);
    return ule(r.result, typename D::Bits(result::task_switch)) && raising(stim) == is(r, result::raised) &&
           implies(lands || switches || is(r, result::shutdown), r.vector == 0) &&
           implies(is(r, result::double_fault), r.vector == vec::df) &&
           implies(is(r, result::shutdown), r.error == 0) &&
           implies((lands || switches) && !r.pushes_error, r.error == 0) && implies(!r.writes_cr2, r.cr2 == 0) &&
           implies(lands || switches, !r.writes_cr2) &&
           implies(is(r, result::raised) || is(r, result::shutdown), r.rip == 0 && !r.rf) &&
           implies(!lands && !switches, !r.pushes_error && r.held == 0) &&
           implies(!lands, !r.pushes_stack && r.slot == 0 && r.frame == 0 && r.cpl == 0 && r.ss == 0 && !r.if_ &&
                               !r.tf && !r.nt && !r.rf_after && !r.ac) &&
           implies(!switches, r.selector == 0) && ule(r.held, typename D::Bits(15));
}

// --- What can be ----------------------------------------------------------------------------------------------

/// An exception that the processors and modes of this chapter raise.
template <class D>
typename D::Bool possible_exception(const Pre<D>& pre, const typename D::Bits& v) {
    return v == vec::de || v == vec::db || v == vec::br || v == vec::ud || v == vec::nm || v == vec::df ||
           v == vec::ss || v == vec::gp || v == vec::mf || v == vec::mc || v == vec::xm ||
           (!in_real_mode(pre) && (v == vec::ts || v == vec::np || v == vec::pf || v == vec::ac));
}
/// A fact of the raise kind is set that its cause does not look at, or cannot be.
template <class D>
typename D::Bool raise_possible(const Pre<D>& pre, const Stimulus<D>& stim) {
    const auto access = stim.cause == cause::access, fetch = stim.cause == cause::fetch;
    const auto real_cause = stim.cause == cause::invalid_opcode || access || fetch ||
                            stim.cause == cause::branch_target || stim.cause == cause::divide ||
                            stim.cause == cause::bound || stim.cause == cause::reserved_bits;
    return ule(stim.cause, typename D::Bits(cause::last)) && ule(stim.selector, typename D::Bits(0xFFFF)) &&
           ule(stim.vector, typename D::Bits(0xFF)) &&
           implies(in_real_mode(pre), real_cause && !stim.page && !stim.misaligned) &&
           implies(access, stim.out_of_range || stim.misaligned || stim.page) &&
           implies(fetch, (stim.out_of_range || stim.page) && !stim.misaligned && !stim.stack && !stim.write &&
                              stim.span == 0) &&
           ule(stim.span, typename D::Bits(63)) && ule(stim.address, typename D::Bits(0xFFFFFFFF'FFFFFFC0 - 1)) &&
           implies(stim.cause == cause::nested_task, in_long_mode(pre));
}
template <class D>
typename D::Bool deliver_possible(const Pre<D>& pre, const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    const auto exceptional = from(stim, source::exception);
    return ule(stim.vector, Bits(0xFF)) && ule(stim.source, Bits(source::external)) && ule(stim.error, Bits(0xFFFF)) &&
           implies(exceptional, possible_exception(pre, stim.vector)) &&
           implies(!carries_error(stim) || in_real_mode(pre) || exception(stim, vec::df), stim.error == 0) &&
           implies(from(stim, source::icebp), stim.vector == vec::db) &&
           implies(exceptional || from(stim, source::external), stim.rip == stim.origin) &&
           ule(stim.gate_type, Bits(gate::reserved)) && ule(stim.gate_dpl, Bits(3)) && ule(stim.cs_dpl, Bits(3)) &&
           ule(stim.ss_dpl, Bits(3)) && ule(stim.gate_ist, Bits(7)) && ule(stim.gate_selector, Bits(0xFFFF)) &&
           ule(stim.new_ss, Bits(0xFFFF)) && ule(stim.watched, Bits(15)) &&
           implies(!in_long_mode(pre), stim.gate_ist == 0 && ule(stim.new_sp, Bits(0xFFFFFFFF))) &&
           implies(in_real_mode(pre), !stim.target_out_of_range && !stim.push_page) &&
           implies(stim.sp_edge, in_real_mode(pre) && !stim.sp_out_of_range) &&
           implies(stim.slot_edge, in_protected_mode(pre) && !stim.slot_outside) &&
           implies(stim.push_misaligned, in_protected_mode(pre) && !inward(pre, stim) && pre.cpl == 3 && pre.ac) &&
           implies(stim.push_page, ule(stim.push_low, stim.push_address) && ule(stim.push_address, stim.push_high));
}
/// The states and stimuli the chapter speaks about; everything is proved under it.
template <class D>
typename D::Bool valid(const Pre<D>& pre, const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    return ule(pre.mode, Bits(mode::real_mode)) && (pre.cpl == 0 || pre.cpl == 3) &&
           implies(in_real_mode(pre), pre.cpl == 0 && ule(pre.sp, Bits(0xFFFF))) &&
           implies(pre.code64, in_long_mode(pre)) && implies(!pre.code64, ule(pre.sp, Bits(0xFFFFFFFF))) &&
           ule(pre.cs, Bits(0xFFFF)) && ule(pre.ss, Bits(0xFFFF)) && ule(pre.tr, Bits(0xFFFF)) &&
           !(pre.amd && pre.intel) && ule(stim.kind, Bits(kind::last)) &&
           implies(raising(stim), raise_possible(pre, stim)) && implies(delivering(stim), deliver_possible(pre, stim));
}

}  // namespace faultline::oracle::exceptions
