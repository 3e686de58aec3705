// Cases as TOML: the form that is stored, replayed and read by people. corpora/README.md shows every key.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "hypervisor/guest/case.hpp"

namespace faultline::guest {

/// What is wrong with a file, and where.
struct ParseError {
    std::string file;
    std::uint32_t line = 0;    ///< 1-based; 0 when the file as a whole is meant
    std::string message;       ///< `key: expected …, found …`
    std::string text() const;  ///< `file:line: key: expected …, found …`
};

inline constexpr std::size_t max_file_size = 1 << 20;

/// Canonical text: keys in fixed order, one op per line, defaults left out. Equal cases have equal texts.
std::string to_toml(const Case& subject_case);

/// The inverse; takes any text. Values may be strings or integers, tables in any order. Unknown keys are errors, and so
/// are references to ops that are not there.
tl::expected<Case, ParseError> parse_case(std::string_view text, std::string_view filename);

/// The canonical text's keys and values as JSON.
nlohmann::json to_json(const Case& subject_case);

/// Identity of a case: XXH3 of its canonical text. Stable across machines and releases.
std::uint64_t hash(const Case& subject_case);
/// 16 hexadecimal digits.
std::string hash_text(std::uint64_t hash);

}  // namespace faultline::guest
