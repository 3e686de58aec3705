// The generator's source of randomness: the same numbers on every machine and compiler.
//
// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014). The
// standard library's engines cost more to seed than a whole case may cost to draw, and its distributions
// differ between implementations.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>

namespace faultline::harness {

class Stream {
public:
    explicit Stream(std::uint64_t seed) : state_(seed) {}
    /// The stream of case `index` of a run.
    Stream(std::uint64_t seed, std::uint64_t index, std::uint64_t version)
        : state_(mix(mix(seed + golden * version) + golden * index)) {}

    std::uint64_t next() { return mix(state_ += golden); }
    /// 0 … bound-1; bound below 2^32. Its bias is below bound/2^32.
    std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>((next() >> 32) * bound >> 32); }
    bool percent(unsigned chance) { return below(100) < chance; }
    template <class T>
    T one_of(std::initializer_list<T> choices) {
        return choices.begin()[below(static_cast<std::uint32_t>(choices.size()))];
    }

private:
    static constexpr std::uint64_t golden = 0x9E37'79B9'7F4A'7C15;
    static constexpr std::uint64_t mix(std::uint64_t z) {
        z = (z ^ z >> 30) * 0xBF58'476D'1CE4'E5B9;
        z = (z ^ z >> 27) * 0x94D0'49BB'1331'11EB;
        return z ^ z >> 31;
    }
    std::uint64_t state_;
};

}  // namespace faultline::harness
