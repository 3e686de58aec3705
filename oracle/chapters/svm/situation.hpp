// The words in which the rules of this chapter are written: what VMRUN calls illegal, which intercept an instruction
// checks, what an exit reports. Declarative and generic; operational.hpp has its own reading of the same manual and
// uses none of this.
#pragma once

#include "oracle/chapters/svm/records.hpp"

namespace faultline::oracle::svm {

using guest::svm::Intercept;

/// An intercept as bits of the domain know it.
constexpr std::uint64_t number(Intercept what) { return guest::svm::exit_code::of(what); }
/// … and its bit in the VMCB's word.
constexpr std::uint64_t bit_of(Intercept what) { return 1ull << number(what) % 32; }

/// Vectors.
namespace vec {
inline constexpr std::uint64_t db = 1, nmi = 2, bp = 3, of = 4, br = 5, df = 8, ts = 10, np = 11, ss = 12, gp = 13,
                               pf = 14, ac = 17, cp = 21, sx = 30;
}
/// Bits of control registers that VMRUN's checks name.
namespace cr0 {
inline constexpr std::uint64_t pe = 1, mp = 2, ts = 8, wp = 1ull << 16, nw = 1ull << 29, cd = 1ull << 30,
                               pg = 1ull << 31;
}
/// AMD APM vol 2, "CR4 Register".
namespace cr4 {
inline constexpr std::uint64_t pae = 1ull << 5, cet = 1ull << 23, mbz = ~0xFFFFFFull | 1ull << 19 | 7ull << 13;
}
/// AMD APM vol 2, "Extended Feature Enable Register (EFER)".
namespace efer {
inline constexpr std::uint64_t lme = 1ull << 8, lma = 1ull << 10, svme = 1ull << 12, raz = 0xFE,
                               mbz = ~0x3FFFFFull | 1ull << 19 | 1ull << 16 | 1ull << 9;
}
/// Of the VMCB's segment attributes.
namespace attribute {
inline constexpr std::uint64_t l = 1ull << 9, d = 1ull << 10;
}

template <class Bits, class... Values>
auto one_of(const Bits& value, Values... values) {
    return ((value == static_cast<std::uint64_t>(values)) || ...);
}
template <class Bits>
auto between(std::uint64_t first, const Bits& value, std::uint64_t last) {
    return ule(Bits(first), value) && ule(value, Bits(last));
}
template <class Bits>
auto lacks(const Bits& value, std::uint64_t bits) {
    return (value & bits) != bits;
}

// --- Moments ------------------------------------------------------------------------------------------------

template <class D>
typename D::Bool entering(const Stimulus<D>& stim) {
    return stim.kind == kind::enter;
}
template <class D>
typename D::Bool executing(const Stimulus<D>& stim) {
    return stim.kind == kind::instruction;
}
template <class D>
typename D::Bool excepting(const Stimulus<D>& stim) {
    return stim.kind == kind::exception;
}
template <class D>
typename D::Bool between_instructions(const Stimulus<D>& stim) {
    return stim.kind == kind::boundary;
}
template <class D>
typename D::Bool translating(const Stimulus<D>& stim) {
    return stim.kind == kind::nested;
}

// --- VMRUN --------------------------------------------------------------------------------------------------

template <class D>
typename D::Bool long_mode_guest(const Stimulus<D>& stim) {
    return has(stim.efer, efer::lme) && has(stim.cr0, cr0::pg);
}
template <class D>
typename D::Bool guest_in_64_bit_mode(const Stimulus<D>& stim) {
    return long_mode_guest(stim) && has(stim.cs_attributes, attribute::l);
}
/// A map of `bytes` at `base`, its low 12 bits ignored, does not end below the physical limit.
template <class D>
typename D::Bool beyond_physical(const Pre<D>& pre, const typename D::Bits& base, std::uint64_t bytes) {
    const typename D::Bits first = base & ~0xFFFull;
    return ule(pre.physical_limit, first) || ule(pre.physical_limit, first + (bytes - 1));
}
template <class D>
typename D::Bool iopm_beyond(const Pre<D>& pre, const Stimulus<D>& stim) {
    return beyond_physical<D>(pre, stim.iopm, 0x3000);
}
template <class D>
typename D::Bool msrpm_beyond(const Pre<D>& pre, const Stimulus<D>& stim) {
    return beyond_physical<D>(pre, stim.msrpm, 0x2000);
}
template <class D>
typename D::Bool iopm_used(const Stimulus<D>& stim) {
    return has(stim.intercepts_3, bit_of(Intercept::Io));
}
template <class D>
typename D::Bool msrpm_used(const Stimulus<D>& stim) {
    return has(stim.intercepts_3, bit_of(Intercept::Msr));
}
template <class D>
typename D::Bool cr3_mbz_set(const Stimulus<D>& stim) {
    return long_mode_guest(stim) && has(stim.cr3, 0xFFFull << 52);
}
/// PAE paging as a guest of its own has it.
template <class D>
typename D::Bool bad_pdpte(const Stimulus<D>& stim) {
    return has(stim.cr0, cr0::pg) && has(stim.cr4, cr4::pae) && !has(stim.efer, efer::lme) &&
           !has(stim.standing, standing::nested_paging) && has(stim.standing, standing::pdpte_reserved);
}
template <class D>
typename D::Bool nested_paging_asked(const Pre<D>& pre, const Stimulus<D>& stim) {
    return entering(stim) && pre.nested_paging && has(stim.standing, standing::nested_paging);
}
/// Memory types: 2, 3 and all above 7 are reserved. AMD APM vol 2, "PAT Register".
template <class D>
typename D::Bool reserved_memory_type(const Stimulus<D>& stim) {
    typename D::Bool any = false;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        const typename D::Bits type = stim.g_pat >> shift & 0xFF;
        any = any || one_of(type, 2, 3) || !ule(type, typename D::Bits(7));
    }
    return any;
}
template <class D>
typename D::Bool illegal_nested_paging(const Pre<D>& pre, const Stimulus<D>& stim) {
    return nested_paging_asked(pre, stim) && (!has(stim.standing, standing::host_paging) ||
                                              has(stim.nested_cr3, 0xFFFull << 52) || reserved_memory_type(stim));
}
template <class D>
typename D::Bool nmi_virtual_without_intercept(const Stimulus<D>& stim) {
    return has(stim.virtual_interrupts, guest::svm::vintr::nmi_enable) &&
           !has(stim.intercepts_3, bit_of(Intercept::Nmi));
}

// --- Event injection ----------------------------------------------------------------------------------------

template <class D>
typename D::Bool injecting(const Stimulus<D>& stim) {
    return entering(stim) && has(stim.injection, guest::svm::event_info::valid);
}
template <class D>
typename D::Bool injecting(const Stimulus<D>& stim, std::uint64_t type) {
    return injecting(stim) && (stim.injection & 0x700) == type << 8;
}
template <class D>
typename D::Bits injected_vector(const Stimulus<D>& stim) {
    return stim.injection & 0xFF;
}
template <class D>
typename D::Bool injecting_exception(const Stimulus<D>& stim) {
    return injecting(stim, guest::svm::event_info::Exception);
}
template <class D>
typename D::Bool injecting_exception(const Stimulus<D>& stim, std::uint64_t vector) {
    return injecting_exception(stim) && injected_vector(stim) == vector;
}
template <class D>
typename D::Bool reserved_type(const Stimulus<D>& stim) {
    return injecting(stim, 1) || injecting(stim, 5) || injecting(stim, 6) || injecting(stim, 7);
}
template <class D>
typename D::Bool no_vector(const Stimulus<D>& stim) {
    return injecting_exception(stim) && !ule(injected_vector(stim), typename D::Bits(31));
}
/// AMD APM vol 2, "Vectors", says of none of these what it is of.
template <class D>
typename D::Bool reserved_vector(const Stimulus<D>& stim) {
    const auto vector = injected_vector(stim);
    return injecting_exception(stim) && (one_of(vector, 9, 15, 20, 31) || between(22, vector, 27));
}
/// Exceptions of features that a processor may lack: #CP, #HV, #VC, #SX.
template <class D>
typename D::Bool featured_vector(const Stimulus<D>& stim) {
    return injecting_exception(stim) && one_of(injected_vector(stim), 21, 28, 29, 30);
}
/// Exceptions that nothing in the guest's mode raises, but that could be delivered in it.
template <class D>
typename D::Bool vector_of_other_modes(const Stimulus<D>& stim) {
    const auto vector = injected_vector(stim);
    return injecting_exception(stim) &&
           ((!has(stim.cr0, cr0::pe) && one_of(vector, vec::ts, vec::np, vec::ac, vec::cp)) ||
            (!has(stim.cr0, cr0::pg) && vector == vec::pf));
}
template <class D>
typename D::Bool pushes_error(const typename D::Bits& vector) {
    return one_of(vector, vec::df, vec::ts, vec::np, vec::ss, vec::gp, vec::pf, vec::ac, vec::cp, 29, vec::sx);
}
/// EV does not say what the event is known for.
template <class D>
typename D::Bool strange_error(const Stimulus<D>& stim) {
    const auto error = has(stim.injection, guest::svm::event_info::has_error);
    const auto usual = injecting_exception(stim) && has(stim.cr0, cr0::pe) && pushes_error<D>(injected_vector(stim));
    return injecting(stim) && error != usual;
}

/// What VMRUN must refuse. AMD APM vol 2, "VMRUN Instruction", "Event Injection", "NMI Virtualization".
template <class D>
typename D::Bool illegal(const Pre<D>& pre, const Stimulus<D>& stim) {
    const auto lme_pg = long_mode_guest(stim);
    return !has(stim.efer, efer::svme) || (!has(stim.cr0, cr0::cd) && has(stim.cr0, cr0::nw)) ||
           has(stim.cr0, ~0xFFFFFFFFull) || cr3_mbz_set(stim) || has(stim.cr4, cr4::mbz) ||
           has(stim.dr6, ~0xFFFFFFFFull) || has(stim.dr7, ~0xFFFFFFFFull) || has(stim.efer, efer::mbz) ||
           (!pre.long_mode && has(stim.efer, efer::lme | efer::lma)) || (lme_pg && !has(stim.cr4, cr4::pae)) ||
           (lme_pg && !has(stim.cr0, cr0::pe)) ||
           (lme_pg && has(stim.cr4, cr4::pae) && !lacks(stim.cs_attributes, attribute::l | attribute::d)) ||
           !has(stim.intercepts_4, bit_of(Intercept::Vmrun)) || iopm_beyond(pre, stim) || msrpm_beyond(pre, stim) ||
           stim.asid == 0 || (stim.s_cet & pre.s_cet_reserved) != 0 ||
           (has(stim.cr4, cr4::cet) && !has(stim.cr0, cr0::wp)) || bad_pdpte(stim) ||
           (pre.v_nmi && nmi_virtual_without_intercept(stim)) || illegal_nested_paging(pre, stim) ||
           reserved_type(stim) || injecting_exception(stim, vec::nmi) || no_vector(stim) || reserved_vector(stim) ||
           (guest_in_64_bit_mode(stim) && (injecting_exception(stim, vec::br) || injecting_exception(stim, vec::of)));
}
template <class D>
typename D::Bool legal(const Pre<D>& pre, const Stimulus<D>& stim) {
    return entering(stim) && !illegal(pre, stim);
}

// What is odd, and no reason to refuse.
/// DR6 or DR7 with a bit that reads as the opposite.
template <class D>
typename D::Bool odd_debug_registers(const Stimulus<D>& stim) {
    return lacks(stim.dr6, 0xFFFF0FF0) || has(stim.dr6, 0x1000) || lacks(stim.dr7, 0x400) || has(stim.dr7, 0xD800);
}
template <class D>
typename D::Bool paged_real_mode(const Stimulus<D>& stim) {
    return !has(stim.cr0, cr0::pe) && has(stim.cr0, cr0::pg);
}
template <class D>
typename D::Bool odd_lma(const Stimulus<D>& stim) {
    return has(stim.efer, efer::lma) != long_mode_guest(stim);
}
template <class D>
typename D::Bool long_and_default_outside_long_mode(const Stimulus<D>& stim) {
    return !lacks(stim.cs_attributes, attribute::l | attribute::d) && !long_mode_guest(stim);
}
template <class D>
typename D::Bool unaligned_map(const Stimulus<D>& stim) {
    return has(stim.iopm | stim.msrpm, 0xFFF);
}
template <class D>
typename D::Bool leftover_injection(const Stimulus<D>& stim) {
    return !injecting(stim) && stim.injection != 0;
}
template <class D>
typename D::Bool odd_nmi(const Stimulus<D>& stim) {
    return injecting(stim, guest::svm::event_info::Nmi) && injected_vector(stim) != vec::nmi;
}
template <class D>
typename D::Bool interrupt_in_exception_range(const Stimulus<D>& stim) {
    return (injecting(stim, guest::svm::event_info::External) || injecting(stim, guest::svm::event_info::Software)) &&
           ule(injected_vector(stim), typename D::Bits(31));
}
template <class D>
typename D::Bool odd(const Stimulus<D>& stim) {
    return odd_debug_registers(stim) || paged_real_mode(stim) || stim.bad_rip ||
           has(stim.standing, standing::bad_base) || odd_lma(stim) || long_and_default_outside_long_mode(stim) ||
           unaligned_map(stim) || leftover_injection(stim) || odd_nmi(stim) || interrupt_in_exception_range(stim);
}

// --- Instructions -------------------------------------------------------------------------------------------

template <class D>
typename D::Bool checks(const Stimulus<D>& stim, Intercept what) {
    return executing(stim) && stim.intercept == number(what);
}
template <class D, class... More>
typename D::Bool checks(const Stimulus<D>& stim, Intercept what, Intercept other, More... more) {
    return checks(stim, what) || checks(stim, other, more...);
}
template <class D>
typename D::Bool checks_between(const Stimulus<D>& stim, Intercept first, Intercept last) {
    return executing(stim) && between(number(first), stim.intercept, number(last));
}
template <class D>
typename D::Bool accesses_cr0(const Stimulus<D>& stim) {
    return checks(stim, Intercept::ReadCr0, Intercept::WriteCr0);
}
template <class D>
typename D::Bool accesses_cr3(const Stimulus<D>& stim) {
    return checks(stim, Intercept::ReadCr0 + 3, Intercept::WriteCr0 + 3);
}
template <class D>
typename D::Bool accesses_cr(const Stimulus<D>& stim) {
    return checks_between(stim, Intercept::ReadCr0, Intercept::WriteCr0 + 15);
}
template <class D>
typename D::Bool accesses_dr(const Stimulus<D>& stim) {
    return checks_between(stim, Intercept::ReadDr0, Intercept::WriteDr0 + 15);
}
template <class D>
typename D::Bool accesses_tables(const Stimulus<D>& stim) {
    return checks_between(stim, Intercept::StoreIdtr, Intercept::LoadTr);
}
/// Those that the table lets go before all exceptions.
template <class D>
typename D::Bool intercept_first(const Stimulus<D>& stim) {
    return checks(stim, Intercept::Pushf, Intercept::Popf, Intercept::Rsm, Intercept::Iret);
}
template <class D>
typename D::Bool invalidates_by_process(const Stimulus<D>& stim) {
    return checks(stim, Intercept::Invlpgb, Intercept::Invpcid);
}
template <class D>
typename D::Bool meets(const Stimulus<D>& stim, std::uint64_t any) {
    return executing(stim) && has(stim.raises, any);
}
/// Nothing `of` these, and no #DB that comes before every intercept.
template <class D>
typename D::Bool meets_none(const Stimulus<D>& stim, std::uint64_t of) {
    return executing(stim) && !has(stim.raises, of | raises::code_breakpoint | raises::pending_trap);
}
/// The intercept that the instruction checks is asked for; selective CR0 writes stand apart.
template <class D>
typename D::Bool asked(const Stimulus<D>& stim) {
    return executing(stim) && stim.intercepted;
}
template <class D>
typename D::Bool selected(const Stimulus<D>& stim) {
    return checks(stim, Intercept::WriteCr0) && stim.selective && !stim.intercepted;
}
/// HLT, where only the idle one is asked for, of a processor that has it.
template <class D>
typename D::Bool idle_selected(const Pre<D>& pre, const Stimulus<D>& stim) {
    return checks(stim, Intercept::Hlt) && pre.idle_hlt && stim.selective && !stim.intercepted;
}
/// MWAIT that would wait, where the intercept of that is asked for.
template <class D>
typename D::Bool armed_selected(const Stimulus<D>& stim) {
    return checks(stim, Intercept::Mwait) && stim.selective && stim.filtered;
}
template <class D>
typename D::Bool switches_task(const Stimulus<D>& stim) {
    return checks(stim, Intercept::TaskSwitch);
}
template <class D>
typename D::Bool changes_more_than_ts_mp(const Stimulus<D>& stim) {
    return has(stim.cr0_changes, ~(cr0::ts | cr0::mp));
}
/// The IOPM's bits of the ports that the instruction accesses.
template <class D>
typename D::Bits ports_intercepted(const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    return stim.map & ite(stim.width == 4, Bits(15), ite(stim.width == 2, Bits(3), Bits(1)));
}
/// AMD APM vol 2, "MSR Intercepts", MSR Ranges Covered by MSRPM.
template <class D>
typename D::Bool msr_covered(const Stimulus<D>& stim) {
    return between(0, stim.number, 0x1FFF) || between(0xC0000000, stim.number, 0xC0001FFF) ||
           between(0xC0010000, stim.number, 0xC0011FFF);
}

// --- Exceptions ---------------------------------------------------------------------------------------------

template <class D>
typename D::Bool from(const Stimulus<D>& stim, std::uint64_t source) {
    return excepting(stim) && stim.source == source;
}
/// An exception that exception intercepts are about.
template <class D>
typename D::Bool exceptional(const Stimulus<D>& stim) {
    return from(stim, source::fault) || from(stim, source::trap);
}
template <class D>
typename D::Bool exception(const Stimulus<D>& stim, std::uint64_t vector) {
    return exceptional(stim) && stim.vector == vector;
}
/// #BP, #OF, #BR.
template <class D>
typename D::Bool of_interrupt_op(const Stimulus<D>& stim) {
    return exceptional(stim) && between(vec::bp, stim.vector, vec::br);
}
/// What may be met while an event is being delivered.
template <class D>
typename D::Bool met(const Stimulus<D>& stim) {
    return exceptional(stim) || translating(stim);
}
template <class D>
typename D::Bool delivering(const Stimulus<D>& stim) {
    return stim.prior_source != prior::none;
}

// --- Between instructions -----------------------------------------------------------------------------------

/// Of the quadword at 060h: what a boundary may change.
inline constexpr std::uint64_t pending_bits =
    guest::svm::vintr::irq | guest::svm::vintr::nmi | guest::svm::vintr::nmi_mask;

template <class D>
typename D::Bool controls(const Stimulus<D>& stim, std::uint64_t bits) {
    return has(stim.virtual_interrupts, bits);
}
/// VGIF is there, in use, and clear.
template <class D>
typename D::Bool virtual_gif_clear(const Pre<D>& pre, const Stimulus<D>& stim) {
    return pre.v_gif && controls(stim, guest::svm::vintr::gif_enable) && !controls(stim, guest::svm::vintr::gif);
}
template <class D>
typename D::Bool intr_masked(const Stimulus<D>& stim) {
    return (controls(stim, guest::svm::vintr::masking) && !has(stim.standing, standing::host_if)) ||
           (!controls(stim, guest::svm::vintr::masking) && !has(stim.standing, standing::guest_if));
}
template <class D>
typename D::Bool priority_too_low(const Stimulus<D>& stim) {
    return !controls(stim, guest::svm::vintr::ignore_tpr) &&
           ule(stim.virtual_interrupts >> 16 & 0xF, stim.virtual_interrupts & 0xF);
}
template <class D>
typename D::Bool virtual_nmi_pending(const Pre<D>& pre, const Stimulus<D>& stim) {
    return pre.v_nmi && controls(stim, guest::svm::vintr::nmi_enable) && controls(stim, guest::svm::vintr::nmi);
}
template <class D>
typename D::Bool window_open(const Stimulus<D>& stim) {
    return between_instructions(stim) && has(stim.standing, standing::gif) && !stim.shadow;
}
template <class D>
typename D::Bool nmi_comes(const Stimulus<D>& stim) {
    return has(stim.standing, standing::nmi) && !has(stim.standing, standing::nmi_blocked);
}
template <class D>
typename D::Bool intr_comes(const Stimulus<D>& stim) {
    return has(stim.standing, standing::intr) && !intr_masked(stim);
}
template <class D>
typename D::Bool virtual_nmi_comes(const Pre<D>& pre, const Stimulus<D>& stim) {
    return virtual_nmi_pending(pre, stim) && !controls(stim, guest::svm::vintr::nmi_mask) &&
           !virtual_gif_clear(pre, stim);
}
template <class D>
typename D::Bool virtual_intr_comes(const Pre<D>& pre, const Stimulus<D>& stim) {
    return controls(stim, guest::svm::vintr::irq) && has(stim.standing, standing::guest_if) &&
           !priority_too_low(stim) && !virtual_gif_clear(pre, stim);
}
/// The event that comes, and is not intercepted.
template <class D>
typename D::Bool takes(const Response<D>& r, std::uint64_t event) {
    return r.event == event && !r.exits;
}

// --- Nested paging ------------------------------------------------------------------------------------------

template <class D>
typename D::Bool stands(const Stimulus<D>& stim, std::uint64_t what) {
    return translating(stim) && has(stim.standing, what);
}
/// As the nested tables see it: every access to the guest's tables is a write.
template <class D>
typename D::Bool nested_write(const Stimulus<D>& stim) {
    return stands(stim, standing::tables | standing::write);
}
template <class D>
typename D::Bool nested_fetch(const Stimulus<D>& stim) {
    return stands(stim, standing::fetch) && !stands(stim, standing::tables);
}
/// All levels are there and in order.
template <class D>
typename D::Bool nested_page(const Stimulus<D>& stim) {
    return stands(stim, standing::present) && !stands(stim, standing::reserved);
}

// --- Responses ----------------------------------------------------------------------------------------------

/// Where the response is an exit, it has `code`.
template <class D>
typename D::Bool exits_with(const Response<D>& r, const typename D::Bits& code) {
    return !r.exits || r.code == code;
}
template <class D>
typename D::Bool info1_is(const Response<D>& r, const typename D::Bits& info) {
    return !r.exits || r.info1 == info;
}
/// … in these bits.
template <class D>
typename D::Bool info1_is(const Response<D>& r, std::uint64_t bits, const typename D::Bits& info) {
    return !r.exits || ((r.info1 ^ info) & bits) == 0;
}
/// EXITINTINFO in these bits.
template <class D>
typename D::Bool int_info_is(const Response<D>& r, std::uint64_t bits, const typename D::Bits& info) {
    return !r.exits || ((r.int_info ^ info) & bits) == 0;
}

/// Fields that the response makes meaningless are zero.
template <class D>
typename D::Bool normalised(const Stimulus<D>& stim, const Response<D>& r) {
    return implies(!r.exits, r.code == 0) &&
           implies(!r.exits || entering(stim), r.info1 == 0 && r.info2 == 0 && r.int_info == 0 && r.next_rip == 0 &&
                                                   r.rip == 0 && !r.rf && !r.shadow && r.cr2 == 0 && r.dr6 == 0 &&
                                                   r.dr7 == 0) &&
           implies(!between_instructions(stim), r.event == 0 && r.pending == 0) &&
           implies(r.exits || r.event == event::none, r.vector == 0);
}

// --- What can be --------------------------------------------------------------------------------------------

template <class D>
typename D::Bool possible_instruction(const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    const auto is = [&](auto... what) { return checks(stim, what...); };
    const auto never = [&](std::uint64_t what) { return !has(stim.raises, what); };
    const auto io = is(Intercept::Io), msr = is(Intercept::Msr), pause = is(Intercept::Pause);
    const auto only_gp =
        is(Intercept::Invd, Intercept::Wbinvd, Intercept::Vmrun, Intercept::Vmload, Intercept::Vmsave) ||
        is(Intercept::Stgi, Intercept::Clgi, Intercept::Skinit, Intercept::Tlbsync);
    const auto task = is(Intercept::TaskSwitch);
    const auto form_fits = (stim.form == form::mov && !task) || (between(form::call, stim.form, form::iret) && task) ||
                           (stim.form == form::smsw && is(Intercept::ReadCr0)) ||
                           (one_of(stim.form, form::lmsw, form::clts) && is(Intercept::WriteCr0));
    const auto known = task || accesses_cr(stim) || accesses_dr(stim) || accesses_tables(stim) ||
                       intercept_first(stim) || io || msr || pause || only_gp || invalidates_by_process(stim) ||
                       is(Intercept::Rdtsc, Intercept::Rdpmc, Intercept::Rdtscp, Intercept::Rdpru) ||
                       is(Intercept::Cpuid, Intercept::SoftwareInterrupt, Intercept::Vmmcall, Intercept::Icebp) ||
                       is(Intercept::Hlt, Intercept::Monitor, Intercept::Mwait, Intercept::Xsetbv) ||
                       is(Intercept::Invlpg, Intercept::Invlpga);
    return known && form_fits && ule(stim.raises, Bits(raises::all)) && ule(stim.vector, Bits(0xFF)) &&
           ule(stim.gpr, Bits(15)) && ule(stim.map, Bits(15)) && ule(stim.segment, Bits(5)) &&
           ule(stim.number, Bits(0xFFFFFFFF)) && implies(io || task, ule(stim.number, Bits(0xFFFF))) &&
           implies(io, one_of(stim.width, 1, 2, 4)) && implies(stim.string, one_of(stim.address_size, 2, 4, 8)) &&
           implies(stim.string, io) && implies(stim.rep, stim.string) && implies(stim.count_zero, stim.rep) &&
           implies(stim.count_zero || accesses_dr(stim), never(raises::memory)) &&
           implies(!accesses_dr(stim), never(raises::general_detect)) &&
           implies(accesses_cr0(stim) && !one_of(stim.form, form::lmsw, form::smsw), never(raises::memory)) &&
           implies(is(Intercept::ReadCr0 + 3), never(raises::memory)) &&
           implies(only_gp || is(Intercept::Xsetbv), never(raises::memory)) &&
           implies(pause || is(Intercept::Cpuid, Intercept::Icebp), never(raises::exceptions)) &&
           implies(io, never(raises::undefined | raises::operand)) &&
           implies(msr, never(raises::undefined | raises::memory));
}
template <class D>
typename D::Bool possible_exception(const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    const auto vector = [&](auto... what) { return one_of(stim.vector, what...); };
    return ule(stim.source, Bits(source::last)) && ule(stim.prior_source, Bits(prior::last)) &&
           ule(stim.vector, Bits(0xFF)) && ule(stim.prior_vector, Bits(0xFF)) && ule(stim.error, Bits(0xFFFFFFFF)) &&
           ule(stim.prior_error, Bits(0xFFFFFFFF)) &&
           implies(from(stim, source::fault),
                   vector(0, 1, 3, 4, 5, 6, 7, 8) || vector(10, 11, 12, 13, 14, 16) || vector(17, 18, 19, 21, 30)) &&
           implies(from(stim, source::trap) || from(stim, source::icebp), stim.vector == vec::db) &&
           implies(from(stim, source::nmi), stim.vector == vec::nmi) &&
           implies(from(stim, source::shutdown), stim.vector == 0) &&
           implies(of_interrupt_op(stim), stim.interrupt_op) && implies(exception(stim, vec::df), delivering(stim)) &&
           implies(exceptional(stim) && stim.vector != vec::ts, stim.incoming_rip == stim.rip);
}
/// The states and stimuli the chapter speaks about; everything is proved under it. The guest is not in virtual-8086
/// mode.
template <class D>
typename D::Bool valid(const Pre<D>& pre, const Stimulus<D>& stim) {
    using Bits = typename D::Bits;
    return (pre.physical_limit & (pre.physical_limit - 1)) == 0 &&
           between(1ull << 32, pre.physical_limit, 1ull << 52) && !has(pre.cr4_absent, cr4::mbz) &&
           !has(pre.efer_absent, efer::mbz | efer::raz) && ule(stim.kind, Bits(kind::last)) &&
           ule(stim.cs_attributes, Bits(0xFFF)) && ule(stim.asid, Bits(0xFFFFFFFF)) &&
           ule(stim.intercepts_3, Bits(0xFFFFFFFF)) && ule(stim.intercepts_4, Bits(0xFFFFFFFF)) &&
           implies(executing(stim), possible_instruction(stim)) && implies(excepting(stim), possible_exception(stim)) &&
           implies(between_instructions(stim), ule(stim.vector, Bits(0xFF)) && !has(stim.virtual_interrupts, 0xF0) &&
                                                   !has(stim.standing, ~standing::boundary)) &&
           implies(translating(stim),
                   !has(stim.standing, ~standing::nested) && lacks(stim.standing, standing::write | standing::fetch) &&
                       implies(stands(stim, standing::reserved), stands(stim, standing::present)) &&
                       ule(stim.prior_source, Bits(prior::last)) && ule(stim.prior_vector, Bits(0xFF)) &&
                       ule(stim.prior_error, Bits(0xFFFFFFFF)));
}

}  // namespace faultline::oracle::svm
