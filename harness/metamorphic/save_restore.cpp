#include "harness/metamorphic/save_restore.hpp"

#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

SaveRestore::SaveRestore()
    : Twins(std::make_unique<Twin>(reference::make_reference_backend(), "in one machine"),
            std::make_unique<Twin>(reference::make_moving_reference_backend(), "moved after every exit")) {}

}  // namespace faultline::harness
