// The peer of the engine in `bench`: Unicorn, the emulator library that fuzzers use, made to do the same work
// per case: fresh code bytes, memory and registers as new, its interrupt hook standing in for the stage's stubs.
#pragma once

#include <cstdint>
#include <memory>

#include "hypervisor/guest/image.hpp"

namespace faultline::harness {

class UnicornPeer {
public:
    /// Null when the library cannot be set up.
    static std::unique_ptr<UnicornPeer> make(const guest::Stage& stage);
    virtual ~UnicornPeer() = default;
    /// Runs the program from its first op, TF included; false when it did not come to its end.
    virtual bool run(const guest::Image& image) = 0;
};

}  // namespace faultline::harness
