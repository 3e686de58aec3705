// `faultline prove --witness`.
#pragma once

#include <string>
#include <vector>

#include "harness/result.hpp"

namespace faultline::harness::cli {

struct WitnessOptions {
    std::vector<std::string> chapters;  ///< empty: all
    std::string out;                    ///< folder, made when there is none
    bool parallel = true, json = false;
};
/// Writes OUT/RULE.toml for every rule, and says of every rule without one why. Files that a person wrote stay as they
/// are. Exit::Divergence: some rule has none, without an excuse.
Result<Exit> write_witnesses(const WitnessOptions& options);

}  // namespace faultline::harness::cli
