#include "harness/known/known.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "harness/backends.hpp"
#include "harness/explore/collector.hpp"
#include "harness/scratch.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_text.hpp"

namespace faultline::harness {
namespace {

class KnownFolder : public testing::Test {
protected:
    void write(const std::string& text) const { std::ofstream(folder_ / "entry.toml") << text; }
    auto load() const { return load_known(folder_.path()); }
    void refuses(const std::string& text, const char* words) const {
        write(text);
        auto all = load();
        ASSERT_FALSE(all);
        EXPECT_EQ(all.error().exit, Exit::Data);
        EXPECT_NE(all.error().message.find(words), std::string::npos) << all.error().message;
    }
    ScratchFolder folder_;
};

const std::string entry = R"(
signatures = ["1:DBG-047/*/bare-long64-cpl0/missing-db", "1:DBG-048/gd/*"]
kind = "limitation"
title = "t"
argument = "a"
citation = "c"
program = "ops = []"
[subject]
backend = "kvm"
module = "kvm_p*"
from = "6.9"
until = "6.12"
)";

guest::Subject kvm(const char* version, const char* module = "kvm_pvm", const char* backend = "kvm") {
    return {backend, version, module, "", ""};
}

Appearance like(const std::string& signature) { return {signature, "", ""}; }

TEST_F(KnownFolder, AnEntryAcceptsItsSignaturesOnItsSubjectOnly) {
    write(entry);
    auto all = load();
    ASSERT_TRUE(all) << all.error().message;
    const std::string mine = "1:DBG-047/data/write/bare-long64-cpl0/missing-db";
    const Known* found = find_known(*all, kvm("6.10.1"), like(mine));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->id, "entry");
    EXPECT_EQ(found->kind, KnownKind::Limitation);
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), like("1:DBG-048/gd/anything")));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), like("1:DBG-047/x/bare-long64-cpl3/missing-db")));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1", "kvm_amd"), like(mine)));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1", "kvm_pvm", "engine"), like(mine)));
}

TEST_F(KnownFolder, VersionsAreOrderedAsNumbersAndUntilIsExclusive) {
    write(entry);
    auto all = load();
    ASSERT_TRUE(all);
    const std::string mine = "1:DBG-048/gd/x";
    EXPECT_FALSE(find_known(*all, kvm("6.8.99"), like(mine)));
    EXPECT_TRUE(find_known(*all, kvm("6.9"), like(mine)));
    EXPECT_TRUE(find_known(*all, kvm("6.11.7"), like(mine)));
    EXPECT_FALSE(find_known(*all, kvm("6.12"), like(mine)));
}

const std::string face = R"(
[[face]]
signatures = ["1:EXE-004/*", "1:EXE-005/*"]
seen = '#GP, RIP'
at = '^iret$'
program = '^  "syscall"'
)";
const std::string wide = "1:EXE-004/plain/bare-long64-cpl3/unexpected-gp";
const std::string with_syscall = "ops = [\n  \"syscall\",\n]\n";

TEST_F(KnownFolder, AFaceAcceptsTheAnswerItDescribesAtItsOpInItsProgramOnly) {
    write(entry + face);
    auto all = load();
    ASSERT_TRUE(all) << all.error().message;
    const Appearance right{wide, "#GP, RIP 20000h, RF 1", "iret"};
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), right, with_syscall));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), {wide, "#PF(5h), RIP 20000h, RF 1", "iret"}, with_syscall));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), {wide, right.seen, "iretd"}, with_syscall));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), {wide, right.seen, ""}, with_syscall));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), {"1:EXE-006/x", right.seen, "iret"}, with_syscall));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), right, "ops = [\n  \"nop\",\n]\n"));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), right)) << "the face asks for a program";
    EXPECT_FALSE(find_known(*all, kvm("6.12"), right, with_syscall));
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), like("1:DBG-048/gd/x"), "ops = [\n  \"nop\",\n]\n"));
}

TEST_F(KnownFolder, AnEntryMayConsistOfFacesAlone) {
    write(entry.substr(entry.find("kind")) + "[[face]]\nsignatures = ['1:EXE-004/*']\nat = 'iret'\n");
    auto all = load();
    ASSERT_TRUE(all) << all.error().message;
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), {wide, "", "iret"}));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), {wide, "", "nop"}));
}

TEST(AtOp, IsTheOpAtWhoseFirstByteTheRecordStands) {
    for (const char* mode : {"long64", "real16"}) {
        const auto kase = guest::parse_case(fmt::format("mode = \"{}\"\nops = [\"nop\", \"icebp\"]\n", mode), "x");
        ASSERT_TRUE(kase);
        guest::Image image;
        ASSERT_TRUE(guest::assemble(*kase, image));
        guest::Tape tape;
        tape.count = 1;
        tape.records[0].cs = 0x1000;
        const std::uint64_t base = std::string(mode) == "real16" ? 0x10000 : 0;
        const auto at = [&](std::uint64_t rip) {
            tape.records[0].rip = rip - base;
            return at_op(*kase, image, tape, 0);
        };
        EXPECT_EQ(at(image.op_address(0)), "nop");
        EXPECT_EQ(at(image.op_address(1)), "icebp");
        EXPECT_EQ(at(image.end_address()), "end");
        EXPECT_EQ(at(image.op_address(0) - 1), "");
        EXPECT_EQ(at(image.stage->symbols.stubs + 3 * guest::stub_stride), "handler 3");
        EXPECT_EQ(at(image.stage->symbols.stubs + 3 * guest::stub_stride + 1), "");
        tape.stop_rip = image.op_address(1);
        EXPECT_EQ(at_op(*kase, image, tape, 1), "icebp") << "behind the last record it is where the run stopped";
    }
}

TEST_F(KnownFolder, AnEmptyFolderHoldsNothingAndAMissingOneIsAnError) {
    EXPECT_TRUE(load()->empty());
    EXPECT_FALSE(load_known(folder_ / "absent"));
}

TEST_F(KnownFolder, BadEntriesAreRefusedWithTheKeyThatIsWrong) {
    refuses("signatures = [", "entry.toml");
    refuses("title = 't'", "signatures");
    std::string text = entry;
    refuses("surprise = 1\n" + text, "surprise");
    refuses("source = 3\n" + text, "source");
    refuses(text + "vendor = 'x'\n", "vendor");
    refuses(text + "[[face]]\nsignatures = ['1:*']\n", "seen");
    refuses(text + "[[face]]\nat = 'iret'\n", "signatures");
    refuses(text + "[[face]]\nsignatures = ['1:*']\nat = '('\n", "at");
    refuses(text + "[[face]]\nsignatures = ['1:*']\nat = 'iret'\nneeds = 'x'\n", "needs");
    refuses("face = 3\n" + text, "face");
    text.replace(text.find("limitation"), 10, "opinion");
    refuses(text, "opinion");
}

TEST_F(KnownFolder, AFixWithoutItsVersionIsRefused) {
    std::string text = entry;
    text.replace(text.find("limitation"), 10, "fixed-in");
    text.resize(text.find("until"));
    refuses(text, "until");
}

TEST(KnownCorpus, EveryEntryLoadsAndItsProgramAssembles) {
    const auto all = load_known(FAULTLINE_SOURCE_DIR "/corpora/known");
    ASSERT_TRUE(all) << all.error().message;
    ASSERT_FALSE(all->empty());
    std::ostringstream page;
    page << std::ifstream(FAULTLINE_SOURCE_DIR "/corpora/known/README.md").rdbuf();
    for (const Known& known : *all) {
        const auto kase = guest::parse_case(known.program, known.id);
        ASSERT_TRUE(kase) << kase.error().text();
        guest::Image image;
        const auto assembled = guest::assemble(*kase, image);
        EXPECT_TRUE(assembled) << known.id << ": " << assembled.error();
        EXPECT_FALSE(known.citation.empty() || known.argument.empty() || known.source.empty()) << known.id;
        EXPECT_NE(page.str().find("`" + known.id + "`"), std::string::npos)
            << known.id << " is not in the README's table";
    }
}

/// On a machine that an entry is about, its program shows its finding and no entry but it accepts that.
TEST(KnownCorpus, EveryProgramShowsWhatItsEntrySaysWhereItsSubjectIsAtHand) {
    const auto all = load_known(FAULTLINE_SOURCE_DIR "/corpora/known");
    ASSERT_TRUE(all) << all.error().message;
    std::size_t tried = 0;
    for (const char* backend : {"kvm", "native"}) {
        auto made = backend_factory(backend);
        if (!made) continue;
        auto vcpu = (*made)();
        if (!vcpu) continue;
        Machine machine(*std::move(vcpu));
        for (const Known& known : *all) {
            if (!known.is_about(machine.backend().subject())) continue;
            ++tried;
            const auto kase = guest::parse_case(known.program, known.id);
            ASSERT_TRUE(kase) << kase.error().text();
            const Look look = machine.look(*kase);
            ASSERT_EQ(look.verdict, Verdict::Divergence) << known.id;
            const oracle::Divergence& divergence = look.oracle.divergences.front();
            const Known* found = find_known(*all, machine.backend().subject(), appearance(divergence, *kase, machine),
                                            guest::to_toml(*kase));
            EXPECT_EQ(found ? found->id : "new", known.id) << divergence.signature << ": " << divergence.seen;
        }
    }
    if (!tried) GTEST_SKIP() << "none of the subjects is at hand";
}

}  // namespace
}  // namespace faultline::harness
