#include "hypervisor/guest/assemble.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "hypervisor/guest/arbitrary.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::guest {
namespace {

Image image_of(const Case& subject_case) {
    Image image;
    const auto assembled = assemble(subject_case, image);
    EXPECT_TRUE(assembled) << assembled.error();
    return image;
}

std::string error_of(const Case& subject_case) {
    Image image;
    const auto assembled = assemble(subject_case, image);
    return assembled ? "assembled" : assembled.error();
}

template <class T>
T at(const Image& image, std::size_t offset) {
    T value;
    std::memcpy(&value, &image.code[offset], sizeof value);
    return value;
}

TEST(Assemble, OpsStandOneAfterTheOtherAndUd2AfterThem) {
    const auto image = image_of({.ops = {ops::Nop{}, ops::Icebp{}, ops::Int{{0x20}}}});
    EXPECT_EQ(image.op_count, 3);
    EXPECT_EQ(image.code_size, 4);
    const std::array<std::uint8_t, 6> bytes = {0x90, 0xF1, 0xCD, 0x20, 0x0F, 0x0B};
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), image.code.begin()));
    EXPECT_EQ(image.op_address(2), layout::code + 2);
    EXPECT_EQ(image.op_address(3), image.end_address());
    EXPECT_EQ(image.end_address(), layout::code + 4);
    EXPECT_EQ(image.params.code_size, 4u);
}

TEST(Assemble, NothingOfTheCaseBeforeRemains) {
    Image image;
    ASSERT_TRUE(
        assemble({.environment = {.btf = true, .stack = {{}, {}}}, .ops = {ops::SetReg{}, ops::SetReg{}}}, image));
    ASSERT_TRUE(assemble({.ops = {ops::Nop{}}}, image));
    EXPECT_TRUE(std::all_of(image.code.begin() + 3, image.code.end(), [](auto byte) { return byte == 0; }));
    EXPECT_TRUE(std::all_of(image.skip.begin() + 1, image.skip.end(), [](auto byte) { return byte == 0; }));
    EXPECT_EQ(image.stack_count, 0);
    EXPECT_EQ(image.params.debugctl, 0u);
}

RC_GTEST_PROP(Assemble, SkipLeadsFromEachByteToTheNextOp, ()) {
    const auto subject_case = arbitrary::subject_case();
    Image image;
    RC_PRE(assemble(subject_case, image).has_value());
    for (std::size_t op = 0; op < image.op_count; ++op)
        for (std::size_t byte = image.op_offset[op]; byte < image.op_offset[op + 1]; ++byte)
            RC_ASSERT(byte + image.skip[byte] == image.op_offset[op + 1]);
    RC_ASSERT(image.skip[image.code_size] == 0);
    RC_ASSERT(image.skip[image.code_size + 1u] == 0);
}

RC_GTEST_PROP(Assemble, AnUsedAssemblerGivesTheSameImageAsANewOne, ()) {
    static Assembler used;
    const auto subject_case = arbitrary::subject_case();
    Image warm, cold;
    const auto result = used.assemble(subject_case, warm), again = Assembler().assemble(subject_case, cold);
    RC_ASSERT(result.has_value() == again.has_value());
    RC_ASSERT(!result || (warm.code == cold.code && warm.skip == cold.skip && warm.op_offset == cold.op_offset));
}

TEST(Assemble, BranchesReachTheirOpForwardBackwardAndTheEnd) {
    const auto image = image_of({.ops = {ops::Jmp{{2}}, ops::Nop{}, ops::Call{{0}}, ops::Jrcxz{{4}}}});
    EXPECT_EQ(at<std::int32_t>(image, 1), 1);    // over the NOP
    EXPECT_EQ(at<std::int32_t>(image, 7), -11);  // from offset 11 to 0
    EXPECT_EQ(at<std::int8_t>(image, 12), 0);    // the end follows
}

TEST(Assemble, JrcxzOutOfReachIsAnError) {
    Case subject_case{.ops = {ops::Jrcxz{{14}}}};
    for (int i = 0; i < 13; ++i) subject_case.ops.push_back(ops::SetReg{});
    EXPECT_EQ(error_of(subject_case), "op0: `jrcxz to=op14` is too far from its target");
    subject_case.ops[0] = ops::Jrcxz{{13}};  // 120 bytes
    EXPECT_EQ(error_of(subject_case), "assembled");
}

TEST(Assemble, ValuesNameTheAddressesOfOps) {
    Case subject_case{.ops = {ops::Nop{}, ops::SetReg{Gpr::Rax, {OpRef{2}, 1}}}};
    subject_case.environment.dr[3] = {OpRef{1}, ~0ull};
    subject_case.environment.gpr[7] = {OpRef{2}, 0};
    subject_case.environment.stack = {{OpRef{0}, 0}, {std::nullopt, 5}};
    const auto image = image_of(subject_case);
    EXPECT_EQ(at<std::uint64_t>(image, 3), layout::code + 12);
    EXPECT_EQ(image.params.dr[3], layout::code);
    EXPECT_EQ(image.params.gpr[7], layout::code + 11);
    EXPECT_EQ(image.stack_count, 2);
    EXPECT_EQ(image.stack[0], layout::code);
    EXPECT_EQ(image.stack[1], 5u);
}

TEST(Assemble, EntryFrameIsThePrivilegeAndStackOfTheCase) {
    Case subject_case{.cpl = 3};
    subject_case.environment.rflags = 0x10102;
    subject_case.environment.stack.resize(3);
    const auto frame = image_of(subject_case).params.entry_frame;
    EXPECT_EQ(frame.rip, layout::code);
    EXPECT_EQ(frame.cs, layout::user_cs);
    EXPECT_EQ(frame.ss, layout::user_ss);
    EXPECT_EQ(frame.rflags, 0x10102u);
    EXPECT_EQ(frame.rsp, layout::stack_top - 24);
    const auto kernel = image_of({}).params.entry_frame;
    EXPECT_EQ(kernel.cs, layout::kernel_cs);
    EXPECT_EQ(kernel.ss, layout::kernel_ss);
}

TEST(Assemble, PolicyAndEnvironmentBecomeParameters) {
    Case subject_case;
    auto& environment = subject_case.environment;
    environment.de = environment.btf = true;
    environment.gates = Gates::Dpl0;
    environment.wake = Wake::Nmi;
    environment.policy = {Policy::Db::Skip, Policy::Dr6::Keep, Policy::FaultRf::Clear};
    auto image = image_of(subject_case);
    EXPECT_EQ(image.params.cr4, stage_cr4 | cr4_de);
    EXPECT_EQ(image.params.use_debugctl, 1u);
    EXPECT_EQ(image.params.debugctl, debugctl::btf);
    EXPECT_EQ(image.params.idt_limit_and_base[0], layout::idt_dpl0 << 16 | 0xFFF);
    EXPECT_EQ(image.params.idt_limit_and_base[1], 0u);
    EXPECT_EQ(image.wake, Wake::Nmi);
    EXPECT_EQ(image.params.db_skip, 1u);
    EXPECT_EQ(image.params.db_rf_set, 0u);
    EXPECT_EQ(image.params.db_clear_dr6, 0u);
    EXPECT_EQ(image.params.fault_flags_and, ~rflags::rf);

    image = image_of({});
    EXPECT_EQ(image.params.cr4, stage_cr4);
    EXPECT_EQ(image.params.use_debugctl, 0u);
    EXPECT_EQ(image.params.idt_limit_and_base[0], layout::idt_dpl3 << 16 | 0xFFF);
    EXPECT_EQ(image.params.db_skip, 0u);
    EXPECT_EQ(image.params.db_rf_set, rflags::rf);
    EXPECT_EQ(image.params.db_clear_dr6, 1u);
    EXPECT_EQ(image.params.fault_flags_and, ~0ull);
}

TEST(Assemble, AProgramThatAddressesMsrsHasDebugctlPutBack) {
    EXPECT_EQ(image_of({.ops = {ops::Wrmsr{}}}).params.use_debugctl, 1u);
    EXPECT_EQ(image_of({.ops = {ops::Wrmsr{}}}).params.debugctl, 0u);
}

TEST(Assemble, WhatCannotBeAssembledSaysWhy) {
    EXPECT_EQ(error_of({.world = World::Snp}), "there is no stage for this world and mode");
    EXPECT_EQ(error_of({.cpl = 1}), "cpl: expected 0 or 3");
    EXPECT_EQ(error_of({.ops = std::vector<Op>(65)}), "more than 64 ops");
    EXPECT_EQ(error_of({.environment = {.stack = std::vector<Value>(33)}}), "more than 32 stack quadwords");
    EXPECT_EQ(error_of({.environment = {.dr7 = {OpRef{1}, 0}}}), "the environment refers to an op that is not there");
    EXPECT_EQ(error_of({.ops = {ops::Jmp{{2}}}}), "op0: `jmp to=op2` refers to an op that is not there");
    EXPECT_EQ(error_of({.ops = {ops::Nop{}, ops::InDx{{8}}}}), "op1: `in-dx width=8` has no encoding");
    Case with_rsp;
    with_rsp.environment.gpr[4].literal = 1;
    EXPECT_EQ(error_of(with_rsp), "gpr: RSP is the stack's");
}

TEST(Assemble, TheLongestProgramFits) {
    EXPECT_EQ(error_of({.ops = std::vector<Op>(max_ops, ops::Store{{Gpr::R12, 0x12345678}, Gpr::R9, {2}})}),
              "assembled");
}

std::uint64_t patched(const Image& image, std::uint64_t address) {
    for (const auto& patch : image.all_patches())
        if (patch.address == address) return patch.value;
    std::uint64_t value;
    std::memcpy(&value, image.stage->memory.data() + address, sizeof value);
    return value;
}

TEST(Surroundings, DefaultsLeaveLongModesTablesAlone) {
    const auto image = image_of({.ops = {ops::Nop{}}});
    EXPECT_EQ(image.patch_count, 0);
    EXPECT_EQ(image.params.reload, 0u);
    EXPECT_EQ(image.params.idt_limit_and_base[0], 0xFFF | layout::idt_dpl3 << 16);
}

/// AMD APM vol 2, "Gate Descriptors" (long mode): selector in bits 31:16, IST in 34:32, type, DPL and P in 47:40.
TEST(Surroundings, GatesBecomeDescriptorsOfTheTableInForce) {
    Case subject_case{.ops = {ops::Nop{}}};
    subject_case.environment.gates = Gates::Dpl0;
    subject_case.environment.surroundings.gates = {{.vector = {13},
                                                    .type = Gate::Type::Trap,
                                                    .dpl = 3,
                                                    .present = false,
                                                    .selector = layout::absent_code,
                                                    .ist = 2},
                                                   {.vector = {14}, .target = Gate::Target::OutOfRange}};
    const auto image = image_of(subject_case);
    EXPECT_EQ(image.patch_count, 4);
    const auto stub = image.stage->symbols.stubs + 13 * stub_stride;
    EXPECT_EQ(patched(image, layout::idt_dpl0 + 13 * 16), (stub & 0xFFFF) | 0x0000'6F02'0048'0000u);
    EXPECT_EQ(patched(image, layout::idt_dpl0 + 13 * 16 + 8), 0u);
    EXPECT_EQ(patched(image, layout::idt_dpl0 + 14 * 16 + 8), 0x8000u) << "bit 47 alone is not canonical";
}

/// The same, "Gate Descriptors" (legacy): eight bytes, no IST; 32-bit interrupt gate 1110b, trap gate 1111b.
TEST(Surroundings, Prot32HasGatesOfEightBytesAndTasks) {
    Case subject_case{.mode = Mode::Prot32, .cpl = 3, .ops = {ops::Nop{}, ops::Nop{}}};
    auto& surroundings = subject_case.environment.surroundings;
    surroundings.gates = {{.vector = {13}, .type = Gate::Type::Task, .selector = layout::task_a}};
    surroundings.idt_limit = 13 * 8 + 7;
    surroundings.tss_limit = 0x67;
    surroundings.inner_stack = {std::nullopt, layout::stack_top};
    surroundings.inner_ss = layout::readonly_data;
    surroundings.task = Task{.eip = {OpRef{1}, 0}, .eflags = 0x4002, .busy = true};
    const auto image = image_of(subject_case);
    EXPECT_EQ(image.params.idt_limit_and_base[0], surroundings.idt_limit | layout::idt_dpl3 << 16);
    EXPECT_EQ(patched(image, layout::idt_dpl3 + 13 * 8) >> 16 & 0xFFFF, layout::task_a);
    EXPECT_EQ(patched(image, layout::idt_dpl3 + 13 * 8) >> 40 & 0xFF, 0x85u);
    EXPECT_EQ(patched(image, layout::tss + 4), layout::stack_top | std::uint64_t{layout::readonly_data} << 32);
    EXPECT_EQ(patched(image, layout::gdt + layout::task_a) >> 40 & 0xF, 0xBu);
    EXPECT_EQ(image.params.reload, 1u);
    EXPECT_EQ(patched(image, layout::gdt + layout::tr) >> 40 & 0xF, 0x9u) << "LTR wants it available";
    EXPECT_EQ(patched(image, layout::gdt + layout::tr) & 0xFFFF, 0x67u);
    EXPECT_EQ(patched(image, layout::tss_a + 0x20), image.op_address(1) | 0x4002ull << 32);
    EXPECT_EQ(patched(image, layout::tss_a + 0x48) >> 32, layout::user_cs);
    EXPECT_EQ(patched(image, layout::tss_a + 0x60) >> 32 & 1, 0u);
    EXPECT_EQ(patched(image, layout::tss_b + 0x60) >> 32 & 1, 1u);
}

TEST(Surroundings, WhatAModeDoesNotHaveIsRefused) {
    const auto with = [](Mode mode, auto change) {
        Case subject_case{.mode = mode};
        change(subject_case.environment.surroundings);
        return error_of(subject_case);
    };
    EXPECT_EQ(with(Mode::Real16, [](auto& s) { s.gates = {{}}; }),
              "surroundings: gates exists in long64, compat32 and prot32 only");
    EXPECT_EQ(with(Mode::Real16, [](auto& s) { s.alignment_check = true; }),
              "surroundings: alignment-check exists in long64, compat32 and prot32 only");
    EXPECT_EQ(with(Mode::Compat32, [](auto& s) { s.task.emplace(); }), "surroundings: task exists in prot32 only");
    EXPECT_EQ(with(Mode::Long64, [](auto& s) { s.inner_ss = 0; }), "surroundings: inner-ss exists in prot32 only");
    EXPECT_EQ(with(Mode::Prot32, [](auto& s) { s.ist2 = {}; }),
              "surroundings: ist2 exists in long64 and compat32 only");
    EXPECT_EQ(with(Mode::Prot32, [](auto& s) { s.gates = {{.vector = {13}, .ist = 2}}; }),
              "surroundings: gate #GP: IST exists in long mode only");
    EXPECT_EQ(with(Mode::Long64, [](auto& s) { s.gates = {{.ist = 3}}; }),
              "surroundings: gate #DE: expected an IST of 0, 1 or 2");
    EXPECT_EQ(with(Mode::Long64, [](auto& s) { s.gates = {{}, {}}; }), "surroundings: gate #DE is there twice");
    EXPECT_EQ(with(Mode::Long64, [](auto& s) { s.gates.resize(9); }), "surroundings: more than 8 gates");
    EXPECT_EQ(with(Mode::Long64, [](auto& s) { s.inner_stack.literal = layout::params + 8; }),
              "surroundings: inner-stack: expected an address outside the stage, found one within");
    EXPECT_EQ(with(Mode::Long64, [](auto& s) { s.ist2.op = OpRef{1}; }),
              "the environment refers to an op that is not there");
    EXPECT_EQ(error_of({.mode = Mode::Real16, .cpl = 3}), "cpl: expected 0 in real16");
}

TEST(Assemble, EachModeHasItsSlotsSegmentsAndEnd) {
    for (const Mode mode : {Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16}) {
        Case subject_case{.mode = mode, .ops = {ops::Nop{}}};
        subject_case.environment.stack = {{OpRef{1}, 0}, {std::nullopt, 0x1122'3344'5566'7788}};
        subject_case.environment.gpr[3] = {std::nullopt, ~0ull};
        const auto image = image_of(subject_case);
        const unsigned slot = address_bytes(mode);
        EXPECT_EQ(image.initial_stack(), layout::stack_top - 2 * slot);
        EXPECT_EQ(image.params.entry_frame.cs, program_cs(mode, 0));
        EXPECT_EQ(image.params.entry_frame.ss, program_ss(mode, 0));
        EXPECT_EQ(image.params.gpr[3], mode == Mode::Long64 ? ~0ull : 0xFFFF'FFFFu);
        auto memory = image.stage->memory;
        guest::apply(image, memory);
        std::uint64_t first = 0;
        std::memcpy(&first, memory.data() + image.initial_stack(), slot);
        EXPECT_EQ(first, mode == Mode::Real16 ? 1u : image.op_address(1));
        EXPECT_EQ(memory[layout::stack_top - slot], 0x88);
        EXPECT_EQ(memory[layout::stack_top], 0);
        remove_patches(image, memory);
        EXPECT_EQ(std::memcmp(memory.data(), image.stage->memory.data(), layout::text), 0);
    }
}

RC_GTEST_PROP(Assemble, ArbitraryCasesOfEveryModeAssembleAndTheirPatchesComeOff, ()) {
    const auto subject_case = arbitrary::subject_case(arbitrary::mode());
    Image image;
    if (const auto assembled = assemble(subject_case, image); !assembled)
        RC_ASSERT(assembled.error().find("too far") != std::string::npos);
    auto memory = image.stage->memory;
    guest::apply(image, memory);
    remove_patches(image, memory);
    RC_ASSERT(std::memcmp(memory.data(), image.stage->memory.data(), layout::text) == 0);
}

}  // namespace
}  // namespace faultline::guest
