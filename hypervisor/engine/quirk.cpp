#include "hypervisor/engine/quirk.hpp"

#include <algorithm>

namespace faultline::engine {
namespace {

struct Equivalent {
    Quirk quirk;
    std::string_view argument;
};

/// Quirks that no judge can tell from a correct machine: they choose another of the answers that the manuals leave
/// open. `faultline mutate` prints them and does not count them; one that is caught is an oracle too strict.
constexpr Equivalent equivalents[] = {
    {Quirk::general_detect_before_cpl,
     "APM vol 2 speaks of software 'at any privilege level' and orders neither check; Bochs and KVM differ"},
    {Quirk::high_bits_before_general_detect,
     "no manual orders the #GP of bits 63:32 and general detect; KVM's two paths differ"},
    {Quirk::general_detect_pushes_rf,
     "SDM vol 3, 'Resume Flag', has every fault but an instruction breakpoint push RF = 1; processors push 0 (Linux "
     "5623f751bd9c): either is allowed"},
    {Quirk::rep_stepped_at_end,
     "APM vol 2, 'Using Breakpoints', table of breakpoint locations: with REP the processor 'can' break between "
     "iterations"},
    {Quirk::rep_data_breakpoint_at_end,
     "APM vol 2, 'Data Breakpoints': not exact inside REP strings, the report may come with a later iteration"},
    {Quirk::disabled_match_reported,
     "SDM vol 3, 'Debug Status Register (DR6)': Bn may be set for a breakpoint that is not enabled; the APM does not "
     "rule it out where another #DB is reported"},
    {Quirk::io_type_without_de,
     "APM vol 2, 'Debug-Control Register (DR7)': with CR4.DE = 0 the condition is undefined"},
    {Quirk::dr_intercept_before_upper_half,
     "APM vol 2, 'Intercept Operation': intercepts come before exceptions that depend on operand values, and "
     "'Instruction Intercepts' has all normal exceptions of MOV DR first; either order may be read"},
    {Quirk::fault_exit_sets_rf,
     "APM vol 2, 'State Saved on Exit' and 'Exception Intercepts' name RFLAGS in neither: RF as it was and RF as the "
     "frame would have it may both be read"},
};

std::string_view equivalence_of(Quirk quirk) {
    for (const Equivalent& e : equivalents)
        if (e.quirk == quirk) return e.argument;
    return {};
}

constexpr guest::World world_of(Quirk quirk) {
    return static_cast<std::size_t>(quirk) < bare_quirk_count ? guest::World::Bare : guest::World::Svm;
}

std::string dashed(std::string name) {
    std::ranges::replace(name, '_', '-');
    return name;
}

constexpr BugBeyond beyond[] = {
    {"K-05", "the order of TSS.T and MTF needs VMX"},
    {"K-06", "MTF needs VMX"},
    {"K-07", "INIT and NMI of a nested guest"},
    {"K-08", "nothing here sends INIT"},
    {"K-09", "a vCPU is saved at its exits, where no #DB is pending"},
    {"K-22", "GHCB"},
    {"K-23", "GHCB"},
    {"K-24", "GHCB"},
    {"K-25", "GHCB: DR7 by VMGEXIT"},
    {"K-26", "intercepts of an SEV-ES guest"},
    {"K-27", "intercepts of an SEV guest"},
    {"K-28", "intercepts of an SEV-ES guest"},
    {"K-29", "NMI-complete of an SEV-ES guest"},
    {"K-30", "NMI window of an SEV-ES guest"},
    {"K-31", "debug register swap of an SEV-ES guest"},
    {"K-32", "GHCB"},
    {"K-33", "GHCB"},
    {"G-01", "GHCB"},
    {"G-02", "GHCB"},
    {"G-03", "GHCB"},
    {"G-04", "GHCB"},
    {"G-05", "GHCB"},
    {"X-02", "a breakpoint on the stack that delivery pushes to: the manuals leave open whether it matches"},
    {"B-03", "what an injected NMI masks shows with a second NMI, which nothing sends to a guest"},
    {"O-02", "MTF needs VMX"},
    {"Bochs B9", "what a refused VMRUN leaves in the VMCB is not defined"},
    {"Bochs B12", "pending debug exceptions of VMX"},
    {"Bochs B13", "a build option"},
    {"Bochs B14", "vectors that no exception has: refused or delivered, the manual leaves it open"},
    {"QEMU Q3", "compares EIP without CS.base: in 64-bit mode that base is 0"},
    {"QEMU Q9", "vectors 21, 29 and 30 are not raised by an AMD machine without their features"},
    {"QEMU Q10", "features that CPUID does not announce there"},
    {"QEMU Q11", "what is pushed where EV is not as the vector is known for: the manual does not say"},
    {"QEMU Q12", "what #VMEXIT leaves in the host's DR6 and in the rest of its DR7 is not defined"},
    {"QEMU Q13", "virtual NMI"},
    {"KVM K2", "MTF needs VMX"},
    {"KVM K3", "SMI and MTF"},
    {"KVM K4", "of BTF see Bochs B11; task switches do not exist in long mode"},
    {"KVM K5", "exit qualification of VMX"},
    {"KVM K6", "the payload that user space sees"},
    {"KVM K7 to K10", "GHCB"},
    {"KVM K12", "leaves the check to the processor, which makes it"},
    {"KVM K13 to K16", "GHCB, VMX and intercepts"},
};

}  // namespace

std::span<const QuirkInfo> quirk_catalogue() {
    static const QuirkInfo catalogue[] = {
#define FAULTLINE_BUG(name, id, wrong, reference) \
    {Quirk::name, world_of(Quirk::name), dashed(#name), wrong, id, reference, equivalence_of(Quirk::name)},
#define FAULTLINE_MUTANT(name, wrong, manual) \
    {Quirk::name, world_of(Quirk::name), dashed(#name), wrong, {}, manual, equivalence_of(Quirk::name)},
        FAULTLINE_QUIRKS(FAULTLINE_BUG, FAULTLINE_MUTANT)
#undef FAULTLINE_BUG
#undef FAULTLINE_MUTANT
    };
    return catalogue;
}

std::optional<Quirk> quirk_named(std::string_view name) {
    for (const QuirkInfo& info : quirk_catalogue())
        if (info.name == name) return info.quirk;
    return std::nullopt;
}

std::span<const BugBeyond> bugs_beyond() { return beyond; }

}  // namespace faultline::engine
