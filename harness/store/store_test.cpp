#include "harness/store/store.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "harness/scratch.hpp"
#include "harness/store/migrations.hpp"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

class StoreFile : public testing::Test {
protected:
    std::string path(const char* name = "x.db") const { return folder_ / name; }
    void write(const std::string& content) const { std::ofstream(path(), std::ios::binary) << content; }
    std::string content() const {
        std::ifstream in(path(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    /// Opening fails as bad data with `words` in the sentence, and the file stays as it was.
    void refuses(const char* words) const {
        const std::string before = content();
        for (auto access : {Store::Access::Existing, Store::Access::Create}) {
            auto store = Store::open(path(), access);
            ASSERT_FALSE(store.has_value());
            EXPECT_EQ(store.error().exit, Exit::Data);
            EXPECT_NE(store.error().message.find(words), std::string::npos) << store.error().message;
            EXPECT_EQ(content(), before);
        }
    }

private:
    ScratchFolder folder_;
};

const guest::Subject engine{"engine", "1", "", "", ""};

FindingRow finding_of(Store& store, const char* signature, std::uint64_t seed = 7) {
    FindingRow row;
    row.run = *store.begin_run({.command = "explore", .seed = seed, .weights_version = 3, .stage_version = 1});
    row.subject = *store.subject(engine);
    row.kase = *store.add_case({"aa", "bare", "long64", "ops = []"});
    row.minimal_case = *store.add_case({"bb", "bare", "long64", "ops = ['nop']"});
    row.rule = "DBG-001";
    row.signature = signature;
    row.occurrences = 5;
    return row;
}

TEST_F(StoreFile, ANewDatabaseHasTheCurrentSchemaAndIsInWalMode) {
    ASSERT_TRUE(Store::open(path(), Store::Access::Create));
    SQLite::Database raw(path());
    EXPECT_EQ(raw.execAndGet("PRAGMA user_version").getInt(), schema_version);
    EXPECT_EQ(raw.execAndGet("PRAGMA application_id").getInt(), application_id);
    EXPECT_EQ(raw.execAndGet("PRAGMA journal_mode").getString(), "wal");
}

TEST_F(StoreFile, AFindingReadsBackAsItWasWritten) {
    RowId id = 0;
    {
        auto store = Store::open(path(), Store::Access::Create);
        ASSERT_TRUE(store);
        id = *store->add_finding(finding_of(*store, "1:x", 0xFFFF'FFFF'FFFF'FFFF));
        ASSERT_TRUE(store->commit());
    }
    auto store = Store::open(path(), Store::Access::Existing);
    ASSERT_TRUE(store) << store.error().message;
    auto row = store->finding(id);
    ASSERT_TRUE(row) << row.error().message;
    EXPECT_EQ(row->signature, "1:x");
    EXPECT_EQ(row->original.text, "ops = []");
    EXPECT_EQ(row->minimal.text, "ops = ['nop']");
    EXPECT_EQ(row->identity, engine);
    EXPECT_EQ(row->occurrences, 5u);
    EXPECT_EQ(row->status, "new");
    EXPECT_EQ(row->of_run.seed, 0xFFFF'FFFF'FFFF'FFFF);
    EXPECT_EQ(row->of_run.weights_version, 3);
}

TEST_F(StoreFile, EqualCasesAndSubjectsAreStoredOnce) {
    auto store = Store::open(path(), Store::Access::Create);
    ASSERT_TRUE(store);
    EXPECT_EQ(*store->subject(engine), *store->subject(engine));
    EXPECT_EQ(*store->add_case({"aa", "bare", "long64", "t"}), *store->add_case({"aa", "bare", "long64", "t"}));
    EXPECT_NE(*store->add_case({"aa", "bare", "long64", "t"}), *store->add_case({"ab", "bare", "long64", "u"}));
}

TEST_F(StoreFile, OneRowPerRunSubjectAndSignature) {
    auto store = Store::open(path(), Store::Access::Create);
    ASSERT_TRUE(store);
    FindingRow row = finding_of(*store, "1:x");
    ASSERT_TRUE(store->add_finding(row));
    auto second = store->add_finding(row);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().exit, Exit::Data);
}

TEST_F(StoreFile, KnownCausesThatLookAlikeAndWhatNobodyExplainsHaveRowsOfTheirOwn) {
    auto store = Store::open(path(), Store::Access::Create);
    ASSERT_TRUE(store);
    FindingRow row = finding_of(*store, "1:x");
    for (const char* known : {"one-cause", "another-cause", ""}) {
        row.known = known;
        EXPECT_TRUE(store->add_finding(row)) << known;
    }
    EXPECT_FALSE(store->add_finding(row));
    EXPECT_EQ(store->findings(row.run)->size(), 3u);
}

TEST_F(StoreFile, CommittedFindingsSurviveKillAndUncommittedOnesVanish) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        auto store = Store::open(path(), Store::Access::Create);
        FindingRow row = finding_of(*store, "1:kept");
        (void)store->add_finding(row);
        (void)store->commit();
        row.signature = "1:lost";
        (void)store->add_finding(row);
        raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    auto store = Store::open(path(), Store::Access::Existing);
    ASSERT_TRUE(store) << store.error().message;
    auto rows = store->findings(1);
    ASSERT_TRUE(rows);
    ASSERT_EQ(rows->size(), 1u);
    EXPECT_EQ(rows->front().signature, "1:kept");
}

TEST_F(StoreFile, MergeKeepsEveryFindingAndMeetsEqualCases) {
    for (const char* name : {"a.db", "b.db"}) {
        auto shard = Store::open(path(name), Store::Access::Create);
        ASSERT_TRUE(shard);
        ASSERT_TRUE(shard->add_finding(finding_of(*shard, "1:x")));
        ASSERT_TRUE(shard->commit());
    }
    auto store = Store::open(path(), Store::Access::Create);
    ASSERT_TRUE(store);
    for (const char* name : {"a.db", "b.db"}) {
        auto merged = store->merge(path(name));
        ASSERT_TRUE(merged) << merged.error().message;
    }
    ASSERT_EQ(store->runs()->size(), 2u);
    EXPECT_EQ(store->findings(1)->at(0).kase, store->findings(2)->at(0).kase);
    EXPECT_NE(store->findings(1)->at(0).id, store->findings(2)->at(0).id);
}

TEST_F(StoreFile, AMissingFileIsNotCreatedWhereItMustExist) {
    auto store = Store::open(path(), Store::Access::Existing);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().exit, Exit::Data);
    EXPECT_FALSE(fs::exists(path()));
}

TEST_F(StoreFile, AnEmptyFileIsRefused) {
    write("");
    refuses("empty");
}

TEST_F(StoreFile, GarbageIsRefused) {
    write(std::string(8192, 'x'));
    refuses("not a database");
}

TEST_F(StoreFile, ATruncatedDatabaseIsRefused) {
    ASSERT_TRUE(Store::open(path(), Store::Access::Create));
    const std::string whole = content();
    write(whole.substr(0, 60));
    refuses(path().c_str());
}

TEST_F(StoreFile, AnotherProgramsDatabaseIsRefused) {
    SQLite::Database(path(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE t (x)");
    refuses("another program");
}

TEST_F(StoreFile, ANewerSchemaIsRefused) {
    ASSERT_TRUE(Store::open(path(), Store::Access::Create));
    SQLite::Database(path(), SQLite::OPEN_READWRITE)
        .exec(fmt::format("PRAGMA journal_mode = DELETE; PRAGMA user_version = {}", schema_version + 1));
    refuses("newer");
}

TEST_F(StoreFile, AMissingTableIsBadDataNotACrash) {
    ASSERT_TRUE(Store::open(path(), Store::Access::Create));
    SQLite::Database(path(), SQLite::OPEN_READWRITE).exec("DROP TABLE divergences");
    auto store = Store::open(path(), Store::Access::Existing);
    ASSERT_TRUE(store);
    auto row = store->finding(1);
    ASSERT_FALSE(row);
    EXPECT_EQ(row.error().exit, Exit::Data);
}

TEST_F(StoreFile, AFolderIsRefused) {
    auto store = Store::open(fs::path(path()).parent_path(), Store::Access::Create);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().exit, Exit::Data);
}

TEST_F(StoreFile, AWriteProtectedDatabaseCanBeReadButNotWritten) {
    if (geteuid() == 0) GTEST_SKIP() << "root ignores file permissions";
    ASSERT_TRUE(Store::open(path(), Store::Access::Create));
    fs::permissions(path(), fs::perms::owner_read);
    EXPECT_TRUE(Store::open(path(), Store::Access::Existing));
    auto store = Store::open(path(), Store::Access::Create);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("permission"), std::string::npos);
}

}  // namespace
}  // namespace faultline::harness
