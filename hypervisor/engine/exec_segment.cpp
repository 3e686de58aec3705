// Segment registers and descriptor tables: MOV/PUSH/POP sreg, LDS LES LSS LFS LGS, LGDT LIDT LLDT LTR and their stores,
// SWAPGS, LAR LSL VERR VERW.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {
namespace {

/// MOV SS and POP SS hold back traps and interrupts for one instruction; a second one in a row does not extend that.
void open_shadow(Machine& m, std::uint8_t slot) {
    if (slot != ss || m.in_mov_ss_shadow || m.quirk(Quirk::mov_ss_opens_no_shadow)) return;
    m.shadow = Shadow::MovSs;
    m.pend(Machine::shadowed);
}

struct MovToSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (i.dst == cs) return m.raise_ud();
        std::uint16_t selector;
        if (!read_source<std::uint16_t, form>(m, i, selector) ||
            !load_segment(m, static_cast<SegmentSlot>(i.dst), selector))
            return false;
        open_shadow(m, i.dst);
        return true;
    }
};

/// A register destination takes the zero-extended selector, memory always 16 bits. AMD APM vol 3, "MOV".
struct MovFromSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const std::uint16_t selector = m.cpu.segment[i.src].selector;
        if constexpr (form == Form::MR) return m.store(linear_address(m, i), selector, via(i));
        set_reg<T>(m, i.dst, static_cast<T>(selector));
        return true;
    }
};

/// Stack slots are as wide as the operand.
struct PushSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return push<T>(m, static_cast<T>(m.cpu.segment[i.dst].selector));
    }
};

struct PopSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const std::uint64_t old_rsp = m.cpu.r[rsp];
        T value;
        if (!pop(m, value)) return false;
        if (!load_segment(m, static_cast<SegmentSlot>(i.dst), static_cast<std::uint16_t>(value))) {
            m.cpu.r[rsp] = old_rsp;
            return false;
        }
        open_shadow(m, i.dst);
        return true;
    }
};

/// LSS opens no shadow.
template <SegmentSlot slot>
struct LoadFar {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        const std::uint64_t linear = linear_address(m, i);
        T offset;
        std::uint16_t selector;
        if (!m.load(linear, offset, via(i)) || !m.load(linear + sizeof(T), selector, via(i)) ||
            !load_segment(m, slot, selector))
            return false;
        set_reg<T>(m, i.dst, offset);
        return true;
    }
};

/// Intercepts of the descriptor tables are checked "after #UD and #GP exception checks, but before any memory access";
/// what a selector is worth is found out later. AMD APM vol 2, "Instruction Intercepts".
///
/// A limit of 16 bits and a base: 64 bits in 64-bit mode, else 32, or 24 with an operand of 16. AMD APM vol 3, "LGDT",
/// "LIDT".
template <unsigned operand_bits>
bool load_table(Machine& m, const Instruction& i, Intercept intercept, std::uint64_t& base, std::uint16_t& limit) {
    if (m.cpu.cpl != 0) return m.raise_gp();
    if (m.exits_on(intercept)) return false;
    const std::uint64_t at = linear_address(m, i);
    std::uint16_t new_limit;
    std::uint64_t new_base;
    std::uint32_t short_base = 0;
    if (!m.load(at, new_limit, via(i)) ||
        !(m.long64() ? m.load(at + 2, new_base, via(i)) : m.load(at + 2, short_base, via(i))))
        return false;
    if (!m.long64()) new_base = operand_bits == 16 ? short_base & 0xFF'FFFF : short_base;
    if (!canonical(new_base)) return m.raise_gp();
    base = new_base;
    limit = new_limit;
    return true;
}

template <unsigned operand_bits>
bool lgdt(Machine& m, const Instruction& i) {
    return load_table<operand_bits>(m, i, Intercept::LoadGdtr, m.cpu.gdt_base, m.cpu.gdt_limit);
}
template <unsigned operand_bits>
bool lidt(Machine& m, const Instruction& i) {
    return load_table<operand_bits>(m, i, Intercept::LoadIdtr, m.cpu.idt_base, m.cpu.idt_limit);
}

bool store_table(Machine& m, const Instruction& i, Intercept intercept, std::uint64_t base, std::uint16_t limit) {
    if (m.exits_on(intercept)) return false;
    const std::uint64_t at = linear_address(m, i);
    const std::size_t base_size = m.long64() ? sizeof base : 4;
    if (!m.may_write(at + 2, base_size, via(i)) || !m.store(at, limit, via(i))) return false;
    return m.long64() ? m.store(at + 2, base, via(i)) : m.store(at + 2, static_cast<std::uint32_t>(base), via(i));
}

bool sgdt(Machine& m, const Instruction& i) {
    return store_table(m, i, Intercept::StoreGdtr, m.cpu.gdt_base, m.cpu.gdt_limit);
}
bool sidt(Machine& m, const Instruction& i) {
    return store_table(m, i, Intercept::StoreIdtr, m.cpu.idt_base, m.cpu.idt_limit);
}

/// System descriptors have 16 bytes in long mode, where a 16-bit TSS is none. AMD APM vol 2, "System Descriptors".
bool load_system_segment(Machine& m, std::uint16_t selector, bool is_tss, guest::Segment& out) {
    const std::uint32_t error = selector_error(selector);
    const std::size_t size = m.long_mode() ? 16 : 8;
    if (selector & 4 || (selector & 0xFFF8u) + size - 1 > m.cpu.gdt_limit) return m.raise(vector::gp, error);
    const std::uint64_t address = table_address(m, m.cpu.gdt_base + (selector & 0xFFF8u));
    std::uint64_t halves[2] = {};
    if (!m.system_read(address, halves, size, {vector::gp, error, 0})) return false;
    Descriptor d{halves[0]};
    const std::uint64_t base = d.base() | halves[1] << 32;
    const unsigned type = d.system_type();
    const bool fits =
        is_tss ? type == system_type::tss || (type == system_type::tss16 && !m.long_mode()) : type == system_type::ldt;
    if (!d.is_system() || !fits || halves[1] >> 40 & 0x1F || !canonical(base)) return m.raise(vector::gp, error);
    if (!d.present()) return m.raise(vector::np, error);
    if (is_tss) {
        d.raw |= std::uint64_t{system_type::busy} << 40;
        if (!m.system_write(address, &d.raw, sizeof d.raw, {vector::gp, error, 0})) return false;
    }
    out = d.segment(selector);
    out.base = base;
    return true;
}

struct Lldt {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (m.cpu.cpl != 0) return m.raise_gp();
        if (m.exits_on(Intercept::LoadLdtr)) return false;
        std::uint16_t selector;
        if (!read_destination<std::uint16_t, form>(m, i, selector)) return false;
        if (!is_null(selector)) return load_system_segment(m, selector, false, m.cpu.ldtr);
        m.cpu.ldtr = null_segment(selector);
        return true;
    }
};

struct Ltr {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (m.cpu.cpl != 0) return m.raise_gp();
        if (m.exits_on(Intercept::LoadTr)) return false;
        std::uint16_t selector;
        if (!read_destination<std::uint16_t, form>(m, i, selector)) return false;
        if (is_null(selector)) return m.raise_gp();
        return load_system_segment(m, selector, true, m.cpu.tr);
    }
};

/// SLDT, STR: zero-extended into a register, 16 bits into memory.
template <guest::Segment Cpu::*which, Intercept intercept>
struct StoreSystemSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (m.exits_on(intercept)) return false;
        const std::uint16_t selector = (m.cpu.*which).selector;
        if constexpr (form == Form::M) return m.store(linear_address(m, i), selector, via(i));
        set_reg<T>(m, i.dst, static_cast<T>(selector));
        return true;
    }
};

bool swapgs(Machine& m, const Instruction&) {
    if (m.cpu.cpl != 0) return m.raise_gp();
    std::swap(m.cpu.segment[gs].base, m.cpu.kernel_gs_base);
    return true;
}

/// The descriptor of LAR, LSL, VERR, VERW, where `found` says whether the selector may be looked at.
bool inspect(Machine& m, std::uint16_t selector, Descriptor& d, bool& found) {
    found = false;
    if (is_null(selector)) return true;
    const Fault outside{vector::gp, 0xFFFF'FFFF, 0};  // no real error code: tells "beyond the table"
    if (!read_descriptor(m, selector, outside, d)) return m.fault.error == outside.error;
    const bool conforming = d.is_code() && d.has(attribute::conforming);
    found = conforming || (d.dpl() >= m.cpu.cpl && d.dpl() >= (selector & 3u));
    return true;
}

/// System descriptors that LSL and LAR accept. AMD APM vol 3, "LSL", "LAR".
bool has_limit(const Machine& m, unsigned type) {
    switch (type) {
        case system_type::ldt:
        case system_type::tss:
        case system_type::tss_busy: return true;
        case system_type::tss16:
        case system_type::tss16_busy: return !m.long_mode();
        default: return false;
    }
}
bool has_rights(const Machine& m, unsigned type) {
    const bool legacy_gate = type == system_type::call_gate16 || type == system_type::task_gate;
    return has_limit(m, type) || type == system_type::call_gate || (legacy_gate && !m.long_mode());
}

template <bool limit>
struct LoadAccess {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        std::uint16_t selector;
        Descriptor d;
        bool found;
        if (!read_source<std::uint16_t, form>(m, i, selector) || !inspect(m, selector, d, found)) return false;
        const bool system_ok = limit ? has_limit(m, d.system_type()) : has_rights(m, d.system_type());
        found = found && (!d.is_system() || system_ok);
        set_flags(m, rflags::zf, found ? rflags::zf : 0);
        if (found) set_reg<T>(m, i.dst, static_cast<T>(limit ? d.limit() : d.raw >> 32 & 0x00FF'FF00));
        return true;
    }
};

template <bool write>
struct Verify {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        std::uint16_t selector;
        Descriptor d;
        bool found;
        if (!read_destination<std::uint16_t, form>(m, i, selector) || !inspect(m, selector, d, found)) return false;
        const bool allowed = write ? d.is_data() && d.has(attribute::writable)
                                   : d.is_data() || (d.is_code() && d.has(attribute::readable));
        set_flags(m, rflags::zf, found && allowed ? rflags::zf : 0);
        return true;
    }
};

template <class F>
constexpr Row operand_row() {
    return row_of<F, Form::R, Form::M>();
}

constexpr Row table_row(Handler bits16, Handler wider) {
    Row row;
    row.handler[static_cast<std::size_t>(Form::M)] = {nullptr, bits16, wider, wider};
    return row;
}

}  // namespace

std::span<const Entry> segment_family() {
    static constexpr Entry entries[] = {
        {special::mov_to_segment, row_of<MovToSegment, Form::RR, Form::RM>()},
        {special::mov_from_segment, row_of<MovFromSegment, Form::RR, Form::MR>()},
        {special::push_segment, row_of<PushSegment, Form::R>()},
        {special::pop_segment, row_of<PopSegment, Form::R>()},
        {ZYDIS_MNEMONIC_LDS, row_of<LoadFar<ds>, Form::RM>()},
        {ZYDIS_MNEMONIC_LES, row_of<LoadFar<es>, Form::RM>()},
        {ZYDIS_MNEMONIC_LSS, row_of<LoadFar<ss>, Form::RM>()},
        {ZYDIS_MNEMONIC_LFS, row_of<LoadFar<fs>, Form::RM>()},
        {ZYDIS_MNEMONIC_LGS, row_of<LoadFar<gs>, Form::RM>()},
        {ZYDIS_MNEMONIC_LGDT, table_row(lgdt<16>, lgdt<32>)},
        {ZYDIS_MNEMONIC_LIDT, table_row(lidt<16>, lidt<32>)},
        {ZYDIS_MNEMONIC_SGDT, any_form(sgdt)},
        {ZYDIS_MNEMONIC_SIDT, any_form(sidt)},
        {ZYDIS_MNEMONIC_LLDT, operand_row<Lldt>()},
        {ZYDIS_MNEMONIC_LTR, operand_row<Ltr>()},
        {ZYDIS_MNEMONIC_SLDT, operand_row<StoreSystemSegment<&Cpu::ldtr, Intercept::StoreLdtr>>()},
        {ZYDIS_MNEMONIC_STR, operand_row<StoreSystemSegment<&Cpu::tr, Intercept::StoreTr>>()},
        {ZYDIS_MNEMONIC_SWAPGS, any_form(swapgs)},
        {ZYDIS_MNEMONIC_LAR, row_of<LoadAccess<false>, Form::RR, Form::RM>()},
        {ZYDIS_MNEMONIC_LSL, row_of<LoadAccess<true>, Form::RR, Form::RM>()},
        {ZYDIS_MNEMONIC_VERR, operand_row<Verify<false>>()},
        {ZYDIS_MNEMONIC_VERW, operand_row<Verify<true>>()},
    };
    return entries;
}

}  // namespace faultline::engine
