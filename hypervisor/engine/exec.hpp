// The instruction families: which mnemonics each one executes.
//
// To add an instruction: write its handler in the family's file and name it in the family's table.
#pragma once

#include <Zydis/Zydis.h>

#include <span>

#include "hypervisor/engine/instruction.hpp"

namespace faultline::engine {

/// Encodings that share a mnemonic with others but not a meaning; the decoder tells them apart by their operands.
/// They are numbered after Zydis' mnemonics.
namespace special {
enum Key : unsigned {
    mov_to_segment = ZYDIS_MNEMONIC_MAX_VALUE + 1,
    mov_from_segment,
    pop_segment,
    push_segment,
    mov_to_cr,
    mov_from_cr,
    mov_to_dr,
    mov_from_dr,
    movzx8,
    movzx16,
    movsx8,
    movsx16,
    movsx32,  // by width of the source
    far_return,
    far_jump,
    far_call,
    imul_wide,  // one operand: the product goes to rDX:rAX
    key_count
};
}  // namespace special

struct Entry {
    unsigned key;  ///< ZydisMnemonic or special::Key
    Row row;
};

std::span<const Entry> arithmetic_family();  ///< exec_arithmetic.cpp
std::span<const Entry> shift_family();       ///< exec_shift.cpp
std::span<const Entry> bit_family();         ///< exec_bits.cpp
std::span<const Entry> multiply_family();    ///< exec_multiply.cpp
std::span<const Entry> decimal_family();     ///< exec_decimal.cpp
std::span<const Entry> move_family();        ///< exec_move.cpp
std::span<const Entry> stack_family();       ///< exec_stack.cpp
std::span<const Entry> branch_family();      ///< exec_branch.cpp
std::span<const Entry> far_family();         ///< exec_far.cpp
std::span<const Entry> string_family();      ///< exec_string.cpp
std::span<const Entry> flag_family();        ///< exec_flags.cpp
std::span<const Entry> interrupt_family();   ///< exec_interrupt.cpp
std::span<const Entry> syscall_family();     ///< exec_syscall.cpp
std::span<const Entry> segment_family();     ///< exec_segment.cpp
std::span<const Entry> system_family();      ///< exec_system.cpp
std::span<const Entry> svm_family();         ///< svm/instructions.cpp

}  // namespace faultline::engine
