// The list of quirks, and that a machine with quirks is right wherever they don't reach.
#include "hypervisor/engine/quirk.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "hypervisor/engine/test_machine.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::engine {
namespace {

TEST(Quirks, AreAtLeastEightyOfEachWorld) {
    for (const guest::World world : {guest::World::Bare, guest::World::Svm})
        EXPECT_GE(std::ranges::count(quirk_catalogue(), world, &QuirkInfo::world), 80) << guest::to_text(world);
}

TEST(Quirks, HaveANameOfTheirOwnASentenceAndAReference) {
    std::set<std::string> names;
    std::set<std::string_view> sentences;
    for (const QuirkInfo& info : quirk_catalogue()) {
        EXPECT_TRUE(names.insert(info.name).second) << info.name;
        EXPECT_TRUE(sentences.insert(info.wrong).second) << info.name << ": says what another says";
        EXPECT_EQ(info.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos) << info.name;
        EXPECT_GT(info.wrong.size(), 10u) << info.name;
        EXPECT_GT(info.reference.size(), 10u) << info.name;
        EXPECT_EQ(quirk_named(info.name), info.quirk);
    }
    EXPECT_EQ(quirk_named("no-such-quirk"), std::nullopt);
}

TEST(Quirks, EquivalentOnesSayWhy) {
    std::size_t equivalent = 0;
    for (const QuirkInfo& info : quirk_catalogue())
        if (!info.equivalent.empty()) {
            ++equivalent;
            EXPECT_GT(info.equivalent.size(), 40u) << info.name;
        }
    EXPECT_LT(10 * equivalent, quirk_catalogue().size()) << "a list of things that nobody can see";
}

TEST(Quirks, OfABugNeverAlsoSayThatNothingCanExpressIt) {
    std::set<std::string_view> beyond;
    for (const BugBeyond& bug : bugs_beyond()) {
        EXPECT_TRUE(beyond.insert(bug.id).second) << bug.id;
        EXPECT_FALSE(bug.reason.empty());
    }
    for (const QuirkInfo& info : quirk_catalogue()) EXPECT_FALSE(beyond.contains(info.bug)) << info.name;
}

TEST(Quirks, ASetHoldsWhatWasAdded) {
    Quirks quirks;
    EXPECT_FALSE(quirks.any());
    for (const QuirkInfo& info : quirk_catalogue()) {
        EXPECT_FALSE(quirks.has(info.quirk));
        quirks.add(info.quirk);
        EXPECT_TRUE(quirks.any() && quirks.has(info.quirk)) << info.name;
    }
}

TEST(Quirks, OfTheFailedEntryEndTheRun) {
    TestMachine t;
    Machine m(t.pristine, {Quirk::high_dr_bits_fail_entry});
    m.cpu = t.m.cpu;
    m.cpu.r[rax] = 1ull << 32;
    m.registers_changed();
    const std::uint8_t mov_to_dr7[] = {0x0F, 0x23, 0xF8};
    m.write_physical(place::code, mov_to_dr7, sizeof mov_to_dr7);
    EXPECT_EQ(m.run(10), Exit::EntryFailure);
}

}  // namespace
}  // namespace faultline::engine
