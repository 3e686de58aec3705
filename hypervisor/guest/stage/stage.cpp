#include "hypervisor/guest/stage/stage.hpp"

#include <cstring>
#include <vector>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"

// bare_long64.S
extern "C" {
#define FAULTLINE_PLACE(name) extern const std::uint8_t faultline_bare_long64_##name[]
FAULTLINE_PLACE(text_begin);
FAULTLINE_PLACE(stubs);
FAULTLINE_PLACE(syscall_entry);
FAULTLINE_PLACE(prologue);
FAULTLINE_PLACE(epilogue_begin);
FAULTLINE_PLACE(epilogue_read_dr7);
FAULTLINE_PLACE(epilogue_end);
FAULTLINE_PLACE(identify);
FAULTLINE_PLACE(text_end);
#undef FAULTLINE_PLACE
}

namespace faultline::guest {
namespace {

std::uint64_t guest_address(const std::uint8_t* place) {
    return layout::text + static_cast<std::uint64_t>(place - faultline_bare_long64_text_begin);
}

StageSymbols symbols() {
    return {
        .prologue = guest_address(faultline_bare_long64_prologue),
        .identify = guest_address(faultline_bare_long64_identify),
        .stubs = guest_address(faultline_bare_long64_stubs),
        .syscall_entry = guest_address(faultline_bare_long64_syscall_entry),
        .epilogue_read_dr7 = guest_address(faultline_bare_long64_epilogue_read_dr7),
        .epilogue_begin = guest_address(faultline_bare_long64_epilogue_begin),
        .epilogue_end = guest_address(faultline_bare_long64_epilogue_end),
        .text_begin = layout::text,
        .text_end = guest_address(faultline_bare_long64_text_end),
    };
}

using Memory = std::vector<std::uint8_t>;

template <typename T>
void put(Memory& memory, std::uint64_t address, T value) {
    std::memcpy(memory.data() + address, &value, sizeof value);
}

// AMD APM vol 2, "Long-Mode Page Translation": bits of every level's entries.
namespace pte {
constexpr std::uint64_t present = 1, writable = 2, user = 4, accessed = 0x20, dirty = 0x40;
}

void put_page_tables(Memory& memory) {
    constexpr std::uint64_t table = pte::present | pte::writable | pte::user | pte::accessed;
    constexpr std::uint64_t pml4 = layout::page_tables, pdpt = pml4 + layout::page, pd = pdpt + layout::page,
                            pt = pd + layout::page;
    put(memory, pml4, pdpt | table);
    put(memory, pdpt, pd | table);
    put(memory, pd, pt | table);
    for (std::uint64_t page = 0; page < layout::ram_size; page += layout::page) {
        const PageAccess access = page_access(page);
        if (!access.present) continue;
        // Set beforehand, A and D are never written by the processor during a run.
        std::uint64_t entry = page | pte::present | pte::accessed | pte::dirty;
        if (access.writable) entry |= pte::writable;
        if (access.user) entry |= pte::user;
        put(memory, pt + page / layout::page * 8, entry);
    }
}

// Attributes as in Segment: type, S, DPL, P in bits 7:0; AVL, L, D/B, G in bits 11:8. Accessed is set, so that
// loading a segment writes nothing.
constexpr std::uint16_t code_attributes = 0xA9B, data_attributes = 0xC93, dpl3 = 0x60, busy_tss = 0x08B;
constexpr std::uint32_t flat_limit = 0xFFFF'FFFF;

// AMD APM vol 2, "64-Bit Task State Segment": RSP0, IST1 and the offset of the I/O bitmap, whose last byte is
// followed by one of ones.
constexpr std::uint64_t tss_rsp0 = 4, tss_ist1 = 0x24, tss_bitmap_offset = 0x66, tss_bitmap = 0x68,
                        tss_bitmap_size = 0x2000;
constexpr std::uint32_t tss_limit = tss_bitmap + tss_bitmap_size;

void put_descriptor(Memory& memory, std::uint16_t selector, std::uint64_t base, std::uint32_t limit,
                    std::uint64_t attributes) {
    const std::uint64_t scaled = attributes & 0x800 ? limit >> 12 : limit;
    put(memory, layout::gdt + (selector & ~7u),
        (scaled & 0xFFFF) | (base & 0xFF'FFFF) << 16 | (attributes & 0xFF) << 40 | (scaled >> 16 & 0xF) << 48 |
            (attributes >> 8) << 52 | (base >> 24 & 0xFF) << 56);
}

void put_gdt(Memory& memory) {
    put_descriptor(memory, layout::kernel_cs, 0, flat_limit, code_attributes);
    put_descriptor(memory, layout::kernel_ss, 0, flat_limit, data_attributes);
    put_descriptor(memory, layout::user_ss, 0, flat_limit, data_attributes | dpl3);
    put_descriptor(memory, layout::user_cs, 0, flat_limit, code_attributes | dpl3);
    put_descriptor(memory, layout::tr, layout::tss, tss_limit, busy_tss);
}

void put_tss(Memory& memory) {
    put(memory, layout::tss + tss_rsp0, layout::rsp0_top);
    put(memory, layout::tss + tss_ist1, layout::df_top);
    put(memory, layout::tss + tss_bitmap_offset, static_cast<std::uint16_t>(tss_bitmap));
    std::memset(memory.data() + layout::tss + tss_bitmap, 0xFF, tss_bitmap_size + 1);
    for (unsigned port = layout::first_port; port <= layout::last_allowed_port; ++port)
        memory[layout::tss + tss_bitmap + port / 8] &= static_cast<std::uint8_t>(~(1u << port % 8));
}

void put_idt(Memory& memory, std::uint64_t idt, bool dpl3_gates) {
    constexpr std::uint64_t interrupt_gate = 0x8E00, dpl3_gate = 0x6000;
    for (unsigned vector = 0; vector < 256; ++vector) {
        const std::uint64_t stub = layout::text + stub_stride * vector;
        const std::uint64_t ist = vector == 8 ? 1 : 0;
        const std::uint64_t type = interrupt_gate | (dpl3_gates && layout::callable_from_cpl3(vector) ? dpl3_gate : 0);
        put(memory, idt + 16 * vector,
            (stub & 0xFFFF) | std::uint64_t{layout::kernel_cs} << 16 | (ist | type) << 32 |
                (stub >> 16 & 0xFFFF) << 48);
        put(memory, idt + 16 * vector + 8, stub >> 32);
    }
}

void put_initial_data(Memory& memory, std::uint64_t begin, std::uint64_t size) {
    for (std::uint64_t a = begin; a < begin + size; ++a) memory[a] = layout::initial_data(a);
}

void put_tape(Memory& memory) {
    RawTape tape{};
    tape.final = {};
    tape.records.fill({});
    put(memory, layout::tape, tape);
}

Stage build_bare_long64() {
    Stage stage;
    stage.memory.resize(layout::ram_size);
    put_page_tables(stage.memory);
    put_gdt(stage.memory);
    put_tss(stage.memory);
    put_idt(stage.memory, layout::idt_dpl0, false);
    put_idt(stage.memory, layout::idt_dpl3, true);
    put_initial_data(stage.memory, layout::data, layout::data_size);
    put_initial_data(stage.memory, layout::readonly, layout::page);
    put_initial_data(stage.memory, layout::supervisor, layout::page);
    put_tape(stage.memory);

    stage.symbols = symbols();
    std::memcpy(stage.memory.data() + layout::text, faultline_bare_long64_text_begin,
                stage.symbols.text_end - stage.symbols.text_begin);

    stage.entry = stage.symbols.prologue;
    stage.cr0 = stage_cr0;
    stage.cr3 = layout::page_tables;
    stage.cr4 = stage_cr4;
    stage.efer = stage_efer;
    stage.cs = {layout::kernel_cs, 0, flat_limit, code_attributes};
    stage.ss = {layout::kernel_ss, 0, flat_limit, data_attributes};
    // DPL 3, so that IRET to CPL3 does not null them.
    stage.ds = stage.es = stage.fs = stage.gs = {layout::user_ss, 0, flat_limit, data_attributes | dpl3};
    stage.tr = {layout::tr, layout::tss, tss_limit, busy_tss};
    stage.gdt_base = layout::gdt;
    stage.gdt_limit = layout::tr + 16 - 1;
    stage.idt_base = layout::idt_dpl0;
    stage.idt_limit = 0xFFF;
    stage.star = std::uint64_t{layout::user_ss - 8} << 48 | std::uint64_t{layout::kernel_cs} << 32;
    stage.lstar = stage.symbols.syscall_entry;
    stage.sfmask = stage_sfmask;
    return stage;
}

}  // namespace

const Stage* stage_of(World world, Mode mode) {
    static const Stage bare_long64 = build_bare_long64();
    return world == World::Bare && mode == Mode::Long64 ? &bare_long64 : nullptr;
}

}  // namespace faultline::guest
