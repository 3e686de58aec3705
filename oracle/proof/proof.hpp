// `faultline prove`: every chapter's rules and outcomes held against each other over all values. See oracle/README.md.
#pragma once

#include <compare>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace faultline::oracle::proof {

/// What a failure says about.
enum class Claim {
    Satisfiable,  ///< `valid` admits something
    Consistent,   ///< what outcomes list, the rules permit, and something is always listed
    Complete,     ///< what the rules permit, outcomes list
    Alive,        ///< every rule is needed, every corollary is one, and they are few
    Invariant,
    Lemma,   ///< an auxiliary statement of the chapter's `Formal` is false
    Prover,  ///< the prover itself: nothing is proved
};
std::string_view name(Claim claim);

struct Failure {
    Claim claim;
    std::string what;  ///< one line
    std::string text;  ///< the case, as indented lines; or nothing
};

/// What shows that a rule is alive: a response that it alone rejects; of a FREE rule, one that it alone makes right.
struct Model {
    std::string rule, text;
    auto operator<=>(const Model&) const = default;
};

struct Result {
    std::string name;
    std::size_t rules = 0, free = 0, redundant = 0, invariants = 0;
    double seconds = 0;
    std::vector<Failure> failures;
    std::vector<Model> models;
    std::string valid;  ///< `valid` as lines of text, one condition each

    bool holds() const { return failures.empty(); }
    /// Nothing failed that the claim rests on.
    bool holds(Claim claim) const;
};

struct Options {
    unsigned jobs = 2;
    std::optional<std::uint64_t> kind = {};  ///< only this kind of stimulus, and no word about which rules are alive
    std::function<void(const std::string&)> progress = {};  ///< called with one line; may be empty
};

struct Chapter {
    std::string_view name;
    Result (*prove)(const Options&);
};
/// Every chapter that can be proved.
std::span<const Chapter> chapters();

}  // namespace faultline::oracle::proof
