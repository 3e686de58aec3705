// What the oracle says of one run.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace faultline::oracle {

enum class VerdictKind : std::uint8_t { Pass, Divergence, Undefined, NotModelled };

/// One field of a wrong answer: what was allowed, what was seen, as people read it.
struct FieldDifference {
    std::string field;    ///< "vector", "rip", "rf", "dr6", …
    std::string allowed;  ///< one entry per distinct allowed value, joined by " | "
    std::string seen;
};

struct Divergence {
    std::string rule;                      ///< primary rule id, e.g. "DBG-047"
    std::vector<std::string> other_rules;  ///< the other violated rules, in catalogue order
    std::string stimulus_class;            ///< class of the stimulus, not the mnemonic: "data-write-hit", "gd", …
    std::string shape;                     ///< shape of the wrong answer: "missing-db", "dr6.bs=0", …
    /// `1:RULE/stimulus-class/world-mode-cplN/shape`; the leading number is signature_version.
    std::string signature;
    std::string title;           ///< one line for a person
    std::string expected, seen;  ///< the allowed answers and the seen one, readable
    std::vector<FieldDifference> fields;
    std::uint16_t op_index = 0;      ///< op at which it happened; ops.size() is the end
    std::uint16_t record_index = 0;  ///< tape record that shows it; count when it is the final state or outcome
};
inline constexpr int signature_version = 1;

/// How often each rule applied and was decisive in this run, by dense rule index (oracle/catalogue.hpp).
inline constexpr std::size_t max_rules = 1024;
struct RuleUse {
    std::array<std::uint32_t, max_rules> applied{}, decisive{};
};

struct Verdict {
    VerdictKind kind = VerdictKind::Pass;
    std::string reason;                   ///< NotModelled and Undefined: why
    std::vector<Divergence> divergences;  ///< in tape order; empty unless kind == Divergence
};

}  // namespace faultline::oracle
