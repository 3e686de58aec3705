// The floor under the kvm backend in `bench`: what a run costs when nothing is done but put the registers and the
// dirtied pages back, lay the image and enter the guest until it says it is done.
#pragma once

#include <memory>
#include <tl/expected.hpp>

#include "hypervisor/guest/backend.hpp"

namespace faultline::harness {

class KvmFloor {
public:
    static tl::expected<std::unique_ptr<KvmFloor>, guest::Unavailable> make(const guest::Stage& stage);
    virtual ~KvmFloor() = default;
    /// Only for images that run to their epilogue.
    virtual void run(const guest::Image& image) = 0;
};

}  // namespace faultline::harness
