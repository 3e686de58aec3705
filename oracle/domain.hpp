// The domains over which a chapter's rules are written once: plain integers when judging, solver terms when
// proving. A rule sees only what stands here: & | ^ ~ == != on bit vectors, && || ! on truths, and the functions
// below. It never branches on a value.
#pragma once

#include <cstdint>

namespace faultline::oracle {

/// The domain of the judge.
struct Judging {
    using Bits = std::uint64_t;  ///< 64-bit vector
    using Bool = bool;
};

constexpr std::uint64_t ite(bool condition, std::uint64_t yes, std::uint64_t no) { return condition ? yes : no; }
/// Unsigned a ≤ b.
constexpr bool ule(std::uint64_t a, std::uint64_t b) { return a <= b; }

template <class Bool>
constexpr Bool implies(const Bool& premise, const Bool& conclusion) {
    return !premise || conclusion;
}
/// Whether any bit of `mask` is set.
template <class Bits>
constexpr auto has(const Bits& value, std::uint64_t mask) {
    return (value & mask) != 0;
}

}  // namespace faultline::oracle
