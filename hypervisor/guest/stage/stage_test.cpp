#include "hypervisor/guest/stage/stage.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <vector>

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/stage/identify.hpp"
#include "hypervisor/guest/stage/memory.hpp"

namespace faultline::guest {
namespace {

const Stage& stage(Mode mode = Mode::Long64) { return *stage_of(World::Bare, mode); }

template <typename T>
T get(std::uint64_t address, Mode mode = Mode::Long64) {
    T value;
    std::memcpy(&value, stage(mode).memory.data() + address, sizeof value);
    return value;
}

/// The page table entry in force for an address, by a walk through the tables.
std::uint64_t entry_of(std::uint64_t address, Mode mode) {
    std::uint64_t entry = stage(mode).cr3;
    if (mode == Mode::Prot32) {
        for (unsigned shift = 22; shift >= 12; shift -= 10) {
            entry = get<std::uint32_t>((entry & ~0xFFFull) + (address >> shift & 0x3FF) * 4, mode);
            if (!(entry & 1)) return 0;
        }
        return entry;
    }
    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        entry = get<std::uint64_t>((entry & ~0xFFFull) + (address >> shift & 0x1FF) * 8);
        if (!(entry & 1)) return 0;
    }
    return entry;
}

constexpr std::uint64_t present = 1, writable = 2, user = 4, accessed_and_dirty = 0x60;

TEST(Stage, LongModesShareOne) {
    EXPECT_EQ(stage_of(World::Bare, Mode::Compat32), stage_of(World::Bare, Mode::Long64));
    EXPECT_NE(stage_of(World::Bare, Mode::Long64), nullptr);
    EXPECT_EQ(stage_of(World::Vmx, Mode::Long64), nullptr);
    EXPECT_EQ(stage_of(World::Svm, Mode::Prot32), nullptr);
    EXPECT_NE(stage_of(World::Bare, Mode::Prot32), stage_of(World::Bare, Mode::Real16));
}

TEST(Stage, PagesHaveTheLayoutsPermissions) {
    const std::pair<std::uint64_t, std::uint64_t> expected[] = {
        {0, 0},
        {layout::page_tables, present | writable},
        {layout::tss, present | writable},
        {layout::text, present | writable},
        {layout::params, present | writable},
        {layout::tape + 0x3000, present | writable},
        {layout::rsp0_top - 1, present | writable},
        {layout::df_top - 1, present | writable},
        {layout::ist2_top - 1, present | writable},
        {layout::stage_end, 0},
        {layout::code, present | writable | user},
        {layout::code + layout::page, 0},
        {layout::stack_bottom - 1, 0},
        {layout::stack_bottom, present | writable | user},
        {layout::stack_top, present | writable | user},
        {layout::stack_bottom + 0x2000, 0},
        {layout::hole_below, 0},
        {layout::data, present | writable | user},
        {layout::data + layout::data_size - 1, present | writable | user},
        {layout::hole, 0},
        {layout::readonly, present | user},
        {layout::supervisor, present | writable},
        {mapped_end, 0},
    };
    for (const Mode mode : {Mode::Long64, Mode::Prot32})
        for (const auto& [address, permissions] : expected) {
            const std::uint64_t entry = entry_of(address, mode);
            EXPECT_EQ(entry & (present | writable | user), permissions) << std::hex << address;
            if (permissions) {
                EXPECT_EQ(entry & ~0xFFFull, address & ~0xFFFull);
                EXPECT_EQ(entry & accessed_and_dirty, accessed_and_dirty) << std::hex << address;
            }
        }
    for (std::uint64_t address = mapped_end; address < 0x20'0000; address += layout::page)
        EXPECT_EQ(entry_of(address, Mode::Long64), 0u);
}

TEST(Stage, GatesLeadToTheirStubsAndOnlyDoubleFaultSwitchesStacks) {
    for (const auto idt : {layout::idt_dpl0, layout::idt_dpl3})
        for (unsigned vector = 0; vector < 256; ++vector) {
            const auto low = get<std::uint64_t>(idt + 16 * vector), high = get<std::uint64_t>(idt + 16 * vector + 8);
            EXPECT_EQ((low & 0xFFFF) | (low >> 48 & 0xFFFF) << 16 | high << 32,
                      stage().symbols.stubs + stub_stride * vector);
            EXPECT_EQ(low >> 16 & 0xFFFF, layout::kernel_cs);
            EXPECT_EQ(low >> 32 & 7, vector == 8 ? 1u : 0u);
            const bool open = idt == layout::idt_dpl3 &&
                              (vector == 1 || vector == 3 || vector == 4 || (vector >= 0x20 && vector <= 0x2F));
            EXPECT_EQ(low >> 40 & 0xFF, open ? 0xEEu : 0x8Eu) << vector;
        }
}

/// AMD APM vol 2, "Real-Mode Interrupt Control Transfers": offset, then segment, of four bytes a vector.
TEST(Stage, RealModeHasATableOfPointersToItsStubs) {
    const Stage& real16 = stage(Mode::Real16);
    EXPECT_EQ(real16.idt_base, layout::idt_dpl0);
    EXPECT_EQ(real16.idt_limit, 0x3FF);
    EXPECT_EQ(real16.cr0 & (cr0_pe | cr0_pg), 0u);
    for (unsigned vector = 0; vector < 256; ++vector) {
        const auto offset = get<std::uint16_t>(layout::idt_dpl0 + 4 * vector, Mode::Real16);
        const auto segment = get<std::uint16_t>(layout::idt_dpl0 + 4 * vector + 2, Mode::Real16);
        EXPECT_EQ(segment * 16u + offset, real16.symbols.stubs + stub_stride * vector);
    }
    EXPECT_LE(real16.symbols.text_end, layout::params);
}

/// AMD APM vol 2, "Gate Descriptors" (legacy), "Legacy Task-State Segment".
TEST(Stage, Prot32Has32BitGatesAndATssWithSs0) {
    const Stage& prot32 = stage(Mode::Prot32);
    EXPECT_EQ(prot32.idt_limit, 0x7FF);
    EXPECT_EQ(prot32.cr4 | prot32.efer, 0u) << "paging without PAE";
    for (const auto idt : {layout::idt_dpl0, layout::idt_dpl3})
        for (unsigned vector = 0; vector < 256; ++vector) {
            const auto gate = get<std::uint64_t>(idt + 8 * vector, Mode::Prot32);
            EXPECT_EQ((gate & 0xFFFF) | (gate >> 48) << 16, prot32.symbols.stubs + stub_stride * vector);
            EXPECT_EQ(gate >> 16 & 0xFFFF, layout::kernel_cs);
            EXPECT_EQ(gate >> 32 & 0xFF, 0u);
            const bool open = idt == layout::idt_dpl3 && layout::callable_from_cpl3(vector);
            EXPECT_EQ(gate >> 40 & 0xFF, open ? 0xEEu : 0x8Eu) << vector;
        }
    EXPECT_EQ(get<std::uint32_t>(layout::tss + 4, Mode::Prot32), layout::rsp0_top);
    EXPECT_EQ(get<std::uint16_t>(layout::tss + 8, Mode::Prot32), layout::kernel_ss);
    EXPECT_LE(prot32.symbols.text_end, layout::params);
}

/// What a stub did not store is not recorded, and what it stored in fewer bytes is a number.
TEST(Stage, NarrowRecordsWiden) {
    for (const Mode mode : {Mode::Long64, Mode::Prot32, Mode::Real16}) {
        auto memory = stage(mode).memory;
        const auto put = [&](std::size_t offset, std::uint16_t value) {
            std::memcpy(memory.data() + layout::tape + offset, &value, sizeof value);
        };
        put(offsetof(RawTape, count), 1);
        Tape tape;
        parse_tape(memory, mode, tape);
        ASSERT_EQ(tape.count, 1u);
        EXPECT_EQ(tape.records[0], Record{});
        const std::size_t record = offsetof(RawTape, records);
        const std::uint64_t one = 1;
        std::memcpy(memory.data() + layout::tape + record + offsetof(Record, complete), &one, sizeof one);
        put(record + offsetof(Record, handler_ss), 0xFA17);
        parse_tape(memory, mode, tape);
        EXPECT_EQ(tape.records[0].handler_ss, 0xFA17u) << "a complete record has what every stub stores";
        EXPECT_EQ(tape.records[0].dr6, not_recorded);
    }
}

TEST(Stage, PortsOutsideTheAllowedRangeAreDeniedAtCpl3) {
    const std::uint64_t bitmap = layout::tss + get<std::uint16_t>(layout::tss + 0x66);
    ASSERT_GE(stage().tr.limit, bitmap - layout::tss + 0x2000);
    for (unsigned port = 0; port < 0x10000; ++port) {
        const bool denied = get<std::uint8_t>(bitmap + port / 8) >> port % 8 & 1;
        EXPECT_EQ(denied, port < layout::first_port || port > layout::last_allowed_port) << port;
    }
    EXPECT_EQ(get<std::uint8_t>(bitmap + 0x2000), 0xFF);
}

/// AMD APM vol 2, "Code-Segment Descriptors", "Data-Segment Descriptors", "System Descriptors".
TEST(Stage, GdtSaysWhatDescriptorOfSays) {
    using Kind = Descriptor::Kind;
    for (const Mode mode : {Mode::Long64, Mode::Prot32})
        for (std::uint16_t selector = 0; selector < layout::gdt_bytes; selector += 8) {
            SCOPED_TRACE(testing::Message() << static_cast<int>(mode) << " " << selector);
            EXPECT_EQ(stage(mode).gdt_limit, layout::gdt_bytes - 1);
            const auto bits = get<std::uint64_t>(layout::gdt + selector, mode);
            const auto bit = [bits](unsigned n) { return (bits >> n & 1) != 0; };
            const auto expected = descriptor_of(mode, selector);
            if (expected.kind == Kind::None) {
                EXPECT_EQ(bits, 0u);
                continue;
            }
            EXPECT_EQ(bits >> 45 & 3, expected.dpl);
            EXPECT_EQ(bit(47), expected.present);
            const bool system = expected.kind == Kind::Tss || expected.kind == Kind::TaskGate;
            EXPECT_EQ(bit(44), !system);
            if (expected.kind == Kind::TaskGate) {
                EXPECT_EQ(bits >> 40 & 0xF, 5u);
                EXPECT_EQ(bits >> 16 & 0xFFFF, expected.task);
            }
            if (expected.kind == Kind::Tss) {
                EXPECT_EQ(bits >> 40 & 0xF, selector == layout::tr ? 0xBu : 9u);
            }
            if (system) continue;
            EXPECT_EQ(bit(43), expected.kind == Kind::Code);
            EXPECT_EQ(bit(41), expected.kind == Kind::Code ? expected.readable : expected.writable);
            EXPECT_EQ(bit(42), expected.conforming);
            EXPECT_EQ(bit(53), expected.long_code);
            EXPECT_EQ(bit(54), !expected.long_code);
            EXPECT_TRUE(bit(40)) << "accessed beforehand: loading it writes nothing";
            EXPECT_EQ(((bits & 0xFFFF) | (bits >> 48 & 0xF) << 16) << 12 | 0xFFF, layout::segment_limit);
        }
}

TEST(Stage, SegmentsAgreeWithTheirDescriptors) {
    for (const auto& segment : {stage().cs, stage().ss, stage().ds, stage().tr}) {
        const auto descriptor = get<std::uint64_t>(layout::gdt + (segment.selector & ~7u));
        EXPECT_EQ((descriptor >> 40 & 0xFF) | (descriptor >> 52 & 0xF) << 8, segment.attributes) << segment.selector;
        EXPECT_EQ((descriptor >> 16 & 0xFF'FFFF) | (descriptor >> 56) << 24, segment.base) << segment.selector;
    }
    EXPECT_EQ(stage().star, 0x0013'0008'0000'0000u);
}

TEST(Stage, TextFitsAndSyscallEntryIsJmpRcx) {
    EXPECT_LE(stage().symbols.text_end, layout::params);
    EXPECT_EQ(get<std::uint16_t>(stage().symbols.syscall_entry), 0xE1FF);
    EXPECT_EQ(stage().lstar, stage().symbols.syscall_entry);
    EXPECT_EQ(get<std::uint16_t>(stage().symbols.epilogue_end - 2), 0xE6u | layout::exit_port << 8);
    // mov rax, dr7
    EXPECT_EQ(get<std::uint32_t>(stage().symbols.epilogue_read_dr7) & 0xFFFFFF, 0xF8210Fu);
}

TEST(Stage, TapeStartsUnrecorded) {
    Tape tape;
    auto memory = stage().memory;
    memory[layout::tape] = 2;
    parse_tape(memory, Mode::Long64, tape);
    ASSERT_EQ(tape.count, 2u);
    EXPECT_EQ(tape.records[1], Record{});
    EXPECT_EQ(tape.final.debugctl, not_recorded);
}

TEST(Stage, ApplyPlacesTheInitialStackAtRsp) {
    Image image;
    image.stack_count = 2;
    image.stack = {0x1122, 0x3344};
    image.params.entry_frame.rsp = layout::stack_top - 16;
    auto memory = stage().memory;
    guest::apply(image, memory);
    std::uint64_t second;
    std::memcpy(&second, memory.data() + layout::stack_top - 8, 8);
    EXPECT_EQ(second, 0x3344u);
}

RC_GTEST_PROP(Stage, ApplyAndParseStayInsideMemoryWhateverTheySay, ()) {
    Image image;
    image.stack_count = *rc::gen::arbitrary<std::uint16_t>();
    image.params.entry_frame.rsp =
        *rc::gen::oneOf(rc::gen::arbitrary<std::uint64_t>(), rc::gen::inRange<std::uint64_t>(0xFFE00, 0x100200));
    auto memory = stage().memory;
    guest::apply(image, memory);
    const auto count = *rc::gen::arbitrary<std::uint64_t>();
    std::memcpy(memory.data() + layout::tape, &count, sizeof count);
    Tape tape;
    parse_tape(memory, Mode::Long64, tape);
    RC_ASSERT(tape.count == std::min<std::uint64_t>(count, tape_capacity));
}

RC_GTEST_PROP(Stage, ShortMemoryIsAnEmptyTape, ()) {
    const auto size = *rc::gen::inRange<std::size_t>(0, layout::tape + sizeof(RawTape));
    const std::vector<std::uint8_t> memory(size, 0xFF);
    Tape tape;
    parse_tape(memory, Mode::Long64, tape);
    RC_ASSERT(tape.count == 0u);
}

std::vector<std::uint8_t> memory_with(const Identity& identity) {
    std::vector<std::uint8_t> memory(layout::ram_size);
    std::memcpy(memory.data() + identity_address, &identity, sizeof identity);
    return memory;
}

TEST(Identify, ReadsVendorAndFeatures) {
    Identity identity{};
    identity.cpuid[0] = {7, 0x68747541, 0x444D4163, 0x69746E65};  // AuthenticAMD
    identity.cpuid[1].eax = 0x00A20F12;
    identity.cpuid[2] = {0, 1u << 11, 1u << 24, 0};
    identity.cpuid[3].eax = 0x8000'0008;
    identity.cpuid[4].ecx = 1u << 26;
    std::memcpy(&identity.cpuid[5], "  A processor  ", 16);
    identity.debugctl = debugctl::btf;
    const auto memory = memory_with(identity);
    const Features features = features_of(memory);
    EXPECT_EQ(features.vendor, Vendor::Amd);
    EXPECT_EQ(features.signature, 0x00A20F12u);
    EXPECT_TRUE(features.rtm && features.bus_lock_detect && features.dbext && features.btf);
    EXPECT_EQ(brand_of(memory), "A processor");
}

TEST(Identify, ReadsWhatSvmDependsOn) {
    Identity identity{};
    identity.cpuid[0] = {7, 0x68747541, 0x444D4163, 0x69746E65};
    identity.cpuid[1].edx = ~0u;                       // everything that CR4 had before leaf 7
    identity.cpuid[1].ecx = ~0u & ~(1u << 17);         // no PCID
    identity.cpuid[2] = {0, 1u << 7 | 1, 1u << 7, 0};  // SMEP, FSGSBASE, shadow stacks
    identity.cpuid[3].eax = 0x8000'000A;
    identity.cpuid[4] = {0, 0, 1u << 2, 1u << 29 | 1u << 11 | 1u << 20};
    identity.cpuid[8].eax = 48 << 8 | 40;
    identity.cpuid[9] = {1, 16, 0, 1u << 3 | 1u << 25};
    const Features::Svm svm = features_of(memory_with(identity)).svm;
    EXPECT_EQ(svm.asids, 16u);
    EXPECT_EQ(svm.physical_bits, 40);
    EXPECT_TRUE(svm.long_mode && svm.shadow_stacks && svm.has(Features::Svm::nrips) && svm.has(Features::Svm::v_nmi));
    EXPECT_FALSE(svm.has(Features::Svm::decode_assists));
    EXPECT_EQ(svm.cr4_absent, 1ull << 11 | 1ull << 12 | 1ull << 17 | 1ull << 21 | 1ull << 22);
    EXPECT_EQ(svm.efer_absent,
              1ull << 13 | 1ull << 14 | 1ull << 15 | 1ull << 17 | 1ull << 18 | 1ull << 20 | 1ull << 21);
    identity.cpuid[4].ecx = 0;
    EXPECT_EQ(features_of(memory_with(identity)).svm, Features::Svm{}) << "no SVM";
}

TEST(Identify, LeavesAboveTheHighestDoNotCount) {
    Identity identity{};
    identity.cpuid[0] = {6, 0x756E6547, 0x6C65746E, 0x49656E69};  // GenuineIntel
    identity.cpuid[2] = {0, ~0u, ~0u, 0};
    identity.cpuid[4].ecx = ~0u;
    const Features features = features_of(memory_with(identity));
    EXPECT_EQ(features.vendor, Vendor::Intel);
    EXPECT_FALSE(features.rtm || features.bus_lock_detect || features.dbext || features.btf);
    EXPECT_EQ(brand_of(memory_with(identity)), "");
}

/// What #VMEXIT comes back to must be out of the guest's reach, and meet no exception that it cannot tell of.
TEST(Stage, TheMonitorHasPagesATableAndAHandlerOfItsOwn) {
    const Stage& svm = *stage_of(World::Svm, Mode::Long64);
    const auto word = [&](std::uint64_t address) {
        std::uint64_t value;
        std::memcpy(&value, svm.memory.data() + address, sizeof value);
        return value;
    };
    for (std::uint64_t page = layout::vmcb; page < layout::ram_size; page += layout::page)
        EXPECT_FALSE(page_access(page).present) << page << ": the guest's tables do not map it";
    EXPECT_EQ(svm.entry, layout::monitor);
    EXPECT_EQ(word(layout::monitor_data - 8), 0u) << "its text ends within its page";
    EXPECT_EQ(svm.cr3, layout::monitor_page_tables);
    const std::uint64_t large_page = word(layout::monitor_page_tables + 2 * layout::page);
    EXPECT_EQ(large_page & ~0xFFFull, 0u) << "linear is physical";
    EXPECT_EQ(large_page & 0x83, 0x83u);
    EXPECT_EQ(svm.gdt_base, layout::monitor_gdt);
    EXPECT_EQ(word(layout::monitor_gdt + layout::kernel_cs), word(layout::gdt + layout::kernel_cs));
    EXPECT_EQ(svm.idt_base, layout::monitor_idt);
    EXPECT_EQ(svm.idt_limit, (wake_vector + 1) * 16 - 1);
    for (unsigned vector = 0; vector <= wake_vector; ++vector) {
        const std::uint64_t low = word(layout::monitor_idt + 16 * vector);
        EXPECT_EQ(low >> 32 & 0xFF07, 0x8E00u) << "present, an interrupt gate, no IST: the TSS is the guest's";
        const std::uint64_t handler = (low & 0xFFFF) | (low >> 48) << 16;
        EXPECT_GT(handler, layout::monitor);
        EXPECT_LT(handler, layout::monitor_data);
    }
}

}  // namespace
}  // namespace faultline::guest
