#include "harness/metamorphic/realisation.hpp"

#include <algorithm>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

using namespace guest;

Realisation::Realisation()
    : Twins(std::make_unique<Twin>(reference::make_reference_backend(), "under the reference hypervisor"),
            std::make_unique<Twin>(engine::make_engine_backend(), "under the monitor")) {}

/// The engine's time stamp counter counts instructions, and the monitor's are among them.
const char* Realisation::no_twin(const Case& kase) const {
    const auto reads_the_time = [&](const Op& op) {
        // The intercept of RDTSCP is in a word that a case may overwrite.
        return std::holds_alternative<ops::Rdtscp>(op) ||
               (std::holds_alternative<ops::Rdtsc>(op) && !kase.vmm.intercepts.has(svm::Intercept::Rdtsc));
    };
    return std::ranges::any_of(kase.ops, reads_the_time) ? "the time that a hypervisor takes is no secret" : nullptr;
}

}  // namespace faultline::harness
