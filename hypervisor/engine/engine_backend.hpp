// The built-in machine as a backend: runs images on engine::Machine.
#pragma once

#include <memory>

#include "hypervisor/engine/quirk.hpp"
#include "hypervisor/guest/backend.hpp"

namespace faultline::engine {

/// Always available, on every host. World bare, every mode that has a stage, and world svm, where the stage's monitor
/// runs on the vCPU and executes VMRUN itself.
/// With quirks its subject is engine+NAME….
std::unique_ptr<guest::Backend> make_engine_backend(const Quirks& quirks = {});

}  // namespace faultline::engine
