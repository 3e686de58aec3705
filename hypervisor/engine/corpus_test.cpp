// The conformance corpus on the engine: tapes that were written by hand, instruction by instruction.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::engine {
namespace {

TEST(Corpus, EveryConformanceCaseGivesItsHandWrittenTape) {
    const auto backend = make_engine_backend();
    guest::Image image;
    guest::Tape tape;
    std::size_t compared = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(FAULTLINE_SOURCE_DIR "/corpora/conformance")) {
        if (entry.path().extension() != ".toml") continue;
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const auto file = guest::parse_case_file(text.str(), entry.path().filename().string());
        ASSERT_TRUE(file) << file.error().text();
        if (!file->expectation || !guest::applies(file->about, guest::Vendor::Amd)) continue;
        const auto assembled = guest::assemble(file->subject_case, image);
        ASSERT_TRUE(assembled) << entry.path() << assembled.error();
        backend->run(image, tape);
        const auto wrong = guest::mismatches(*file->expectation, image, tape);
        for (const auto& line : wrong) ADD_FAILURE() << entry.path().filename().string() << ": " << line;
        if (!wrong.empty()) std::cerr << guest::to_text(tape, image) << '\n';
        ++compared;
    }
    EXPECT_GT(compared, 100u);
}

}  // namespace
}  // namespace faultline::engine
