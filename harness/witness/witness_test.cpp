#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "harness/cli/files.hpp"
#include "harness/witness/witness.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness::witness {
namespace {

namespace fs = std::filesystem;

fs::path path_of(std::string_view rule) {
    return fs::path(FAULTLINE_SOURCE_DIR) / "corpora/conformance/witness" / fmt::format("{}.toml", rule);
}

TEST(Witness, EveryRuleHasOneOrAReasonWhyItCanHaveNone) {
    std::size_t witnesses = 0;
    for (const oracle::RuleInfo& rule : oracle::catalogue()) {
        const bool there = fs::exists(path_of(rule.id));
        witnesses += there;
        const auto excuse = oracle::beyond_reach(rule, oracle::RuleVendor::Amd);
        EXPECT_EQ(there + !excuse.empty(), 1)
            << rule.id << (there ? " has one: " : " has none: `faultline prove --witness`. ") << excuse;
    }
    for (const auto& entry : fs::directory_iterator(path_of("").parent_path()))
        EXPECT_TRUE(oracle::find_rule(entry.path().stem().string())) << entry.path();
    EXPECT_GT(witnesses, 270u);
}

TEST(Witness, EachOnePassesHasItsRuleDecideAndFailsWithTheRuleInverted) {
    Bench bench;
    for (const oracle::RuleInfo& rule : oracle::catalogue()) {
        if (!fs::exists(path_of(rule.id))) continue;
        const auto file = cli::load_case_file(path_of(rule.id));
        ASSERT_TRUE(file) << file.error().message;
        EXPECT_NE(std::ranges::find(file->about.rules, rule.id), file->about.rules.end()) << rule.id;
        const auto decision = bench.decide(file->subject_case, rule.id);
        ASSERT_TRUE(decision) << rule.id << " decides nothing in its witness, or that does not pass";
        EXPECT_TRUE(decision->falls_when_inverted) << rule.id << ": " << decision->text;
    }
}

guest::Case program(std::string_view text) { return guest::parse_case(text, "test").value(); }

TEST(Witness, ARuleDecidesNothingInAProgramThatItDoesNotSpeakAbout) {
    Bench bench;
    const guest::Case nop = program("ops = [\"nop\"]\n");
    EXPECT_FALSE(bench.decide(nop, "DBG-047"));
    EXPECT_FALSE(bench.decide(nop, "XCP-058"));
    EXPECT_FALSE(bench.decide(nop, "no such rule"));
}

TEST(Witness, ABreakpointThatTheStoreJustMeetsIsOnTheBoundary) {
    Bench bench;
    const auto decision = bench.decide(program(R"(
ops = ["store at=[0x40010] from=rax width=4"]
[environment]
dr = ["0x40013", "0", "0", "0"]
dr7 = "0x10401"
)"),
                                       "DBG-047");
    ASSERT_TRUE(decision);
    EXPECT_TRUE(decision->on_boundary) << decision->text;
    EXPECT_TRUE(decision->falls_when_inverted) << decision->text;
}

}  // namespace
}  // namespace faultline::harness::witness
