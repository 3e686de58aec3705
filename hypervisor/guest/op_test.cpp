#include "hypervisor/guest/op.hpp"

#include <Zydis/Zydis.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "hypervisor/guest/arbitrary.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::guest {
namespace {

constexpr Mode all_modes[] = {Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16};

ZydisDecoder decoder_of(Mode mode) {
    ZydisDecoder decoder;
    switch (mode) {
        case Mode::Long64: ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64); break;
        case Mode::Compat32: ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32); break;
        case Mode::Prot32: ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32); break;
        case Mode::Real16: ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16); break;
    }
    return decoder;
}

/// The one instruction that the decoder reads in an encoding, as Intel syntax; says so when it isn't one.
std::string disassembled(const Encoding& encoding, Mode mode = Mode::Long64) {
    const auto decoder = decoder_of(mode);
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

using Examples = std::map<std::string, std::string>;

/// One line of README "Ops" each: text form, and the instruction it stands for at address 1000h, unpatched.
const Examples examples_long64 = {
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
    {"lss to=rsp at=[0x40000]", "lss esp, fword ptr [0x0000000000040000]"},
    {"enter size=0x10 level=1", "enter 0x10, 0x01"},
    {"leave", "leave"},
    {"far-ret", "ret far"},
    {"ud1 reg=r9 at=[rbx]", "ud1 r9d, dword ptr [rbx]"},
    {"mov-to-cr0 from=r9", "mov cr0, r9"},
    {"mov-from-cr0 to=rax", "mov rax, cr0"},
    {"mov-to-cr2 from=rax", "mov cr2, rax"},
    {"mov-from-cr2 to=rax", "mov rax, cr2"},
    {"mov-to-cr3 from=rax", "mov cr3, rax"},
    {"mov-from-cr3 to=rax", "mov rax, cr3"},
    {"mov-to-cr8 from=rax", "mov cr8, rax"},
    {"mov-from-cr8 to=r15", "mov r15, cr8"},
    {"lmsw from=rbx", "lmsw bx"},
    {"smsw to=rbx", "smsw rbx"},
    {"sgdt at=[rbx]", "sgdt tbyte ptr [rbx]"},
    {"sidt at=[rbx]", "sidt tbyte ptr [rbx]"},
    {"sldt to=rcx", "sldt rcx"},
    {"str to=rcx", "str rcx"},
    {"lgdt at=[rbx]", "lgdt tbyte ptr [rbx]"},
    {"lidt at=[rbx]", "lidt tbyte ptr [rbx]"},
    {"lldt from=rcx", "lldt cx"},
    {"ltr from=rcx", "ltr cx"},
    {"vmrun", "vmrun rax"},
    {"vmload", "vmload rax"},
    {"vmsave", "vmsave rax"},
    {"vmmcall", "vmmcall"},
    {"stgi", "stgi"},
    {"clgi", "clgi"},
    {"invlpga", "invlpga rax, ecx"},
    {"skinit", "skinit eax"},
    {"rsm", "rsm"},
    {"invd", "invd"},
    {"invlpg at=[rbx]", "invlpg byte ptr [rbx]"},
    {"rdtscp", "rdtscp"},
    {"rdpmc", "rdpmc"},
    {"monitor", "monitor"},
    {"mwait", "mwait"},
    {"xsetbv", "xsetbv"},
    {"rdpru", "rdpru"},
    {"invpcid type=rax at=[rbx]", "invpcid rax, xmmword ptr [rbx]"},
    {"tlbsync", "tlbsync"},
    {"mcommit", "mcommit"},
};

/// The same of ops that long64 lacks, and of those whose encoding another mode changes.
const Examples examples_compat32 = {
    {"into", "into"},
    {"bound reg=rcx at=[rbx+8] width=4", "bound ecx, qword ptr [ebx+0x08]"},
    {"bound reg=rcx at=[rbx+8] width=2", "bound cx, dword ptr [ebx+0x08]"},
    {"pop-ss", "pop ss"},
    {"far-jmp selector=0x38 to=op1", "jmp far 0x0038:0x00000000"},
    {"far-call selector=0x38 to=op1", "call far 0x0038:0x00000000"},
    {"far-ret", "ret far"},
    {"aam base=0xa", "aam 0x0A"},
    {"iret", "iretd"},
    {"pushf", "pushfd"},
    {"popf", "popfd"},
    {"set-reg reg=rdi value=0xffffffff", "mov edi, 0x1234567"},
    {"push reg=rsp", "push esp"},
    {"pop-mem at=[rsp+0x10]", "pop dword ptr [esp+0x10]"},
    {"push-imm value=-2", "push 0xFFFFFFFE"},
    {"load to=rax at=[0x10] width=1", "mov al, byte ptr [0x00000010]"},
    {"load to=rcx at=[-0x10] width=2", "mov cx, word ptr [0xFFFFFFF0]"},
    {"bts-mem at=[8] bit=3", "bts dword ptr [0x00000008], 0x03"},
    {"lea to=rax at=[rbp]", "lea eax, [ebp]"},
    {"jrcxz to=op1", "jecxz 0x00001002"},
    {"call to=op1", "call 0x00001005"},
    {"mov-to-dr dr=7 from=rax", "mov dr7, eax"},
    {"mov-from-cr4 to=rdi", "mov edi, cr4"},
    {"lss to=rsp at=[rbx]", "lss esp, fword ptr [ebx]"},
    {"mov-to-cr0 from=rax", "mov cr0, eax"},
    {"smsw to=rbx", "smsw ebx"},
    {"sidt at=[0x10]", "sidt fword ptr [0x00000010]"},
    {"invpcid type=rax at=[0x10]", "invpcid eax, xmmword ptr [0x00000010]"},
    {"vmrun", "vmrun eax"},
    {"invlpga", "invlpga eax, ecx"},
};
const Examples examples_real16 = {
    {"into", "into"},
    {"bound reg=rcx at=[rbx+8] width=4", "bound ecx, qword ptr [bx+0x08]"},
    {"bound reg=rcx at=[rbx+8] width=2", "bound cx, dword ptr [bx+0x08]"},
    {"pop-ss", "pop ss"},
    {"far-jmp selector=0x1fff to=op1", "jmp far 0x1FFF:0x0000"},
    {"far-call selector=0x2000 to=op1", "call far 0x2000:0x0000"},
    {"far-ret", "ret far"},
    {"aam base=0", "aam 0x00"},
    {"iret", "iret"},
    {"pushf", "pushf"},
    {"popf", "popf"},
    {"set-reg reg=rdi value=op1", "mov edi, 0x1234567"},
    {"push reg=rsp", "push sp"},
    {"pop-mem at=[rdi+0x10]", "pop word ptr [di+0x10]"},
    {"push-imm value=0x18000", "push 0x8000"},
    {"load to=rax at=[0x40010] width=4", "mov eax, dword ptr [0x0010]"},
    {"load to=rcx at=[0x4fff0] width=2", "mov cx, word ptr [0xFFF0]"},
    {"lea to=rax at=[rbp]", "lea ax, [bp]"},
    {"jrcxz to=op1", "jcxz 0x1002"},
    {"call to=op1", "call 0x1003"},
    {"jc to=op1", "jb 0x1004"},
    {"jmp-reg reg=rsi", "jmp si"},
    {"rep-stos width=4", "rep stosd"},
    {"mov-to-dr dr=7 from=rax", "mov dr7, eax"},
    {"mov-from-cr4 to=rdi", "mov edi, cr4"},
    {"lss to=rsp at=[rbx]", "lss sp, dword ptr [bx]"},
    {"div reg=rcx width=4", "div ecx"},
    {"mov-to-cr0 from=rax", "mov cr0, eax"},
    {"smsw to=rbx", "smsw bx"},
    {"lidt at=[rbx]", "lidt fword ptr [bx]"},
};

/// Every op over all its kinds, so that no property misses one by chance.
template <class Property>
void for_every_kind(Mode mode, Property property) {
    for (std::size_t kind = 0; kind < std::variant_size_v<Op>; ++kind)
        if (op_exists(kind, mode, World::Svm)) property(arbitrary::op_of_kind(kind, mode));
}

TEST(Op, DecodesAsTheInstructionItsTextNames) {
    std::set<std::size_t> seen;
    const auto expect = [&seen](Mode mode, const Examples& examples) {
        for (const auto& [text, instruction] : examples) {
            const auto op = parse_op(text);
            ASSERT_TRUE(op) << op.error();
            EXPECT_EQ(to_text(*op), text);
            EXPECT_TRUE(valid(*op, mode)) << text;
            EXPECT_EQ(disassembled(encode_op(*op, mode), mode), instruction) << text << " in " << to_text(mode);
            seen.insert(op->index());
        }
    };
    expect(Mode::Long64, examples_long64);
    expect(Mode::Compat32, examples_compat32);
    expect(Mode::Prot32, examples_compat32);
    expect(Mode::Real16, examples_real16);
    const bool lock_mov = true;  // below: no decoder reads it
    EXPECT_EQ(seen.size() + lock_mov, std::variant_size_v<Op>) << "an op has no example";
}

TEST(Op, LockMovIsMovBehindALockPrefix) {
    const auto op = parse_op("lock-mov at=[rbx] from=rcx width=4").value();
    for (const Mode mode : all_modes) {
        auto encoding = encode_op(op, mode);
        ASSERT_NE(encoding.length, 0);
        EXPECT_EQ(encoding.bytes[0], 0xF0);
        std::copy(encoding.bytes.begin() + 1, encoding.bytes.end(), encoding.bytes.begin());
        --encoding.length;
        EXPECT_EQ(disassembled(encoding, mode).substr(0, 14), "mov dword ptr ") << to_text(mode);
    }
}

TEST(Op, WhatAModeLacksIsInvalidThere) {
    const auto modes = [](std::string_view text) {
        std::string result;
        for (const Mode mode : all_modes) {
            const auto op = parse_op(text).value();
            EXPECT_EQ(encode_op(op, mode).length != 0, valid(op, mode)) << text;
            result += valid(op, mode) ? '+' : '-';
        }
        return result;
    };
    EXPECT_EQ(modes("push reg=r8"), "+---");
    EXPECT_EQ(modes("load to=rax at=[0x40000] width=8"), "+---");
    EXPECT_EQ(modes("load to=rsi at=[0x40000] width=1"), "+---") << "SIL needs REX";
    EXPECT_EQ(modes("load to=rbx at=[0x40000] width=1"), "++++");
    EXPECT_EQ(modes("load to=rax at=[rax] width=4"), "+++-") << "16-bit addressing";
    EXPECT_EQ(modes("load to=rax at=[rsi] width=4"), "++++");
    EXPECT_EQ(modes("mov-to-dr dr=8 from=rax"), "+---");
    EXPECT_EQ(modes("syscall"), "+---");
    EXPECT_EQ(modes("sysret"), "+---");
    for (const auto text : {"into", "pop-ss", "bound reg=rax at=[0x40000] width=4", "far-jmp selector=0x8 to=op0",
                            "far-call selector=0x8 to=op0", "aam base=0xa"})
        EXPECT_EQ(modes(text), "-+++") << text;
}

TEST(Op, WhatOnlyAHypervisorGivesAMeaningIsForWorldSvm) {
    for (const auto text : {"vmmcall", "invlpg at=[rbx]", "mov-to-cr8 from=rax", "sidt at=[rbx]"}) {
        const auto op = parse_op(text).value();
        EXPECT_TRUE(belongs_to(op, World::Svm)) << text;
        EXPECT_FALSE(belongs_to(op, World::Bare)) << text;
        EXPECT_TRUE(op_exists(op.index(), Mode::Long64, World::Svm)) << text;
        EXPECT_FALSE(op_exists(op.index(), Mode::Long64)) << text;
    }
    EXPECT_TRUE(belongs_to(parse_op("cpuid").value(), World::Bare));
    EXPECT_TRUE(belongs_to(parse_op("cpuid").value(), World::Svm));
}

TEST(Op, DebugRegistersThatDoNotExistAreEncodedByRexR) {
    // AMD APM vol 3, "MOV DRn": 0F 23 /r; DR15 is REX.R and reg = 7. The decoder refuses it, as processors do.
    const auto encoding = encode_op(ops::MovToDr{{15}, Gpr::R9}, Mode::Long64);
    EXPECT_EQ(std::vector(encoding.bytes.begin(), encoding.bytes.begin() + encoding.length),
              (std::vector<std::uint8_t>{0x45, 0x0F, 0x23, 0xF9}));
}

TEST(Op, SysretReturnsTo64BitCode) {
    const auto encoding = encode_op(ops::Sysret{}, Mode::Long64);
    EXPECT_EQ(std::vector(encoding.bytes.begin(), encoding.bytes.begin() + encoding.length),
              (std::vector<std::uint8_t>{0x48, 0x0F, 0x07}));
}

RC_GTEST_PROP(Op, EncodesToExactlyOneInstruction, ()) {
    for (const Mode mode : all_modes)
        for_every_kind(mode, [mode](const Op& op) {
            const auto* dr = std::get_if<ops::MovToDr>(&op);
            const auto* from_dr = std::get_if<ops::MovFromDr>(&op);
            if ((dr && dr->dr.number > 7) || (from_dr && from_dr->dr.number > 7)) return;
            if (std::holds_alternative<ops::LockMov>(op)) return;
            const auto text = disassembled(encode_op(op, mode), mode);
            RC_LOG() << to_text(op) << " in " << to_text(mode) << ": " << text << '\n';
            RC_ASSERT(text != "undecodable");
            RC_ASSERT(text != "more than one instruction");
        });
}

RC_GTEST_PROP(Op, MemoryOperandIsTheOneTheDecoderReads, (std::int32_t disp)) {
    const Mode mode = *arbitrary::any_size(rc::gen::element(Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16));
    const auto decoder = decoder_of(mode);
    Op op;
    do {
        Mem at{.disp = disp};
        if (*rc::gen::arbitrary<bool>()) arbitrary::fill(at.base.emplace());
        Gpr gpr;
        arbitrary::fill(gpr);
        Width width;
        arbitrary::fill(width);
        op = *rc::gen::element(Op(ops::Load{gpr, at, width}), Op(ops::Store{at, gpr, width}), Op(ops::Lea{gpr, at}));
    } while (!valid(op, mode));
    const auto encoding = encode_op(op, mode);
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    RC_ASSERT(
        ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, encoding.bytes.data(), encoding.length, &instruction, operands)));
    const auto& memory = operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? operands[0] : operands[1];
    const auto& other = &memory == &operands[0] ? operands[1] : operands[0];
    const auto number = [](ZydisRegister reg) {
        return static_cast<Gpr>(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg) - ZYDIS_REGISTER_RAX);
    };
    const auto expect = [&](const Mem& at, Gpr gpr, Width width) {
        if (at.base)
            RC_ASSERT(number(memory.mem.base) == *at.base);
        else
            RC_ASSERT(memory.mem.base == ZYDIS_REGISTER_NONE);
        RC_ASSERT(memory.mem.index == ZYDIS_REGISTER_NONE);
        // Without a base, MOV between RAX and an offset may be the shorter one with 67h: the address is the same.
        if (at.base) RC_ASSERT(instruction.address_width == 8 * address_bytes(mode));
        const auto mask = mode == Mode::Real16 ? 0xFFFF : 0xFFFF'FFFF;
        RC_ASSERT((memory.mem.disp.value & mask) == (at.disp & mask));
        RC_ASSERT(number(other.reg.value) == gpr);
        RC_ASSERT(other.size == 8 * width.bytes);
    };
    if (const auto* load = std::get_if<ops::Load>(&op)) expect(load->at, load->to, load->width);
    if (const auto* store = std::get_if<ops::Store>(&op)) expect(store->at, store->from, store->width);
    if (const auto* lea = std::get_if<ops::Lea>(&op)) expect(lea->at, lea->to, {address_bytes(mode)});
}

RC_GTEST_PROP(Op, TextFormReadsBackAsTheSameOp, ()) {
    for (const Mode mode : all_modes)
        for_every_kind(mode, [](const Op& op) {
            const auto again = parse_op(to_text(op));
            RC_ASSERT(again.has_value());
            RC_ASSERT(*again == op);
        });
}

RC_GTEST_PROP(Op, EncodingKeysOfDifferentEncodingsDiffer, ()) {
    const auto any_mode = [] {
        return *arbitrary::any_size(rc::gen::element(Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16));
    };
    const Mode mode_of_a = any_mode(), mode_of_b = any_mode();
    const Op a = arbitrary::op(mode_of_a);
    Op b = a;
    for_each_field(b, [](std::string_view, auto& field) {
        if (*rc::gen::arbitrary<bool>()) arbitrary::fill(field);
    });
    RC_PRE(valid(b, mode_of_b));
    if (encode_op(a, mode_of_a).bytes != encode_op(b, mode_of_b).bytes)
        RC_ASSERT(encoding_key(a, mode_of_a).bits != encoding_key(b, mode_of_b).bits);
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
        if (const auto op = parse_op(garbage))
            RC_ASSERT(
                std::any_of(std::begin(all_modes), std::end(all_modes), [&](Mode mode) { return valid(*op, mode); }));
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
