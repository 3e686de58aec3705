// Small programs that come to every class of moment that generated programs come to: what the solver then varies.
#pragma once

#include <algorithm>
#include <map>

#include "harness/generate/generator.hpp"
#include "harness/shrink/shrink.hpp"
#include "harness/witness/bench.hpp"

namespace faultline::harness::witness {

/// Fields a class does not look at: addresses, and what `Freedom` sets.
inline constexpr std::array not_compared = {
    // debug
    "dr0", "dr1", "dr2", "dr3", "dr6", "dr7", "debugctl", "tf", "rf", "de", "rip", "next", "address0", "address1",
    "address2", "address3", "address4", "io_port", "dr_value", "tf_after", "debugctl_after",
    // exceptions
    "cs", "ss", "sp", "if_", "nt", "ac", "address", "span", "error", "origin", "gate_type", "gate_dpl", "gate_present",
    "gate_selector", "target_out_of_range", "selector", "new_sp", "new_ss", "push_address", "push_low", "push_high"};
/// Fields of which it matters only whether they are zero.
inline constexpr std::array compared_with_zero = {"held", "watched"};

/// Moments of one class differ in addresses, and in what `Freedom` sets.
template <class Formal>
std::string class_of(const guest::Case& kase, const oracle::proof::Moment<Formal>& m) {
    const auto is_in = [](const auto& names, std::string_view name) {
        return std::ranges::any_of(names, [&](std::string_view n) { return n == name; });
    };
    std::string key = fmt::format("{} {}", static_cast<int>(kase.mode), kase.cpl);
    const auto add = [&](const auto& record) {
        oracle::proof::each_field<std::decay_t<decltype(record)>>([&](const char* name, auto index) {
            const std::uint64_t value = oracle::proof::field(record, index);
            if (!is_in(not_compared, name))
                key += fmt::format(" {:x}", is_in(compared_with_zero, name) ? value != 0 : value);
        });
    };
    add(m.pre);
    add(m.stim);
    return key;
}

struct Skeleton {
    guest::Case kase;
    std::string key;
};

/// One for each class, the shortest programs first.
template <class Formal>
std::vector<Skeleton> shortened(Bench::Impl& bench, const std::map<std::string, guest::Case>& first) {
    constexpr unsigned budget = 300;
    std::vector<Skeleton> skeletons;
    for (const auto& [key, kase] : first) {
        const auto keeps = [&](const guest::Case& c) {
            if (!bench.run(c)) return false;
            return std::ranges::any_of(bench.moments.of<Formal>(),
                                       [&](const auto& m) { return class_of<Formal>(c, m) == key; });
        };
        skeletons.push_back({shrink(kase, keeps, budget), key});
    }
    std::ranges::stable_sort(skeletons, {}, [](const Skeleton& s) { return s.kase.ops.size(); });
    return skeletons;
}

}  // namespace faultline::harness::witness
