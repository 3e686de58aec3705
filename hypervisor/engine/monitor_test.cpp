// World svm on the engine: the stage's monitor as guest code. What it answers is held against the reference hypervisor
// elsewhere (harness/metamorphic/realisation); here is what only the monitor has.
#include <gtest/gtest.h>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/engine/staged_machine.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::engine {
namespace {

using guest::Image;
using guest::Outcome;
namespace layout = guest::layout;

struct UnderMonitor : testing::Test {
    std::unique_ptr<guest::Backend> backend = make_engine_backend();
    guest::Tape tape;

    static Image image_of(const std::string& text) {
        Image image;
        const auto kase = guest::parse_case("world = \"svm\"\n" + text, "test");
        EXPECT_TRUE(kase) << kase.error().text();
        const auto done = guest::assemble(*kase, image);
        EXPECT_TRUE(done) << done.error();
        return image;
    }
    const guest::Tape& run(const Image& image) {
        backend->run(image, tape);
        EXPECT_EQ(tape.unsuitable, "");
        return tape;
    }
    static void patch(Image& image, std::uint64_t address, std::uint64_t value) {
        image.patches[image.patch_count++] = {address, value};
    }
};

constexpr std::uint64_t ud2 = 0x0B0F, gate_bytes = 16;

TEST_F(UnderMonitor, AProgramRunsToItsEnd) {
    run(image_of("ops = [\"set-reg reg=rbx value=0x1234\", \"int3\"]\n[vmm]\nintercepts = [\"#BP\"]"));
    EXPECT_EQ(tape.outcome, Outcome::Completed);
    ASSERT_EQ(tape.exit_count, 1u);
    EXPECT_EQ(tape.exits[0].code, 0x43u);
    EXPECT_EQ(tape.count, 1u);
    EXPECT_EQ(tape.final.gpr[3], 0x1234u);
}

TEST_F(UnderMonitor, AnExceptionOfTheMonitorsOwnEndsTheRunAndIsTold) {
    Image image = image_of("ops = []");
    patch(image, image.stage->entry, ud2);
    run(image);
    EXPECT_EQ(tape.outcome, Outcome::InternalError);
    EXPECT_EQ(tape.detail, "the monitor itself met exception 6 at 0x8c000");
    EXPECT_EQ(tape.exit_count, 0u);
}

TEST_F(UnderMonitor, AMonitorWithoutAnIdtEndsTheRun) {
    Image image = image_of("ops = []");
    patch(image, image.stage->entry, ud2);
    for (const unsigned vector : {6u, 8u, 11u, 13u}) patch(image, layout::monitor_idt + gate_bytes * vector, 0);
    run(image);
    EXPECT_EQ(tape.outcome, Outcome::InternalError);
    EXPECT_EQ(tape.detail, "the monitor itself shut down");
}

TEST_F(UnderMonitor, AnExitThatNobodyAskedForIsAnErrorThatNamesIt) {
    Image image = image_of("ops = [\"ud2\"]");
    image.code[0] = 0xE6, image.code[1] = 0xF4;  // out 0xf4, al: a port of the stage's, but not from its text
    image.params.code_size = 0;                  // and of no op
    run(image);
    EXPECT_EQ(tape.outcome, Outcome::InternalError);
    EXPECT_EQ(tape.detail, "an exit that nobody asked for: 0x7b at 0x20000");
    EXPECT_EQ(tape.stop_rip, layout::code);
}

TEST_F(UnderMonitor, AGuestThatLoopsIsAHangAndOneThatHaltsIsHalted) {
    EXPECT_EQ(run(image_of("ops = [\"jmp to=op0\"]")).outcome, Outcome::Hang);
    EXPECT_EQ(tape.stop_rip, layout::code);
    EXPECT_EQ(run(image_of("ops = [\"nop\", \"hlt\"]")).outcome, Outcome::Halted);
    EXPECT_EQ(tape.stop_rip, layout::code + 2);
}

TEST_F(UnderMonitor, AShutdownOfTheGuestIsItsOwnAndNoExit) {
    run(image_of("ops = [\"nop\", \"ud2\"]\n[environment.surroundings]\nidt-limit = \"0\""));
    EXPECT_EQ(tape.outcome, Outcome::Shutdown);
    EXPECT_EQ(tape.exit_count, 0u);
    EXPECT_EQ(tape.stop_rip, layout::code + 1);
}

TEST_F(UnderMonitor, AFullTapeOfExitsAndRecordsIsNoHang) {
    std::string ops;
    for (std::uint32_t i = 1; i < guest::tape_capacity; ++i) ops += "\"ud2\", ";
    run(image_of("ops = [" + ops + "]\n[vmm]\nforced = [\"#UD\"]"));
    EXPECT_EQ(tape.outcome, Outcome::Completed);
    EXPECT_EQ(tape.exit_count, guest::tape_capacity) << "the end's among them";
    EXPECT_EQ(tape.count, guest::tape_capacity - 1);
    run(image_of("ops = [" + ops + "\"ud2\"]\n[vmm]\nforced = [\"#UD\"]"));
    EXPECT_EQ(tape.outcome, Outcome::TapeOverflow);
}

TEST_F(UnderMonitor, ABackendThatCannotCarryRegistersLeavesThemToTheMonitor) {
    Image image = image_of("ops = [\"int3\"]\n[vmm]\nforced = [\"#BP\"]");
    for (std::uint64_t n = 0; n < guest::gpr_count; ++n)
        if (n != rsp) image.params.gpr[n] = 0x1111 * (n + 1);
    // RAX is the VMCB's; the image was assembled with 0.
    image.params.gpr[rax] = 0;
    StagedMachines machines;
    Machine& machine = machines.restore(*image.stage, image.stage->entry);
    std::vector<std::uint8_t> memory = image.stage->memory;
    guest::apply(image, memory);
    machine.write_physical(0, memory.data(), memory.size());
    ASSERT_EQ(machine.run(100'000), Exit::StopPort);
    EXPECT_EQ(static_cast<guest::ExitCode>(machine.cpu.r[rax] & 0xFF), guest::ExitCode::Completed);
    guest::parse_tape(machine.memory.bytes(), image.mode, tape);
    for (std::uint64_t n = 0; n < guest::gpr_count; ++n) {
        if (n == rsp) continue;
        EXPECT_EQ(tape.final.gpr[n], image.params.gpr[n]) << n;
    }
}

}  // namespace
}  // namespace faultline::engine
