#include "hypervisor/engine/decoder.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <tuple>

#include "hypervisor/engine/test_machine.hpp"
#include "hypervisor/engine/test_random.hpp"

namespace faultline::engine {
namespace {

using Bytes = std::vector<std::uint8_t>;

auto fields(const Instruction& i) {
    return std::tuple(i.run, i.imm, i.disp, i.length, i.dst, i.src, i.base, i.index, i.scale, i.segment, i.flags);
}

struct Decoded {
    DecodeStatus status;
    Instruction instruction;
};

Decoded decode(Decoder& decoder, const Bytes& bytes) {
    Decoded result;
    result.status = decoder.decode(bytes.data(), bytes.size(), result.instruction);
    return result;
}

CodeMode any_mode() { return static_cast<CodeMode>(*rc::gen::inRange<int>(0, code_modes)); }

RC_GTEST_PROP(Decoder, WhatItRemembersIsWhatAFreshOneSays, ()) {
    const CodeMode mode = any_mode();
    // Likely prefixes and opcodes first, so that most draws are instructions.
    const auto byte = rc::gen::arbitrary<std::uint8_t>();
    const auto head = pick<Bytes>({{}, {0x48}, {0x66}, {0x0F}, {0x41}, {0x48, 0x0F}, {0xF3}, {0x64}, {0x67}});
    Bytes first = head, second;
    while (first.size() < 15) first.push_back(*byte);
    Decoder used(mode);
    const Decoded before = decode(used, first);
    // The same head with other bytes behind it.
    second = first;
    for (std::size_t i = head.size() + *rc::gen::inRange<std::size_t>(1, 4); i < second.size(); ++i) second[i] = *byte;
    Decoder fresh(mode);
    const Decoded remembered = decode(used, second), anew = decode(fresh, second);
    RC_ASSERT(remembered.status == anew.status);
    if (anew.status == DecodeStatus::Ok) RC_ASSERT(fields(remembered.instruction) == fields(anew.instruction));
    RC_ASSERT(decode(used, first).status == before.status);
}

RC_GTEST_PROP(Decoder, AnInstructionCutShortNeedsMoreBytes, ()) {
    const CodeMode mode = any_mode();
    Bytes bytes = *rc::gen::container<Bytes>(15, rc::gen::arbitrary<std::uint8_t>());
    Decoder decoder(mode);
    const Decoded whole = decode(decoder, bytes);
    RC_PRE(whole.status == DecodeStatus::Ok && whole.instruction.length > 1);
    bytes.resize(*rc::gen::inRange<std::size_t>(1, whole.instruction.length));
    RC_ASSERT(decode(decoder, bytes).status == DecodeStatus::NeedMore);
    Decoder fresh(mode);
    RC_ASSERT(decode(fresh, bytes).status == DecodeStatus::NeedMore);
}

TEST(Decoder, FifteenPrefixesMakeAnInstructionTooLong) {
    Decoder decoder(CodeMode::Long64);
    EXPECT_EQ(decode(decoder, Bytes(15, 0x66)).status, DecodeStatus::TooLong);
}

TEST(Decoder, OpcodesWithoutMeaningAndMisplacedLockAreUndefined) {
    Decoder decoder(CodeMode::Long64);
    for (const Bytes& bytes : {Bytes{0x06}, Bytes{0xD6}, Bytes{0xF0, 0x90}, Bytes{0x0F, 0x22, 0xC8},
                               Bytes{0x44, 0x0F, 0x23, 0xC0}, Bytes{0xF0, 0x01, 0xC0}})
        EXPECT_EQ(decode(decoder, bytes).status, DecodeStatus::Undefined);
    EXPECT_EQ(decode(decoder, {0xF0, 0x01, 0x00}).status, DecodeStatus::Ok);
}

TEST(Decoder, DefaultSizesAndSegmentsFollowTheMode) {
    // add [bp+1], ax against add [ebp+1], eax: one byte string.
    const Bytes bytes{0x01, 0x46, 0x01};
    Decoder real(CodeMode::Real), prot(CodeMode::Protected32), wide(CodeMode::Long64);
    const Instruction in16 = decode(real, bytes).instruction, in32 = decode(prot, bytes).instruction,
                      in64 = decode(wide, bytes).instruction;
    EXPECT_EQ(in16.base, rbp);
    EXPECT_EQ(in16.segment, ss);
    EXPECT_EQ(in16.flags, Instruction::address16);
    EXPECT_EQ(in32.base, rsi);
    EXPECT_EQ(in32.segment, ds);
    EXPECT_EQ(in32.flags, Instruction::address32);
    EXPECT_EQ(in64.flags, 0);
    EXPECT_NE(in16.run, in32.run);
    EXPECT_EQ(in32.run, in64.run);
}

TEST(Decoder, OverridesOfTheOldSegmentsCountOutside64BitModeOnly) {
    Decoder prot(CodeMode::Protected32), wide(CodeMode::Long64);
    for (const auto& [prefix, segment] :
         {std::pair<std::uint8_t, SegmentSlot>{0x26, es}, {0x2E, cs}, {0x36, ss}, {0x3E, ds}, {0x64, fs}, {0x65, gs}}) {
        for (const std::uint8_t opcode :
             {std::uint8_t{0x8B}, std::uint8_t{0xA4}, std::uint8_t{0xD7}}) {  // mov, movsb, xlat
            const Bytes bytes{prefix, opcode, 0x00};
            EXPECT_EQ(decode(prot, bytes).instruction.segment, segment);
            const Instruction in64 = decode(wide, bytes).instruction;
            EXPECT_EQ(in64.segment, segment >= fs ? segment : ds);
            EXPECT_EQ(in64.flags & Instruction::based, segment >= fs ? Instruction::based : 0);
        }
    }
}

TEST(Decoder, FarPointersStandInImmediateAndDisplacement) {
    Decoder prot(CodeMode::Protected32), real(CodeMode::Real);
    const Instruction far32 = decode(prot, {0xEA, 0x78, 0x56, 0x34, 0x92, 0x08, 0x80}).instruction;
    EXPECT_EQ(far32.imm & 0xFFFF'FFFF, 0x9234'5678u);
    EXPECT_EQ(far32.disp, 0x8008u);
    const Instruction far16 = decode(real, {0x9A, 0x34, 0x92, 0x00, 0xF0}).instruction;
    EXPECT_EQ(far16.imm & 0xFFFF, 0x9234u);
    EXPECT_EQ(far16.disp, 0xF000u);
    EXPECT_EQ(far16.length, 5);
}

TEST(Decoder, MovDrIgnoresModSoMemoryFormsAreRegisters) {
    Decoder decoder(CodeMode::Long64);
    const Decoded dr7 = decode(decoder, {0x0F, 0x23, 0x38, 0x90});
    EXPECT_EQ(dr7.status, DecodeStatus::Ok);
    EXPECT_EQ(dr7.instruction.length, 3);
    EXPECT_EQ(dr7.instruction.dst, 7);
}

TEST(Decoder, HighByteRegistersAreTheSecondByteOfTheFirstFour) {
    Decoder decoder(CodeMode::Long64);
    EXPECT_EQ(decode(decoder, {0x88, 0xE0}).instruction.src, 1);             // AH
    EXPECT_EQ(decode(decoder, {0x40, 0x88, 0xE0}).instruction.src, 4 * 8);   // SPL
    EXPECT_EQ(decode(decoder, {0x44, 0x88, 0xF8}).instruction.src, 15 * 8);  // R15B
}

TEST(CodeCache, AProgramThatOverwritesItsNextInstructionExecutesTheNewOne) {
    TestMachine t;
    // mov byte [rip+1], 0x40 (INC becomes... the immediate of the next MOV); mov al, 0x11; int3
    t.code({0xC6, 0x05, 0x01, 0x00, 0x00, 0x00, 0x77, 0xB0, 0x11, 0xCC});
    for (int round = 0; round < 2; ++round) {
        t.m.cpu.rip = place::code + 7;  // decode the victim first
        t.m.cpu.r[rax] = 0;
        EXPECT_EQ(t.run_to_handler(), vector::bp);
        EXPECT_EQ(t.m.cpu.r[rax], round == 0 ? 0x11u : 0x77u);
        t.m.cpu.rip = place::code;
        EXPECT_EQ(t.run_to_handler(), vector::bp);
        EXPECT_EQ(t.m.cpu.r[rax], 0x77u);
    }
}

TEST(CodeCache, AnInstructionAcrossPagesSeesWritesToItsSecondHalf) {
    TestMachine t;
    t.code({0xB8}, place::code + 0xFFF);  // mov eax, imm32
    t.code({0x01, 0x02, 0x03, 0x04, 0xCC}, place::code + 0x1000);
    t.m.cpu.rip = place::code + 0xFFF;
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(t.m.cpu.r[rax], 0x0403'0201u);
    t.code({0x05}, place::code + 0x1000);
    t.m.cpu.rip = place::code + 0xFFF;
    EXPECT_EQ(t.run_to_handler(), vector::bp);
    EXPECT_EQ(t.m.cpu.r[rax], 0x0403'0205u);
}

TEST(CodeCache, AnInstructionThatEndsWithItsPageNeedsNoOther) {
    TestMachine t;
    t.code({0xB0, 0x05}, place::code + 0xFFE);
    t.write(place::pt + (place::code + 0x1000) / 0x1000 * 8, 0);
    t.m.cpu.rip = place::code + 0xFFE;
    EXPECT_EQ(t.run_to_handler(), vector::pf);
    EXPECT_EQ(t.m.cpu.r[rax], 5u);
    EXPECT_EQ(t.frame(true).rip, place::code + 0x1000);
    EXPECT_EQ(t.m.cpu.cr2, place::code + 0x1000);
}

TEST(Fetch, AFaultOnTheSecondPagePushesTheStartAndReportsThePage) {
    TestMachine t;
    t.code({0xB8, 0x01}, place::code + 0xFFE);
    t.write(place::pt + (place::code + 0x1000) / 0x1000 * 8, 0);
    t.m.cpu.rip = place::code + 0xFFE;
    EXPECT_EQ(t.run_to_handler(), vector::pf);
    EXPECT_EQ(t.frame(true).rip, place::code + 0xFFE);
    EXPECT_EQ(t.m.cpu.cr2, place::code + 0x1000);
    EXPECT_EQ(t.frame(true).error, pf::fetch);
}

TEST(Fetch, FifteenPrefixesAreGeneralProtectionWhateverFollows) {
    TestMachine t;
    std::vector<std::uint8_t> prefixes(15, 0x66);
    t.m.write_physical(place::code + 0x1000 - 15, prefixes.data(), prefixes.size());
    t.write(place::pt + (place::code + 0x1000) / 0x1000 * 8, 0);
    t.m.cpu.rip = place::code + 0x1000 - 15;
    EXPECT_EQ(t.run_to_handler(), vector::gp);
}

TEST(Fetch, AnInstructionThatIsDefinedButMissingEndsTheRun) {
    TestMachine t;
    t.code({0x0F, 0x58, 0xC1});  // ADDPS
    EXPECT_EQ(t.m.run(10), Exit::Unimplemented);
    EXPECT_EQ(t.m.cpu.rip, place::code);
}

}  // namespace
}  // namespace faultline::engine
