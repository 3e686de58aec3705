#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {

namespace {

bool in_table(const Machine& m, std::uint16_t selector, std::uint64_t& address) {
    const bool local = selector & 4;
    const std::uint64_t base = local ? m.cpu.ldtr.base : m.cpu.gdt_base;
    const std::uint32_t limit = local ? m.cpu.ldtr.limit : m.cpu.gdt_limit;
    address = table_address(m, base + (selector & 0xFFF8u));
    return (!local || is_usable(m.cpu.ldtr)) && (selector | 7u) <= limit;
}

}  // namespace

bool read_descriptor(Machine& m, std::uint16_t selector, Fault outside, Descriptor& out) {
    std::uint64_t address;
    if (!in_table(m, selector, address)) {
        m.fault = outside;
        return false;
    }
    return m.system_read(address, &out.raw, sizeof out.raw, outside);
}

bool mark_accessed(Machine& m, std::uint16_t selector, Descriptor& descriptor) {
    if (descriptor.has(attribute::accessed)) return true;
    descriptor.raw |= std::uint64_t{attribute::accessed} << 40;
    std::uint64_t address;
    in_table(m, selector, address);
    return m.system_write(address, &descriptor.raw, sizeof descriptor.raw, {vector::gp, selector_error(selector), 0});
}

/// AMD APM vol 2, "Segment-Register Loading"; privilege in "Data-Access Privilege Checks" and "Accessing Stack
/// Segments". "Real Mode": no descriptors.
bool load_segment(Machine& m, SegmentSlot slot, std::uint16_t selector) {
    if (m.real_mode()) {
        m.set_segment(slot, real_segment(m.cpu.segment[slot], selector));
        return true;
    }
    const std::uint32_t error = selector_error(selector);
    if (is_null(selector)) {
        // A null SS is fine in 64-bit mode except at CPL3.
        if (slot == ss && (!m.long64() || m.cpu.cpl == 3 || rpl(selector) != m.cpu.cpl)) return m.raise_gp();
        m.set_segment(slot, null_segment(selector, m.cpu.cpl));
        return true;
    }
    Descriptor d;
    if (!read_descriptor(m, selector, {vector::gp, error, 0}, d)) return false;
    if (slot == ss) {
        if (rpl(selector) != m.cpu.cpl || !d.is_writable_data() || d.dpl() != m.cpu.cpl)
            return m.raise(vector::gp, error);
        if (!d.present()) return m.raise(vector::ss, error);
    } else {
        if (!d.is_readable() || (!d.is_conforming() && (rpl(selector) > d.dpl() || m.cpu.cpl > d.dpl())))
            return m.raise(vector::gp, error);
        if (!d.present()) return m.raise(vector::np, error);
    }
    if (!mark_accessed(m, selector, d)) return false;
    m.set_segment(slot, d.segment(selector));
    return true;
}

bool check_return_cs(Machine& m, std::uint16_t selector, Descriptor& out) {
    const std::uint32_t error = selector_error(selector);
    if (is_null(selector)) return m.raise_gp();
    if (!read_descriptor(m, selector, {vector::gp, error, 0}, out)) return false;
    const bool level_fits = out.is_conforming() ? out.dpl() <= rpl(selector) : out.dpl() == rpl(selector);
    // L and D both set is a combination that long mode reserves.
    const bool undefined = m.long_mode() && out.has(attribute::long_mode | attribute::big);
    if (!out.is_code() || rpl(selector) < m.cpu.cpl || !level_fits || undefined) return m.raise(vector::gp, error);
    if (!out.present()) return m.raise(vector::np, error);
    return mark_accessed(m, selector, out);
}

bool check_return_ss(Machine& m, std::uint16_t selector, unsigned cpl, bool to_long64, Descriptor& out) {
    if (is_null(selector)) {
        if (!to_long64 || cpl == 3 || rpl(selector) != cpl) return m.raise_gp();
        out.raw = std::uint64_t{cpl} << 45;
        return true;
    }
    const std::uint32_t error = selector_error(selector);
    if (!read_descriptor(m, selector, {vector::gp, error, 0}, out)) return false;
    if (rpl(selector) != cpl || !out.is_writable_data() || out.dpl() != cpl) return m.raise(vector::gp, error);
    if (!out.present()) return m.raise(vector::ss, error);
    return mark_accessed(m, selector, out);
}

bool check_target(Machine& m, const Descriptor& code, std::uint64_t offset) {
    const bool long64 = m.long_mode() && code.has(attribute::long_mode);
    return (long64 ? canonical(offset) : offset <= code.limit()) || m.raise_gp();
}

void enter_level(Machine& m, const guest::Segment& new_cs, const guest::Segment& new_ss, std::uint8_t cpl) {
    const bool outward = cpl > m.cpu.cpl;
    m.set_segment(cs, new_cs);
    m.set_segment(ss, new_ss);
    m.set_cpl(cpl);
    if (!outward) return;
    for (SegmentSlot slot : {es, ds, fs, gs}) {
        guest::Segment& s = m.cpu.segment[slot];
        const bool conforming =
            (s.attributes & (attribute::code | attribute::conforming)) == (attribute::code | attribute::conforming);
        if (!conforming && attribute::dpl(s.attributes) < cpl) s = {};
    }
}

guest::Segment flat_code(std::uint16_t selector, unsigned dpl, bool long64) {
    return {selector, 0, 0xFFFF'FFFF, static_cast<std::uint16_t>((long64 ? 0xA9B : 0xC9B) | dpl << 5)};
}

guest::Segment flat_data(std::uint16_t selector, unsigned dpl) {
    return {selector, 0, 0xFFFF'FFFF, static_cast<std::uint16_t>(0xC93 | dpl << 5)};
}

}  // namespace faultline::engine
