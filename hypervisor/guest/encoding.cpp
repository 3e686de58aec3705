#include "hypervisor/guest/encoding.hpp"

#include <algorithm>

namespace faultline::guest::encoding {
namespace {

// Zydis knows AH…BH too, between BL and SPL.
ZydisRegister byte_register(unsigned number) {
    constexpr unsigned legacy_high = 4;
    return static_cast<ZydisRegister>(ZYDIS_REGISTER_AL + number + (number >= 4 ? legacy_high : 0));
}

ZydisRegister gpr_of(Gpr gpr, Width width) {
    const auto number = static_cast<unsigned>(gpr);
    switch (width.bytes) {
        case 1: return byte_register(number);
        case 2: return static_cast<ZydisRegister>(ZYDIS_REGISTER_AX + number);
        case 4: return static_cast<ZydisRegister>(ZYDIS_REGISTER_EAX + number);
        case 8: return static_cast<ZydisRegister>(ZYDIS_REGISTER_RAX + number);
        default: return ZYDIS_REGISTER_NONE;
    }
}

Encoding encode(const ZydisEncoderRequest& request) {
    Encoding result;
    ZyanUSize length = result.bytes.size();
    if (ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&request, result.bytes.data(), &length)))
        result.length = static_cast<std::uint8_t>(length);
    return result;
}

ZydisEncoderRequest request_for(ZydisMnemonic mnemonic) {
    ZydisEncoderRequest request{};
    request.machine_mode = ZYDIS_MACHINE_MODE_LONG_64;
    request.mnemonic = mnemonic;
    return request;
}

}  // namespace

Operand reg(ZydisRegister special) {
    Operand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_REGISTER;
    operand.reg.value = special;
    return operand;
}
Operand reg(Gpr gpr, Width width) { return reg(gpr_of(gpr, width)); }

Operand mem(Mem at, Width width) {
    Operand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_MEMORY;
    operand.mem.base = at.base ? gpr_of(*at.base, {8}) : ZYDIS_REGISTER_NONE;
    operand.mem.displacement = at.disp;
    operand.mem.size = width.bytes;
    return operand;
}

Operand imm(std::uint64_t value) {
    Operand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
    operand.imm.u = value;
    return operand;
}

Encoding instruction(ZydisMnemonic mnemonic, std::initializer_list<Operand> operands, Form form) {
    auto request = request_for(mnemonic);
    request.prefixes = form.prefixes;
    if (form.wide) request.operand_size_hint = ZYDIS_OPERAND_SIZE_HINT_64;
    request.operand_count = static_cast<ZyanU8>(operands.size());
    std::copy(operands.begin(), operands.end(), request.operands);
    return encode(request);
}

Encoding mov_dr(DrNumber dr, Gpr gpr, bool to_dr) {
    if (dr.number < 8) {
        const auto debug_register = reg(static_cast<ZydisRegister>(ZYDIS_REGISTER_DR0 + dr.number));
        return to_dr ? instruction(ZYDIS_MNEMONIC_MOV, {debug_register, reg(gpr)})
                     : instruction(ZYDIS_MNEMONIC_MOV, {reg(gpr), debug_register});
    }
    // Zydis 4.0 does not encode DR8–DR15, which no processor has: REX.R with 0F 23 /r (to) or 0F 21 /r (from).
    const unsigned number = static_cast<unsigned>(gpr), opcode = to_dr ? 0x23 : 0x21;
    const unsigned rex = 0x44 | number >> 3, modrm = 0xC0 | (dr.number & 7u) << 3 | (number & 7);
    Encoding result{.length = 4};
    result.bytes = {static_cast<std::uint8_t>(rex), 0x0F, static_cast<std::uint8_t>(opcode),
                    static_cast<std::uint8_t>(modrm)};
    return result;
}

Encoding branch(ZydisMnemonic mnemonic, Encoding::Patch patch) {
    auto request = request_for(mnemonic);
    const bool rel8 = patch == Encoding::Patch::Relative8;
    request.branch_type = rel8 ? ZYDIS_BRANCH_TYPE_SHORT : ZYDIS_BRANCH_TYPE_NEAR;
    request.branch_width = rel8 ? ZYDIS_BRANCH_WIDTH_8 : ZYDIS_BRANCH_WIDTH_32;
    request.operand_count = 1;
    request.operands[0] = imm(0);
    auto result = encode(request);
    result.patch = patch;
    return result;
}

Encoding load_absolute(Gpr to) {
    // Any value too wide for a shorter form. It is patched over.
    auto result = instruction(ZYDIS_MNEMONIC_MOV, {reg(to), imm(0x0123'4567'89AB'CDEF)});
    result.patch = Encoding::Patch::Absolute64;
    return result;
}

ZydisMnemonic by_width(Width width, ZydisMnemonic byte, ZydisMnemonic word, ZydisMnemonic dword, ZydisMnemonic qword) {
    switch (width.bytes) {
        case 1: return byte;
        case 2: return word;
        case 4: return dword;
        case 8: return qword;
        default: return ZYDIS_MNEMONIC_INVALID;
    }
}

}  // namespace faultline::guest::encoding
