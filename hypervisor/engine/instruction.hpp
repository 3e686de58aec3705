// A decoded instruction, and the tables by which mnemonics find the function that executes them.
#pragma once

#include <array>
#include <cstdint>

namespace faultline::engine {

struct Machine;
struct Instruction;

/// Executes one instruction (one iteration or more of a REP string instruction). False: it raised a fault, and has
/// changed nothing but what the architecture lets a faulting instruction change.
using Handler = bool (*)(Machine&, const Instruction&);

/// What a handler needs, 32 bytes. Registers are byte offsets into Cpu::r, so that AH is an offset like any other.
struct Instruction {
    Handler run = nullptr;
    std::uint64_t imm = 0;   ///< immediate as the instruction uses it; branch displacement, sign-extended; ptr16:n's n
    std::uint64_t disp = 0;  ///< displacement, sign-extended; ENTER's nesting level; ptr16:n's selector
    std::uint8_t length = 0;
    std::uint8_t dst = 0, src = 0;     ///< byte offset of a GPR; number of a segment, control or debug register
    std::uint8_t base = 0, index = 0;  ///< register slots
    std::uint8_t scale = 0;            ///< shift count
    std::uint8_t segment = 0;          ///< SegmentSlot of the memory operand, or of a string's source
    std::uint8_t flags = 0;

    static constexpr std::uint8_t address16 = 1, address32 = 2;
    static constexpr std::uint8_t rep = 4, repne = 8;
    static constexpr std::uint8_t wide = 16;  ///< REX.W
    /// 64-bit mode, FS or GS: the segment's base is part of the address. AMD APM vol 2, "FS and GS Registers in 64-Bit
    /// Mode".
    static constexpr std::uint8_t based = 32;
};
static_assert(sizeof(Instruction) == 32);

/// The shape of an instruction's explicit operands: R register, M memory, I immediate, destination first.
enum class Form : std::uint8_t { None, R, M, I, RR, RM, MR, RI, MI, RRI, RMI, MRI };
inline constexpr std::size_t form_count = 12;

/// Handlers of one mnemonic by form and by operand width (8, 16, 32, 64 bits). Null: no such encoding.
struct Row {
    std::array<std::array<Handler, 4>, form_count> handler{};
};

/// A row whose handler looks neither at the form nor at the width.
constexpr Row any_form(Handler handler) {
    Row row;
    for (auto& by_width : row.handler) by_width.fill(handler);
    return row;
}

/// A row of `F::template run<T, form>` for every unsigned type T and each of the forms named.
template <class F, Form... forms>
constexpr Row row_of() {
    Row row;
    ((row.handler[static_cast<std::size_t>(forms)] =
          std::array<Handler, 4>{&F::template run<std::uint8_t, forms>, &F::template run<std::uint16_t, forms>,
                                 &F::template run<std::uint32_t, forms>, &F::template run<std::uint64_t, forms>}),
     ...);
    return row;
}

}  // namespace faultline::engine
