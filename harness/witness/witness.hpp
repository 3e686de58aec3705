// Witnesses: for each rule a small program that would fail if the rule were broken. See oracle/README.md, "Witnesses".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness::witness {

/// How a program makes a rule decide.
struct Decision {
    std::size_t op = 0;
    bool on_boundary = false;             ///< a bit of state or stimulus away the rule is out of it
    std::optional<unsigned> change = {};  ///< the number of that bit
    std::string text;                     ///< one line for people
    /// With the rule turned into its opposite, all others as they are: what only the rule stood against is right, and a
    /// right answer is wrong (of a FREE rule: what only the rule made right is wrong).
    bool falls_when_inverted = false;
};

/// Runs programs on the engine and asks what decides there. Not thread safe.
class Bench {
public:
    Bench();
    ~Bench();
    /// None: the program does not pass, or the rule decides nothing in it. `thorough` asks the solver, too, for answers
    /// that lie far from the right ones.
    std::optional<Decision> decide(const guest::Case& kase, std::string_view rule, bool thorough = true);

    struct Impl;
    Impl& impl() { return *impl_; }

private:
    std::unique_ptr<Impl> impl_;
};

struct Witness {
    enum class Origin { Solver, Search } origin = Origin::Solver;
    guest::Case kase;
    Decision decision;
};
struct Found {
    std::map<std::string, Witness, std::less<>> witnesses;  ///< by rule
};

struct Options {
    std::uint64_t programs = 100000;                        ///< generated ones, to take skeletons from and to search in
    std::function<void(const std::string&)> progress = {};  ///< one line
};

/// Witnesses of the chapter's rules in `wanted`; deterministic.
Found find(std::string_view chapter, const std::vector<std::string_view>& wanted, const Options& options);

/// The case file of a witness: a program without expectation, and in [about] what the rule decides there.
std::string file_text(std::string_view rule, const Witness& witness);
/// How [about] argument begins where a person wrote the file: it is not overwritten.
inline constexpr std::string_view by_hand = "By hand";

}  // namespace faultline::harness::witness
