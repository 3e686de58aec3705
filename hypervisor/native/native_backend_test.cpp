#include "hypervisor/native/native_backend.hpp"

#include <dirent.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::native {
namespace {

using namespace guest;

/// The one process whose parent is this one: the child that runs programs.
std::optional<pid_t> child_process() {
    std::optional<pid_t> found;
    DIR* proc = opendir("/proc");
    while (const dirent* entry = readdir(proc)) {
        std::ifstream in(std::string("/proc/") + entry->d_name + "/stat");
        std::string id, name, state;
        pid_t parent = 0;
        if (in >> id >> name >> state >> parent && parent == getpid() && state != "Z") found = std::stoi(id);
    }
    closedir(proc);
    return found;
}

class Native : public testing::Test {
protected:
    void SetUp() override {
        auto made = make_native_backend();
        if (!made) GTEST_SKIP() << made.error().reason;
        backend_ = *std::move(made);
        case_.cpl = 3;
        case_.environment.rflags = rflags::fixed1 | rflags::if_;
    }
    const Tape& run(std::initializer_list<const char*> ops) {
        case_.ops.clear();
        for (const char* text : ops) case_.ops.push_back(parse_op(text).value());
        EXPECT_TRUE(assemble(case_, *image_));
        backend_->run(*image_, *tape_);
        return *tape_;
    }
    void expect_completed() {
        EXPECT_EQ(tape_->unsuitable, "");
        EXPECT_EQ(tape_->outcome, Outcome::Completed) << to_text(*tape_, *image_);
    }
    void expect_record(std::uint32_t index, std::uint64_t vector, std::size_t op) {
        ASSERT_LT(index, tape_->count) << to_text(*tape_, *image_);
        EXPECT_EQ(tape_->records[index].vector, vector) << index;
        EXPECT_EQ(tape_->records[index].rip, image_->op_address(op)) << index;
        EXPECT_EQ(tape_->records[index].cs, layout::user_cs) << index;
    }
    std::uint64_t dr6(std::uint32_t index) const { return tape_->records[index].dr6; }
    bool rf(std::uint32_t index) const { return tape_->records[index].rflags & rflags::rf; }
    Environment& environment() { return case_.environment; }

    std::unique_ptr<Backend> backend_;
    Case case_;
    std::unique_ptr<Image> image_ = std::make_unique<Image>();
    std::unique_ptr<Tape> tape_ = std::make_unique<Tape>();
};

constexpr std::uint64_t dr6_bs = 0xFFFF4FF0, dr6_b0 = 0xFFFF0FF1;

TEST_F(Native, SaysWhoAnswers) {
    EXPECT_EQ(backend_->subject().backend, "native");
    EXPECT_NE(backend_->subject().version, "");
    EXPECT_NE(backend_->features().vendor, Vendor::Unknown);
    EXPECT_EQ(backend_->features().cpl3, Features::Execution::Silicon);
    EXPECT_FALSE(backend_->features().btf);
}

TEST_F(Native, TheTrapFlagStepsEveryOpButTheEnd) {
    environment().rflags |= rflags::tf;
    run({"nop", "set-reg reg=rax value=0x1234"});
    expect_completed();
    ASSERT_EQ(tape_->count, 2u);
    expect_record(0, 1, 1);
    expect_record(1, 1, 2);
    EXPECT_EQ(dr6(0), dr6_bs);
    EXPECT_EQ(tape_->final.gpr[0], 0x1234u);
    EXPECT_TRUE(tape_->final.rflags & rflags::tf);
}

TEST_F(Native, ADataBreakpointTrapsAfterTheStore) {
    environment().dr[0] = {std::nullopt, 0x40010};
    environment().dr7 = {std::nullopt, 0xD0402};  // G0, write, 4 bytes
    run({"load to=rax at=[0x40010] width=4", "store at=[0x40012] from=rax width=2", "nop"});
    expect_completed();
    ASSERT_EQ(tape_->count, 1u);
    expect_record(0, 1, 2);
    EXPECT_EQ(dr6(0), dr6_b0);
    EXPECT_FALSE(rf(0));
}

TEST_F(Native, ACodeBreakpointFaultsOnceWhenThePolicySetsRf) {
    environment().dr[0] = {OpRef{1}, 0};
    environment().dr7 = {std::nullopt, 0x402};
    run({"nop", "nop", "nop"});
    expect_completed();
    ASSERT_EQ(tape_->count, 1u);
    expect_record(0, 1, 1);
    EXPECT_EQ(dr6(0), dr6_b0);
    EXPECT_EQ(tape_->unseen[0].rflags, rflags::rf) << "Linux sets RF itself";
}

TEST_F(Native, WithoutRfACodeBreakpointFaultsForEver) {
    environment().dr[0] = {OpRef{0}, 0};
    environment().dr7 = {std::nullopt, 0x402};
    environment().policy.db = Policy::Db::Resume;
    run({"nop"});
    EXPECT_EQ(tape_->outcome, Outcome::TapeOverflow);
    EXPECT_EQ(tape_->count, tape_capacity);
}

TEST_F(Native, RfOnEntryHidesTheFirstOpsBreakpoint) {
    environment().dr[0] = {OpRef{0}, 0};
    environment().dr7 = {std::nullopt, 0x402};
    environment().rflags |= rflags::rf;
    run({"nop"});
    expect_completed();
    EXPECT_EQ(tape_->count, 0u);
}

TEST_F(Native, IcebpIsADebugExceptionWithoutACause) {
    run({"nop", "icebp", "nop"});
    expect_completed();
    ASSERT_EQ(tape_->count, 1u);
    expect_record(0, 1, 2);
    EXPECT_EQ(dr6(0), dr::dr6_reset);
}

TEST_F(Native, MovSsHoldsItsStepTrap) {
    environment().rflags |= rflags::tf;
    environment().gpr[0] = {std::nullopt, layout::user_ss};
    run({"mov-ss from=rax", "nop", "nop"});
    expect_completed();
    ASSERT_EQ(tape_->count, 2u);
    expect_record(0, 1, 2);
    expect_record(1, 1, 3);
    EXPECT_EQ(tape_->records[0].ss, layout::user_ss);
    EXPECT_EQ(tape_->final.gpr[0], layout::user_ss) << "selectors are the stage's on the tape";
}

TEST_F(Native, MovSsHoldsItsDataBreakpointForOneInstruction) {
    environment().stack = {{std::nullopt, layout::user_ss}};
    environment().dr[0] = {std::nullopt, layout::stack_top - 8};
    environment().dr7 = {std::nullopt, 0x70402};  // G0, read or write, 2 bytes
    run({"mov-ss-mem at=[rsp]", "nop", "nop"});
    expect_completed();
    ASSERT_EQ(tape_->count, 1u);
    expect_record(0, 1, 2);
    EXPECT_EQ(dr6(0), dr6_b0);
}

TEST_F(Native, RepIsSteppedElementByElement) {
    environment().rflags |= rflags::tf;
    environment().gpr[1] = {std::nullopt, 3};
    environment().gpr[7] = {std::nullopt, 0x40100};
    run({"rep-stos width=1"});
    expect_completed();
    ASSERT_EQ(tape_->count, 3u);
    for (std::uint32_t i = 0; i < 3; ++i) EXPECT_EQ(tape_->records[i].rcx, 2 - i);
    expect_record(0, 1, 0);
    expect_record(2, 1, 1);
    EXPECT_TRUE(rf(0));
    EXPECT_FALSE(rf(2));
}

TEST_F(Native, FaultsAreSkippedWithTheirErrorCodes) {
    environment().gates = Gates::Dpl0;
    environment().gpr[3] = {std::nullopt, 1ull << 63};
    run({"cli", "int vector=0x21", "store at=[0x44000] from=rax width=4", "load to=rax at=[0x42000] width=4", "ud2",
         "div reg=rcx width=8", "load to=rax at=[rbx] width=4"});
    expect_completed();
    ASSERT_EQ(tape_->count, 7u);
    const std::pair<std::uint64_t, std::uint64_t> expected[] = {
        {13, 0}, {13, 0x21 * 8 + 2}, {14, 7}, {14, 4}, {6, 0}, {0, 0}, {13, 0}};
    for (std::uint32_t i = 0; i < 7; ++i) {
        expect_record(i, expected[i].first, i);
        EXPECT_EQ(tape_->records[i].error, expected[i].second) << i;
        EXPECT_TRUE(rf(i)) << i;
    }
    EXPECT_EQ(tape_->records[2].cr2, 0x44000u);
}

TEST_F(Native, ARipOutsideTheProgramEndsTheRun) {
    environment().gpr[0] = {std::nullopt, layout::hole};
    run({"jmp-reg reg=rax"});
    EXPECT_EQ(tape_->outcome, Outcome::WildRip);
    EXPECT_EQ(tape_->stop_rip, layout::hole);
    ASSERT_EQ(tape_->count, 1u);
    EXPECT_EQ(tape_->records[0].error & ~tape_->unseen[0].error, 4u);
}

TEST_F(Native, AClearInterruptFlagStaysClearOnTheTape) {
    environment().rflags = rflags::fixed1;
    environment().stack = {{std::nullopt, rflags::fixed1 | rflags::if_}};
    run({"popf", "icebp"});
    expect_completed();
    ASSERT_EQ(tape_->count, 1u);
    EXPECT_FALSE(tape_->records[0].rflags & rflags::if_);
    EXPECT_FALSE(tape_->final.rflags & rflags::if_);
}

TEST_F(Native, WhatLinuxDoesNotPermitIsUnsuitable) {
    const auto unsuitable = [&](std::initializer_list<const char*> ops, auto change) {
        const Environment before = environment();
        change(environment());
        run(ops);
        environment() = before;
        return !tape_->unsuitable.empty();
    };
    const auto nothing = [](Environment&) {};
    EXPECT_FALSE(unsuitable({"nop"}, nothing));
    EXPECT_TRUE(unsuitable({"syscall"}, nothing));
    EXPECT_TRUE(unsuitable({"int vector=0x20"}, nothing));
    EXPECT_TRUE(unsuitable({"out port=0x80 width=1"}, nothing));
    EXPECT_FALSE(unsuitable({"out port=0x88 width=1"}, nothing));
    EXPECT_TRUE(unsuitable({"int3"}, [](Environment& e) { e.gates = Gates::Dpl0; }));
    EXPECT_TRUE(unsuitable({"pushf"}, [](Environment& e) { e.rflags = rflags::fixed1; }));
    EXPECT_TRUE(unsuitable({"nop"}, [](Environment& e) { e.rflags |= rflags::iopl; }));
    EXPECT_TRUE(unsuitable({"nop"}, [](Environment& e) { e.dr7.literal = 0x2400; }));
    EXPECT_TRUE(unsuitable({"nop"}, [](Environment& e) {
        e.dr[0].literal = 0x40001, e.dr7.literal = 0xD0402;  // four bytes, not aligned
    }));
    EXPECT_TRUE(unsuitable({"nop"}, [](Environment& e) { e.dr7.literal = 0x20402; }));
    case_.cpl = 0;
    EXPECT_TRUE(unsuitable({"nop"}, nothing));
}

TEST_F(Native, ComputingWithASelectorIsFoundOutOnAskingAgain) {
    environment().gpr[0] = {std::nullopt, layout::user_ss};
    run({"mov-ss from=rax", "nop"});
    backend_->reconsider(*image_, *tape_);
    expect_completed();
    run({"mov-ss from=rax", "store at=[0x40000] from=rax width=1", "load to=rbx at=[0x40000] width=1"});
    expect_completed();
    backend_->reconsider(*image_, *tape_);
    EXPECT_NE(tape_->unsuitable, "");
}

TEST_F(Native, CompatibilityModeStepsAndFaultsInItsOwnSegment) {
    case_.mode = Mode::Compat32;
    environment().rflags |= rflags::tf;
    environment().gpr[0] = {std::nullopt, layout::user_ss};
    environment().dr[0] = {std::nullopt, 0x40010};
    environment().dr7 = {std::nullopt, 0xD0402};  // G0, write, 4 bytes
    run({"nop", "store at=[0x40010] from=rbx width=4", "mov-ss from=rax", "nop", "cli"});
    expect_completed();
    ASSERT_EQ(tape_->count, 4u) << to_text(*tape_, *image_);
    const std::pair<std::uint64_t, std::size_t> expected[] = {{1, 1}, {1, 2}, {1, 4}, {13, 4}};
    for (std::uint32_t i = 0; i < 4; ++i) {
        EXPECT_EQ(tape_->records[i].vector, expected[i].first) << i;
        EXPECT_EQ(tape_->records[i].rip, image_->op_address(expected[i].second)) << i;
        EXPECT_EQ(tape_->records[i].cs, layout::user_cs32) << i;
        EXPECT_EQ(tape_->records[i].ss, layout::user_ss) << i;
    }
    EXPECT_EQ(dr6(1), dr6_bs | 1);
    EXPECT_EQ(tape_->final.cs, layout::user_cs32);
}

TEST_F(Native, BeyondTheLimitOfThirtyTwoBitSegmentsIsUnsuitable) {
    case_.mode = Mode::Compat32;
    environment().gpr[3] = {std::nullopt, layout::segment_limit + 1ull};
    run({"load to=rax at=[rbx] width=4"});
    EXPECT_NE(tape_->unsuitable, "");
}

TEST_F(Native, NumbersThatLookLikeSelectorsStayNumbers) {
    environment().gpr[3] = {std::nullopt, layout::user_cs};
    environment().gpr[5] = {std::nullopt, 0x33};
    environment().gpr[0] = {std::nullopt, layout::user_ss};
    run({"nop"});
    expect_completed();
    EXPECT_EQ(tape_->final.gpr[3], layout::user_cs);
    EXPECT_EQ(tape_->final.gpr[5], 0x33u);
    environment().gpr[5] = {};
    run({"mov-ss from=rax"});
    expect_completed();
    EXPECT_EQ(tape_->final.gpr[3], layout::user_cs);
}

TEST_F(Native, AProgramThatNeverEndsIsAHang) {
    backend_ = make_native_backend({.tick_limit = 1}).value();
    run({"jmp to=op0"});
    EXPECT_EQ(tape_->outcome, Outcome::Hang);
    run({"icebp"});
    expect_completed();
    EXPECT_EQ(tape_->count, 1u);
}

TEST_F(Native, AChildThatDiesIsACrashAndReplaced) {
    run({"nop"});
    expect_completed();
    const auto child = child_process();
    ASSERT_TRUE(child);
    kill(*child, SIGKILL);
    run({"nop"});
    EXPECT_EQ(tape_->outcome, Outcome::Crash);
    run({"icebp"});
    expect_completed();
}

TEST_F(Native, NothingOfOneRunIsLeftForTheNext) {
    environment().dr[0] = {std::nullopt, 0x40010};
    environment().dr7 = {std::nullopt, 0xD0402};
    environment().rflags |= rflags::tf | rflags::df | rflags::ac;
    run({"store at=[0x40010] from=rax width=4", "push-imm value=0x200000", "popf"});  // leaves ID set
    expect_completed();
    environment() = Environment{.rflags = rflags::fixed1 | rflags::if_};
    run({"store at=[0x40010] from=rax width=4", "load to=rbx at=[0x40018] width=8", "nop"});
    expect_completed();
    EXPECT_EQ(tape_->count, 0u);
    EXPECT_EQ(tape_->final.rflags, rflags::fixed1 | rflags::if_ | rflags::rf);
    EXPECT_EQ(tape_->final.gpr[3] & 0xFF, layout::initial_data(0x40018));
}

TEST_F(Native, AnotherThreadMayGoOn) {
    run({"nop"});
    expect_completed();
    std::thread([&] {
        run({"icebp"});
        expect_completed();
    }).join();
    EXPECT_EQ(tape_->count, 1u);
    run({"nop"});
    expect_completed();
}

TEST_F(Native, TheFloorGoesRound) {
    auto floor = SignalRoundTrip::make();
    ASSERT_TRUE(floor);
    EXPECT_TRUE((*floor)->run(10));
}

}  // namespace
}  // namespace faultline::native
