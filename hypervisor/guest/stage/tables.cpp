#include "hypervisor/guest/stage/tables.hpp"

#include <cstring>

namespace faultline::guest {
namespace {

// Attributes as in Segment: type, S, DPL, P in bits 7:0; AVL, L, D/B, G in bits 11:8. Accessed is set, so that
// loading a segment writes nothing.
namespace attribute {
constexpr unsigned accessed = 1, writable = 2, readable = 2, conforming = 4, code = 8, segment = 0x10, present = 0x80,
                   long_code = 0x200, big = 0x400, granular = 0x800;
}

unsigned attributes_of(const Descriptor& descriptor, bool main_tss) {
    using Kind = Descriptor::Kind;
    unsigned attributes = descriptor.dpl << 5 | (descriptor.present ? attribute::present : 0);
    switch (descriptor.kind) {
        case Kind::Tss: return attributes | available_tss | (main_tss ? busy : 0);
        case Kind::Code:
            attributes |= attribute::code | (descriptor.long_code ? attribute::long_code : attribute::big) |
                          (descriptor.readable ? attribute::readable : 0) |
                          (descriptor.conforming ? attribute::conforming : 0);
            break;
        case Kind::Data: attributes |= attribute::big | (descriptor.writable ? attribute::writable : 0); break;
        case Kind::TaskGate:
        case Kind::None: return 0;
    }
    return attributes | attribute::accessed | attribute::segment | attribute::granular;
}

}  // namespace

Segment segment_of(Mode stage, std::uint16_t selector) {
    const Descriptor descriptor = descriptor_of(stage, selector);
    const bool main_tss = (selector & ~7u) == layout::tr;
    Segment segment{.selector = selector,
                    .limit = layout::segment_limit,
                    .attributes = static_cast<std::uint16_t>(attributes_of(descriptor, main_tss))};
    if (descriptor.kind == Descriptor::Kind::Tss) {
        segment.base = main_tss ? layout::tss : selector == layout::task_a ? layout::tss_a : layout::tss_b;
        segment.limit = main_tss ? tss::limit : tss::task_limit;
    }
    return segment;
}

Segment available_tr(std::uint16_t limit) {
    Segment segment = segment_of(Mode::Long64, layout::tr);
    segment.attributes &= static_cast<std::uint16_t>(~busy);
    segment.limit = limit;
    return segment;
}

std::uint64_t descriptor_bits(const Segment& segment) {
    const std::uint64_t attributes = segment.attributes, base = segment.base;
    const std::uint64_t limit = attributes & attribute::granular ? segment.limit >> 12 : segment.limit;
    return (limit & 0xFFFF) | (base & 0xFF'FFFF) << 16 | (attributes & 0xFF) << 40 | (limit >> 16 & 0xF) << 48 |
           (attributes >> 8) << 52 | (base >> 24 & 0xFF) << 56;
}

std::uint64_t gdt_entry(Mode stage, std::uint16_t selector) {
    const Descriptor descriptor = descriptor_of(stage, selector);
    switch (descriptor.kind) {
        case Descriptor::Kind::None: return 0;
        case Descriptor::Kind::TaskGate:
            return std::uint64_t{descriptor.task} << 16 | (0x85ull | descriptor.dpl << 5) << 40;
        default: return descriptor_bits(segment_of(stage, selector));
    }
}

std::array<std::uint64_t, 2> gate_bits(Mode stage, const Gate& gate) {
    std::uint64_t target = layout::text + stub_stride * gate.vector.number;
    if (gate.target == Gate::Target::OutOfRange)
        target |= long_mode(stage) ? 1ull << 47 : std::uint64_t{layout::segment_limit} + 1;
    return gate_bits(stage, gate, target);
}

std::array<std::uint64_t, 2> gate_bits(Mode stage, const Gate& gate, std::uint64_t target) {
    // Types of 32-bit and 64-bit gates; 13 is reserved in both. AMD APM vol 2, "System-Segment Descriptor Types".
    constexpr std::array<std::uint64_t, 4> types = {0xE, 0xF, 0x5, 0xD};
    const std::uint64_t ist = long_mode(stage) ? gate.ist : 0;
    const std::uint64_t access = types[static_cast<std::size_t>(gate.type) % types.size()] |
                                 std::uint64_t{gate.dpl & 3u} << 5 | (gate.present ? 0x80 : 0);
    return {(target & 0xFFFF) | std::uint64_t{gate.selector} << 16 | ist << 32 | access << 40 |
                (target >> 16 & 0xFFFF) << 48,
            target >> 32};
}

std::array<std::uint64_t, (tss::task_limit + 1) / 8> task_bits(const Task& task, std::uint64_t eip, unsigned cpl,
                                                               bool trap) {
    struct {
        std::uint32_t link = 0, esp0 = layout::rsp0_top, ss0 = layout::kernel_ss, inner[4] = {};
        std::uint32_t cr3 = layout::page_tables, eip, eflags;
        std::uint32_t eax = 0, ecx = 0, edx = 0, ebx = 0, esp = layout::task_stack, ebp = 0, esi = 0, edi = 0;
        std::uint32_t es = layout::user_ss, cs, ss, ds = layout::user_ss, fs = layout::user_ss, gs = layout::user_ss;
        std::uint32_t ldt = 0;
        std::uint16_t trap, bitmap = tss::task_limit + 1;  // beyond the limit: there is none
    } fields{.eip = static_cast<std::uint32_t>(eip),
             .eflags = static_cast<std::uint32_t>(task.eflags),
             .cs = program_cs(Mode::Prot32, cpl),
             .ss = program_ss(Mode::Prot32, cpl),
             .trap = trap};
    std::array<std::uint64_t, (tss::task_limit + 1) / 8> bits;
    static_assert(sizeof fields == sizeof bits);
    std::memcpy(bits.data(), &fields, sizeof bits);
    return bits;
}

}  // namespace faultline::guest
