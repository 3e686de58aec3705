// The reference hypervisor as a backend: programs of world svm, run by C++ above the engine's vCPU.
#pragma once

#include <memory>

#include "hypervisor/engine/quirk.hpp"
#include "hypervisor/guest/backend.hpp"

namespace faultline::reference {

/// With quirks it is wrong on purpose, or the machine below it is: "reference+QUIRK…".
std::unique_ptr<guest::Backend> make_reference_backend(const engine::Quirks& quirks = {});

/// The same, but that the guest is saved after every exit and goes on in another machine: "reference+moving".
std::unique_ptr<guest::Backend> make_moving_reference_backend();

}  // namespace faultline::reference
