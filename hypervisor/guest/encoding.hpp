// From an op to the bytes of its one instruction, by the Zydis encoder (64-bit mode).
#pragma once

#include <Zydis/Encoder.h>

#include <array>
#include <cstdint>
#include <initializer_list>

#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

/// The bytes of one instruction. A field that needs the address of an op is left zero: it is always the
/// instruction's last, and `patch` says its form. So an encoding depends on nothing but the op's other fields.
struct Encoding {
    std::array<std::uint8_t, 15> bytes{};
    std::uint8_t length = 0;  ///< 0: the op's fields have no encoding
    enum class Patch : std::uint8_t { None, Absolute64, Relative32, Relative8 } patch = Patch::None;
};

namespace encoding {

using Operand = ZydisEncoderOperand;

Operand reg(Gpr gpr, Width width = {8});
Operand reg(ZydisRegister special);  ///< control and segment registers
Operand mem(Mem at, Width width);
Operand imm(std::uint64_t value);  ///< negative immediates sign-extended to 64 bits

/// What a form needs beside mnemonic and operands.
struct Form {
    ZydisInstructionAttributes prefixes = 0;  ///< ZYDIS_ATTRIB_HAS_REP
    bool wide = false;                        ///< REX.W where no operand says it
};
Encoding instruction(ZydisMnemonic mnemonic, std::initializer_list<Operand> operands = {}, Form form = {});

/// MOV DRn, r64 or MOV r64, DRn.
Encoding mov_dr(DrNumber dr, Gpr gpr, bool to_dr);

/// A branch whose displacement is patched in: Relative32 or Relative8.
Encoding branch(ZydisMnemonic mnemonic, Encoding::Patch patch);

/// MOV r64, imm64 with the immediate left open.
Encoding load_absolute(Gpr to);

/// The mnemonic of a string or string I/O instruction for 1, 2, 4 or 8 bytes.
ZydisMnemonic by_width(Width width, ZydisMnemonic byte, ZydisMnemonic word, ZydisMnemonic dword,
                       ZydisMnemonic qword = ZYDIS_MNEMONIC_INVALID);

}  // namespace encoding
}  // namespace faultline::guest
