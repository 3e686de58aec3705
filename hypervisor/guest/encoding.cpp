#include "hypervisor/guest/encoding.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

namespace faultline::guest {
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

ZydisMachineMode machine_mode(Mode mode) {
    switch (mode) {
        case Mode::Long64: return ZYDIS_MACHINE_MODE_LONG_64;
        case Mode::Compat32: return ZYDIS_MACHINE_MODE_LONG_COMPAT_32;
        case Mode::Prot32: return ZYDIS_MACHINE_MODE_LEGACY_32;
        case Mode::Real16: return ZYDIS_MACHINE_MODE_REAL_16;
    }
    return ZYDIS_MACHINE_MODE_LONG_64;
}

}  // namespace

ZydisMnemonic encoding::by_width(Width width, ZydisMnemonic byte, ZydisMnemonic word, ZydisMnemonic dword,
                                 ZydisMnemonic qword) {
    switch (width.bytes) {
        case 1: return byte;
        case 2: return word;
        case 4: return dword;
        case 8: return qword;
        default: return ZYDIS_MNEMONIC_INVALID;
    }
}

ZydisEncoderRequest Encoder::request_for(ZydisMnemonic mnemonic) const {
    ZydisEncoderRequest request{};
    request.machine_mode = machine_mode(mode_);
    request.mnemonic = mnemonic;
    return request;
}

Encoder::Operand Encoder::reg(ZydisRegister special) const {
    Operand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_REGISTER;
    operand.reg.value = special;
    return operand;
}
Encoder::Operand Encoder::reg(Gpr gpr, Width width) const { return reg(gpr_of(gpr, width)); }

Encoder::Operand Encoder::mem(Mem at, Width width) const {
    Operand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_MEMORY;
    operand.mem.base = at.base ? gpr_of(*at.base, slot()) : ZYDIS_REGISTER_NONE;
    operand.mem.displacement = mode_ == Mode::Real16 ? static_cast<std::int16_t>(at.disp) : at.disp;
    operand.mem.size = width.bytes;
    return operand;
}

Encoder::Operand Encoder::imm(std::uint64_t value) const {
    Operand operand{};
    operand.type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
    operand.imm.u = value;
    return operand;
}
Encoder::Operand Encoder::signed_imm(std::int32_t value) const {
    return imm(
        static_cast<std::uint64_t>(std::int64_t{mode_ == Mode::Real16 ? static_cast<std::int16_t>(value) : value}));
}

Encoding Encoder::instruction(ZydisMnemonic mnemonic, std::initializer_list<Operand> operands,
                              encoding::Form form) const {
    auto request = request_for(mnemonic);
    request.prefixes = form.prefixes;
    if (form.wide && mode_ == Mode::Long64) request.operand_size_hint = ZYDIS_OPERAND_SIZE_HINT_64;
    request.operand_count = static_cast<ZyanU8>(operands.size());
    std::copy(operands.begin(), operands.end(), request.operands);
    // In 32-bit modes Zydis 4.0 takes 16-bit addressing for a small displacement without a base, whatever the hint: the
    // displacement is laid over one that is not small.
    constexpr std::uint32_t wide = 0x1234'5678;
    std::int64_t* absolute = nullptr;
    if (mode_ == Mode::Compat32 || mode_ == Mode::Prot32)
        for (auto& operand : std::span(request.operands).first(request.operand_count))
            if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.mem.base == ZYDIS_REGISTER_NONE)
                absolute = &operand.mem.displacement;
    if (absolute == nullptr) return encode(request);
    const auto displacement = static_cast<std::uint32_t>(std::exchange(*absolute, wide));
    auto result = encode(request);
    const auto* placeholder = reinterpret_cast<const std::uint8_t*>(&wide);
    auto* place = std::search(result.bytes.begin(), result.bytes.end(), placeholder, placeholder + sizeof wide);
    if (place == result.bytes.end()) return {};
    std::memcpy(place, &displacement, sizeof displacement);
    return result;
}

Encoding Encoder::by_slot(ZydisMnemonic qword, ZydisMnemonic dword, ZydisMnemonic word) const {
    return instruction(encoding::by_width(slot(), ZYDIS_MNEMONIC_INVALID, word, dword, qword));
}

Encoding Encoder::mov_dr(DrNumber dr, Gpr gpr, bool to_dr) const {
    if (dr.number < 8) {
        const auto debug_register = reg(static_cast<ZydisRegister>(ZYDIS_REGISTER_DR0 + dr.number));
        return to_dr ? instruction(ZYDIS_MNEMONIC_MOV, {debug_register, whole_reg(gpr)})
                     : instruction(ZYDIS_MNEMONIC_MOV, {whole_reg(gpr), debug_register});
    }
    // Zydis 4.0 does not encode DR8–DR15, which no processor has: REX.R with 0F 23 /r (to) or 0F 21 /r (from).
    const unsigned number = static_cast<unsigned>(gpr), opcode = to_dr ? 0x23 : 0x21;
    const unsigned rex = 0x44 | number >> 3, modrm = 0xC0 | (dr.number & 7u) << 3 | (number & 7);
    Encoding result{.length = 4};
    result.bytes = {static_cast<std::uint8_t>(rex), 0x0F, static_cast<std::uint8_t>(opcode),
                    static_cast<std::uint8_t>(modrm)};
    return result;
}

Encoding Encoder::relative(ZydisMnemonic mnemonic, Encoding::Patch patch) const {
    auto request = request_for(mnemonic);
    const bool rel8 = patch == Encoding::Patch::Relative8;
    request.branch_type = rel8 ? ZYDIS_BRANCH_TYPE_SHORT : ZYDIS_BRANCH_TYPE_NEAR;
    request.branch_width = rel8                                   ? ZYDIS_BRANCH_WIDTH_8
                           : patch == Encoding::Patch::Relative16 ? ZYDIS_BRANCH_WIDTH_16
                                                                  : ZYDIS_BRANCH_WIDTH_32;
    request.operand_count = 1;
    request.operands[0] = imm(0);
    auto result = encode(request);
    result.patch = patch;
    return result;
}

Encoding Encoder::branch(ZydisMnemonic mnemonic) const {
    return relative(mnemonic, mode_ == Mode::Real16 ? Encoding::Patch::Relative16 : Encoding::Patch::Relative32);
}

Encoding Encoder::branch_if_count_is_zero() const {
    return relative(encoding::by_width(slot(), ZYDIS_MNEMONIC_INVALID, ZYDIS_MNEMONIC_JCXZ, ZYDIS_MNEMONIC_JECXZ,
                                       ZYDIS_MNEMONIC_JRCXZ),
                    Encoding::Patch::Relative8);
}

Encoding Encoder::far_branch(ZydisMnemonic mnemonic, std::uint16_t selector) const {
    const bool word = mode_ == Mode::Real16;
    auto request = request_for(mnemonic);
    request.branch_type = ZYDIS_BRANCH_TYPE_FAR;
    request.branch_width = word ? ZYDIS_BRANCH_WIDTH_16 : ZYDIS_BRANCH_WIDTH_32;
    request.operand_count = 1;
    request.operands[0].type = ZYDIS_OPERAND_TYPE_POINTER;
    request.operands[0].ptr.segment = selector;
    auto result = encode(request);
    result.patch = word ? Encoding::Patch::Far16 : Encoding::Patch::Far32;
    return result;
}

Encoding Encoder::far_return() const {
    // Zydis 4.0 encodes no REX.W here.
    if (mode_ == Mode::Long64) return {.bytes = {0x48, 0xCB}, .length = 2};
    return {.bytes = {0xCB}, .length = 1};
}

Encoding Encoder::load_absolute(Gpr to) const {
    // Any value too wide for a shorter form. It is patched over.
    const bool wide = mode_ == Mode::Long64;
    auto result = instruction(ZYDIS_MNEMONIC_MOV, {whole_reg(to), imm(wide ? 0x0123'4567'89AB'CDEF : 0x0123'4567)});
    result.patch = wide ? Encoding::Patch::Absolute64 : Encoding::Patch::Absolute32;
    return result;
}

Encoding Encoder::locked(Encoding encoding) {
    if (encoding.length == 0 || encoding.length == encoding.bytes.size()) return {};
    std::copy_backward(encoding.bytes.begin(), encoding.bytes.begin() + encoding.length,
                       encoding.bytes.begin() + encoding.length + 1);
    encoding.bytes[0] = 0xF0;
    ++encoding.length;
    return encoding;
}

}  // namespace faultline::guest
