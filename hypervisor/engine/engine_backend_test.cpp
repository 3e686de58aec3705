#include "hypervisor/engine/engine_backend.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "hypervisor/guest/arbitrary.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::engine {
namespace {

using guest::Outcome;
namespace layout = guest::layout;

/// An image of raw bytes at CPL0, for programs that ops cannot express.
guest::Image image_of(std::initializer_list<int> bytes, std::uint64_t flags = guest::rflags::fixed1) {
    guest::Case nothing;
    guest::Image image;
    EXPECT_TRUE(guest::assemble(nothing, image));
    std::transform(bytes.begin(), bytes.end(), image.code.begin(),
                   [](int byte) { return static_cast<std::uint8_t>(byte); });
    image.code_size = static_cast<std::uint16_t>(bytes.size());
    image.params.code_size = image.code_size;
    image.code[image.code_size] = 0x0F;
    image.code[image.code_size + 1u] = 0x0B;
    image.params.entry_frame.rflags = flags;
    image.step_limit = 1000;
    return image;
}

/// Everything a tape says.
std::string text(const guest::Tape& tape) { return guest::to_json(tape); }

struct Backend : testing::Test {
    std::unique_ptr<guest::Backend> backend = make_engine_backend();
    guest::Tape tape;
    const guest::Tape& run(const guest::Image& image) {
        backend->run(image, tape);
        return tape;
    }
};

TEST_F(Backend, IsAnAmdProcessorWithBtfThatEmulatesEverything) {
    const guest::Features& f = backend->features();
    EXPECT_EQ(f.vendor, guest::Vendor::Amd);
    EXPECT_EQ(f.signature, 0x00A0'0F11u);
    EXPECT_TRUE(f.btf);
    EXPECT_FALSE(f.rtm || f.bus_lock_detect || f.dbext);
    EXPECT_EQ(f.cpl0, guest::Features::Execution::Emulated);
    EXPECT_EQ(f.cpl3, guest::Features::Execution::Emulated);
    EXPECT_EQ(backend->subject().backend, "engine");
}

TEST_F(Backend, AnEmptyProgramCompletes) {
    EXPECT_EQ(run(image_of({})).outcome, Outcome::Completed);
    EXPECT_EQ(tape.count, 0u);
    EXPECT_EQ(tape.final.dr6, guest::dr::dr6_reset);
}

TEST_F(Backend, AnEndlessLoopIsAHang) {
    EXPECT_EQ(run(image_of({0xEB, 0xFE})).outcome, Outcome::Hang);
    EXPECT_EQ(tape.stop_rip, layout::code);
}

TEST_F(Backend, AnEndlessRepIsAHang) {
    guest::Image image = image_of({0xF3, 0xAC});  // rep lodsb
    image.params.gpr[1] = ~0ull;
    image.params.gpr[6] = layout::data;
    image.step_limit = 300;
    EXPECT_EQ(run(image).outcome, Outcome::Hang);
}

TEST_F(Backend, ALoadedEmptyIdtAndAFaultIsAShutdown) {
    // sub rsp, 16; mov word [rsp], 0; lidt [rsp]; ud2
    const auto image =
        image_of({0x48, 0x83, 0xEC, 0x10, 0x66, 0xC7, 0x04, 0x24, 0, 0, 0x0F, 0x01, 0x1C, 0x24, 0x0F, 0x0B});
    EXPECT_EQ(run(image).outcome, Outcome::Shutdown);
}

TEST_F(Backend, AnInstructionThatTheEngineLacksIsAnInternalErrorWithItsBytes) {
    EXPECT_EQ(run(image_of({0x0F, 0x58, 0xC1})).outcome, Outcome::InternalError);
    EXPECT_NE(tape.detail.find(" 0f 58 c1"), std::string::npos) << tape.detail;
    EXPECT_EQ(tape.stop_rip, layout::code);
}

TEST_F(Backend, AProgramsOwnOutToTheExitPortEndsNothing) {
    EXPECT_EQ(run(image_of({0xB0, 0x02, 0xE6, layout::exit_port})).outcome, Outcome::Completed);
    EXPECT_EQ(tape.count, 0u);
}

TEST_F(Backend, HltWithoutAWakeIsHalted) { EXPECT_EQ(run(image_of({0xF4})).outcome, Outcome::Halted); }

TEST_F(Backend, EveryHltGetsItsWake) {
    using guest::rflags::fixed1;
    guest::Image image = image_of({0xF4, 0xF4}, fixed1 | guest::rflags::if_);
    image.wake = guest::Wake::Interrupt;
    EXPECT_EQ(run(image).outcome, Outcome::Completed);
    ASSERT_EQ(tape.count, 2u);
    EXPECT_EQ(tape.records[0].vector, guest::wake_vector);
    EXPECT_EQ(tape.records[1].rip, layout::code + 2);
    image.params.entry_frame.rflags = fixed1;  // IF clear
    EXPECT_EQ(run(image).outcome, Outcome::Halted);
}

TEST_F(Backend, AJumpToNowhereIsRecordedAsAWildRip) {
    EXPECT_EQ(run(image_of({0x31, 0xC0, 0xFF, 0xE0})).outcome, Outcome::WildRip);  // xor eax, eax; jmp rax
    ASSERT_EQ(tape.count, 1u);
    EXPECT_EQ(tape.records[0].vector, 14u);
    EXPECT_EQ(tape.records[0].rip, 0u);
}

guest::Image arbitrary_image() {
    guest::Image image;
    const auto assembled = guest::assemble(guest::arbitrary::subject_case(), image);
    RC_PRE(assembled.has_value());
    return image;
}

RC_GTEST_PROP(Laws, RunningAnImageTwiceGivesTheSameTape, ()) {
    static const auto backend = make_engine_backend();
    const guest::Image image = arbitrary_image();
    guest::Tape first, second;
    backend->run(image, first);
    backend->run(image, second);
    RC_ASSERT(text(first) == text(second));
}

RC_GTEST_PROP(Laws, WhatRanBeforeLeavesNoTrace, ()) {
    static const auto used = make_engine_backend();
    const guest::Image before = arbitrary_image(), image = arbitrary_image();
    guest::Tape tape, fresh;
    used->run(before, tape);
    used->run(image, tape);
    make_engine_backend()->run(image, fresh);
    RC_ASSERT(text(tape) == text(fresh));
}

RC_GTEST_PROP(Laws, EveryRunComesBackWhateverBytesItMeets, ()) {
    static const auto backend = make_engine_backend();
    guest::Image image = image_of({});
    for (std::size_t i = 0; i < 64; ++i) image.code[i] = *rc::gen::arbitrary<std::uint8_t>();
    for (auto& gpr : image.params.gpr) gpr = layout::data + *rc::gen::inRange<std::uint64_t>(0, layout::data_size);
    image.params.gpr[4] = 0;
    guest::Tape first, second;
    backend->run(image, first);
    backend->run(image, second);
    RC_ASSERT(text(first) == text(second));
}

}  // namespace
}  // namespace faultline::engine
