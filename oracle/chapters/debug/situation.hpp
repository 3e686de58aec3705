// The words in which the rules of this chapter are written: which breakpoint matches what, and what kind of moment
// an op is. Declarative and generic; outcomes.cpp has its own reading of the same manual and uses none of this.
#pragma once

#include "oracle/chapters/debug/records.hpp"

namespace faultline::oracle::debug {

namespace dr = guest::dr;

// --- Breakpoint registers -----------------------------------------------------------------------------------
// AMD APM vol 2 (rev 3.42), "Debug-Control Register (DR7)" and "Setting Breakpoints".

template <class D>
const typename D::Bits& address_of(const Pre<D>& pre, unsigned n) {
    return n == 0 ? pre.dr0 : n == 1 ? pre.dr1 : n == 2 ? pre.dr2 : pre.dr3;
}
template <class D>
typename D::Bool enabled(const Pre<D>& pre, unsigned n) {
    return has(pre.dr7, 3ull << 2 * n);
}
template <class D>
typename D::Bool rw_is(const Pre<D>& pre, unsigned n, std::uint64_t rw) {
    return (pre.dr7 & 3ull << (16 + 4 * n)) == rw << (16 + 4 * n);
}
template <class D>
typename D::Bool len_is(const Pre<D>& pre, unsigned n, std::uint64_t len) {
    return (pre.dr7 & 3ull << (18 + 4 * n)) == len << (18 + 4 * n);
}
/// The address bits that LEN takes out of the comparison.
template <class D>
typename D::Bits len_mask(const Pre<D>& pre, unsigned n) {
    using Bits = typename D::Bits;
    return ite(len_is(pre, n, 0), Bits(0), ite(len_is(pre, n, 1), Bits(1), ite(len_is(pre, n, 3), Bits(3), Bits(7))));
}
/// [address, address + length) shares a byte with the range that DRn and LENn name.
template <class D>
typename D::Bool in_range(const Pre<D>& pre, unsigned n, const typename D::Bits& address,
                          const typename D::Bits& length) {
    const typename D::Bits mask = len_mask(pre, n), base = address_of(pre, n) & ~mask;
    return length != 0 && ule(address, base | mask) && ule(base, address + length - 1);
}
/// The same were LEN a length counted from an unaligned DRn: the misreading that DBG-028 is about.
template <class D>
typename D::Bool in_unmasked_range(const Pre<D>& pre, unsigned n, const typename D::Bits& address,
                                   const typename D::Bits& length) {
    const typename D::Bits mask = len_mask(pre, n), base = address_of(pre, n);
    return length != 0 && (ule(address - base, mask) || ule(base - address, length - 1));
}

/// True for some access of the op that `f(address, length, write)` accepts.
template <class D, class F>
typename D::Bool any_access(const Stimulus<D>& s, F f) {
    return f(s.address0, s.length0, s.write0) || f(s.address1, s.length1, s.write1) ||
           f(s.address2, s.length2, s.write2) || f(s.address3, s.length3, s.write3) ||
           f(s.address4, s.length4, s.write4);
}
template <class D>
typename D::Bool writes_in_range(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return any_access(
        stim, [&](auto& address, auto& length, auto& write) { return write && in_range(pre, n, address, length); });
}
template <class D>
typename D::Bool touches_range(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return any_access(stim, [&](auto& address, auto& length, auto&) { return in_range(pre, n, address, length); });
}
template <class D>
typename D::Bool io_in_range(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return stim.io && in_range(pre, n, stim.io_port, stim.io_width);
}

// --- Matches ------------------------------------------------------------------------------------------------

/// The op's own address is that of an instruction breakpoint, enabled or not, of a defined length.
template <class D>
typename D::Bool fetch_match(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return rw_is(pre, n, 0) && len_is(pre, n, 0) && address_of(pre, n) == stim.rip;
}
/// The same with LEN ≠ 00, which is undefined, under any reading of LEN.
template <class D>
typename D::Bool fetch_undefined(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return rw_is(pre, n, 0) && !len_is(pre, n, 0) &&
           (in_range(pre, n, stim.rip, typename D::Bits(1)) ||
            in_unmasked_range(pre, n, stim.rip, typename D::Bits(1)));
}
/// A data or I/O breakpoint, enabled or not, that the op's accesses meet, under a defined setting.
template <class D>
typename D::Bool access_match(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return (rw_is(pre, n, 1) && writes_in_range(pre, stim, n)) || (rw_is(pre, n, 3) && touches_range(pre, stim, n)) ||
           (rw_is(pre, n, 2) && pre.de && !len_is(pre, n, 2) && io_in_range(pre, stim, n));
}
template <class D>
typename D::Bool hit(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return enabled(pre, n) && access_match(pre, stim, n);
}
/// An enabled breakpoint whose setting the manuals leave undefined, met by an access: R/W = 10 without CR4.DE; an
/// I/O breakpoint of eight bytes.
template <class D>
typename D::Bool access_undefined(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    return rw_is(pre, n, 2) && ((!pre.de && (touches_range(pre, stim, n) || io_in_range(pre, stim, n))) ||
                                (pre.de && len_is(pre, n, 2) && io_in_range(pre, stim, n)));
}
/// An I/O breakpoint whose DRn equals the port only in its low 16 bits.
template <class D>
typename D::Bool io_low_bits_match(const Pre<D>& pre, const Stimulus<D>& stim, unsigned n) {
    const typename D::Bits mask = len_mask(pre, n), base = address_of(pre, n) & ~mask & 0xFFFF;
    return rw_is(pre, n, 2) && pre.de && !len_is(pre, n, 2) && stim.io && stim.io_width != 0 &&
           !io_in_range(pre, stim, n) && ule(stim.io_port, base | mask) && ule(base, stim.io_port + stim.io_width - 1);
}
template <class D>
typename D::Bool held(const Pre<D>& pre, unsigned n) {
    return has(pre.held, 1ull << n);
}
template <class F>
auto any_register(F f) {
    return f(0u) || f(1u) || f(2u) || f(3u);
}

// --- Moments ------------------------------------------------------------------------------------------------

template <class D>
typename D::Bool is(const Stimulus<D>& stim, std::uint64_t k) {
    return stim.kind == k;
}
template <class D>
typename D::Bool executes(const Stimulus<D>& stim) {
    return !is(stim, kind::boundary) && !is(stim, kind::wake);
}
/// The start of an instruction, where instruction breakpoints are looked for; not a further iteration of REP.
template <class D>
typename D::Bool starts(const Stimulus<D>& stim) {
    return executes(stim) && !stim.continues;
}
template <class D>
typename D::Bool switches_task(const Stimulus<D>& stim) {
    return is(stim, kind::task_switch);
}
template <class D>
typename D::Bool vendor_known(const Pre<D>& pre) {
    return pre.amd || pre.intel;
}

template <class D>
typename D::Bool dr_alias(const Stimulus<D>& stim) {
    return stim.dr_number == 4 || stim.dr_number == 5;
}
template <class D>
typename D::Bool names_dr6(const Stimulus<D>& stim) {
    return stim.dr_number == 4 || stim.dr_number == 6;
}
template <class D>
typename D::Bool names_dr7(const Stimulus<D>& stim) {
    return stim.dr_number == 5 || stim.dr_number == 7;
}
/// MOV DR that names no register: DR8–15, or DR4/5 under CR4.DE.
template <class D>
typename D::Bool dr_missing(const Pre<D>& pre, const Stimulus<D>& stim) {
    return !ule(stim.dr_number, typename D::Bits(7)) || (dr_alias(stim) && pre.de);
}
template <class D>
typename D::Bool general_detect(const Pre<D>& pre) {
    return has(pre.dr7, dr::dr7_gd);
}
/// A write of DR6 or DR7 with a bit of 63:32 set.
template <class D>
typename D::Bool dr_high(const Stimulus<D>& stim) {
    return stim.dr_write && (names_dr6(stim) || names_dr7(stim)) && has(stim.dr_value, 0xFFFFFFFF'00000000);
}
template <class D>
typename D::Bool dr_stopped(const Pre<D>& pre, const Stimulus<D>& stim) {
    return is(stim, kind::mov_dr) && (dr_missing(pre, stim) || pre.cpl != 0 || general_detect(pre) || dr_high(stim));
}
template <class D>
typename D::Bool software(const Stimulus<D>& stim) {
    return (is(stim, kind::int_n) || is(stim, kind::int3)) && !stim.faults;
}
/// The op goes through to its end unless an instruction breakpoint stops it.
template <class D>
typename D::Bool completes(const Pre<D>& pre, const Stimulus<D>& stim) {
    return executes(stim) && !stim.faults && !dr_stopped(pre, stim) && !software(stim) && !is(stim, kind::icebp);
}
/// The op is a load of SS that opens a shadow for certain.
template <class D>
typename D::Bool shadows(const Pre<D>& pre, const Stimulus<D>& stim) {
    return is(stim, kind::load_ss) && !stim.faults && !pre.shadow;
}
/// The op completes, and traps it causes are delivered after it.
template <class D>
typename D::Bool runs(const Pre<D>& pre, const Stimulus<D>& stim) {
    return completes(pre, stim) && !shadows(pre, stim);
}
template <class D>
typename D::Bool stepped_by_tf_after(const Stimulus<D>& stim) {
    return is(stim, kind::syscall) || is(stim, kind::sysret);
}
/// TF in force for this op: the one before it; SYSCALL and SYSRET: the one after.
template <class D>
typename D::Bool stepping(const Stimulus<D>& stim, const Pre<D>& pre) {
    return (stepped_by_tf_after(stim) && stim.tf_after) || (!stepped_by_tf_after(stim) && pre.tf);
}
template <class D>
typename D::Bool btf(const Pre<D>& pre) {
    return has(pre.debugctl, guest::debugctl::btf);
}
/// The op is due a single-step trap.
template <class D>
typename D::Bool step(const Pre<D>& pre, const Stimulus<D>& stim) {
    return runs(pre, stim) && stepping(stim, pre) && (!btf(pre) || stim.branch);
}

// --- Responses ----------------------------------------------------------------------------------------------

template <class D>
typename D::Bool is_db(const Response<D>& r) {
    return r.event == event::code_db || r.event == event::gd_db || r.event == event::trap || r.event == event::icebp;
}
/// The op itself took effect.
template <class D>
typename D::Bool executed(const Response<D>& r) {
    return r.event == event::none || r.event == event::trap;
}
template <class D>
typename D::Bool raises(const Response<D>& r, std::uint64_t vector) {
    return r.event == event::fault && r.vector == vector;
}
template <class D>
typename D::Bool b(const Response<D>& r, unsigned n) {
    return has(r.dr6, 1ull << n);
}
template <class D>
typename D::Bool writes_dr6(const Pre<D>& pre, const Stimulus<D>& stim) {
    return is(stim, kind::mov_dr) && !dr_stopped(pre, stim) && stim.dr_write && names_dr6(stim);
}
template <class D>
typename D::Bool writes_dr7(const Pre<D>& pre, const Stimulus<D>& stim) {
    return is(stim, kind::mov_dr) && !dr_stopped(pre, stim) && stim.dr_write && names_dr7(stim);
}
/// DR6 and DR7 as a #DB finds them: the op's own write counts when the op took effect.
template <class D>
typename D::Bits dr6_found(const Pre<D>& pre, const Stimulus<D>& stim, const Response<D>& r) {
    return ite(writes_dr6(pre, stim) && executed(r), stim.dr_value, pre.dr6);
}

/// Fields that the event makes meaningless are zero.
template <class D>
typename D::Bool normalised(const Stimulus<D>& stim, const Response<D>& r) {
    return ule(r.event, typename D::Bits(event::icebp)) && implies(is_db(r), r.vector == 1) &&
           implies(r.event == event::none, r.vector == 0) && implies(r.event != event::fault, r.error == 0) &&
           implies(!executed(r) || !is(stim, kind::mov_dr), r.dr_value == 0);
}

/// What DR6 can hold at all.
template <class D>
typename D::Bool dr6_well_formed(const Pre<D>& pre, const typename D::Bits& dr6) {
    constexpr std::uint64_t ones = dr::dr6_reset & ~(dr::dr6_bld | dr::dr6_rtm);
    return (dr6 & ones) == ones && !has(dr6, 0xFFFFFFFF'00001000) && (pre.rtm || has(dr6, dr::dr6_rtm)) &&
           (pre.bus_lock || has(dr6, dr::dr6_bld));
}
template <class D>
typename D::Bool dr7_well_formed(const Pre<D>& pre, const typename D::Bits& dr7) {
    return has(dr7, 0x400) && !has(dr7, 0xFFFFFFFF'0000D000) && (pre.rtm || !has(dr7, 0x800));
}

/// The states and stimuli the chapter speaks about; everything is proved under it.
template <class D>
typename D::Bool valid(const Pre<D>& pre, const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    const auto access = [](auto& address, auto& length, auto&) {
        return !(ule(length, Bits(8)) && ule(address, Bits(0xFFFFFFFF'FFFFFFF0)));
    };
    const auto exists = [](auto&, auto& length, auto&) { return length != 0; };
    return dr6_well_formed(pre, pre.dr6) && dr7_well_formed(pre, pre.dr7) && !has(pre.debugctl, ~3ull) &&
           !has(stim.debugctl_after, ~3ull) && (pre.cpl == 0 || pre.cpl == 3) &&
           !has(pre.held, ~(dr::dr6_b | dr::dr6_bs)) && !(pre.amd && pre.intel) && implies(pre.rtm, !pre.amd) &&
           // Causes stay unreported in a shadow, between iterations of REP, and over an event's delivery.
           implies(pre.held != 0, pre.shadow || is(stim, kind::rep) || is(stim, kind::boundary)) &&
           implies(has(pre.held, dr::dr6_bs), is(stim, kind::boundary)) &&
           !any_register([&](unsigned n) { return held(pre, n) && (!enabled(pre, n) || rw_is(pre, n, 0)); }) &&
           implies(is(stim, kind::icebp), !stim.faults) &&
           implies(stim.rf_after, is(stim, kind::iret) || switches_task(stim)) &&
           implies(stim.branch, is(stim, kind::ordinary) || is(stim, kind::iret) || switches_task(stim) ||
                                    stepped_by_tf_after(stim)) &&
           implies(stim.task_trap, switches_task(stim)) &&
           implies(is(stim, kind::boundary), pre.held != 0 && !pre.shadow && !pre.tf && !pre.rf && !stim.tf_after &&
                                                 !stim.rf_after && stim.next == stim.rip && !stim.faults &&
                                                 stim.debugctl_after == pre.debugctl) &&
           implies(is(stim, kind::wake), !pre.shadow && stim.next == stim.rip && !stim.faults) &&
           ule(stim.kind, Bits(kind::wake)) && !any_access(stim, access) && ule(stim.dr_number, Bits(15)) &&
           ule(stim.io_port, Bits(0xFFFF)) &&
           (stim.io_width == 0 || stim.io_width == 1 || stim.io_width == 2 || stim.io_width == 4) &&
           implies(stim.io, is(stim, kind::ordinary) || is(stim, kind::rep)) &&
           implies(is(stim, kind::mov_dr), !stim.faults && !any_access(stim, exists)) && ule(stim.vector, Bits(255)) &&
           implies(!is(stim, kind::rep), stim.last && !stim.continues) &&
           // A shadow lasts for one instruction: a further iteration is outside it.
           implies(stim.continues, !pre.shadow) && implies(stim.continues, !pre.rf) &&
           implies(is(stim, kind::rep) && !stim.last, stim.next == stim.rip);
}

}  // namespace faultline::oracle::debug
