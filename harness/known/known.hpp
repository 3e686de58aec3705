// Known findings: divergences that people have looked into and explained. corpora/known holds one TOML
// file per explanation; a finding it accepts is counted and listed apart and makes no exit status 1.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "harness/result.hpp"
#include "hypervisor/guest/backend.hpp"

namespace faultline::harness {

enum class KnownKind : std::uint8_t {
    Bug,         ///< the subject is wrong
    Limitation,  ///< the subject says, or is known, not to implement this
    FixedIn,     ///< wrong up to a version: `until` says which
};

/// One accepted explanation. Globs are those of fnmatch(3), `*` crossing slashes; an empty one matches all.
struct Known {
    std::string id;                       ///< file name without ".toml"
    std::vector<std::string> signatures;  ///< globs; at least one here or among the wide ones
    /// Globs of signatures that other causes may share: a finding with such a one is accepted only when its smallest
    /// program's text also has a match of `needs`.
    std::vector<std::string> wide_signatures;
    std::optional<std::regex> needs;
    KnownKind kind = KnownKind::Bug;
    struct {
        std::string backend, module;  ///< globs
        std::string from, until;      ///< kernel or engine version: from <= version < until
    } subject;
    std::string title, argument, citation;
    std::string source;   ///< where in the subject's source the fault stands
    std::string program;  ///< the smallest program that shows it, a case's TOML text

    bool is_about(const guest::Subject& seen_on) const;
    bool accepts(const std::string& signature) const;
    bool accepts(const std::string& signature, const std::string& smallest_program) const;
};

/// All entries of a folder, in name order. A folder that does not exist is an error, an empty one is not.
Result<std::vector<Known>> load_known(const std::string& folder);
/// Null when nobody has explained it. With the finding's smallest program, wide signatures count too.
const Known* find_known(const std::vector<Known>& all, const guest::Subject& seen_on, const std::string& signature,
                        const std::optional<std::string>& smallest_program = {});

}  // namespace faultline::harness
