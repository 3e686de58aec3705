// From an op to the bytes of its one instruction in a mode, by the Zydis encoder.
#pragma once

#include <Zydis/Encoder.h>

#include <array>
#include <cstdint>
#include <initializer_list>

#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

/// The bytes of one instruction. A field that needs the address of an op is left zero, and `patch` says where it is:
/// the instruction's last bytes, or (Far) those before the last two. So an encoding depends on nothing but the mode and
/// the op's other fields.
struct Encoding {
    std::array<std::uint8_t, 15> bytes{};
    std::uint8_t length = 0;  ///< 0: the op's fields have no encoding
    enum class Patch : std::uint8_t {
        None,
        Absolute64,
        Absolute32,
        Relative32,
        Relative16,
        Relative8,
        Far32,  ///< offset of a far pointer, whose selector follows
        Far16,  ///< the same; the offset is counted from selector << 4
    } patch = Patch::None;
};

namespace encoding {

using Operand = ZydisEncoderOperand;

/// What a form needs beside mnemonic and operands.
struct Form {
    ZydisInstructionAttributes prefixes = 0;  ///< ZYDIS_ATTRIB_HAS_REP
    bool wide = false;                        ///< long64: REX.W where no operand says it
};

/// The mnemonic of a string or string I/O instruction for 1, 2, 4 or 8 bytes.
ZydisMnemonic by_width(Width width, ZydisMnemonic byte, ZydisMnemonic word, ZydisMnemonic dword,
                       ZydisMnemonic qword = ZYDIS_MNEMONIC_INVALID);

}  // namespace encoding

/// Encodes for one mode. Operands without a width have the mode's own: 8, 4 or 2 bytes.
class Encoder {
public:
    using Operand = encoding::Operand;
    explicit Encoder(Mode mode) : mode_(mode) {}

    Width slot() const { return {address_bytes(mode_)}; }
    Operand reg(Gpr gpr) const { return reg(gpr, slot()); }
    Operand reg(Gpr gpr, Width width) const;
    Operand reg(ZydisRegister special) const;  ///< control and segment registers
    /// All of a register that the mode has: MOV to and from control and debug registers ignores the operand size.
    Operand whole_reg(Gpr gpr) const { return reg(gpr, {static_cast<std::uint8_t>(mode_ == Mode::Long64 ? 8 : 4)}); }
    Operand mem(Mem at) const { return mem(at, slot()); }
    Operand mem(Mem at, Width width) const;
    Operand imm(std::uint64_t value) const;
    /// A signed number, cut to the mode's operand size.
    Operand signed_imm(std::int32_t value) const;

    Encoding instruction(ZydisMnemonic mnemonic, std::initializer_list<Operand> operands = {},
                         encoding::Form form = {}) const;
    /// The mnemonic whose operand is a slot of the stack: PUSHFQ, PUSHFD or PUSHF.
    Encoding by_slot(ZydisMnemonic qword, ZydisMnemonic dword, ZydisMnemonic word) const;

    /// MOV DRn, r or MOV r, DRn.
    Encoding mov_dr(DrNumber dr, Gpr gpr, bool to_dr) const;
    /// A near branch whose displacement is patched in: Relative32, or Relative16 in real16.
    Encoding branch(ZydisMnemonic mnemonic) const;
    /// JRCXZ, JECXZ or JCXZ: Relative8.
    Encoding branch_if_count_is_zero() const;
    /// JMP or CALL ptr16:32 or ptr16:16, the offset patched in.
    Encoding far_branch(ZydisMnemonic mnemonic, std::uint16_t selector) const;
    /// RETF with stack slots of the mode's size.
    Encoding far_return() const;
    /// MOV r64, imm64 or MOV r32, imm32 with the immediate left open.
    Encoding load_absolute(Gpr to) const;
    /// An instruction with a LOCK prefix that it may not have.
    static Encoding locked(Encoding encoding);

private:
    ZydisEncoderRequest request_for(ZydisMnemonic mnemonic) const;
    Encoding relative(ZydisMnemonic mnemonic, Encoding::Patch patch) const;
    Mode mode_;
};

}  // namespace faultline::guest
