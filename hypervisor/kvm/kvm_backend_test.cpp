#include "hypervisor/kvm/kvm_backend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/stage/memory.hpp"

namespace faultline::kvm {
namespace {

using guest::Outcome;
using guest::Tape;
namespace layout = guest::layout;

using guest::Mode;

/// An image of a program, each op given by its bytes. Resumes after #DB with RF.
guest::Image image_of(const std::vector<std::vector<std::uint8_t>>& ops, Mode mode = Mode::Long64, unsigned cpl = 0) {
    guest::Image image;
    image.stage = guest::stage_of(guest::World::Bare, mode);
    image.mode = mode;
    for (const auto& op : ops) {
        image.op_offset[image.op_count++] = image.code_size;
        for (std::size_t i = 0; i < op.size(); ++i, ++image.code_size) {
            image.code[image.code_size] = op[i];
            image.skip[image.code_size] = static_cast<std::uint8_t>(op.size() - i);
        }
    }
    image.op_offset[image.op_count] = image.code_size;
    std::ranges::copy(guest::end_bytes(mode), image.code.begin() + image.code_size);
    image.params.cr4 = image.stage->cr4;
    image.params.entry_frame = {layout::code, guest::program_cs(mode, cpl), guest::rflags::fixed1, layout::stack_top,
                                guest::program_ss(mode, cpl)};
    image.params.idt_limit_and_base[0] = image.stage->idt_limit | layout::idt_dpl3 << 16;
    image.params.idt_limit_and_base[1] = layout::idt_dpl3 >> 48;
    if (mode == Mode::Real16) {
        image.params.entry_frame.rip = 0;
        image.params.entry_frame.rsp &= 0xFFFF;
        image.params.idt_limit_and_base[0] = image.stage->idt_limit | layout::idt_dpl0 << 16;
    }
    image.params.code_size = image.code_size;
    image.params.db_rf_set = guest::rflags::rf;
    return image;
}

const std::vector<std::uint8_t> nop{0x90}, ud2{0x0F, 0x0B}, hlt{0xF4}, jump_to_itself{0xEB, 0xFE}, icebp{0xF1};

guest::Image with_flags(guest::Image image, std::uint64_t rflags) {
    image.params.entry_frame.rflags = rflags;
    return image;
}

/// Visits what a leftover would show in: flags, debug registers, memory, the frame's stack, CR2.
guest::Image probe() {
    auto image = with_flags(image_of({nop,
                                      {0x0F, 0x21, 0xF8},                                // mov rax, dr7
                                      {0x0F, 0x21, 0xF3},                                // mov rbx, dr6
                                      {0x48, 0x8B, 0x0C, 0x25, 0x00, 0x00, 0x04, 0x00},  // mov rcx, [data]
                                      {0x48, 0x8B, 0x14, 0x25, 0xF8, 0x1E, 0x03, 0x00},  // mov rdx, [stack_top - 8]
                                      {0x48, 0x8B, 0x34, 0x25, 0x00, 0x60, 0x04, 0x00},  // mov rsi, [supervisor]
                                      ud2,
                                      {0x48, 0x8B, 0x3C, 0x25, 0x00, 0x20, 0x04, 0x00}}),  // mov rdi, [hole]
                            guest::rflags::fixed1 | guest::rflags::tf);
    image.params.dr[0] = layout::code;
    image.params.dr7 = guest::dr::dr7_reset | 2;
    return image;
}

std::string text_of(const Tape& tape) {
    std::string text = "outcome " + std::to_string(static_cast<int>(tape.outcome)) + " " + tape.detail + "\n";
    for (std::uint32_t i = 0; i < tape.count; ++i) {
        const auto& r = tape.records[i];
        for (const auto v : {r.vector, r.error, r.rip, r.cs, r.rflags, r.rsp, r.ss, r.cr2, r.rcx, r.dr6, r.dr7,
                             r.handler_flags, r.handler_ss, r.frame, r.complete})
            text += " " + std::to_string(v);
        text += "\n";
    }
    if (tape.outcome != Outcome::Completed) return text;
    for (const auto v : tape.final.gpr) text += " " + std::to_string(v);
    for (const auto v :
         {tape.final.rflags, tape.final.cs, tape.final.ss, tape.final.dr6, tape.final.dr7, tape.final.dr[0],
          tape.final.dr[1], tape.final.dr[2], tape.final.dr[3], tape.final.debugctl, tape.final.cr4})
        text += " " + std::to_string(v);
    return text;
}

class Kvm : public testing::Test {
protected:
    void SetUp() override {
        auto made = make_kvm_backend({.time_limit = std::chrono::milliseconds{100}});
        if (!made) GTEST_SKIP() << made.error().reason;
        backend_ = std::move(*made);
    }
    const Tape& run(const guest::Image& image) {
        backend_->run(image, tape_);
        return tape_;
    }
    std::unique_ptr<guest::Backend> backend_;
    Tape tape_;
};

TEST_F(Kvm, EmptyProgramCompletesWithTheStateItStartedWith) {
    auto image = image_of({});
    for (std::size_t r = 0; r < guest::gpr_count; ++r) image.params.gpr[r] = 0x1111'2222'3333'0000 + r;
    image.params.dr = {0x40000, 0x40008, 0x40010, 0x40018};
    image.params.cr4 |= guest::cr4_de;
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    EXPECT_EQ(tape_.count, 0u);
    for (std::size_t r = 0; r < guest::gpr_count; ++r)
        EXPECT_EQ(tape_.final.gpr[r], r == 4 ? layout::stack_top : image.params.gpr[r]) << r;
    EXPECT_EQ(tape_.final.dr, image.params.dr);
    EXPECT_EQ(tape_.final.dr6, guest::dr::dr6_reset);
    EXPECT_EQ(tape_.final.dr7, guest::dr::dr7_reset);
    EXPECT_EQ(tape_.final.cs, layout::kernel_cs);
    EXPECT_EQ(tape_.final.ss, layout::kernel_ss);
    EXPECT_EQ(tape_.final.cr4, image.params.cr4);
    EXPECT_EQ(tape_.final.debugctl, guest::not_recorded);
}

TEST_F(Kvm, InvalidOpcodeIsRecordedAtItsOpAndSkipped) {
    run(image_of({ud2, {0x48, 0xC7, 0xC0, 0x05, 0x00, 0x00, 0x00}}));
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].vector, 6u);
    EXPECT_EQ(tape_.records[0].error, 0u);
    EXPECT_EQ(tape_.records[0].rip, layout::code);
    EXPECT_EQ(tape_.records[0].cs, layout::kernel_cs);
    EXPECT_EQ(tape_.records[0].rsp, layout::stack_top);
    EXPECT_EQ(tape_.records[0].ss, layout::kernel_ss);
    EXPECT_EQ(tape_.records[0].cr2, guest::not_recorded);
    EXPECT_EQ(tape_.records[0].dr6, guest::not_recorded);
    EXPECT_EQ(tape_.records[0].complete, 1u);
    EXPECT_EQ(tape_.final.gpr[0], 5u);
}

/// AMD APM vol 2, "Long-Mode Interrupt Control Transfers": the frame is 16-byte aligned and holds SS:RSP always; IF,
/// TF, NT and RF are cleared; a change of privilege leaves a null selector in SS.
TEST_F(Kvm, RecordsShowWhatDeliveryLeft) {
    using namespace guest::rflags;
    auto image = with_flags(image_of({ud2}), fixed1 | if_ | nt);
    image.params.entry_frame.rsp = layout::stack_top - 8;
    run(image);
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].frame, layout::stack_top - 16 - 40);
    EXPECT_EQ(tape_.records[0].handler_ss, layout::kernel_ss);
    EXPECT_EQ(tape_.records[0].handler_flags & (tf | if_ | nt | rf), 0u);
    EXPECT_EQ(tape_.records[0].rflags & (if_ | nt), if_ | nt);
    run(image_of({ud2}, Mode::Long64, 3));
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].frame, layout::rsp0_top - 40);
    EXPECT_EQ(tape_.records[0].handler_ss, 0u);
}

TEST_F(Kvm, Compat32ProgramsRunIn32BitCodeBelowThe64BitHandlers) {
    for (const unsigned cpl : {0u, 3u}) {
        // ud2; mov eax, 1; dec eax (48h, a REX prefix in 64-bit mode)
        auto image = image_of({ud2, {0xB8, 1, 0, 0, 0}, {0x48}}, Mode::Compat32, cpl);
        run(image);
        ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
        ASSERT_EQ(tape_.count, 1u);
        EXPECT_EQ(tape_.records[0].vector, 6u);
        EXPECT_EQ(tape_.records[0].cs, guest::program_cs(Mode::Compat32, cpl));
        EXPECT_EQ(tape_.records[0].rsp, layout::stack_top);
        EXPECT_EQ(tape_.final.gpr[0], 0u);
        EXPECT_EQ(tape_.final.cs, guest::program_cs(Mode::Compat32, cpl));
    }
}

/// Software that runs real mode may lack instructions; CLI, STI, LOCK NOP and MOV are no such.
TEST_F(Kvm, Real16ProgramsRunInTheirSegments) {
    // lock nop; mov eax, [stack_top - 8 of SS]; mov ecx, [0]; sti
    auto image =
        image_of({{0xF0, 0x90}, {0x66, 0x36, 0xA1, 0xF8, 0x1E}, {0x66, 0x8B, 0x0E, 0, 0}, {0xFB}}, Mode::Real16);
    image.stack_count = 2;
    image.stack[0] = 0x1234;
    image.stack[1] = 0x5678;
    image.params.entry_frame.rsp = (layout::stack_top - 8) & 0xFFFF;
    image.params.gpr = {1, 2, 3, 0x3333'3333, 0, 5, 6, 7};
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail << std::hex << tape_.stop_rip;
    ASSERT_EQ(tape_.count, 1u);
    const auto& record = tape_.records[0];
    EXPECT_EQ(record.vector, 6u);
    EXPECT_EQ(record.error, 0u);
    EXPECT_EQ(record.rip, 0u);
    EXPECT_EQ(record.cs, layout::real_cs);
    EXPECT_EQ(record.rsp, 0x1EF8u);
    EXPECT_EQ(record.ss, layout::real_ss);
    EXPECT_EQ(record.frame, 0x1EF8u - 6);
    EXPECT_EQ(record.handler_ss, layout::real_ss);
    EXPECT_EQ(record.rcx, 2u);
    EXPECT_EQ(record.dr6, guest::not_recorded);
    EXPECT_EQ(record.cr2, guest::not_recorded);
    EXPECT_EQ(tape_.final.gpr[0], 0x5678'1234u);
    std::uint64_t data = 0;
    for (std::uint64_t i = 0; i < 4; ++i) data |= std::uint64_t{layout::initial_data(layout::data + i)} << 8 * i;
    EXPECT_EQ(tape_.final.gpr[1], data);
    EXPECT_EQ(tape_.final.gpr[2], 3u);
    EXPECT_EQ(tape_.final.gpr[3], 0x3333'3333u);
    EXPECT_EQ(tape_.final.gpr[5], 5u);
    EXPECT_EQ(tape_.final.gpr[7], 7u);
    EXPECT_EQ(tape_.final.rflags & guest::rflags::if_, guest::rflags::if_);
}

TEST_F(Kvm, Real16StepsAndResumesWithRf) {
    auto image = with_flags(image_of({nop, nop}, Mode::Real16), guest::rflags::fixed1 | guest::rflags::tf);
    image.params.dr[0] = layout::code + 1;
    image.params.dr7 |= 2;
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail << std::hex << tape_.stop_rip;
    // The trap's handler returns with RF, which passes over the breakpoint on the next op.
    ASSERT_EQ(tape_.count, 2u);
    for (std::uint64_t i = 0; i < 2; ++i) {
        EXPECT_EQ(tape_.records[i].rip, 1 + i);
        EXPECT_EQ(tape_.records[i].dr6 & guest::dr::dr6_bs, guest::dr::dr6_bs);
    }
    image.params.db_rf_set = 0;
    run(image);
    EXPECT_EQ(tape_.outcome, Outcome::TapeOverflow) << "without RF it is met again and again";
}

/// AMD APM vol 2, "Legacy Protected-Mode Interrupt Control Transfers": SS:ESP is in the frame when the privilege
/// changes.
TEST_F(Kvm, Prot32ProgramsRunWhereKvmRunsSuchGuests) {
    for (const unsigned cpl : {0u, 3u}) {
        run(image_of({ud2, {0xB8, 1, 0, 0, 0}, {0x48}}, Mode::Prot32, cpl));  // ud2; mov eax, 1; dec eax
        if (!tape_.unsuitable.empty()) GTEST_SKIP() << tape_.unsuitable;
        ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
        ASSERT_EQ(tape_.count, 1u);
        EXPECT_EQ(tape_.records[0].cs, guest::program_cs(Mode::Prot32, cpl));
        EXPECT_EQ(tape_.records[0].ss, guest::program_ss(Mode::Prot32, cpl));
        EXPECT_EQ(tape_.records[0].rsp, layout::stack_top);
        EXPECT_EQ(tape_.records[0].frame, cpl == 0 ? layout::stack_top - 12 : layout::rsp0_top - 20);
        EXPECT_EQ(tape_.records[0].handler_ss, layout::kernel_ss);
        EXPECT_EQ(tape_.final.gpr[0], 0u);
    }
}

TEST_F(Kvm, ModesTakeTurns) {
    const auto long64 = probe(), real16 = image_of({nop, {0xF0, 0x90}}, Mode::Real16);
    const auto compat32 = image_of({nop, ud2}, Mode::Compat32, 3);
    const auto first = text_of(run(long64)), second = text_of(run(real16)), third = text_of(run(compat32));
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(text_of(run(real16)), second);
        EXPECT_EQ(text_of(run(long64)), first);
        EXPECT_EQ(text_of(run(compat32)), third);
    }
}

TEST_F(Kvm, PageFaultRecordsErrorCodeAndAddress) {
    run(image_of({{0x48, 0x89, 0x0C, 0x25, 0x08, 0x20, 0x04, 0x00}}));  // mov [hole + 8], rcx
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].vector, 14u);
    EXPECT_EQ(tape_.records[0].error, 2u);
    EXPECT_EQ(tape_.records[0].cr2, layout::hole + 8);
    EXPECT_EQ(tape_.records[0].rip, layout::code);
}

TEST_F(Kvm, SingleStepTrapsAfterEveryOp) {
    run(with_flags(image_of({nop, nop}), guest::rflags::fixed1 | guest::rflags::tf));
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 2u);
    for (std::uint64_t i = 0; i < 2; ++i) {
        EXPECT_EQ(tape_.records[i].vector, 1u);
        EXPECT_EQ(tape_.records[i].rip, layout::code + 1 + i);
        EXPECT_EQ(tape_.records[i].dr6, guest::dr::dr6_reset | guest::dr::dr6_bs);
        EXPECT_EQ(tape_.records[i].dr7, guest::dr::dr7_reset);
    }
}

TEST_F(Kvm, DetectedReadOfDr7InTheEpilogueIsRecordedAndResumed) {
    auto image = image_of({nop});
    image.params.dr7 |= guest::dr::dr7_gd;
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].rip, image.stage->symbols.epilogue_read_dr7);
    EXPECT_EQ(tape_.records[0].dr6, guest::dr::dr6_reset | guest::dr::dr6_bd);
    EXPECT_EQ(tape_.final.dr7, guest::dr::dr7_reset);
}

TEST_F(Kvm, BreakpointOnTheEndIsAnOrdinaryRecord) {
    auto image = image_of({nop});
    image.params.dr[1] = image.end_address();
    image.params.dr7 |= 8;
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].rip, image.end_address());
    EXPECT_EQ(tape_.records[0].dr6, guest::dr::dr6_reset | 2);
}

TEST_F(Kvm, MoreExceptionsThanTheTapeHoldsOverflowIt) {
    auto image = image_of({ud2});
    image.skip[0] = 0;
    run(image);
    EXPECT_EQ(tape_.outcome, Outcome::TapeOverflow);
    EXPECT_EQ(tape_.count, guest::tape_capacity);
    EXPECT_EQ(tape_.records.back().complete, 1u);
}

TEST_F(Kvm, EndlessLoopHangs) {
    run(image_of({jump_to_itself}));
    EXPECT_EQ(tape_.outcome, Outcome::Hang);
    EXPECT_EQ(tape_.stop_rip, layout::code);
}

TEST_F(Kvm, EndlessExitsHang) {
    run(image_of({{0xE6, 0x80}, {0xEB, 0xFC}}));  // out 0x80, al; jmp op0
    EXPECT_EQ(tape_.outcome, Outcome::Hang);
}

TEST_F(Kvm, ExceptionOutsideTheProgramIsAWildRip) {
    run(image_of({{0x48, 0xC7, 0xC0, 0x00, 0x20, 0x04, 0x00}, {0xFF, 0xE0}}));  // mov rax, hole; jmp rax
    ASSERT_EQ(tape_.outcome, Outcome::WildRip) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].vector, 14u);
    EXPECT_EQ(tape_.records[0].rip, layout::hole);
}

TEST_F(Kvm, FaultWithoutAStackIsADoubleFault) {
    run(image_of({{0x48, 0xC7, 0xC4, 0x00, 0x30, 0x04, 0x00}, ud2}));  // mov rsp, hole + 1000h; ud2
    ASSERT_EQ(tape_.outcome, Outcome::DoubleFault) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].vector, 8u);
    EXPECT_EQ(tape_.records[0].error, 0u);
}

TEST_F(Kvm, FaultWithoutAnIdtShutsDown) {
    auto image = image_of({ud2});
    image.params.idt_limit_and_base[0] = 0;
    run(image);
    EXPECT_EQ(tape_.outcome, Outcome::Shutdown) << tape_.detail;
}

TEST_F(Kvm, HaltWithoutAWakeHalts) {
    run(image_of({hlt}));
    EXPECT_EQ(tape_.outcome, Outcome::Halted);
    EXPECT_EQ(tape_.count, 0u);
}

TEST_F(Kvm, InterruptWakesAHaltOnlyWhenEnabled) {
    auto image = image_of({hlt, nop});
    image.wake = guest::Wake::Interrupt;
    EXPECT_EQ(run(image).outcome, Outcome::Halted);
    run(with_flags(image, guest::rflags::fixed1 | guest::rflags::if_));
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].vector, guest::wake_vector);
    EXPECT_EQ(tape_.records[0].rip, layout::code + 1);
}

TEST_F(Kvm, NmiWakesAHalt) {
    auto image = image_of({hlt, nop});
    image.wake = guest::Wake::Nmi;
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    ASSERT_EQ(tape_.count, 1u);
    EXPECT_EQ(tape_.records[0].vector, 2u);
}

TEST_F(Kvm, StepTrapOfAHaltEndsItWithoutAWake) {
    auto image = with_flags(image_of({hlt}), guest::rflags::fixed1 | guest::rflags::tf | guest::rflags::if_);
    for (const auto wake : {guest::Wake::None, guest::Wake::Interrupt, guest::Wake::Nmi}) {
        image.wake = wake;
        run(image);
        ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
        ASSERT_EQ(tape_.count, 1u);
        EXPECT_EQ(tape_.records[0].vector, 1u);
    }
}

TEST_F(Kvm, PortsReadAsZerosWithRepToo) {
    // mov edx, 80h; mov edi, data; mov ecx, 4; rep insb; in al, 80h
    auto image = image_of({{0xBA, 0x80, 0, 0, 0},
                           {0xBF, 0, 0, 4, 0},
                           {0xB9, 4, 0, 0, 0},
                           {0xF3, 0x6C},
                           {0xE4, 0x80},
                           {0x48, 0x8B, 0x1C, 0x25, 0, 0, 4, 0}});  // … mov rbx, [data]
    image.params.gpr[0] = 0xFF;
    run(image);
    ASSERT_EQ(tape_.outcome, Outcome::Completed) << tape_.detail;
    EXPECT_EQ(tape_.count, 0u);
    EXPECT_EQ(tape_.final.gpr[0], 0u);
    std::uint64_t expected = 0;
    for (std::uint64_t i = 4; i < 8; ++i) expected |= std::uint64_t{layout::initial_data(layout::data + i)} << 8 * i;
    EXPECT_EQ(tape_.final.gpr[3], expected);
}

TEST_F(Kvm, FeaturesNameAVendor) { EXPECT_NE(backend_->features().vendor, guest::Vendor::Unknown); }

/// The law of reuse: whatever ran before, the next case's tape is that of a new machine.
TEST_F(Kvm, NothingThatRanBeforeShowsInTheNextTape) {
    auto no_idt = image_of({ud2});
    no_idt.params.idt_limit_and_base[0] = 0;
    auto overflow = image_of({ud2});
    overflow.skip[0] = 0;
    auto woken = with_flags(image_of({hlt}), guest::rflags::fixed1 | guest::rflags::if_);
    woken.wake = guest::Wake::Interrupt;
    // mov [data], rsp; mov [stack_top - 8], rsp; mov [supervisor], rsp; mov [hole], rsp
    const auto stores = image_of({{0x48, 0x89, 0x24, 0x25, 0, 0, 4, 0},
                                  {0x48, 0x89, 0x24, 0x25, 0xF8, 0x1E, 3, 0},
                                  {0x48, 0x89, 0x24, 0x25, 0, 0x60, 4, 0},
                                  {0x48, 0x89, 0x24, 0x25, 0, 0x20, 4, 0}});
    auto detect_then_wild = image_of({{0x48, 0xC7, 0xC0, 0x00, 0x20, 0x04, 0x00}, {0xFF, 0xE0}});
    detect_then_wild.params.dr7 |= guest::dr::dr7_gd | 1;
    detect_then_wild.params.dr[0] = layout::code + 7;
    detect_then_wild.params.cr4 |= guest::cr4_de;
    auto detect_then_hang = image_of({{0xFA}, jump_to_itself});
    detect_then_hang.params.dr7 |= guest::dr::dr7_gd;
    const auto user = image_of({nop, ud2}, Mode::Long64, 3), compat = image_of({nop, ud2}, Mode::Compat32, 3);
    const std::pair<const char*, guest::Image> befores[] = {
        {"empty", image_of({})},
        {"probe", probe()},
        {"stores", stores},
        {"no_idt", no_idt},
        {"overflow", overflow},
        {"woken", woken},
        {"halted", image_of({hlt})},
        {"detect_then_wild", detect_then_wild},
        {"detect_then_hang", detect_then_hang},
        {"icebp", image_of({icebp})},
        {"null_ss_and_user", user},
        {"compat", compat},
        {"no_stack", image_of({{0x48, 0xC7, 0xC4, 0x00, 0x30, 0x04, 0x00}, ud2})},
        {"mov_ss", image_of({{0xB8, 0, 0, 0, 0}, {0x8E, 0xD0}, nop})},
    };
    const std::string fresh = text_of(run(probe()));
    for (const auto& [name, before] : befores) {
        ASSERT_TRUE(backend_->refresh());
        ASSERT_EQ(text_of(run(probe())), fresh) << "after refresh";
        const auto outcome = run(before).outcome;
        EXPECT_EQ(text_of(run(probe())), fresh) << "after " << name << ", outcome " << static_cast<int>(outcome);
        EXPECT_EQ(text_of(run(probe())), fresh) << "once more after " << name;
    }
}

}  // namespace
}  // namespace faultline::kvm
