// corpora/conformance/svm in both realisations of world svm: exits and records that were written by hand from the
// manual.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::reference {
namespace {

void expect_hand_written_tapes(guest::Backend& backend) {
    guest::Image image;
    guest::Tape tape;
    std::size_t compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(FAULTLINE_SOURCE_DIR "/corpora/conformance/svm")) {
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const std::string name = entry.path().filename().string();
        const auto file = guest::parse_case_file(text.str(), name);
        ASSERT_TRUE(file) << file.error().text();
        ASSERT_TRUE(file->expectation) << name;
        const auto assembled = guest::assemble(file->subject_case, image);
        ASSERT_TRUE(assembled) << name << ": " << assembled.error();
        backend.run(image, tape);
        ASSERT_EQ(tape.unsuitable, "") << name;
        const auto wrong = guest::mismatches(*file->expectation, image, tape);
        for (const auto& line : wrong) ADD_FAILURE() << name << ": " << line;
        if (!wrong.empty()) ADD_FAILURE() << guest::to_text(tape, image);
        ++compared;
    }
    EXPECT_GT(compared, 30u);
}

TEST(SvmCorpus, TheReferenceHypervisorGivesEveryHandWrittenTape) {
    expect_hand_written_tapes(*make_reference_backend());
}

TEST(SvmCorpus, TheMonitorOnTheEngineGivesEveryHandWrittenTape) {
    expect_hand_written_tapes(*engine::make_engine_backend());
}

}  // namespace
}  // namespace faultline::reference
