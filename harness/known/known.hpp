// Known findings: divergences that people have looked into and explained. corpora/known holds one TOML
// file per explanation; a finding it accepts is counted and listed apart and makes no exit status 1.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "harness/result.hpp"
#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::harness {

enum class KnownKind : std::uint8_t {
    Bug,         ///< the subject is wrong
    Limitation,  ///< the subject says, or is known, not to implement this
    FixedIn,     ///< wrong up to a version: `until` says which
};

/// What a wrong answer looks like, as far as entries ask.
struct Appearance {
    std::string signature;
    std::string seen;  ///< oracle::Divergence::seen
    std::string at;    ///< the op that the wrong record's RIP names, in text form: `at_op`
};

/// One of the ways in which a cause shows. Globs are those of fnmatch(3), `*` crossing slashes; an empty one matches
/// all. Where other causes may have these signatures, too, expressions that must each have a match tell them apart.
struct Face {
    std::vector<std::string> signatures;         ///< globs, at least one
    std::optional<std::regex> seen, at;          ///< of the answer
    std::optional<std::regex> program;           ///< of the smallest program's text
    bool accepts(const Appearance& look) const;  ///< without the program
    bool accepts(const Appearance& look, const std::string& program_text) const;
};

/// One accepted explanation.
struct Known {
    std::string id;           ///< file name without ".toml"
    std::vector<Face> faces;  ///< the first is the plain one, of signatures alone, where there is one
    KnownKind kind = KnownKind::Bug;
    struct {
        std::string backend, module;  ///< globs
        std::string from, until;      ///< kernel or engine version: from <= version < until
    } subject;
    std::string title, argument, citation;
    std::string source;   ///< where in the subject's source the fault stands
    std::string program;  ///< the smallest program that shows it, a case's TOML text

    bool is_about(const guest::Subject& seen_on) const;
};

/// All entries of a folder, in name order. A folder that does not exist is an error, an empty one is not.
Result<std::vector<Known>> load_known(const std::string& folder);
/// Null when nobody has explained it. Without a program, only faces that ask for none count.
const Known* find_known(const std::vector<Known>& all, const guest::Subject& seen_on, const Appearance& look,
                        const std::optional<std::string>& program = {});
/// The op at whose first byte record `record_index` stands (behind the last record: where the run stopped), in text
/// form; "end", "syscall entry" or "handler N" at these places of the stage, empty elsewhere.
std::string at_op(const guest::Case& kase, const guest::Image& image, const guest::Tape& tape,
                  std::size_t record_index);

}  // namespace faultline::harness
