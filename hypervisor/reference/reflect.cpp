// The guest gets the exception that was intercepted as if nobody had intercepted it.
#include "hypervisor/reference/vm.hpp"

namespace faultline::reference {

using namespace guest;
using engine::Quirk;
using svm::Vmcb;
namespace info = svm::event_info;

namespace {

enum Vector : unsigned { de = 0, db = 1, bp = 3, of = 4, ud = 6, df = 8, ts = 10, pf = 14, mc = 18 };

constexpr bool is_in(std::uint32_t set, unsigned vector) { return vector < 32 && set >> vector & 1; }

/// AMD APM vol 2, "Error Codes" and the exceptions' own sections: 8, 10–14, 17, 21, 29, 30.
constexpr bool has_error_code(unsigned vector) { return is_in(0x6022'7D00, vector); }
/// AMD APM vol 2, "#DF—Double-Fault Exception", with #CP, #VC and #SX from theirs: 0, 10–13, 21, 29, 30.
constexpr bool is_contributory(unsigned vector) { return is_in(0x6020'3C01, vector); }
/// Faults push RF = 1. #DB has made its choice already, #BP and #OF are traps, #DF and #MC aborts. AMD APM vol 2,
/// "Resume Flag"; what an injected fault pushes, "Event Injection" leaves to "as though it had occurred normally", and
/// with RF set in the VMCB both readings push the same.
constexpr bool pushes_rf(unsigned vector) {
    return vector != db && vector != bp && vector != of && vector != df && vector != mc;
}

/// What becomes of `second`, met while `first` was being delivered. AMD APM vol 2, "#DF—Double-Fault Exception".
constexpr bool is_double_fault(unsigned first, unsigned second) {
    return (is_contributory(first) && is_contributory(second)) ||
           (first == pf && (second == pf || is_contributory(second)));
}

}  // namespace

Vm::Next Vm::reflect(unsigned vector) {
    const Vmcb& v = vmcb();
    if (vector == ts && !quirk(Quirk::invalid_tss_given_back)) return try_again_without(ts);
    // "The error code … pushed" stands in EXITINFO1 but for #DF, where it is undefined; the one that #DF has is 0.
    const bool undefined = vector == df && !quirk(Quirk::double_fault_given_stale_error);
    std::uint64_t error = undefined || quirk(Quirk::error_code_given_back_zero) ? 0 : v.exit_info_1;
    const bool while_delivering = (v.exit_int_info & info::valid) != 0 && (v.exit_int_info >> 8 & 7) == info::Exception;
    if (vector == pf && !quirk(Quirk::page_fault_given_back_without_cr2))
        set(&Vmcb::cr2, v.exit_info_2);  // the intercept left CR2 as it was
    if (while_delivering && !quirk(Quirk::nested_exception_given_back_alone)) {
        const unsigned first = v.exit_int_info & 0xFF;
        const bool third = first == df && (vector == pf || is_contributory(vector));
        if (third && !quirk(Quirk::triple_fault_given_back_as_double_fault)) return over(Outcome::Shutdown);
        if (third || is_double_fault(first, vector) || quirk(Quirk::benign_pair_given_back_as_double_fault))
            vector = df, error = 0;
    }
    // INT3 and INTO have completed as far as RF is concerned.
    const bool sets_rf = vector == db ? quirk(Quirk::db_given_back_with_rf)
                                      : pushes_rf(vector) && !quirk(Quirk::fault_given_back_without_rf);
    set(&Vmcb::rflags, sets_rf                             ? v.rflags | rflags::rf
                       : vector == db || pushes_rf(vector) ? v.rflags
                                                           : v.rflags & ~rflags::rf);
    if (quirk(Quirk::soft_exception_given_back_at_itself) && (vector == bp || vector == of))
        set(&Vmcb::next_rip, v.rip);
    if (quirk(Quirk::trap_given_back_as_fault) && vector == db && machine_.quirk_state.trapping)
        set(&Vmcb::rip, machine_.quirk_state.last_rip);
    const bool pushes_error = (has_error_code(vector) && !quirk(Quirk::error_code_not_given_back)) ||
                              (vector == db && quirk(Quirk::db_given_back_with_error_code)) ||
                              (vector == ud && quirk(Quirk::undefined_opcode_given_back_with_error_code));
    const auto number = static_cast<std::uint8_t>(vector);
    set(&Vmcb::event_injection, pushes_error ? info::make(info::Exception, number, static_cast<std::uint32_t>(error))
                                             : info::make(info::Exception, number));
    return Next::Resume;
}

/// #TS: its error code is nowhere to be read (AMD APM vol 2, "#TS—Invalid-TSS Exception" in "Exception Intercepts"),
/// so the guest meets it once more without the intercept, which its handler's stub ends.
Vm::Next Vm::try_again_without(unsigned vector) {
    svm::Intercepts without = oversight_.wanted;
    without.set(svm::Intercept::Exception + vector, false);
    set_intercepts(without);
    set(&Vmcb::event_injection, vmcb().exit_int_info & info::valid ? vmcb().exit_int_info : 0);
    return Next::Resume;
}

}  // namespace faultline::reference
