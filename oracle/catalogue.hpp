// The rules as data, for people and reports: every chapter's rules in catalogue order.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace faultline::oracle {

enum class RuleVendor : std::uint8_t { Both, Amd, Intel };
enum class RuleKind : std::uint8_t { Arch, Spec, Free, Policy };

struct RuleInfo {
    std::string_view id;         ///< "DBG-047"
    std::string_view chapter;    ///< "debug"
    std::string_view statement;  ///< one sentence
    RuleVendor vendor;
    RuleKind kind;
    std::string_view citation;  ///< document, section title, revision; or "from implementation X"
    std::string_view seed;      ///< "S1".."S5" or empty
};

/// All rules; the position is the dense index of RuleUse.
std::span<const RuleInfo> catalogue();
/// Null when there is no such rule.
const RuleInfo* find_rule(std::string_view id);

/// Of a constraining rule the FREE rules that allow what it rejects; of a FREE rule the rules it excepts.
std::vector<std::string_view> excepted_with(std::string_view id);
/// Whether other rules imply it.
bool is_corollary(std::string_view id);
/// Why no program of world bare can make the rule decisive on machines of one vendor, or of both; empty when one may.
std::string_view beyond_reach(const RuleInfo& rule, RuleVendor machines);

}  // namespace faultline::oracle
