// MOV MOVZX MOVSX MOVSXD MOVNTI MOVBE XCHG LEA XLAT, and what has no effect here: NOP, PREFETCH, fences, CLFLUSH.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

struct Mov {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        return read_source<T, form>(m, i, value) && write_destination<T, form>(m, i, value);
    }
};

/// Zero or sign extension, by the signedness of From.
template <class From>
struct Extend {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        std::make_unsigned_t<From> value;
        if (!read_source<std::make_unsigned_t<From>, form>(m, i, value)) return false;
        set_reg<T>(m, i.dst, static_cast<T>(static_cast<From>(value)));
        return true;
    }
};

struct Lea {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        set_reg<T>(m, i.dst, static_cast<T>(effective_address(m, i)));
        return true;
    }
};

struct Xchg {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if constexpr (form == Form::RM) {  // either order of operands names the same instruction
            const std::uint64_t linear = linear_address(m, i);
            const T source = reg<T>(m, i.dst);
            T old;
            if (!m.load_to_modify(linear, old, via(i)) || !m.store<T>(linear, source, via(i))) return false;
            set_reg<T>(m, i.dst, old);
            return true;
        } else {
            const T source = reg<T>(m, i.src);
            T old{};
            if (!modify_destination<T, form>(m, i, [&](T value) {
                    old = value;
                    return source;
                }))
                return false;
            set_reg<T>(m, i.src, old);
            return true;
        }
    }
};

template <class T>
T swapped(T value) {
    if constexpr (sizeof(T) == 8)
        return __builtin_bswap64(value);
    else if constexpr (sizeof(T) == 4)
        return __builtin_bswap32(value);
    else if constexpr (sizeof(T) == 2)
        return __builtin_bswap16(value);
    else
        return value;
}

struct Movbe {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        return read_source<T, form>(m, i, value) && write_destination<T, form>(m, i, swapped(value));
    }
};

bool xlat(Machine& m, const Instruction& i) {
    const std::uint64_t offset = at_address_size(i, m.cpu.r[rbx] + reg<std::uint8_t>(m, offset_of(rax)));
    std::uint8_t value;
    if (!m.load(with_base(m, i, offset), value, via(i))) return false;
    set_reg<std::uint8_t>(m, offset_of(rax), value);
    return true;
}

bool nothing(Machine&, const Instruction&) { return true; }

/// "Each PAUSE instruction decrements the counter, and the PAUSE intercept only occurs if the counter goes below zero".
/// AMD APM vol 2, "Instruction Intercepts".
bool pause(Machine& m, const Instruction&) {
    if (m.svm.pauses_left != 0) {
        --m.svm.pauses_left;
        return true;
    }
    return !m.exits_on(Intercept::Pause);
}

/// Checked like a read of one byte. AMD APM vol 3, "CLFLUSH".
bool clflush(Machine& m, const Instruction& i) {
    std::uint8_t ignored;
    return m.load(linear_address(m, i), ignored, via(i));
}

template <class From>
constexpr Row extend_row() {
    return row_of<Extend<From>, Form::RR, Form::RM>();
}

}  // namespace

std::span<const Entry> move_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_MOV, row_of<Mov, Form::RR, Form::RM, Form::MR, Form::RI, Form::MI>()},
        {ZYDIS_MNEMONIC_MOVNTI, row_of<Mov, Form::MR>()},
        {ZYDIS_MNEMONIC_MOVBE, row_of<Movbe, Form::RM, Form::MR>()},
        {special::movzx8, extend_row<std::uint8_t>()},
        {special::movzx16, extend_row<std::uint16_t>()},
        {special::movsx8, extend_row<std::int8_t>()},
        {special::movsx16, extend_row<std::int16_t>()},
        {special::movsx32, extend_row<std::int32_t>()},
        {ZYDIS_MNEMONIC_LEA, row_of<Lea, Form::RM>()},
        {ZYDIS_MNEMONIC_XCHG, row_of<Xchg, Form::RR, Form::RM, Form::MR>()},
        {ZYDIS_MNEMONIC_XLAT, any_form(xlat)},
        {ZYDIS_MNEMONIC_NOP, any_form(nothing)},
        {ZYDIS_MNEMONIC_PAUSE, any_form(pause)},
        {ZYDIS_MNEMONIC_PREFETCH, any_form(nothing)},
        {ZYDIS_MNEMONIC_PREFETCHW, any_form(nothing)},
        {ZYDIS_MNEMONIC_PREFETCHNTA, any_form(nothing)},
        {ZYDIS_MNEMONIC_PREFETCHT0, any_form(nothing)},
        {ZYDIS_MNEMONIC_PREFETCHT1, any_form(nothing)},
        {ZYDIS_MNEMONIC_PREFETCHT2, any_form(nothing)},
        {ZYDIS_MNEMONIC_LFENCE, any_form(nothing)},
        {ZYDIS_MNEMONIC_MFENCE, any_form(nothing)},
        {ZYDIS_MNEMONIC_SFENCE, any_form(nothing)},
        {ZYDIS_MNEMONIC_CLFLUSH, any_form(clflush)},
    };
    return entries;
}

}  // namespace faultline::engine
