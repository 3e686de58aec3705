// The built binary against bad input: one clear line, the right exit status, nothing overwritten.

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "harness/scratch.hpp"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

struct Ran {
    int exit = -1;
    std::string out, err;
};

class Cli : public testing::Test {
protected:
    std::string path(const std::string& name) const { return folder_ / name; }
    std::string content(const std::string& file) const {
        std::ifstream in(file, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }
    Ran run(const std::string& arguments) const {
        const std::string command =
            fmt::format("'{}' {} >'{}' 2>'{}'", FAULTLINE_BINARY, arguments, path("out"), path("err"));
        const int status = std::system(command.c_str());
        return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(path("out")), content(path("err"))};
    }
    /// Fails with this status and one line on stderr that holds `words`; stdout stays empty.
    void refuses(const std::string& arguments, int exit, const std::string& words) const {
        const Ran ran = run(arguments);
        EXPECT_EQ(ran.exit, exit) << arguments << "\n" << ran.err;
        EXPECT_EQ(ran.out, "") << arguments;
        EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << arguments << "\n" << ran.err;
        EXPECT_NE(ran.err.find(words), std::string::npos) << arguments << "\n" << ran.err;
    }
    /// A database with one run in it.
    std::string database() const {
        const std::string file = path("good.db");
        EXPECT_EQ(run("explore --backend engine --programs 50 --format json --db " + file).exit & ~1, 0);
        return file;
    }
    /// A case file's text with this line as its ops.
    static std::string program(const std::string& ops) { return "ops = [" + ops + "]\n"; }

    ScratchFolder folder_;
};

TEST_F(Cli, WrongUseIsStatus64) {
    refuses("", 64, "subcommand");
    refuses("frobnicate", 64, "frobnicate");
    refuses("explore --backend engine --db x.db", 64, "--programs,--for");
    refuses("explore --backend engine --programs 5 --for 5s --db x.db", 64, "--programs,--for");
    refuses("explore --backend engine --programs five --db x.db", 64, "programs");
    refuses("explore --backend engine --programs 5", 64, "--db");
    refuses("explore --backend engine --programs 5 --db x.db --colour blue", 64, "--colour");
    refuses("explore --backend engine --programs 5 --db x.db --shard 3/3", 64, "0/8");
    refuses("explore --backend engine --programs 5 --db x.db --format xml", 64, "xml");
    refuses("list planets", 64, "planets");
    refuses("explain DBG-NONE", 64, "DBG-NONE");
    refuses("prove astrology", 64, "astrology");
}

TEST_F(Cli, AnUnknownBackendIsStatus64AndMakesNoDatabase) {
    refuses("explore --backend nonesuch --programs 5 --db " + path("new.db"), 64, "nonesuch");
    EXPECT_FALSE(fs::exists(path("new.db")));
    refuses("run --backend nonesuch " + write("a.toml", program("'nop'")), 64, "nonesuch");
}

TEST_F(Cli, AWorldThatCannotRunHereIsSkipped) {
    refuses("explore --backend engine --world vmx --programs 5 --db " + path("new.db"), 4, "vmx");
    refuses("explore --backend reference --programs 5 --db " + path("new.db"), 4, "svm only");
    EXPECT_FALSE(fs::exists(path("new.db")));
}

TEST_F(Cli, BadCaseFilesAreStatus65) {
    const auto bad = [&](const std::string& text, const std::string& words) {
        refuses("run --backend engine " + write("bad.toml", text), 65, words);
    };
    bad("ops = [", "bad.toml");  // truncated
    bad(std::string("\x00\xFF\x13garbage", 10), "bad.toml");
    bad(program("'frobnicate reg=rax'"), "frobnicate");  // unknown op
    bad(program("'mov-to-dr dr=99 from=rax'"), "99");    // field out of range
    bad(program("'jmp to=op7'"), "op7");                 // reference to nothing
    bad("surprise = 1\n" + program("'nop'"), "surprise");
    bad(std::string(2'000'000, '#'), "larger");
    refuses("run --backend engine " + path("absent.toml"), 65, "absent.toml");
    fs::create_directory(path("empty"));
    refuses("run --backend engine " + path("empty"), 65, "no case files");
}

TEST_F(Cli, BadDatabasesAreStatus65AndStayAsTheyWere) {
    const auto bad = [&](const std::string& file, const std::string& words) {
        const std::string before = content(file);
        for (const std::string& command :
             {"replay " + file + " 1", "explain " + file + " 1", "minimise " + file + " 1", "diff " + file + " 1 1",
              "merge " + file + " " + file, "explore --backend engine --programs 5 --db " + file})
            refuses(command, 65, words);
        EXPECT_EQ(content(file), before);
    };
    bad(write("empty.db", ""), "empty");
    bad(write("garbage.db", std::string(5000, 'x')), "not a database");
    const std::string good = database();
    bad(write("short.db", content(good).substr(0, 4000)), "short.db");
    fs::copy(good, path("newer.db"));
    SQLite::Database(path("newer.db"), SQLite::OPEN_READWRITE)
        .exec("PRAGMA journal_mode = DELETE; PRAGMA user_version = 999");
    bad(path("newer.db"), "newer");
    SQLite::Database(path("other.db"), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE t (x)");
    bad(path("other.db"), "another program");
}

TEST_F(Cli, AMissingDatabaseIsNotMadeByAReader) {
    for (const char* command : {"replay {} 1", "explain {} 1", "minimise {} 1", "diff {} 1 2"}) {
        refuses(fmt::format(fmt::runtime(command), path("absent.db")), 65, "no such database");
        EXPECT_FALSE(fs::exists(path("absent.db")));
    }
}

TEST_F(Cli, APathThatMayNotBeWrittenIsStatus65) {
    refuses("explore --backend engine --programs 5 --db /proc/faultline.db", 65, "/proc/faultline.db");
    refuses("explore --backend engine --programs 5 --db " + path("no/such/folder.db"), 65, "folder.db");
    refuses("explore --backend engine --programs 5 --db " + folder_.path().string(), 65, "regular file");
}

TEST_F(Cli, AnAbsentNumberIsStatus65) {
    const std::string good = database();
    refuses("replay " + good + " 4711", 65, "4711");
    refuses("explain " + good + " 4711", 65, "4711");
    refuses("minimise " + good + " 4711", 65, "4711");
    refuses("diff " + good + " 1 4711", 65, "4711");
    refuses("replay " + good + " one", 64, "ID");
}

TEST_F(Cli, ARecordThatWasTamperedWithIsStatus65) {
    const std::string good = database();
    SQLite::Database raw(good, SQLite::OPEN_READWRITE);
    raw.exec("INSERT OR IGNORE INTO cases VALUES (999, 'bad', 'bare', 'long64', 'ops = [''jmp to=op9'']')");
    raw.exec(
        "INSERT INTO divergences VALUES (999, 1, 999, 1, 'R', '', 'S', 'T', 'E', 'S', 999, '{', 0, 1, '', '', 'new', "
        "NULL)");
    for (const char* command : {"replay", "explain", "minimise"})
        refuses(fmt::format("{} {} 999", command, good), 65, "999");
}

TEST_F(Cli, BisectAnswersOnlyWithItsThreeStatuses) {
    refuses("replay --exit bisect " + path("absent.db") + " 1", 125, "no such database");
    refuses("replay --exit bisect --backend nonesuch " + database() + " 4711", 125, "4711");
}

TEST_F(Cli, ExploreSaysWhatItDidInJson) {
    const Ran ran = run("explore --backend engine --programs 200 --seed 3 --jobs 2 --format json --db " + path("x.db"));
    const auto json = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << ran.out << ran.err;
    EXPECT_EQ(json["programs"], 200);
    for (const char* key :
         {"order_dependent", "divergences", "errors", "not_modelled", "skipped", "programs_per_second"})
        EXPECT_TRUE(json[key].is_number()) << key;
    EXPECT_TRUE(json["signatures"].is_array());
    ASSERT_FALSE(json["rules"].empty());
    EXPECT_TRUE(json["rules"].front()["applied"].is_number());
    EXPECT_TRUE(json["rules"].front()["decisive"].is_number());
    EXPECT_EQ(ran.exit, json["divergences"] > 0 ? 1 : 0);
}

TEST_F(Cli, ShardsTogetherAreTheWholeAndMergeJoinsThem) {
    const std::string common = "explore --backend engine --seed 3 --format json --programs ";
    const auto passes = [&](const Ran& ran) { return nlohmann::json::parse(ran.out)["passes"].get<int>(); };
    const int whole = passes(run(common + "200 --db " + path("whole.db")));
    const int first = passes(run(common + "100 --shard 0/2 --db " + path("a.db")));
    const int second = passes(run(common + "100 --shard 1/2 --db " + path("b.db")));
    EXPECT_EQ(first + second, whole);
    const Ran merged = run(fmt::format("merge {} {} {}", path("out.db"), path("a.db"), path("b.db")));
    EXPECT_EQ(merged.exit, 0) << merged.err;
    EXPECT_EQ(run("diff " + path("out.db") + " 1 2").exit & ~1, 0);
}

TEST_F(Cli, MutateScoresTheQuirksAskedFor) {
    const auto ran = run("mutate --programs 300 --jobs 2 --quirk rf-ignored,general-detect-before-cpl --format json");
    ASSERT_EQ(ran.exit, 0) << ran.err;
    const auto json = nlohmann::json::parse(ran.out);
    EXPECT_EQ(json["score"], 1);
    EXPECT_EQ(json["counted"], 1);
    ASSERT_EQ(json["quirks"].size(), 2u);
    for (const auto& quirk : json["quirks"])
        for (const char* key : {"name", "caught", "rule", "programs", "ops"}) EXPECT_TRUE(quirk.contains(key)) << key;
    EXPECT_EQ(run("mutate --programs 10 --quirk no-such-quirk").exit, 64);
    EXPECT_EQ(run("mutate").exit, 64);
}

TEST_F(Cli, AQuirkOfTheEngineIsASubjectOfItsOwn) {
    const auto ran =
        run("explore --backend engine+icebp-raises-ud --programs 300 --format json --db " + path("quirk.db"));
    EXPECT_EQ(ran.exit, 1);
    const auto json = nlohmann::json::parse(ran.out);
    EXPECT_EQ(json["subjects"][0]["backend"], "engine+icebp-raises-ud");
    EXPECT_EQ(run("explore --backend engine+no-such-quirk --programs 1 --db x.db").exit, 64);
}

TEST_F(Cli, HelpAndListsAreForNewcomers) {
    EXPECT_EQ(run("--help").exit, 0);
    EXPECT_EQ(run("--version").exit, 0);
    for (const char* what : {"rules", "ops", "backends", "quirks", "corpora"}) {
        EXPECT_EQ(run(fmt::format("list {}", what)).exit, 0) << what;
        const Ran json = run(fmt::format("list {} --format json", what));
        EXPECT_TRUE(nlohmann::json::accept(json.out)) << what;
    }
    const auto doctor = nlohmann::json::parse(run("doctor --format json").out);
    EXPECT_EQ(doctor["backends"][0]["name"], "engine");
    EXPECT_EQ(doctor["backends"][0]["available"], true);
}

/// The corpus has a case of every exit and every refusal that the built-in machine can produce; less of it has not.
TEST_F(Cli, ListExitsIsContentOnlyWithACaseOfEach) {
    const Ran whole = run("list exits --format json");
    EXPECT_EQ(whole.exit, 0) << whole.out;
    const auto json = nlohmann::json::parse(whole.out);
    const auto row = [&](const char* table, const char* name) {
        for (const auto& one : json[table])
            if (one["name"] == name) return one;
        return nlohmann::json{};
    };
    EXPECT_FALSE(row("exits", "npf")["cases"].empty());
    EXPECT_EQ(row("exits", "npf")["what"], "0x400");
    EXPECT_FALSE(row("checks", "VMR-010")["cases"].empty());
    EXPECT_TRUE(row("exits", "vmgexit").contains("never"));
    const Ran other = run("list exits --corpora " FAULTLINE_SOURCE_DIR "/corpora/conformance/debug");
    EXPECT_EQ(other.exit, 1);
    EXPECT_NE(other.out.find("NO CASE"), std::string::npos);
}

/// A rule's page and the coverage table speak of what the database saw.
TEST_F(Cli, RulesSayWhoAppliedThem) {
    const std::string file = path("rules.db");
    ASSERT_EQ(run("explore --backend engine --programs 2000 --coverage 1 --format json --db " + file).exit, 0);
    const Ran page = run("explain DBG-051 --db " + file);
    EXPECT_EQ(page.exit, 0) << page.err;
    EXPECT_NE(page.out.find("applied"), std::string::npos) << page.out;
    EXPECT_NE(page.out.find("corpora/conformance"), std::string::npos) << page.out;
    EXPECT_NE(page.out.find("allowed besides"), std::string::npos) << page.out;
    const Ran table = run("list rules --db " + file);
    EXPECT_EQ(table.exit, 0) << table.err;
    EXPECT_NE(table.out.find("decisive at least once"), std::string::npos) << table.out;
    refuses("list ops --db " + file, 64, "list rules");
}
/// Every mode runs on the engine, and a mode that no subject has is skipped.
TEST_F(Cli, ProgramsOfOneModeCanBeAskedFor) {
    for (const char* mode : {"long64", "compat32", "prot32", "real16"})
        EXPECT_EQ(
            run(fmt::format("explore --backend engine --programs 300 --mode {} --db {}", mode, path("m.db"))).exit, 0)
            << mode;
    refuses("explore --backend native --programs 1 --mode real16 --db " + path("n.db"), 4, "mode");
}

}  // namespace
}  // namespace faultline::harness
