#include "hypervisor/guest/stage/stage.hpp"

#include <cstring>
#include <utility>
#include <vector>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/stage/tables.hpp"
#include "hypervisor/guest/tape.hpp"
#include "hypervisor/guest/vmcb.hpp"

// What a stage's assembler text calls its places.
extern "C" {
#define FAULTLINE_PLACE(stage, name) extern const std::uint8_t faultline_##stage##_##name[];
#define FAULTLINE_PLACES(stage)               \
    FAULTLINE_PLACE(stage, text_begin)        \
    FAULTLINE_PLACE(stage, stubs)             \
    FAULTLINE_PLACE(stage, epilogue_begin)    \
    FAULTLINE_PLACE(stage, epilogue_read_dr7) \
    FAULTLINE_PLACE(stage, epilogue_end)      \
    FAULTLINE_PLACE(stage, text_end)
FAULTLINE_PLACES(bare_long64)
FAULTLINE_PLACE(bare_long64, prologue)
FAULTLINE_PLACE(bare_long64, identify)
FAULTLINE_PLACE(bare_long64, syscall_entry)
FAULTLINE_PLACES(bare_prot32)
FAULTLINE_PLACE(bare_prot32, prologue)
FAULTLINE_PLACES(bare_real16)
FAULTLINE_PLACE(bare_real16, prologue)
FAULTLINE_PLACES(svm_long64)
FAULTLINE_PLACE(svm_long64, syscall_entry)
FAULTLINE_PLACE(monitor, text_begin)
FAULTLINE_PLACE(monitor, entry)
FAULTLINE_PLACE(monitor, taken)
FAULTLINE_PLACE(monitor, stubs)
FAULTLINE_PLACE(monitor, text_end)
}

namespace faultline::guest {
namespace {

struct Text {
    const std::uint8_t* bytes;
    StageSymbols symbols;
};

std::uint64_t address_in(const std::uint8_t* text, const std::uint8_t* place) {
    return layout::text + static_cast<std::uint64_t>(place - text);
}

#define FAULTLINE_ADDRESS(stage, name) address_in(faultline_##stage##_text_begin, faultline_##stage##_##name)
#define FAULTLINE_TEXT(stage)                                                                   \
    Text {                                                                                      \
        faultline_##stage##_text_begin, {                                                       \
            .stubs = FAULTLINE_ADDRESS(stage, stubs),                                           \
            .epilogue_read_dr7 = FAULTLINE_ADDRESS(stage, epilogue_read_dr7),                   \
            .epilogue_begin = FAULTLINE_ADDRESS(stage, epilogue_begin),                         \
            .epilogue_end = FAULTLINE_ADDRESS(stage, epilogue_end), .text_begin = layout::text, \
            .text_end = FAULTLINE_ADDRESS(stage, text_end),                                     \
        }                                                                                       \
    }

using Memory = std::vector<std::uint8_t>;

template <typename T>
void put(Memory& memory, std::uint64_t address, T value) {
    std::memcpy(memory.data() + address, &value, sizeof value);
}

namespace pte {
constexpr std::uint64_t present = 1, writable = 2, user = 4, accessed = 0x20, dirty = 0x40;
constexpr std::uint64_t table = present | writable | user | accessed;
}  // namespace pte

/// The last level, which maps every page of RAM as page_access says. Bits of an entry: AMD APM vol 2, "Long-Mode Page
/// Translation" and "Legacy-Mode Page Translation", the same for both.
template <typename Entry>
void put_page_table(Memory& memory, std::uint64_t table) {
    for (std::uint64_t page = 0; page < layout::ram_size; page += layout::page) {
        const PageAccess access = page_access(page);
        if (!access.present) continue;
        // Set beforehand, A and D are never written by the processor during a run.
        std::uint64_t entry = page | pte::present | pte::accessed | pte::dirty;
        if (access.writable) entry |= pte::writable;
        if (access.user) entry |= pte::user;
        put(memory, table + page / layout::page * sizeof(Entry), static_cast<Entry>(entry));
    }
}

void put_page_tables(Memory& memory, Mode stage) {
    constexpr std::uint64_t root = layout::page_tables;
    if (long_mode(stage)) {
        for (const std::uint64_t level : {root, root + layout::page, root + 2 * layout::page})
            put(memory, level, (level + layout::page) | pte::table);
        put_page_table<std::uint64_t>(memory, root + 3 * layout::page);
    } else {
        put(memory, root, static_cast<std::uint32_t>((root + layout::page) | pte::table));
        put_page_table<std::uint32_t>(memory, root + layout::page);
    }
}

void put_gdt(Memory& memory, Mode stage) {
    for (std::uint16_t selector = 0; selector < layout::gdt_bytes; selector += 8)
        put(memory, layout::gdt + selector, gdt_entry(stage, selector));
}

void put_tss(Memory& memory, Mode stage) {
    put(memory, layout::tss + tss::stack0, stack0_bits(stage, layout::rsp0_top, layout::kernel_ss));
    if (long_mode(stage)) {
        put(memory, layout::tss + tss::ist1, layout::df_top);
        put(memory, layout::tss + tss::ist2, layout::ist2_top);
    } else {
        put(memory, layout::tss + tss::cr3, static_cast<std::uint32_t>(layout::page_tables));
    }
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

/// What all stages have.
Stage build(Mode mode, const Text& text) {
    Stage stage;
    stage.mode = mode;
    stage.memory.resize(layout::ram_size);
    put_initial_data(stage.memory, layout::data, layout::data_size);
    put_initial_data(stage.memory, layout::readonly, layout::page);
    put_initial_data(stage.memory, layout::supervisor, layout::page);
    put_tape(stage.memory, mode);
    std::memcpy(stage.memory.data() + layout::text, text.bytes, text.symbols.text_end - text.symbols.text_begin);
    stage.symbols = text.symbols;
    stage.idt_base = layout::idt_dpl0;
    stage.idt_limit = static_cast<std::uint16_t>(256 * gate_size(mode) - 1);
    return stage;
}

Stage build_protected(Mode mode, const Text& text) {
    Stage stage = build(mode, text);
    put_page_tables(stage.memory, mode);
    put_gdt(stage.memory, mode);
    put_tss(stage.memory, mode);
    put_idts(stage.memory, mode);
    stage.cr0 = stage_cr0;
    stage.cr3 = layout::page_tables;
    stage.cs = segment_of(mode, layout::kernel_cs);
    stage.ss = segment_of(mode, layout::kernel_ss);
    // DPL 3, so that IRET to CPL3 does not null them.
    stage.ds = stage.es = stage.fs = stage.gs = segment_of(mode, layout::user_ss);
    stage.tr = segment_of(mode, layout::tr);
    stage.gdt_base = layout::gdt;
    stage.gdt_limit = layout::gdt_bytes - 1;
    return stage;
}

Stage build_long64(const Text& text, std::uint64_t syscall_entry) {
    Stage stage = build_protected(Mode::Long64, text);
    stage.symbols.syscall_entry = syscall_entry;
    stage.cr4 = stage_cr4;
    stage.efer = stage_efer;
    stage.star = std::uint64_t{layout::user_ss - 8} << 48 | std::uint64_t{layout::kernel_cs} << 32;
    stage.lstar = stage.symbols.syscall_entry;
    stage.sfmask = stage_sfmask;
    return stage;
}

Stage build_bare_long64() {
    Stage stage = build_long64(FAULTLINE_TEXT(bare_long64), FAULTLINE_ADDRESS(bare_long64, syscall_entry));
    stage.entry = stage.symbols.prologue = FAULTLINE_ADDRESS(bare_long64, prologue);
    stage.symbols.identify = FAULTLINE_ADDRESS(bare_long64, identify);
    return stage;
}

Stage build_bare_prot32() {
    Stage stage = build_protected(Mode::Prot32, FAULTLINE_TEXT(bare_prot32));
    stage.entry = stage.symbols.prologue = FAULTLINE_ADDRESS(bare_prot32, prologue);
    return stage;
}

Stage build_bare_real16() {
    constexpr std::uint16_t limit = 0xFFFF, code = 0x9B, data = 0x93, busy_tss = 0x8B;
    Stage stage = build(Mode::Real16, FAULTLINE_TEXT(bare_real16));
    stage.entry = stage.symbols.prologue = FAULTLINE_ADDRESS(bare_real16, prologue);
    for (unsigned vector = 0; vector < 256; ++vector)
        put(stage.memory, layout::idt_dpl0 + 4 * vector,
            static_cast<std::uint32_t>(stage.symbols.stubs + stub_stride * vector));
    stage.cr0 = stage_cr0_real;
    stage.cs = {0, 0, limit, code};
    stage.ss = stage.ds = stage.es = stage.fs = stage.gs = {0, 0, limit, data};
    stage.tr = {0, 0, limit, busy_tss};  // unused, but a vCPU has one
    return stage;
}

/// What every guest of world svm begins with; a case patches it (vmm.cpp).
svm::Vmcb initial_vmcb(const Stage& stage) {
    constexpr std::uint64_t pat_reset = 0x0007'0406'0007'0406, svme = 1 << 12;
    svm::Vmcb block{};
    block.intercept_3 = stage_intercepts.words[3];
    block.intercept_4 = stage_intercepts.words[4];
    block.iopm_base = layout::iopm;
    block.msrpm_base = layout::msrpm;
    block.asid = 1;
    using svm::vmcb_segment;
    block.es = vmcb_segment(stage.es), block.cs = vmcb_segment(stage.cs), block.ss = vmcb_segment(stage.ss);
    block.ds = vmcb_segment(stage.ds), block.fs = vmcb_segment(stage.fs), block.gs = vmcb_segment(stage.gs);
    block.tr = vmcb_segment(stage.tr);
    block.gdtr = {0, 0, stage.gdt_limit, stage.gdt_base};
    block.idtr = {0, 0, stage.idt_limit, stage.idt_base};
    block.efer = stage.efer | svme;
    block.cr0 = stage.cr0, block.cr3 = stage.cr3, block.cr4 = stage.cr4;
    block.dr6 = dr::dr6_reset, block.dr7 = dr::dr7_reset;
    block.rflags = rflags::fixed1;
    block.star = stage.star, block.lstar = stage.lstar, block.sfmask = stage.sfmask;
    block.g_pat = pat_reset;
    return block;
}

/// What the exits for I/O and MSRs ask; a case that intercepts I/O patches in the ports of programs. Bit n of the first
/// map is port n; two bits of the second are one MSR, read and write. AMD APM vol 2, "IOIO Intercepts", "MSR
/// Intercepts".
void put_permission_maps(Memory& memory) {
    const auto mark = [&](std::uint64_t map, unsigned bit) {
        memory[map + bit / 8] |= static_cast<std::uint8_t>(1u << bit % 8);
    };
    for (const unsigned port : {layout::exit_port, layout::enter_port, layout::leave_port}) mark(layout::iopm, port);
    mark(layout::msrpm, 2 * debugctl::msr);
    mark(layout::msrpm, 2 * debugctl::msr + 1);
}

/// The monitor's text, page tables (one page of 2 MiB, itself for itself, a user's so that they can be nested tables,
/// too), GDT and IDT, and the vCPU's state at its entry. Not its own are TR, LDTR, FS and GS, which no #VMEXIT gives
/// back.
void put_monitor(Stage& stage) {
    constexpr std::uint64_t large = 0x80;
    constexpr unsigned nmi = 2, exceptions = 32, vectors = wake_vector + 1;
    constexpr std::uint64_t root = layout::monitor_page_tables;
    Memory& memory = stage.memory;
    static_assert(layout::monitor_idt + 16 * vectors <= layout::monitor_gdt);
    const std::uint8_t* text = faultline_monitor_text_begin;
    std::memcpy(memory.data() + layout::monitor, text, static_cast<std::size_t>(faultline_monitor_text_end - text));
    const auto place = [&](const std::uint8_t* name) {
        return layout::monitor + static_cast<std::uint64_t>(name - text);
    };
    put(memory, root, (root + layout::page) | pte::table);
    put(memory, root + layout::page, (root + 2 * layout::page) | pte::table);
    put(memory, root + 2 * layout::page, pte::table | pte::dirty | large);
    for (const std::uint16_t selector : {layout::kernel_cs, layout::kernel_ss})
        put(memory, layout::monitor_gdt + selector, gdt_entry(stage.mode, selector));
    for (unsigned vector = 0; vector < vectors; ++vector) {
        const bool exception = vector < exceptions && vector != nmi;
        const std::uint64_t target =
            exception ? place(faultline_monitor_stubs) + stub_stride * vector : place(faultline_monitor_taken);
        put(memory, layout::monitor_idt + gate_size(stage.mode) * vector, gate_bits(stage.mode, Gate{}, target));
    }
    stage.entry = place(faultline_monitor_entry);
    stage.cr3 = root;
    stage.gdt_base = layout::monitor_gdt;
    stage.gdt_limit = layout::kernel_ss + 7;
    stage.idt_base = layout::monitor_idt;
    stage.idt_limit = static_cast<std::uint16_t>(vectors * gate_size(stage.mode) - 1);
}

Stage build_svm_long64() {
    Stage stage = build_long64(FAULTLINE_TEXT(svm_long64), FAULTLINE_ADDRESS(svm_long64, syscall_entry));
    stage.vmcb = layout::vmcb;
    put(stage.memory, stage.vmcb, initial_vmcb(stage));
    put_permission_maps(stage.memory);
    put_monitor(stage);
    return stage;
}

}  // namespace

const Stage* stage_of(World world, Mode mode) {
    if (world == World::Svm && long_mode(mode)) {
        static const Stage stage = build_svm_long64();
        return &stage;
    }
    if (world != World::Bare) return nullptr;
    switch (mode) {
        case Mode::Long64:
        case Mode::Compat32: {
            static const Stage stage = build_bare_long64();
            return &stage;
        }
        case Mode::Prot32: {
            static const Stage stage = build_bare_prot32();
            return &stage;
        }
        case Mode::Real16: {
            static const Stage stage = build_bare_real16();
            return &stage;
        }
    }
    return nullptr;
}

}  // namespace faultline::guest
