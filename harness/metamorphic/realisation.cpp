#include "harness/metamorphic/realisation.hpp"

#include <algorithm>
#include <cstddef>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

using namespace guest;

Realisation::Realisation()
    : Twins(std::make_unique<Twin>(reference::make_reference_backend(), "under the reference hypervisor"),
            std::make_unique<Twin>(engine::make_engine_backend(), "under the monitor")) {}

/// The engine's time stamp counter counts instructions, and the monitor's are among them.
const char* Realisation::no_twin(const Case& kase) const {
    const auto is_intercepts_4 = [](const VmcbValue& set) {
        return vmcb_fields()[set.field].offset == offsetof(svm::Vmcb, intercept_4);
    };
    const bool overwritten = std::ranges::any_of(kase.vmm.vmcb, is_intercepts_4);
    const auto reads_the_time = [&](const Op& op) {
        if (std::holds_alternative<ops::Rdtsc>(op)) return !kase.vmm.intercepts.has(svm::Intercept::Rdtsc);
        if (std::holds_alternative<ops::Rdtscp>(op))
            return overwritten || !kase.vmm.intercepts.has(svm::Intercept::Rdtscp);
        return false;
    };
    return std::ranges::any_of(kase.ops, reads_the_time) ? "the time that a hypervisor takes is no secret" : nullptr;
}

}  // namespace faultline::harness
