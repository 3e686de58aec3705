// The generator: debug-heavy programs of world bare, mode long64, aimed at boundaries.
//
// Breakpoints are chosen first and accesses relative to them: first byte, last byte, the bytes beside.
// Registers have roles (see role_value), so that addresses, flags and debug register values are known
// and mean something. Programs stay inside what the oracle models: jumps go forward, no breakpoint looks
// at stage memory or at bytes that an exception frame may overwrite, CR4 changes in DE only. Where a skipped op
// could still lead astray (a RET that finds another quadword), the oracle is asked, and the case drawn again.
#pragma once

#include <array>
#include <cstdint>

#include "harness/generate/stream.hpp"
#include "harness/generate/weights.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

class Generator {
public:
    explicit Generator(const Weights& weights = {});
    /// Case `index` of the run with this seed: a pure function of both and the weights. `out` lends its memory.
    void draw(std::uint64_t seed, std::uint64_t index, guest::Case& out) const;
    void draw(Stream random, guest::Case& out) const;
    const Weights& weights() const { return weights_; }

private:
    void compose(Stream random, guest::Case& out) const;

    Weights weights_;
    std::array<std::uint8_t, 1024> op_by_lot_{};  ///< index into the variant, as often as its weight says
    std::array<std::uint8_t, Weights{}.behind_mov_ss.size()> behind_mov_ss_{};  ///< the same for an SS shadow
};

}  // namespace faultline::harness
