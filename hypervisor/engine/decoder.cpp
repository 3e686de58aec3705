#include "hypervisor/engine/decoder.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {
namespace {

bool not_implemented(Machine& m, const Instruction&) { return m.unimplemented(); }
bool undefined(Machine& m, const Instruction&) { return m.raise_ud(); }

const std::array<const Row*, special::key_count>& rows_by_key() {
    static const auto table = [] {
        std::array<const Row*, special::key_count> rows{};
        for (auto family : {arithmetic_family(), shift_family(), bit_family(), multiply_family(), move_family(),
                            stack_family(), branch_family(), far_family(), string_family(), flag_family(), interrupt_family(),
                            syscall_family(), segment_family(), decimal_family(), system_family(),
                            svm_family()})
            for (const Entry& entry : family) rows[entry.key] = &entry.row;
        return rows;
    }();
    return table;
}

ZydisRegisterClass register_class(const ZydisDecodedOperand& operand) {
    return operand.type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(operand.reg.value)
                                                       : ZYDIS_REGCLASS_INVALID;
}

bool is_general(ZydisRegisterClass reg_class) {
    return reg_class >= ZYDIS_REGCLASS_GPR8 && reg_class <= ZYDIS_REGCLASS_GPR64;
}

/// Registers a handler gets by number, not by offset into Cpu::r.
bool is_numbered(ZydisRegisterClass reg_class) {
    return reg_class == ZYDIS_REGCLASS_SEGMENT || reg_class == ZYDIS_REGCLASS_CONTROL ||
           reg_class == ZYDIS_REGCLASS_DEBUG;
}

std::uint8_t register_operand(ZydisRegister reg) {
    const ZydisRegisterClass reg_class = ZydisRegisterGetClass(reg);
    if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
        return static_cast<std::uint8_t>((reg - ZYDIS_REGISTER_AH) * 8 + 1);
    // Zydis numbers byte registers AL..BL, AH..BH, SPL..DIL, R8B..R15B.
    if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
        return static_cast<std::uint8_t>((reg - ZYDIS_REGISTER_SPL + 4) * 8);
    const auto number = static_cast<std::uint8_t>(ZydisRegisterGetId(reg));
    return is_general(reg_class) ? static_cast<std::uint8_t>(number * 8) : number;
}

std::uint8_t address_slot(ZydisRegister reg) {
    if (reg == ZYDIS_REGISTER_NONE) return zero_slot;
    if (reg == ZYDIS_REGISTER_RIP || reg == ZYDIS_REGISTER_EIP) return next_rip_slot;
    return static_cast<std::uint8_t>(ZydisRegisterGetId(reg));
}

/// In 64-bit mode only FS and GS override; any other prefix leaves the default. AMD APM vol 1, "Segment-Override
/// Prefixes".
SegmentSlot segment_of(ZydisRegister reg, bool long64, SegmentSlot by_default) {
    switch (reg) {
        case ZYDIS_REGISTER_FS: return fs;
        case ZYDIS_REGISTER_GS: return gs;
        case ZYDIS_REGISTER_ES: return long64 ? by_default : es;
        case ZYDIS_REGISTER_CS: return long64 ? by_default : cs;
        case ZYDIS_REGISTER_SS: return long64 ? by_default : ss;
        case ZYDIS_REGISTER_DS: return long64 ? by_default : ds;
        default: return by_default;
    }
}

/// The same for what has no memory operand that could tell: strings and XLAT.
SegmentSlot segment_by_prefix(ZydisInstructionAttributes attributes, bool long64) {
    if (attributes & ZYDIS_ATTRIB_HAS_SEGMENT_FS) return fs;
    if (attributes & ZYDIS_ATTRIB_HAS_SEGMENT_GS) return gs;
    if (long64) return ds;
    if (attributes & ZYDIS_ATTRIB_HAS_SEGMENT_ES) return es;
    if (attributes & ZYDIS_ATTRIB_HAS_SEGMENT_CS) return cs;
    if (attributes & ZYDIS_ATTRIB_HAS_SEGMENT_SS) return ss;
    return ds;
}

void take_memory(const ZydisDecodedOperand& operand, bool long64, Instruction& out) {
    const auto& mem = operand.mem;
    out.base = address_slot(mem.base);
    out.index = address_slot(mem.index);
    out.scale = static_cast<std::uint8_t>(mem.scale > 1 ? __builtin_ctz(mem.scale) : 0);
    out.disp = static_cast<std::uint64_t>(mem.disp.value);
    out.segment = segment_of(mem.segment, long64, out.base == rsp || out.base == rbp ? ss : ds);
}

/// The key of an instruction's row: its mnemonic, or a special one where that does not tell.
unsigned key_of(const ZydisDecodedInstruction& zydis, const ZydisDecodedOperand* operands) {
    const unsigned count = zydis.operand_count_visible;
    const auto first = count > 0 ? register_class(operands[0]) : ZYDIS_REGCLASS_INVALID;
    const auto second = count > 1 ? register_class(operands[1]) : ZYDIS_REGCLASS_INVALID;
    const bool far = zydis.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR;
    switch (zydis.mnemonic) {
        case ZYDIS_MNEMONIC_MOV:
            if (first == ZYDIS_REGCLASS_SEGMENT) return special::mov_to_segment;
            if (second == ZYDIS_REGCLASS_SEGMENT) return special::mov_from_segment;
            if (first == ZYDIS_REGCLASS_CONTROL) return special::mov_to_cr;
            if (second == ZYDIS_REGCLASS_CONTROL) return special::mov_from_cr;
            if (first == ZYDIS_REGCLASS_DEBUG) return special::mov_to_dr;
            if (second == ZYDIS_REGCLASS_DEBUG) return special::mov_from_dr;
            break;
        case ZYDIS_MNEMONIC_PUSH:
            if (first == ZYDIS_REGCLASS_SEGMENT) return special::push_segment;
            break;
        case ZYDIS_MNEMONIC_POP:
            if (first == ZYDIS_REGCLASS_SEGMENT) return special::pop_segment;
            break;
        case ZYDIS_MNEMONIC_MOVZX: return operands[1].size == 8 ? special::movzx8 : special::movzx16;
        case ZYDIS_MNEMONIC_MOVSX: return operands[1].size == 8 ? special::movsx8 : special::movsx16;
        case ZYDIS_MNEMONIC_MOVSXD: return operands[1].size == 16 ? special::movsx16 : special::movsx32;
        case ZYDIS_MNEMONIC_IMUL:
            if (count == 1) return special::imul_wide;
            break;
        case ZYDIS_MNEMONIC_RET:
            if (far) return special::far_return;
            break;
        case ZYDIS_MNEMONIC_JMP:
            if (far) return special::far_jump;
            break;
        case ZYDIS_MNEMONIC_CALL:
            if (far) return special::far_call;
            break;
        case ZYDIS_MNEMONIC_MOVSD:
        case ZYDIS_MNEMONIC_CMPSD:  // also SSE2 mnemonics
            if (zydis.meta.category != ZYDIS_CATEGORY_STRINGOP) return ZYDIS_MNEMONIC_INVALID;
            break;
        default: break;
    }
    return zydis.mnemonic;
}

Form form_of(const ZydisDecodedOperand* operands, unsigned count) {
    unsigned shape = 0;
    for (unsigned i = 0; i < count && i < 3; ++i) {
        const auto type = operands[i].type;
        shape = shape * 4 + (type == ZYDIS_OPERAND_TYPE_REGISTER ? 1 : type == ZYDIS_OPERAND_TYPE_MEMORY ? 2 : 3);
    }
    switch (shape) {
        case 1: return Form::R;
        case 2: return Form::M;
        case 3: return Form::I;
        case 1 * 4 + 1: return Form::RR;
        case 1 * 4 + 2: return Form::RM;
        case 2 * 4 + 1: return Form::MR;
        case 1 * 4 + 3: return Form::RI;
        case 2 * 4 + 3: return Form::MI;
        case (1 * 4 + 1) * 4 + 3: return Form::RRI;
        case (1 * 4 + 2) * 4 + 3: return Form::RMI;
        case (2 * 4 + 1) * 4 + 3: return Form::MRI;
        case (1 * 4 + 1) * 4 + 1: return Form::RR;  // SHLD, SHRD by CL
        case (2 * 4 + 1) * 4 + 1: return Form::MR;
        default: return Form::None;
    }
}

unsigned width_of(const ZydisDecodedInstruction& zydis, const ZydisDecodedOperand* operands) {
    // Register and memory operands tell the width; port I/O is as wide as its accumulator.
    if (zydis.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR) return zydis.operand_width;  // m16:16 has 32 bits too
    const bool out = zydis.mnemonic == ZYDIS_MNEMONIC_OUT;
    const ZydisDecodedOperand* operand = zydis.operand_count_visible > 0 ? &operands[out] : nullptr;
    unsigned bits = zydis.operand_width;
    if (operand && operand->type == ZYDIS_OPERAND_TYPE_REGISTER && is_general(register_class(*operand)))
        bits = operand->size;
    if (operand && operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
        (operand->size == 8 || operand->size == 16 || operand->size == 32 || operand->size == 64))
        bits = operand->size;
    return bits;
}

/// The stack's width matters to Zydis only for operands that it makes up itself.
std::pair<ZydisMachineMode, ZydisStackWidth> zydis_mode(CodeMode mode) {
    switch (mode) {
        case CodeMode::Long64: return {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64};
        case CodeMode::Compat32: return {ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32};
        case CodeMode::Compat16: return {ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16};
        case CodeMode::Protected32: return {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32};
        case CodeMode::Protected16: return {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16};
        case CodeMode::Real: break;
    }
    return {ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16};
}

/// "This instruction is only recognized in protected mode": #UD in real mode. AMD APM vol 3, the exceptions of each.
bool needs_protection(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_ARPL:
        case ZYDIS_MNEMONIC_LAR:
        case ZYDIS_MNEMONIC_LSL:
        case ZYDIS_MNEMONIC_VERR:
        case ZYDIS_MNEMONIC_VERW:
        case ZYDIS_MNEMONIC_LLDT:
        case ZYDIS_MNEMONIC_SLDT:
        case ZYDIS_MNEMONIC_LTR:
        case ZYDIS_MNEMONIC_STR: return true;
        default: return false;
    }
}

}  // namespace

Decoder::Decoder(CodeMode mode) : mode_(mode), nodes_(1) {
    const auto [machine, stack] = zydis_mode(mode);
    ZydisDecoderInit(&zydis_, machine, stack);
    ZydisDecoderEnableMode(&zydis_, ZYDIS_DECODER_MODE_AMD_BRANCHES, ZYAN_TRUE);
    // Extensions that CPUID does not announce: their encodings are NOPs, or BSF, or undefined.
    for (auto extension :
         {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_TZCNT, ZYDIS_DECODER_MODE_CLDEMOTE})
        ZydisDecoderEnableMode(&zydis_, extension, ZYAN_FALSE);
}

std::uint64_t Decoder::read_field(const std::uint8_t* bytes, Field field) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes + field.offset, field.bytes);
    const unsigned unused = 64 - 8u * field.bytes;
    if (!field.is_signed || unused == 0) return value;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
}

void Decoder::instantiate(const Template& form, const std::uint8_t* bytes, Instruction& out) {
    out = form.instruction;
    if (form.disp.bytes) out.disp = read_field(bytes, form.disp);
    if (form.imm.bytes) out.imm = read_field(bytes, form.imm);
    if (form.level.bytes) out.disp = read_field(bytes, form.level);
}

DecodeStatus Decoder::decode(const std::uint8_t* bytes, std::size_t available, Instruction& out) {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < available; ++i) {
        const std::uint32_t child = nodes_[node].child[bytes[i]];
        if (child & leaf) {
            const Template& form = templates_[child & ~leaf];
            if (form.instruction.length > available) return DecodeStatus::NeedMore;
            instantiate(form, bytes, out);
            return DecodeStatus::Ok;
        }
        if (!child) break;
        node = child;
    }
    ZydisDecodedInstruction zydis;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    switch (ZydisDecoderDecodeFull(&zydis_, bytes, available, &zydis, operands)) {
        case ZYAN_STATUS_SUCCESS: break;
        case ZYDIS_STATUS_NO_MORE_DATA: return available < 15 ? DecodeStatus::NeedMore : DecodeStatus::TooLong;
        case ZYDIS_STATUS_INSTRUCTION_TOO_LONG: return DecodeStatus::TooLong;
        default: return DecodeStatus::Undefined;
    }
    const Template form = translate(zydis, operands);
    instantiate(form, bytes, out);
    std::size_t head = zydis.length;
    if (form.imm.bytes) head = std::min<std::size_t>(head, form.imm.offset);
    if (form.disp.bytes) head = std::min<std::size_t>(head, form.disp.offset);
    // VEX and EVEX instructions may keep a register in the immediate, 3DNow! its opcode; none is executed here.
    if (zydis.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) remember(bytes, head, form);
    return DecodeStatus::Ok;
}

void Decoder::remember(const std::uint8_t* bytes, std::size_t head, const Template& form) {
    if (nodes_.size() + head > max_nodes || templates_.size() == max_templates) {
        nodes_.assign(1, Node{});
        templates_.clear();
    }
    std::uint32_t node = 0;
    for (std::size_t i = 0; i + 1 < head; ++i) {
        if (!nodes_[node].child[bytes[i]]) {
            nodes_[node].child[bytes[i]] = static_cast<std::uint32_t>(nodes_.size());
            nodes_.emplace_back();
        }
        node = nodes_[node].child[bytes[i]];
    }
    nodes_[node].child[bytes[head - 1]] = leaf | static_cast<std::uint32_t>(templates_.size());
    templates_.push_back(form);
}

Decoder::Template Decoder::translate(const ZydisDecodedInstruction& zydis, const ZydisDecodedOperand* operands) const {
    const bool long64 = mode_ == CodeMode::Long64;
    Template form;
    Instruction& out = form.instruction;
    out.length = zydis.length;
    out.base = out.index = zero_slot;
    out.segment = segment_by_prefix(zydis.attributes, long64);
    const unsigned visible = zydis.operand_count_visible;
    for (unsigned i = 0; i < visible; ++i) {
        const ZydisDecodedOperand& operand = operands[i];
        if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
            (is_general(register_class(operand)) || is_numbered(register_class(operand)))) {
            if (i < 2) (i == 0 ? out.dst : out.src) = register_operand(operand.reg.value);
        } else if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
            take_memory(operand, long64, out);
        } else if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && out.imm == 0) {
            out.imm = operand.imm.value.u;  // D1 /r has an immediate of 1 without a byte for it
        }
    }
    if (zydis.address_width == 32) out.flags |= Instruction::address32;
    if (zydis.address_width == 16) out.flags |= Instruction::address16;
    if (long64 && out.segment >= fs) out.flags |= Instruction::based;
    if (zydis.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)) out.flags |= Instruction::rep;
    if (zydis.attributes & ZYDIS_ATTRIB_HAS_REPNE) out.flags |= Instruction::repne;
    if (zydis.raw.rex.W) out.flags |= Instruction::wide;

    const auto field = [](std::uint8_t offset, std::uint8_t bits, bool is_signed) {
        return Field{offset, static_cast<std::uint8_t>(bits / 8), is_signed};
    };
    const auto& raw = zydis.raw;
    if (raw.disp.size) form.disp = field(raw.disp.offset, raw.disp.size, true);
    if (raw.imm[0].size) form.imm = field(raw.imm[0].offset, raw.imm[0].size, raw.imm[0].is_signed);
    if (raw.imm[1].size) form.level = field(raw.imm[1].offset, raw.imm[1].size, false);

    out.run = not_implemented;
    if (const Row* row = rows_by_key()[key_of(zydis, operands)]) {
        const unsigned bits = width_of(zydis, operands);
        const unsigned width = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
        if (const Handler handler = row->handler[static_cast<std::size_t>(form_of(operands, visible))][width])
            out.run = handler;
    }
    if (mode_ == CodeMode::Real && needs_protection(zydis.mnemonic)) out.run = undefined;
    return form;
}

}  // namespace faultline::engine
