// MOVS STOS LODS SCAS CMPS INS OUTS, alone and repeated.
//
// One iteration is one unit: it completes or faults as a whole, and between two of them every trap and interrupt is
// possible. While nothing asks for attention, iterations run in a loop of their own.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/ports.hpp"
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

/// An override prefix moves the source, never the destination. AMD APM vol 3, "MOVS".
template <class T>
bool load_source(Machine& m, const Instruction& i, T& value) {
    return m.load(with_base(m, i, index_register(m, i, rsi)), value, via(i));
}

template <class T>
bool load_destination(Machine& m, const Instruction& i, T& value) {
    return m.load(index_register(m, i, rdi), value, Via::Extra);
}

template <class T>
bool store_destination(Machine& m, const Instruction& i, T value) {
    return m.store(index_register(m, i, rdi), value, Via::Extra);
}

template <class T>
void advance(Machine& m, const Instruction& i, RegisterSlot slot) {
    const std::uint64_t by = flag(m, rflags::df) ? 0 - std::uint64_t{sizeof(T)} : sizeof(T);
    set_index_register(m, i, slot, index_register(m, i, slot) + by);
}

template <class T>
struct Movs {
    static bool element(Machine& m, const Instruction& i) {
        T value;
        if (!load_source(m, i, value) || !store_destination(m, i, value)) return false;
        advance<T>(m, i, rsi);
        advance<T>(m, i, rdi);
        return true;
    }
};

template <class T>
struct Stos {
    static bool element(Machine& m, const Instruction& i) {
        if (!store_destination(m, i, reg<T>(m, offset_of(rax)))) return false;
        advance<T>(m, i, rdi);
        return true;
    }
};

template <class T>
struct Lods {
    static bool element(Machine& m, const Instruction& i) {
        T value;
        if (!load_source(m, i, value)) return false;
        set_reg<T>(m, offset_of(rax), value);
        advance<T>(m, i, rsi);
        return true;
    }
};

template <class T>
struct Scas {
    static constexpr bool compares = true;
    static bool element(Machine& m, const Instruction& i) {
        T value;
        if (!load_destination(m, i, value)) return false;
        subtract_with_flags(m, reg<T>(m, offset_of(rax)), value);
        advance<T>(m, i, rdi);
        return true;
    }
};

template <class T>
struct Cmps {
    static constexpr bool compares = true;
    static bool element(Machine& m, const Instruction& i) {
        T source, destination;
        if (!load_source(m, i, source) || !load_destination(m, i, destination)) return false;
        subtract_with_flags(m, source, destination);
        advance<T>(m, i, rsi);
        advance<T>(m, i, rdi);
        return true;
    }
};

template <class T>
struct Ins {
    static bool element(Machine& m, const Instruction& i) {
        const auto port = static_cast<std::uint16_t>(m.cpu.r[rdx]);
        if (!may_use_port(m, port, sizeof(T)) || exits_on_port(m, i, port, sizeof(T), IoKind::Ins)) return false;
        // Before the device is asked.
        if (!m.may_write(index_register(m, i, rdi), sizeof(T), Via::Extra)) return false;
        if (!store_destination(m, i, static_cast<T>(port_in(m, port, sizeof(T))))) return false;
        advance<T>(m, i, rdi);
        return true;
    }
};

template <class T>
struct Outs {
    static bool element(Machine& m, const Instruction& i) {
        const auto port = static_cast<std::uint16_t>(m.cpu.r[rdx]);
        if (!may_use_port(m, port, sizeof(T)) || exits_on_port(m, i, port, sizeof(T), IoKind::Outs)) return false;
        T value;
        if (!load_source(m, i, value)) return false;
        port_out(m, port, sizeof(T), value);
        advance<T>(m, i, rsi);
        return true;
    }
};

template <class String>
bool once(Machine& m, const Instruction& i) {
    return String::element(m, i);
}

/// AMD APM vol 3, "Repeat Prefixes". RIP stays on the instruction while iterations remain.
template <class String>
bool repeated(Machine& m, const Instruction& i) {
    std::uint64_t count = index_register(m, i, rcx);
    while (count) {
        if (!String::element(m, i)) return false;
        set_index_register(m, i, rcx, --count);
        if constexpr (requires { String::compares; })
            if (flag(m, rflags::zf) != ((i.flags & Instruction::rep) != 0)) break;
        if (!count) break;
        if (m.attention || m.steps_left == 0) {
            m.cpu.next_rip() = m.cpu.rip;
            m.pend(Machine::unfinished_rep);
            break;
        }
        --m.steps_left;
    }
    return true;
}

template <class String>
bool string(Machine& m, const Instruction& i) {
    return i.flags & (Instruction::rep | Instruction::repne) ? repeated<String>(m, i) : once<String>(m, i);
}

}  // namespace

std::span<const Entry> string_family() {
    using u8 = std::uint8_t;
    using u16 = std::uint16_t;
    using u32 = std::uint32_t;
    using u64 = std::uint64_t;
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_MOVSB, any_form(string<Movs<u8>>)},  {ZYDIS_MNEMONIC_MOVSW, any_form(string<Movs<u16>>)},
        {ZYDIS_MNEMONIC_MOVSD, any_form(string<Movs<u32>>)}, {ZYDIS_MNEMONIC_MOVSQ, any_form(string<Movs<u64>>)},
        {ZYDIS_MNEMONIC_STOSB, any_form(string<Stos<u8>>)},  {ZYDIS_MNEMONIC_STOSW, any_form(string<Stos<u16>>)},
        {ZYDIS_MNEMONIC_STOSD, any_form(string<Stos<u32>>)}, {ZYDIS_MNEMONIC_STOSQ, any_form(string<Stos<u64>>)},
        {ZYDIS_MNEMONIC_LODSB, any_form(string<Lods<u8>>)},  {ZYDIS_MNEMONIC_LODSW, any_form(string<Lods<u16>>)},
        {ZYDIS_MNEMONIC_LODSD, any_form(string<Lods<u32>>)}, {ZYDIS_MNEMONIC_LODSQ, any_form(string<Lods<u64>>)},
        {ZYDIS_MNEMONIC_SCASB, any_form(string<Scas<u8>>)},  {ZYDIS_MNEMONIC_SCASW, any_form(string<Scas<u16>>)},
        {ZYDIS_MNEMONIC_SCASD, any_form(string<Scas<u32>>)}, {ZYDIS_MNEMONIC_SCASQ, any_form(string<Scas<u64>>)},
        {ZYDIS_MNEMONIC_CMPSB, any_form(string<Cmps<u8>>)},  {ZYDIS_MNEMONIC_CMPSW, any_form(string<Cmps<u16>>)},
        {ZYDIS_MNEMONIC_CMPSD, any_form(string<Cmps<u32>>)}, {ZYDIS_MNEMONIC_CMPSQ, any_form(string<Cmps<u64>>)},
        {ZYDIS_MNEMONIC_INSB, any_form(string<Ins<u8>>)},    {ZYDIS_MNEMONIC_INSW, any_form(string<Ins<u16>>)},
        {ZYDIS_MNEMONIC_INSD, any_form(string<Ins<u32>>)},   {ZYDIS_MNEMONIC_OUTSB, any_form(string<Outs<u8>>)},
        {ZYDIS_MNEMONIC_OUTSW, any_form(string<Outs<u16>>)}, {ZYDIS_MNEMONIC_OUTSD, any_form(string<Outs<u32>>)},
    };
    return entries;
}

}  // namespace faultline::engine
