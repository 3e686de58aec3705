// The corpora on the engine: tapes that were written by hand, instruction by instruction.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::engine {
namespace {

/// Calls `look(file name, file)` for each bare case of corpora/`folder` that says what an AMD machine must do.
template <class Look>
void for_each_corpus_case(const std::string& folder, Look look) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(FAULTLINE_SOURCE_DIR "/corpora/" + folder)) {
        if (entry.path().extension() != ".toml") continue;
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const auto file = guest::parse_case_file(text.str(), entry.path().filename().string());
        ASSERT_TRUE(file) << file.error().text();
        if (!file->expectation || !guest::applies(file->about, guest::Vendor::Amd)) continue;
        if (file->subject_case.world != guest::World::Bare) continue;
        look(entry.path().filename().string(), *file);
    }
}

/// Where the backend's tape is not the expected one, a line each; the last holds the whole tape.
std::vector<std::string> corpus_mismatches(guest::Backend& backend, const guest::CaseFile& file) {
    static guest::Image image;
    static guest::Tape tape;
    if (const auto assembled = guest::assemble(file.subject_case, image); !assembled) return {assembled.error()};
    backend.run(image, tape);
    auto wrong = guest::mismatches(*file.expectation, image, tape);
    if (!wrong.empty()) wrong.push_back(guest::to_text(tape, image));
    return wrong;
}

TEST(Corpus, EveryConformanceCaseGivesItsHandWrittenTape) {
    const auto backend = make_engine_backend();
    std::size_t compared = 0;
    for_each_corpus_case("conformance", [&](const std::string& name, const guest::CaseFile& file) {
        if (!file.expectation) return;  // a witness: its verdict is the oracle's
        for (const auto& line : corpus_mismatches(*backend, file)) ADD_FAILURE() << name << ": " << line;
        ++compared;
    });
    EXPECT_GT(compared, 100u);
}

TEST(Corpus, EveryHistoryCasePassesAndFailsWithItsQuirk) {
    const auto right = make_engine_backend();
    std::set<std::string> shown;
    for_each_corpus_case("history", [&](const std::string& name, const guest::CaseFile& file) {
        for (const auto& line : corpus_mismatches(*right, file)) ADD_FAILURE() << name << ": " << line;
        const auto quirk = quirk_named(file.about.quirk);
        ASSERT_TRUE(quirk) << name << ": [about] names no quirk of the engine";
        EXPECT_EQ(name, file.about.quirk + ".toml");
        EXPECT_FALSE(corpus_mismatches(*make_engine_backend({*quirk}), file).empty()) << name << " passes all the same";
        shown.insert(file.about.quirk);
    });
    for (const QuirkInfo& info : quirk_catalogue()) {
        if (info.world != guest::World::Bare || info.bug.empty() || !info.equivalent.empty()) continue;
        EXPECT_TRUE(shown.contains(info.name)) << info.name << ": a real bug without a case in corpora/history";
    }
}

/// Every case of the debug conformance corpus, by file name: whether the machine with this quirk gives its tape.
std::set<std::string> failing(Quirk quirk) {
    std::set<std::string> names;
    const auto backend = make_engine_backend({quirk});
    for_each_corpus_case("conformance/debug", [&](const std::string& name, const guest::CaseFile& file) {
        if (!corpus_mismatches(*backend, file).empty()) names.insert(name);
    });
    return names;
}

/// The hooks restate parts of the machine. One that fires only where these cases never go (a #DF) shows that they
/// restate them right.
TEST(Corpus, GivesItsTapesWithQuirksThatDoNotComeIntoPlay) {
    for (const Quirk quirk : {Quirk::page_fault_pair_in_series, Quirk::contributory_pair_in_series})
        for (const std::string& name : failing(quirk)) ADD_FAILURE() << name;
}

}  // namespace
}  // namespace faultline::engine
