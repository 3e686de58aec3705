// The generator: debug-heavy programs, aimed at boundaries; in world svm with a hypervisor around them (guests.cpp).
//
// Breakpoints are chosen first and accesses relative to them: first byte, last byte, the bytes beside.
// Registers have roles (see role_value), so that addresses, flags and debug register values are known
// and mean something. Programs stay inside what the oracle models: jumps go forward, no breakpoint looks
// at stage memory or at bytes that an exception frame may overwrite, CR4 changes in DE only. Where a skipped op
// could still lead astray (a RET that finds another quadword), the oracle is asked, and the case drawn again.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "harness/generate/profile.hpp"
#include "harness/generate/stream.hpp"
#include "harness/generate/weights.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

class Generator {
public:
    explicit Generator(const Weights& weights = {}, const Profile& profile = {});
    /// Case `index` of the run with this seed: a pure function of both, the weights and the profile. `out` lends its
    /// memory.
    void draw(std::uint64_t seed, std::uint64_t index, guest::Case& out) const;
    void draw(Stream random, guest::Case& out) const;
    const Weights& weights() const { return weights_; }
    const Profile& profile() const { return profile_; }

private:
    /// True: the oracle need not be able to follow it.
    bool compose(Stream random, guest::Case& out) const;
    std::size_t theme(Stream& random) const;

    /// Indices into the variant, each as often as its weight says; by mode, as not every op exists in each.
    using Lots = std::array<std::uint8_t, 1024>;
    struct Bent {
        Weights weights;
        std::array<Lots, 4> op_by_lot{};
    };
    static Bent bend(const Weights& weights, Theme theme, guest::World world);

    Weights weights_;
    Profile profile_;
    std::vector<Bent> bent_;                                                    ///< by Theme
    std::array<std::uint8_t, Weights{}.behind_mov_ss.size()> behind_mov_ss_{};  ///< the same for an SS shadow
};

}  // namespace faultline::harness
