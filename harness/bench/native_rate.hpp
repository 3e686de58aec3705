// The native backend in `bench`: end to end, against what its stops alone would cost.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/explore/machine.hpp"
#include "harness/generate/generator.hpp"
#include "hypervisor/native/native_backend.hpp"

namespace faultline::harness {

class NativeRate {
public:
    /// Keeps those of the cases (numbers 0 … of `seed`) that this host runs to their end.
    NativeRate(const Generator& generator, std::uint64_t seed, const std::vector<guest::Case>& cases,
               const std::vector<guest::Image>& images);

    /// Why there is nothing to measure; empty when there is.
    const std::string& reason() const { return reason_; }
    std::uint64_t programs() const { return kept_.size(); }

    /// One turn over all that were kept: seconds from generator to verdict, and seconds of as many bare signal round
    /// trips as their runs had stops.
    struct Turn {
        double whole = 0, floor = 0;
        std::uint64_t stops = 0;
    };
    Turn turn();

private:
    struct Kept {
        std::uint64_t index, stops;
    };
    const Generator& generator_;
    const std::uint64_t seed_;
    std::string reason_;
    std::unique_ptr<Machine> machine_;
    std::unique_ptr<native::SignalRoundTrip> floor_;
    std::vector<Kept> kept_;
    guest::Case scratch_;
};

}  // namespace faultline::harness
