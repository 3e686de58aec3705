#include "harness/known/known.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "harness/scratch.hpp"

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

TEST_F(KnownFolder, AnEntryAcceptsItsSignaturesOnItsSubjectOnly) {
    write(entry);
    auto all = load();
    ASSERT_TRUE(all) << all.error().message;
    const std::string mine = "1:DBG-047/data/write/bare-long64-cpl0/missing-db";
    const Known* found = find_known(*all, kvm("6.10.1"), mine);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->id, "entry");
    EXPECT_EQ(found->kind, KnownKind::Limitation);
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), "1:DBG-048/gd/anything"));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), "1:DBG-047/x/bare-long64-cpl3/missing-db"));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1", "kvm_amd"), mine));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1", "kvm_pvm", "engine"), mine));
}

TEST_F(KnownFolder, VersionsAreOrderedAsNumbersAndUntilIsExclusive) {
    write(entry);
    auto all = load();
    ASSERT_TRUE(all);
    const std::string mine = "1:DBG-048/gd/x";
    EXPECT_FALSE(find_known(*all, kvm("6.8.99"), mine));
    EXPECT_TRUE(find_known(*all, kvm("6.9"), mine));
    EXPECT_TRUE(find_known(*all, kvm("6.11.7"), mine));
    EXPECT_FALSE(find_known(*all, kvm("6.12"), mine));
}

TEST_F(KnownFolder, AWideSignatureCountsOnlyWithTheProgramItNeeds) {
    write("wide-signatures = ['1:EXE-004/*']\nneeds = '^  \"syscall\"'\n" + std::string(entry));
    auto all = load();
    ASSERT_TRUE(all) << all.error().message;
    const std::string wide = "1:EXE-004/plain/bare-long64-cpl3/unexpected-pf";
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), wide));
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), wide, "ops = [\n  \"syscall\",\n]\n"));
    EXPECT_FALSE(find_known(*all, kvm("6.10.1"), wide, "ops = [\n  \"nop\",\n]\n"));
    EXPECT_FALSE(find_known(*all, kvm("6.12"), wide, "ops = [\n  \"syscall\",\n]\n"));
    EXPECT_TRUE(find_known(*all, kvm("6.10.1"), "1:DBG-048/gd/x", "ops = [\n  \"nop\",\n]\n"));
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
    refuses("wide-signatures = ['1:*']\n" + text, "needs");
    refuses("wide-signatures = ['1:*']\nneeds = '('\n" + text, "needs");
    text.replace(text.find("limitation"), 10, "opinion");
    refuses(text, "opinion");
}

TEST_F(KnownFolder, AFixWithoutItsVersionIsRefused) {
    std::string text = entry;
    text.replace(text.find("limitation"), 10, "fixed-in");
    text.resize(text.find("until"));
    refuses(text, "until");
}

}  // namespace
}  // namespace faultline::harness
