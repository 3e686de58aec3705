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
};

std::string_view equivalence_of(Quirk quirk) {
    for (const Equivalent& e : equivalents)
        if (e.quirk == quirk) return e.argument;
    return {};
}

std::string dashed(std::string name) {
    std::ranges::replace(name, '_', '-');
    return name;
}

constexpr BugBeyond beyond[] = {
    {"K-05", "the order of TSS.T and MTF needs VMX"},
    {"K-06", "MTF needs VMX"},
    {"K-07", "pending exceptions of a nested guest"},
    {"K-08", "nothing here sends INIT"},
    {"K-09", "nothing here saves and restores a vCPU between two instructions"},
    {"K-14", "re-injection needs an exit in the middle of a delivery"},
    {"K-15", "nested injection"},
    {"K-16", "nested exits"},
    {"K-17", "pending debug exceptions of VMX"},
    {"K-18", "intercepts: the reference hypervisor's"},
    {"K-19", "intercepts: the reference hypervisor's"},
    {"K-20", "intercepts: the reference hypervisor's"},
    {"K-21", "intercepts: the reference hypervisor's"},
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
    {"Q-04", "VMRUN"},
    {"Q-05", "VMRUN"},
    {"Q-07", "intercepts"},
    {"X-02", "a breakpoint on the stack that delivery pushes to: the manuals leave open whether it matches"},
    {"B-02", "EVENTINJ"},
    {"B-03", "EVENTINJ"},
    {"O-02", "MTF needs VMX"},
    {"Bochs B1", "#DB intercept"},
    {"Bochs B2", "#VMEXIT"},
    {"Bochs B3", "DR intercept"},
    {"Bochs B6", "VMRUN"},
    {"Bochs B7", "VMRUN"},
    {"Bochs B8", "EVENTINJ"},
    {"Bochs B9", "EVENTINJ"},
    {"Bochs B12", "pending debug exceptions of VMX"},
    {"Bochs B13", "a build option"},
    {"Bochs B14", "EVENTINJ"},
    {"QEMU Q1", "DR intercept"},
    {"QEMU Q3", "compares EIP without CS.base: in 64-bit mode that base is 0"},
    {"QEMU Q9", "vectors 21, 29 and 30 are not raised by an AMD machine without their features"},
    {"QEMU Q10", "VMCB"},
    {"QEMU Q11", "EVENTINJ"},
    {"QEMU Q12", "#VMEXIT"},
    {"QEMU Q13", "virtual NMI"},
    {"KVM K2", "MTF needs VMX"},
    {"KVM K3", "SMI and MTF"},
    {"KVM K4", "of BTF see Bochs B11; task switches do not exist in long mode"},
    {"KVM K5", "exit qualification of VMX"},
    {"KVM K6", "the payload that user space sees"},
    {"KVM K7 to K10", "GHCB"},
    {"KVM K11", "nested VMRUN"},
    {"KVM K12", "nested EVENTINJ"},
    {"KVM K13 to K16", "GHCB, VMX and intercepts"},
};

}  // namespace

std::span<const QuirkInfo> quirk_catalogue() {
    static const QuirkInfo catalogue[] = {
#define FAULTLINE_BUG(name, id, wrong, reference) \
    {Quirk::name, dashed(#name), wrong, id, reference, equivalence_of(Quirk::name)},
#define FAULTLINE_MUTANT(name, wrong, manual) \
    {Quirk::name, dashed(#name), wrong, {}, manual, equivalence_of(Quirk::name)},
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

std::span<const BugBeyond> bugs_beyond_bare() { return beyond; }

}  // namespace faultline::engine
