// The built-in machine as a backend: runs images on engine::Machine.
#pragma once

#include <memory>

#include "hypervisor/guest/backend.hpp"

namespace faultline::engine {

/// Always available, on every host. World bare, mode long64.
std::unique_ptr<guest::Backend> make_engine_backend();

}  // namespace faultline::engine
