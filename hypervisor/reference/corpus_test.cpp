// corpora/conformance/svm in both realisations of world svm: exits and records that were written by hand from the
// manual.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::reference {
namespace {

/// Calls `look(file name, file)` for each case of world svm in corpora/`folder`.
template <class Look>
void for_each_case(const std::string& folder, Look look) {
    for (const auto& entry : std::filesystem::directory_iterator(FAULTLINE_SOURCE_DIR "/corpora/" + folder)) {
        if (entry.path().extension() != ".toml") continue;
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const std::string name = entry.path().filename().string();
        const auto file = guest::parse_case_file(text.str(), name);
        ASSERT_TRUE(file) << file.error().text();
        if (file->subject_case.world != guest::World::Svm) continue;
        ASSERT_TRUE(file->expectation) << name;
        look(name, *file);
    }
}

/// Where the backend's tape is not the expected one, a line each; the last holds the whole tape.
std::vector<std::string> corpus_mismatches(guest::Backend& backend, const guest::CaseFile& file) {
    static guest::Image image;
    static guest::Tape tape;
    if (const auto assembled = guest::assemble(file.subject_case, image); !assembled) return {assembled.error()};
    backend.run(image, tape);
    if (!tape.unsuitable.empty()) return {std::string(tape.unsuitable)};
    auto wrong = guest::mismatches(*file.expectation, image, tape);
    if (!wrong.empty()) wrong.push_back(guest::to_text(tape, image));
    return wrong;
}

void expect_hand_written_tapes(guest::Backend& backend) {
    std::size_t compared = 0;
    for_each_case("conformance/svm", [&](const std::string& name, const guest::CaseFile& file) {
        for (const auto& line : corpus_mismatches(backend, file)) ADD_FAILURE() << name << ": " << line;
        ++compared;
    });
    EXPECT_GT(compared, 30u);
}

TEST(SvmCorpus, TheReferenceHypervisorGivesEveryHandWrittenTape) {
    expect_hand_written_tapes(*make_reference_backend());
}

TEST(SvmCorpus, TheMonitorOnTheEngineGivesEveryHandWrittenTape) {
    expect_hand_written_tapes(*engine::make_engine_backend());
}

TEST(SvmCorpus, EveryHistoryCasePassesAndFailsWithItsQuirk) {
    const auto right = make_reference_backend();
    const auto monitor = engine::make_engine_backend();
    std::set<std::string> shown;
    for_each_case("history", [&](const std::string& name, const guest::CaseFile& file) {
        for (const auto& line : corpus_mismatches(*right, file)) ADD_FAILURE() << name << ": " << line;
        for (const auto& line : corpus_mismatches(*monitor, file)) ADD_FAILURE() << "monitor: " << name << ": " << line;
        const auto quirk = engine::quirk_named(file.about.quirk);
        ASSERT_TRUE(quirk) << name << ": [about] names no quirk";
        EXPECT_EQ(name, file.about.quirk + ".toml");
        EXPECT_FALSE(corpus_mismatches(*make_reference_backend({*quirk}), file).empty())
            << name << " passes all the same";
        shown.insert(file.about.quirk);
    });
    for (const engine::QuirkInfo& info : engine::quirk_catalogue()) {
        if (info.world != guest::World::Svm || info.bug.empty() || !info.equivalent.empty()) continue;
        EXPECT_TRUE(shown.contains(info.name)) << info.name << ": a real bug without a case in corpora/history";
    }
}

}  // namespace
}  // namespace faultline::reference
