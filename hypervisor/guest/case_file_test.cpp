#include "hypervisor/guest/case_file.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "hypervisor/guest/assemble.hpp"

namespace faultline::guest {
namespace {

constexpr auto text = R"(
ops = [
  "store at=[0x40010] from=rax width=4",
  "nop",
]

[about]
fact = "A data write breakpoint traps after the store"
rules = ["DBG-047", "DBG-001"]
citation = "AMD APM vol 2"
vendor = "amd"

[environment]
dr = ["0x40010"]

[[expect]]
vector = "#DB"
rip = "op1"
error = 0
cs = "0x8"
tf = false
rf = true
dr6 = "0xffff0ff1"
handler-if = false
handler-nt = false
handler-ss = "0x10"
frame = "0x31ed8"

[[expect]]
vector = 0x20
when = "intel"

[expect-final]
outcome = "completed"
rax = "0x1234"
dr0 = "0x40010"
de = false
zf = true
)";

struct CaseFileTest : testing::Test {
    void SetUp() override {
        const auto parsed = parse_case_file(text, "file.toml");
        ASSERT_TRUE(parsed) << parsed.error().text();
        file = *parsed;
        ASSERT_TRUE(assemble(file.subject_case, image));
        tape.features.vendor = Vendor::Amd;
        tape.outcome = Outcome::Completed;
        tape.count = 1;
        tape.records[0] = {.vector = 1,
                           .error = 0,
                           .rip = image.op_address(1),
                           .cs = 8,
                           .rflags = rflags::rf | rflags::fixed1,
                           .dr6 = 0xffff0ff1,
                           .handler_flags = rflags::fixed1 | rflags::tf,
                           .handler_ss = layout::kernel_ss,
                           .frame = layout::stack_top - 40,
                           .complete = 1};
        tape.final.gpr[0] = 0x1234;
        tape.final.dr[0] = 0x40010;
        tape.final.rflags = rflags::zf;
    }
    std::vector<std::string> differences() { return mismatches(*file.expectation, image, tape); }
    /// The one difference that a change of the matching tape makes.
    std::string difference(const std::function<void(Tape&)>& change) {
        const auto matching = tape;
        change(tape);
        const auto all = differences();
        tape = matching;
        return all.size() == 1 ? all[0] : "differences: " + std::to_string(all.size());
    }
    CaseFile file;
    Image image;
    Tape tape;
};

TEST_F(CaseFileTest, SaysWhatTheCaseIsAbout) {
    EXPECT_EQ(file.about, (About{.fact = "A data write breakpoint traps after the store",
                                 .rules = {"DBG-047", "DBG-001"},
                                 .citation = "AMD APM vol 2",
                                 .vendor = Vendor::Amd}));
    EXPECT_TRUE(applies(file.about, Vendor::Amd));
    EXPECT_FALSE(applies(file.about, Vendor::Intel));
    EXPECT_TRUE(applies(About{}, Vendor::Intel));
    EXPECT_EQ(file.subject_case.ops.size(), 2u);
}

TEST_F(CaseFileTest, ATapeAsExpectedHasNoMismatch) { EXPECT_EQ(differences(), std::vector<std::string>{}); }

TEST_F(CaseFileTest, EveryFieldGivenIsCompared) {
    using T = Tape;
    EXPECT_EQ(difference([](T& t) { t.records[0].vector = 3; }), "record 0: vector: expected #DB, found #BP");
    EXPECT_EQ(difference([&](T& t) { t.records[0].rip = image.op_address(0); }),
              "record 0: rip: expected op1, found op0");
    EXPECT_EQ(difference([](T& t) { t.records[0].error = 2; }), "record 0: error: expected 0, found 2");
    EXPECT_EQ(difference([](T& t) { t.records[0].cs = 0x23; }), "record 0: cs: expected 8, found 0x23");
    EXPECT_EQ(difference([](T& t) { t.records[0].rflags |= rflags::tf; }), "record 0: tf: expected false, found true");
    EXPECT_EQ(difference([](T& t) { t.records[0].rflags &= ~rflags::rf; }), "record 0: rf: expected true, found false");
    EXPECT_EQ(difference([](T& t) { t.records[0].dr6 = not_recorded; }),
              "record 0: dr6: expected 0xffff0ff1, found nothing recorded");
    EXPECT_EQ(difference([](T& t) { t.records[0].handler_flags |= rflags::nt; }),
              "record 0: handler-nt: expected false, found true");
    EXPECT_EQ(difference([](T& t) { t.records[0].handler_ss = 0; }), "record 0: handler-ss: expected 0x10, found 0");
    EXPECT_EQ(difference([](T& t) { t.records[0].frame += 8; }), "record 0: frame: expected 0x31ed8, found 0x31ee0");
    EXPECT_EQ(difference([](T& t) { t.final.gpr[0] = 0; }), "final: rax: expected 0x1234, found 0");
    EXPECT_EQ(difference([](T& t) { t.final.dr[0] = 0; }), "final: dr0: expected 0x40010, found 0");
    EXPECT_EQ(difference([](T& t) { t.final.cr4 = cr4_de; }), "final: de: expected false, found true");
    EXPECT_EQ(difference([](T& t) { t.final.rflags = 0; }), "final: zf: expected true, found false");
    EXPECT_EQ(difference([](T& t) { t.count = 0; }), "tape: records: expected 1, found 0");
    EXPECT_EQ(difference([](T& t) { t.outcome = Outcome::Shutdown; }),
              "tape: outcome: expected completed, found shutdown");
}

TEST_F(CaseFileTest, WhatIsNotGivenIsNotCompared) {
    tape.records[0].dr7 = 7;
    tape.records[0].rcx = 7;
    tape.records[0].rflags |= rflags::if_;
    tape.final.gpr[1] = 7;
    EXPECT_EQ(differences(), std::vector<std::string>{});
}

TEST(CaseFile, ARealModeRipIsComparedAsALinearAddress) {
    const auto file = parse_case_file(
        "mode = \"real16\"\nops = [\"nop\", \"nop\"]\n[[expect]]\nvector = 1\nrip = \"op1\"\n", "file.toml");
    ASSERT_TRUE(file) << file.error().text();
    Image image;
    ASSERT_TRUE(assemble(file->subject_case, image));
    Tape tape;
    tape.outcome = Outcome::Completed;
    tape.count = 1;
    tape.records[0] = {.vector = 1, .rip = 1, .cs = layout::real_cs};
    EXPECT_EQ(mismatches(*file->expectation, image, tape), std::vector<std::string>{});
    tape.records[0].cs -= 1;
    EXPECT_EQ(mismatches(*file->expectation, image, tape).size(), 1u);
}

TEST_F(CaseFileTest, ARecordOfTheOtherVendorIsNotExpected) {
    tape.features.vendor = Vendor::Intel;
    EXPECT_EQ(differences(), std::vector<std::string>{"tape: records: expected 2, found 1"});
    tape.count = 2;
    tape.records[1] = {.vector = 0x20};
    EXPECT_EQ(differences(), std::vector<std::string>{});
}

TEST(CaseFile, WithoutExpectationExpectsNothingInParticular) {
    const auto parsed = parse_case_file("ops = []\n", "file.toml");
    ASSERT_TRUE(parsed);
    EXPECT_FALSE(parsed->expectation);
}

TEST(CaseFile, AMistakeIsNamedByFileLineAndKey) {
    const auto error_of = [](const std::string& more) {
        const auto parsed = parse_case_file("ops = []\n" + more, "bad.toml");
        return parsed ? "parsed" : parsed.error().text();
    };
    EXPECT_EQ(error_of("[[expect]]\nrip = \"op0\"\n"),
              "bad.toml:2: expect[0].vector: expected a vector, found nothing");
    EXPECT_EQ(error_of("[[expect]]\nvector = \"#XX\"\n"),
              "bad.toml:3: expect[0].vector: expected a vector 0…0xff, found `#XX`");
    EXPECT_EQ(error_of("[[expect]]\nvector = 1\ntf = 1\n"),
              "bad.toml:4: expect[0].tf: expected true or false, found 1");
    EXPECT_EQ(error_of("[[expect]]\nvector = 1\nwhen = \"via\"\n"),
              "bad.toml:4: expect[0].when: expected one of amd, intel, found `via`");
    EXPECT_EQ(error_of("[[expect]]\nvector = 1\nrip = \"op1\"\n"),
              "bad.toml:4: expect[0].rip: expected an op up to op0, the end, found `op1`");
    EXPECT_EQ(
        error_of("[expect-final]\noutcome = \"fine\"\n"),
        "bad.toml:3: expect-final.outcome: expected completed, halted, shutdown or another outcome, found `fine`");
    EXPECT_EQ(error_of("[expect-final]\ndr5 = 1\n"),
              "bad.toml:3: expect-final.dr5: expected a key that exists, found an unknown one");
    EXPECT_EQ(error_of("[about]\nrules = [3]\n"), "bad.toml:3: about.rules[0]: expected a string, found 3");
    EXPECT_EQ(error_of("expect = 3\n"), "bad.toml:2: expect: expected an array, found 3");
}

TEST(CaseFile, EveryCorpusFileReadsAndAssembles) {
    std::size_t count = 0;
    for (const auto* folder : {"conformance", "history"}) {
        const auto path = std::filesystem::path(FAULTLINE_SOURCE_DIR) / "corpora" / folder;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
            if (entry.path().extension() != ".toml") continue;
            ++count;
            std::ostringstream content;
            content << std::ifstream(entry.path()).rdbuf();
            const auto parsed = parse_case_file(content.str(), entry.path().string());
            ASSERT_TRUE(parsed) << parsed.error().text();
            const bool witness = entry.path().parent_path().filename() == "witness";  // a program, and no tape
            EXPECT_EQ(parsed->expectation.has_value(), !witness) << entry.path();
            EXPECT_FALSE(parsed->about.citation.empty()) << entry.path();
            Image image;
            const auto assembled = assemble(parsed->subject_case, image);
            EXPECT_TRUE(assembled) << entry.path() << ": " << assembled.error();
        }
    }
    EXPECT_GT(count, 0u);
}

}  // namespace
}  // namespace faultline::guest
