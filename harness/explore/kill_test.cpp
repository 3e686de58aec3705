// A killed exploration: whatever it had reported is in its database, and the database is whole.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "harness/explore/explore.hpp"
#include "harness/generate/generator.hpp"
#include "harness/scratch.hpp"
#include "hypervisor/engine/engine_backend.hpp"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

/// The engine with many lies: one bit of every record is wrong, which one depends on where it was taken.
class LiesEverywhere final : public guest::Backend {
public:
    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return inner_->features(); }
    void run(const guest::Image& image, guest::Tape& tape) override {
        inner_->run(image, tape);
        for (std::uint32_t i = 0; i < tape.count; ++i) {
            guest::Record& record = tape.records[i];
            std::uint64_t* const fields[] = {&record.vector, &record.error, &record.rip, &record.rflags, &record.dr6};
            *fields[record.rip % std::size(fields)] ^= 1ull << (8 + record.rip % 7);
        }
    }
    tl::expected<void, guest::Unavailable> refresh() override { return inner_->refresh(); }

private:
    guest::Subject subject_{"liar", "1", "", "", ""};
    std::unique_ptr<guest::Backend> inner_ = engine::make_engine_backend();
};

/// Explores until it is killed; every finding's id and signature go to `report` once it is committed.
[[noreturn]] void explore_for_ever(const std::string& path, int report) {
    const Generator generator;
    auto store = Store::open(path, Store::Access::Create);
    if (!store) _exit(1);
    Plan plan;
    plan.run.command = "explore";
    plan.subjects = {[] { return std::make_unique<LiesEverywhere>(); }};
    plan.source = [&](std::uint64_t index, guest::Case& kase) { generator.draw(5, index, kase); };
    plan.jobs = 2;
    plan.shrink_runs = 50;
    plan.store = &*store;
    plan.on_finding = [&](const FindingRow& finding) {
        const std::string line = fmt::format("{} {}\n", finding.id, finding.signature);
        if (write(report, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(1);
    };
    (void)explore(plan);
    _exit(1);
}

std::string drained(int from) {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
    return text;
}

TEST(KilledExploration, LosesNothingItReportedAndLeavesADatabaseThatOpens) {
    std::minstd_rand random(20);
    std::uint64_t reported = 0;
    for (int kill_number = 0; kill_number < 20; ++kill_number) {
        const ScratchFolder folder;
        const std::string path = folder / "x.db";
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(ends[0]);
            explore_for_ever(path, ends[1]);
        }
        close(ends[1]);
        // Half of them at any time, however little has happened by then; half while findings are being stored.
        if (kill_number % 2 == 1) {
            constexpr int long_enough = 60'000;  // milliseconds; a busy machine needs some
            pollfd first{.fd = ends[0], .events = POLLIN, .revents = 0};
            ASSERT_EQ(poll(&first, 1, long_enough), 1) << "nothing was reported";
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
        kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the exploration ended by itself";
        const std::string text = drained(ends[0]);
        close(ends[0]);

        if (fs::exists(path)) {  // killed before it made one: then it reported nothing either
            auto opened = Store::open(path, Store::Access::Existing);
            if (!opened) {
                EXPECT_TRUE(text.empty()) << opened.error().message << "\n" << text;
            } else {
                EXPECT_EQ(SQLite::Database(path).execAndGet("PRAGMA integrity_check").getString(), "ok");
                for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
                    const std::string line = text.substr(begin, end - begin);
                    auto found = opened->finding(std::stoll(line));
                    ASSERT_TRUE(found) << line;
                    EXPECT_EQ(fmt::format("{} {}", found->id, found->signature), line);
                    ++reported;
                }
            }
        } else {
            EXPECT_TRUE(text.empty());
        }
    }
    EXPECT_GE(reported, 10u) << "one of each second exploration, at least";
}

}  // namespace
}  // namespace faultline::harness
