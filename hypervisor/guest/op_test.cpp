#include "hypervisor/guest/op.hpp"

#include <Zydis/Zydis.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <string>

#include "hypervisor/guest/arbitrary.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::guest {
namespace {

/// The one instruction that the decoder reads in an encoding, as Intel syntax; says so when it isn't one.
std::string disassembled(const Encoding& encoding) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, encoding.bytes.data(), encoding.length, &instruction, operands)))
        return "undecodable";
    if (instruction.length != encoding.length) return "more than one instruction";
    ZydisFormatter formatter;
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SEGMENT, ZYAN_FALSE);
    char text[128];
    ZydisFormatterFormatInstruction(&formatter, &instruction, operands, instruction.operand_count_visible, text,
                                    sizeof text, 0x1000, nullptr);
    return text;
}

/// One line of README "Ops" each: text form, and the instruction it stands for at address 1000h, unpatched.
const std::map<std::string, std::string> examples = {
    {"nop", "nop"},
    {"set-reg reg=r9 value=op3+1", "mov r9, 0x123456789ABCDEF"},
    {"mov-to-dr dr=7 from=rax", "mov dr7, rax"},
    {"mov-from-dr dr=6 to=r12", "mov r12, dr6"},
    {"pushf", "pushfq"},
    {"popf", "popfq"},
    {"push reg=rax", "push rax"},
    {"pop reg=r8", "pop r8"},
    {"push-imm value=-0x302", "push 0xFFFFFFFFFFFFFCFE"},
    {"push-mem at=[rbx-8]", "push qword ptr [rbx-0x08]"},
    {"pop-mem at=[rsp+0x10]", "pop qword ptr [rsp+0x10]"},
    {"load to=rsi at=[0x40010] width=1", "mov sil, byte ptr [0x0000000000040010]"},
    {"store at=[rbp] from=rdx width=4", "mov dword ptr [rbp], edx"},
    {"add-mem at=[r13] from=rax width=8", "add qword ptr [r13], rax"},
    {"xchg-mem at=[r12+1] reg=rbx width=2", "xchg word ptr [r12+0x01], bx"},
    {"cmpxchg at=[0x40000] from=rcx width=4", "cmpxchg dword ptr [0x0000000000040000], ecx"},
    {"bts-mem at=[0x40000] bit=31", "bts dword ptr [0x0000000000040000], 0x1F"},
    {"lea to=rax at=[rbx+0x12345678]", "lea rax, [rbx+0x12345678]"},
    {"call to=op4", "call 0x0000000000001005"},
    {"ret", "ret"},
    {"jmp to=op4", "jmp 0x0000000000001005"},
    {"jrcxz to=op4", "jrcxz 0x0000000000001002"},
    {"jc to=op4", "jb 0x0000000000001006"},
    {"jmp-reg reg=r11", "jmp r11"},
    {"stc", "stc"},
    {"clc", "clc"},
    {"movs width=1", "movsb"},
    {"stos width=8", "stosq"},
    {"lods width=4", "lodsd"},
    {"rep-movs width=8", "rep movsq"},
    {"rep-stos width=4", "rep stosd"},
    {"rep-lods width=2", "rep lodsw"},
    {"in port=0x80 width=1", "in al, 0x80"},
    {"out port=0x80 width=4", "out 0x80, eax"},
    {"in-dx width=2", "in ax, dx"},
    {"out-dx width=4", "out dx, eax"},
    {"ins width=1", "insb"},
    {"outs width=4", "outsd"},
    {"rep-ins width=2", "rep insw"},
    {"rep-outs width=1", "rep outsb"},
    {"mov-ss from=r9", "mov ss, r9w"},
    {"mov-ss-mem at=[0x40000]", "mov ss, word ptr [0x0000000000040000]"},
    {"pop-fs", "pop fs"},
    {"sti", "sti"},
    {"cli", "cli"},
    {"cld", "cld"},
    {"std", "std"},
    {"int3", "int3"},
    {"int vector=0x20", "int 0x20"},
    {"icebp", "int1"},
    {"ud2", "ud2"},
    {"div reg=rcx width=8", "div rcx"},
    {"cpuid", "cpuid"},
    {"rdtsc", "rdtsc"},
    {"pause", "pause"},
    {"wbinvd", "wbinvd"},
    {"rdmsr", "rdmsr"},
    {"wrmsr", "wrmsr"},
    {"mov-to-cr4 from=rax", "mov cr4, rax"},
    {"mov-from-cr4 to=r15", "mov r15, cr4"},
    {"clts", "clts"},
    {"hlt", "hlt"},
    {"syscall", "syscall"},
    {"sysret", "sysret"},
    {"iret", "iretq"},
};

/// Every op over all its kinds, so that no property misses one by chance.
template <class Property>
void for_every_kind(Property property) {
    for (std::size_t kind = 0; kind < std::variant_size_v<Op>; ++kind) property(arbitrary::op_of_kind(kind));
}

TEST(Op, DecodesAsTheInstructionItsTextNames) {
    std::set<std::size_t> seen;
    for (const auto& [text, instruction] : examples) {
        const auto op = parse_op(text);
        ASSERT_TRUE(op) << op.error();
        EXPECT_EQ(to_text(*op), text);
        const auto encoding = encode_op(*op);
        EXPECT_EQ(disassembled(encoding), instruction) << text;
        seen.insert(op->index());
    }
    EXPECT_EQ(seen.size(), std::variant_size_v<Op>) << "an op has no example";
}

TEST(Op, DebugRegistersThatDoNotExistAreEncodedByRexR) {
    // AMD APM vol 3, "MOV DRn": 0F 23 /r; DR15 is REX.R and reg = 7. The decoder refuses it, as processors do.
    const auto encoding = encode_op(ops::MovToDr{{15}, Gpr::R9});
    EXPECT_EQ(std::vector(encoding.bytes.begin(), encoding.bytes.begin() + encoding.length),
              (std::vector<std::uint8_t>{0x45, 0x0F, 0x23, 0xF9}));
}

TEST(Op, SysretReturnsTo64BitCode) {
    const auto encoding = encode_op(ops::Sysret{});
    EXPECT_EQ(std::vector(encoding.bytes.begin(), encoding.bytes.begin() + encoding.length),
              (std::vector<std::uint8_t>{0x48, 0x0F, 0x07}));
}

RC_GTEST_PROP(Op, EncodesToExactlyOneInstruction, ()) {
    for_every_kind([](const Op& op) {
        const auto* dr = std::get_if<ops::MovToDr>(&op);
        const auto* from_dr = std::get_if<ops::MovFromDr>(&op);
        if ((dr && dr->dr.number > 7) || (from_dr && from_dr->dr.number > 7)) return;
        const auto text = disassembled(encode_op(op));
        RC_LOG() << to_text(op) << ": " << text << '\n';
        RC_ASSERT(text != "undecodable");
        RC_ASSERT(text != "more than one instruction");
    });
}

RC_GTEST_PROP(Op, MemoryOperandIsTheOneTheDecoderReads, (std::int32_t disp)) {
    ZydisDecoder decoder;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    Mem at{.disp = disp};
    if (*rc::gen::arbitrary<bool>()) arbitrary::fill(at.base.emplace());
    Gpr gpr;
    arbitrary::fill(gpr);
    Width width;
    arbitrary::fill(width);
    for (const Op& op : {Op(ops::Load{gpr, at, width}), Op(ops::Store{at, gpr, width}), Op(ops::Lea{gpr, at})}) {
        const auto encoding = encode_op(op);
        ZydisDecodedInstruction instruction;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        RC_ASSERT(ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder, encoding.bytes.data(), encoding.length, &instruction, operands)));
        const auto& memory = operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? operands[0] : operands[1];
        const auto& other = &memory == &operands[0] ? operands[1] : operands[0];
        RC_ASSERT(memory.mem.base == (at.base ? ZYDIS_REGISTER_RAX + static_cast<int>(*at.base) : ZYDIS_REGISTER_NONE));
        RC_ASSERT(memory.mem.index == ZYDIS_REGISTER_NONE);
        RC_ASSERT(memory.mem.disp.value == at.disp);
        RC_ASSERT(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, other.reg.value) ==
                  ZYDIS_REGISTER_RAX + static_cast<int>(gpr));
        if (!std::holds_alternative<ops::Lea>(op)) RC_ASSERT(other.size == 8 * width.bytes);
    }
}

RC_GTEST_PROP(Op, TextFormReadsBackAsTheSameOp, ()) {
    for_every_kind([](const Op& op) {
        const auto again = parse_op(to_text(op));
        RC_ASSERT(again.has_value());
        RC_ASSERT(*again == op);
    });
}

RC_GTEST_PROP(Op, EncodingKeysOfDifferentEncodingsDiffer, ()) {
    const Op a = arbitrary::op();
    Op b = a;
    for_each_field(b, [](std::string_view, auto& field) {
        if (*rc::gen::arbitrary<bool>()) arbitrary::fill(field);
    });
    RC_PRE(valid(b));
    if (encode_op(a).bytes != encode_op(b).bytes) RC_ASSERT(encoding_key(a).bits != encoding_key(b).bits);
}

TEST(Op, AMistakeInTheTextSaysWhatWasExpectedAndFound) {
    const auto error = [](std::string_view text) {
        const auto op = parse_op(text);
        return op ? "parsed: " + to_text(*op) : op.error();
    };
    EXPECT_EQ(error(""), "expected an op (`faultline list ops` names them), found nothing");
    EXPECT_EQ(error("mov rax"), "expected an op (`faultline list ops` names them), found `mov`");
    EXPECT_EQ(error("push"), "push: expected `reg=` and a register rax…r15, found nothing");
    EXPECT_EQ(error("push rax"), "push: expected `reg=` and a register rax…r15, found `rax`");
    EXPECT_EQ(error("push reg=eax"), "push: reg: expected a register rax…r15, found `eax`");
    EXPECT_EQ(error("push reg=rax now"), "push: expected nothing more, found `now`");
    EXPECT_EQ(error("mov-to-dr from=rax dr=7"),
              "mov-to-dr: expected `dr=` and a debug register 0…15, found `from=rax`");
    EXPECT_EQ(error("mov-to-dr dr=16 from=rax"), "mov-to-dr: dr: expected a debug register 0…15, found `16`");
    EXPECT_EQ(error("stos width=3"), "stos: width: expected a width 1, 2, 4 or 8, found `3`");
    EXPECT_EQ(error("ins width=8"), "ins: expected values that INS m, DX can have, found others");
    EXPECT_EQ(error("in port=0x100 width=1"), "in: expected values that IN AL/AX/EAX, imm8 can have, found others");
    EXPECT_EQ(error("out port=0xf3 width=2"), "out: expected values that OUT imm8, AL/AX/EAX can have, found others");
    EXPECT_EQ(error("lea to=rax at=[rbx+0x80000000]"),
              "lea: at: expected memory like [0x40010], [rbx] or [rbx+0x10], found `[rbx+0x80000000]`");
    EXPECT_EQ(error("jmp to=4"), "jmp: to: expected an op like op3, found `4`");
    EXPECT_EQ(error("set-reg reg=rax value=0x10000000000000000"),
              "set-reg: value: expected a 64-bit number, or an op's address like op3 or op3+1, found "
              "`0x10000000000000000`");
}

RC_GTEST_PROP(Op, NoTextAborts, (const std::string& text)) {
    const auto& catalogue = op_catalogue();
    const auto& info = catalogue[*rc::gen::inRange<std::size_t>(0, catalogue.size())];
    for (const auto& garbage :
         {text, std::string(info.mnemonic) + " " + text,
          std::string(info.mnemonic) + " " + std::string(info.fields.empty() ? "x" : info.fields[0]) + "=" + text})
        if (const auto op = parse_op(garbage)) RC_ASSERT(valid(*op));
}

TEST(Op, CatalogueNamesEveryOpOnceWithItsKeys) {
    std::set<std::string_view> mnemonics;
    for (const auto& info : op_catalogue()) {
        EXPECT_TRUE(mnemonics.insert(info.mnemonic).second) << info.mnemonic;
        EXPECT_FALSE(info.summary.empty());
    }
    const auto& store = op_catalogue()[Op(ops::Store{}).index()];
    EXPECT_EQ(store.mnemonic, "store");
    EXPECT_EQ(std::vector(store.fields.begin(), store.fields.end()),
              (std::vector<std::string_view>{"at", "from", "width"}));
}

}  // namespace
}  // namespace faultline::guest
