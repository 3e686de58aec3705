// Segment registers and descriptor tables: MOV/PUSH/POP sreg, LSS LFS LGS, LGDT LIDT LLDT LTR and their stores,
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

/// Stack slots are as wide as the operand: 64 bits, or 16 with the prefix.
struct PushSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        return push<T>(m, static_cast<T>(m.cpu.segment[i.dst].selector));
    }
};

struct PopSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        T value;
        if (!m.load(m.cpu.r[rsp], value, Via::Stack) ||
            !load_segment(m, static_cast<SegmentSlot>(i.dst), static_cast<std::uint16_t>(value)))
            return false;
        m.cpu.r[rsp] += sizeof(T);
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

bool load_table(Machine& m, const Instruction& i, std::uint64_t& base, std::uint16_t& limit) {
    if (m.cpu.cpl != 0) return m.raise_gp();
    const std::uint64_t linear = linear_address(m, i);
    std::uint16_t new_limit;
    std::uint64_t new_base;
    if (!m.load(linear, new_limit, via(i)) || !m.load(linear + 2, new_base, via(i))) return false;
    if (!canonical(new_base)) return m.raise_gp();
    base = new_base;
    limit = new_limit;
    return true;
}

bool lgdt(Machine& m, const Instruction& i) { return load_table(m, i, m.cpu.gdt_base, m.cpu.gdt_limit); }
bool lidt(Machine& m, const Instruction& i) { return load_table(m, i, m.cpu.idt_base, m.cpu.idt_limit); }

bool store_table(Machine& m, const Instruction& i, std::uint64_t base, std::uint16_t limit) {
    const std::uint64_t linear = linear_address(m, i);
    return m.may_write(linear + 2, sizeof base, via(i)) && m.store(linear, limit, via(i)) &&
           m.store(linear + 2, base, via(i));
}

bool sgdt(Machine& m, const Instruction& i) { return store_table(m, i, m.cpu.gdt_base, m.cpu.gdt_limit); }
bool sidt(Machine& m, const Instruction& i) { return store_table(m, i, m.cpu.idt_base, m.cpu.idt_limit); }

/// System descriptors have 16 bytes in long mode. AMD APM vol 2, "System Descriptors".
constexpr unsigned ldt_type = 2, available_tss_type = 9, busy_bit = 2;

bool load_system_segment(Machine& m, std::uint16_t selector, unsigned type, guest::Segment& out) {
    const std::uint32_t error = selector_error(selector);
    if (selector & 4 || (selector & 0xFFF8u) + 15u > m.cpu.gdt_limit) return m.raise(vector::gp, error);
    const std::uint64_t address = m.cpu.gdt_base + (selector & 0xFFF8u);
    std::uint64_t halves[2];
    if (!m.system_read(address, halves, sizeof halves, {vector::gp, error, 0})) return false;
    Descriptor d{halves[0]};
    const std::uint64_t base = d.base() | halves[1] << 32;
    if ((d.attributes() & 0x1F) != type || halves[1] >> 40 & 0x1F || !canonical(base))
        return m.raise(vector::gp, error);
    if (!d.has(attribute::present)) return m.raise(vector::np, error);
    if (type == available_tss_type) {
        d.raw |= std::uint64_t{busy_bit} << 40;
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
        std::uint16_t selector;
        if (!read_destination<std::uint16_t, form>(m, i, selector)) return false;
        if (!is_null(selector)) return load_system_segment(m, selector, ldt_type, m.cpu.ldtr);
        m.cpu.ldtr = {selector, 0, 0, 0};
        return true;
    }
};

struct Ltr {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        if (m.cpu.cpl != 0) return m.raise_gp();
        std::uint16_t selector;
        if (!read_destination<std::uint16_t, form>(m, i, selector)) return false;
        if (is_null(selector)) return m.raise_gp();
        return load_system_segment(m, selector, available_tss_type, m.cpu.tr);
    }
};

/// SLDT, STR: zero-extended into a register, 16 bits into memory.
template <guest::Segment Cpu::*which>
struct StoreSystemSegment {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
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

template <bool limit>
struct LoadAccess {
    template <class T, Form form>
    static bool run(Machine& m, const Instruction& i) {
        std::uint16_t selector;
        Descriptor d;
        bool found;
        if (!read_source<std::uint16_t, form>(m, i, selector) || !inspect(m, selector, d, found)) return false;
        const unsigned type = d.attributes() & 0x1F;
        const bool system_ok = type == ldt_type || type == available_tss_type ||
                               type == (available_tss_type | busy_bit) || (!limit && type == 12);
        found = found && (d.has(attribute::user_segment) || system_ok);
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

}  // namespace

std::span<const Entry> segment_family() {
    static constexpr Entry entries[] = {
        {special::mov_to_segment, row_of<MovToSegment, Form::RR, Form::RM>()},
        {special::mov_from_segment, row_of<MovFromSegment, Form::RR, Form::MR>()},
        {special::push_segment, row_of<PushSegment, Form::R>()},
        {special::pop_segment, row_of<PopSegment, Form::R>()},
        {ZYDIS_MNEMONIC_LSS, row_of<LoadFar<ss>, Form::RM>()},
        {ZYDIS_MNEMONIC_LFS, row_of<LoadFar<fs>, Form::RM>()},
        {ZYDIS_MNEMONIC_LGS, row_of<LoadFar<gs>, Form::RM>()},
        {ZYDIS_MNEMONIC_LGDT, any_form(lgdt)},
        {ZYDIS_MNEMONIC_LIDT, any_form(lidt)},
        {ZYDIS_MNEMONIC_SGDT, any_form(sgdt)},
        {ZYDIS_MNEMONIC_SIDT, any_form(sidt)},
        {ZYDIS_MNEMONIC_LLDT, operand_row<Lldt>()},
        {ZYDIS_MNEMONIC_LTR, operand_row<Ltr>()},
        {ZYDIS_MNEMONIC_SLDT, operand_row<StoreSystemSegment<&Cpu::ldtr>>()},
        {ZYDIS_MNEMONIC_STR, operand_row<StoreSystemSegment<&Cpu::tr>>()},
        {ZYDIS_MNEMONIC_SWAPGS, any_form(swapgs)},
        {ZYDIS_MNEMONIC_LAR, row_of<LoadAccess<false>, Form::RR, Form::RM>()},
        {ZYDIS_MNEMONIC_LSL, row_of<LoadAccess<true>, Form::RR, Form::RM>()},
        {ZYDIS_MNEMONIC_VERR, operand_row<Verify<false>>()},
        {ZYDIS_MNEMONIC_VERW, operand_row<Verify<true>>()},
    };
    return entries;
}

}  // namespace faultline::engine
