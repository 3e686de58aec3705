// What instruction handlers are made of: operands and arithmetic flags.
#pragma once

#include <concepts>
#include <cstring>
#include <type_traits>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

template <class T>
inline constexpr unsigned bits_of = 8 * sizeof(T);

/// Registers by byte offset into Cpu::r.
template <class T>
T reg(const Machine& m, std::uint8_t offset) {
    T value;
    std::memcpy(&value, reinterpret_cast<const char*>(m.cpu.r.data()) + offset, sizeof value);
    return value;
}

/// A 32-bit result clears the upper half. AMD APM vol 1, "Zero-Extension of Results".
template <class T>
void set_reg(Machine& m, std::uint8_t offset, std::type_identity_t<T> value) {
    using Stored = std::conditional_t<sizeof(T) == 4, std::uint64_t, T>;
    const Stored stored = value;
    std::memcpy(reinterpret_cast<char*>(m.cpu.r.data()) + offset, &stored, sizeof stored);
}

/// Byte offset of a register in encoding order.
constexpr std::uint8_t offset_of(RegisterSlot slot) { return static_cast<std::uint8_t>(slot * 8); }

/// Cut to the instruction's address size. AMD APM vol 1, "Address-Size Prefix".
inline std::uint64_t at_address_size(const Instruction& i, std::uint64_t address) {
    if (i.flags & Instruction::address32) return static_cast<std::uint32_t>(address);
    if (i.flags & Instruction::address16) return static_cast<std::uint16_t>(address);
    return address;
}

inline std::uint64_t effective_address(const Machine& m, const Instruction& i) {
    return at_address_size(i, m.cpu.r[i.base] + (m.cpu.r[i.index] << i.scale) + i.disp);
}

/// What Machine::load and its kind take for this effective address: linear in 64-bit mode, else the offset itself.
inline std::uint64_t with_base(const Machine& m, const Instruction& i, std::uint64_t address) {
    return i.flags & Instruction::based ? address + m.cpu.segment[i.segment].base : address;
}

inline std::uint64_t linear_address(const Machine& m, const Instruction& i) {
    return with_base(m, i, effective_address(m, i));
}

inline Via via(const Instruction& i) { return static_cast<Via>(i.segment); }

/// A register that counts or indexes, at the width of an address; written at 32 bits it loses its upper half.
inline std::uint64_t index_register(const Machine& m, const Instruction& i, RegisterSlot slot) {
    return at_address_size(i, m.cpu.r[slot]);
}

inline void set_index_register(Machine& m, const Instruction& i, RegisterSlot slot, std::uint64_t value) {
    const std::uint64_t kept = i.flags & Instruction::address16 ? m.cpu.r[slot] & ~0xFFFFull : 0;
    m.cpu.r[slot] = kept | at_address_size(i, value);
}

constexpr bool has_memory_destination(Form f) {
    return f == Form::M || f == Form::MR || f == Form::MI || f == Form::MRI;
}

/// The destination operand as a source.
template <class T, Form form>
bool read_destination(Machine& m, const Instruction& i, T& value) {
    if constexpr (has_memory_destination(form)) return m.load(linear_address(m, i), value, via(i));
    value = reg<T>(m, i.dst);
    return true;
}

/// The second operand.
template <class T, Form form>
bool read_source(Machine& m, const Instruction& i, T& value) {
    if constexpr (form == Form::RM || form == Form::RMI) return m.load(linear_address(m, i), value, via(i));
    if constexpr (form == Form::RI || form == Form::MI || form == Form::I)
        value = static_cast<T>(i.imm);
    else
        value = reg<T>(m, i.src);
    return true;
}

template <class T, Form form>
bool write_destination(Machine& m, const Instruction& i, std::type_identity_t<T> value) {
    if constexpr (has_memory_destination(form)) return m.store<T>(linear_address(m, i), value, via(i));
    set_reg<T>(m, i.dst, value);
    return true;
}

/// Read-modify-write of the destination: `change` gets its value and returns the new one. The address is computed
/// before anything changes.
template <class T, Form form, class Change>
bool modify_destination(Machine& m, const Instruction& i, Change&& change) {
    if constexpr (has_memory_destination(form)) {
        const std::uint64_t linear = linear_address(m, i);
        T value;
        return m.load_to_modify(linear, value, via(i)) && m.store<T>(linear, change(value), via(i));
    } else {
        set_reg<T>(m, i.dst, change(reg<T>(m, i.dst)));
        return true;
    }
}

/// SF, ZF and PF of a result.
template <class T>
std::uint64_t flags_of_result(T result) {
    return (result >> (bits_of<T> - 1) ? rflags::sf : 0) | (result == 0 ? rflags::zf : 0) |
           (__builtin_parity(static_cast<std::uint8_t>(result)) ? 0 : rflags::pf);
}

inline void set_flags(Machine& m, std::uint64_t mask, std::uint64_t flags) {
    m.cpu.rflags = (m.cpu.rflags & ~mask) | flags;
}

inline bool flag(const Machine& m, std::uint64_t mask) { return (m.cpu.rflags & mask) != 0; }

/// a + b + carry with all six flags. AMD APM vol 3, "ADC".
template <class T>
T add_with_flags(Machine& m, T a, T b, unsigned carry = 0) {
    const T result = static_cast<T>(a + b + carry);
    const T carries = static_cast<T>((a & b) | ((a | b) & ~result));
    const T overflow = static_cast<T>((a ^ result) & (b ^ result));
    set_flags(m, rflags::arithmetic,
              flags_of_result(result) | (carries >> (bits_of<T> - 1) ? rflags::cf : 0) |
                  (overflow >> (bits_of<T> - 1) ? rflags::of : 0) | ((a ^ b ^ result) & rflags::af));
    return result;
}

/// a − b − borrow with all six flags. AMD APM vol 3, "SBB".
template <class T>
T subtract_with_flags(Machine& m, T a, T b, unsigned borrow = 0) {
    const T result = static_cast<T>(a - b - borrow);
    const T borrows = static_cast<T>((~a & b) | ((~a | b) & result));
    const T overflow = static_cast<T>((a ^ b) & (a ^ result));
    set_flags(m, rflags::arithmetic,
              flags_of_result(result) | (borrows >> (bits_of<T> - 1) ? rflags::cf : 0) |
                  (overflow >> (bits_of<T> - 1) ? rflags::of : 0) | ((a ^ b ^ result) & rflags::af));
    return result;
}

/// Condition codes in encoding order (Jcc, SETcc, CMOVcc). AMD APM vol 3, "Rflags Condition Codes".
enum class Condition : std::uint8_t { O, NO, B, NB, Z, NZ, BE, NBE, S, NS, P, NP, L, NL, LE, NLE };

template <Condition condition>
bool holds(const Machine& m) {
    const std::uint64_t f = m.cpu.rflags;
    const bool less = ((f >> 7 ^ f >> 11) & 1) != 0;
    constexpr auto pair = static_cast<Condition>(static_cast<unsigned>(condition) & ~1u);
    bool value;
    if constexpr (pair == Condition::O)
        value = (f & rflags::of) != 0;
    else if constexpr (pair == Condition::B)
        value = (f & rflags::cf) != 0;
    else if constexpr (pair == Condition::Z)
        value = (f & rflags::zf) != 0;
    else if constexpr (pair == Condition::BE)
        value = (f & (rflags::cf | rflags::zf)) != 0;
    else if constexpr (pair == Condition::S)
        value = (f & rflags::sf) != 0;
    else if constexpr (pair == Condition::P)
        value = (f & rflags::pf) != 0;
    else if constexpr (pair == Condition::L)
        value = less;
    else
        value = less || (f & rflags::zf);
    return value != (static_cast<unsigned>(condition) & 1);
}

/// Pushes onto the stack: RSP moves only if the store succeeds.
template <class T>
bool push(Machine& m, std::type_identity_t<T> value) {
    const std::uint64_t top = m.in_stack(m.cpu.r[rsp] - sizeof(T));
    if (!m.store<T>(top, value, Via::Stack)) return false;
    m.set_stack_pointer(top);
    return true;
}

template <class T>
bool pop(Machine& m, T& value) {
    if (!m.load(m.stack_pointer(), value, Via::Stack)) return false;
    m.set_stack_pointer(m.cpu.r[rsp] + sizeof(T));
    return true;
}

}  // namespace faultline::engine
