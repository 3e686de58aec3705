#include "hypervisor/guest/stage/stage.hpp"

#include <cstring>
#include <utility>
#include <vector>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/stage/tables.hpp"
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

void put_gdt(Memory& memory, Mode stage) {
    for (std::uint16_t selector = 0; selector < layout::gdt_bytes; selector += 8)
        put(memory, layout::gdt + selector, gdt_entry(stage, selector));
}

void put_tss(Memory& memory) {
    put(memory, layout::tss + tss::stack0, layout::rsp0_top);
    put(memory, layout::tss + tss::ist1, layout::df_top);
    put(memory, layout::tss + tss::ist2, layout::ist2_top);
    put(memory, layout::tss + tss::bitmap_offset, static_cast<std::uint16_t>(tss::bitmap));
    std::memset(memory.data() + layout::tss + tss::bitmap, 0xFF, tss::bitmap_size + 1);
    for (unsigned port = layout::first_port; port <= layout::last_allowed_port; ++port)
        memory[layout::tss + tss::bitmap + port / 8] &= static_cast<std::uint8_t>(~(1u << port % 8));
}

void put_idts(Memory& memory, Mode stage) {
    for (const auto& [idt, gates] : {std::pair{layout::idt_dpl0, Gates::Dpl0}, {layout::idt_dpl3, Gates::Dpl3}})
        for (unsigned vector = 0; vector < 256; ++vector) {
            const auto bits = gate_bits(stage, gate_of({}, gates, static_cast<std::uint8_t>(vector)));
            std::memcpy(memory.data() + idt + gate_size(stage) * vector, bits.data(), gate_size(stage));
        }
}

void put_initial_data(Memory& memory, std::uint64_t begin, std::uint64_t size) {
    for (std::uint64_t a = begin; a < begin + size; ++a) memory[a] = layout::initial_data(a);
}

void put_tape(Memory& memory, Mode stage) {
    RawTape tape{};
    tape.records.fill(unwritten_record(stage));
    put(memory, layout::tape, tape);
}

Stage build_bare_long64() {
    Stage stage;
    stage.memory.resize(layout::ram_size);
    put_page_tables(stage.memory);
    put_gdt(stage.memory, stage.mode);
    put_tss(stage.memory);
    put_idts(stage.memory, stage.mode);
    put_initial_data(stage.memory, layout::data, layout::data_size);
    put_initial_data(stage.memory, layout::readonly, layout::page);
    put_initial_data(stage.memory, layout::supervisor, layout::page);
    put_tape(stage.memory, stage.mode);

    stage.symbols = symbols();
    std::memcpy(stage.memory.data() + layout::text, faultline_bare_long64_text_begin,
                stage.symbols.text_end - stage.symbols.text_begin);

    stage.entry = stage.symbols.prologue;
    stage.cr0 = stage_cr0;
    stage.cr3 = layout::page_tables;
    stage.cr4 = stage_cr4;
    stage.efer = stage_efer;
    stage.cs = segment_of(stage.mode, layout::kernel_cs);
    stage.ss = segment_of(stage.mode, layout::kernel_ss);
    // DPL 3, so that IRET to CPL3 does not null them.
    stage.ds = stage.es = stage.fs = stage.gs = segment_of(stage.mode, layout::user_ss);
    stage.tr = segment_of(stage.mode, layout::tr);
    stage.gdt_base = layout::gdt;
    stage.gdt_limit = layout::gdt_bytes - 1;
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
    return world == World::Bare && long_mode(mode) ? &bare_long64 : nullptr;
}

}  // namespace faultline::guest
