// World svm: what the hypervisor around a program does. The program itself is drawn like any other.
#include <algorithm>
#include <vector>

#include "harness/generate/draft.hpp"
#include "hypervisor/guest/op.hpp"
#include "hypervisor/guest/vmm.hpp"

namespace faultline::harness {

using namespace guest;
using svm::Intercept;

namespace {

std::uint8_t field_named(std::string_view name) {
    const auto fields = vmcb_fields();
    const auto found = std::ranges::find(fields, name, &VmcbField::name);
    return static_cast<std::uint8_t>(found - fields.begin());
}

/// What programs execute and an intercept may stop, besides exceptions and debug registers.
constexpr Intercept of_instructions[] = {
    Intercept::Cpuid,        Intercept::Rdtsc,        Intercept::Pushf,        Intercept::Popf,
    Intercept::Iret,         Intercept::Icebp,        Intercept::Hlt,          Intercept::SoftwareInterrupt,
    Intercept::Wbinvd,       Intercept::Pause,        Intercept::Io,           Intercept::Msr,
    Intercept::ReadCr0,      Intercept::ReadCr0 + 2,  Intercept::ReadCr0 + 3,  Intercept::ReadCr0 + 4,
    Intercept::ReadCr0 + 8,  Intercept::WriteCr0,     Intercept::WriteCr0,     Intercept::WriteCr0 + 2,
    Intercept::WriteCr0 + 3, Intercept::WriteCr0 + 4, Intercept::WriteCr0 + 8, Intercept::Cr0Selective,
    Intercept::Cr0Selective, Intercept::StoreIdtr,    Intercept::StoreGdtr,    Intercept::StoreLdtr,
    Intercept::StoreTr,      Intercept::LoadIdtr,     Intercept::LoadGdtr,     Intercept::LoadLdtr,
    Intercept::LoadTr,       Intercept::Rdpmc,        Intercept::Rdtscp,       Intercept::Invd,
    Intercept::Invlpg,       Intercept::Invlpga,      Intercept::Vmmcall,      Intercept::Vmload,
    Intercept::Vmsave,       Intercept::Stgi,         Intercept::Clgi,         Intercept::Skinit,
    Intercept::Shutdown,     Intercept::Msr,          Intercept::Io,
};
/// Exceptions that programs meet. 2 and 9 have no defined intercept.
constexpr std::uint8_t of_programs[] = {0, 1, 1, 3, 4, 5, 6, 8, 10, 11, 12, 13, 13, 14, 14, 17};
/// Every vector that has an exception to inject.
constexpr std::uint8_t injectable[] = {0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 18, 19};

/// A VMCB that VMRUN has a reason to refuse, or one that only looks so: one field, just over its boundary.
struct Edge {
    std::string_view field;
    std::uint64_t value;
};
constexpr Edge edges[] = {
    {"efer", 0x500},                       // no SVME
    {"efer", 0x1500 | 1ull << 9},          // a reserved bit
    {"efer", 0x1500 | 1ull << 16},         //
    {"efer", 0x1500 | 1ull << 22},         //
    {"cr0", 0xA0010011},                   // NW without CD
    {"cr0", 0xE0010011},                   // NW with CD: legal
    {"cr0", 1ull << 32 | 0x80010011},      //
    {"cr0", 1ull << 63 | 0x80010011},      //
    {"cr3", 1ull << 52 | 0x1000},          //
    {"cr3", 1ull << 63 | 0x1000},          //
    {"cr4", 0x20 | 1ull << 13},            //
    {"cr4", 0x20 | 1ull << 15},            //
    {"cr4", 0x20 | 1ull << 19},            //
    {"cr4", 0x20 | 1ull << 24},            //
    {"cr4", 0x20 | 1ull << 32},            //
    {"cr4", 0},                            // long mode without PAE
    {"dr6", 1ull << 32 | 0xFFFF0FF0},      //
    {"dr6", 1ull << 63},                   //
    {"dr7", 1ull << 32 | 0x400},           //
    {"dr7", 1ull << 63 | 0x400},           //
    {"dr6", 0},                            // bits that read as ones: legal
    {"dr7", 0},                            //
    {"asid", 0},                           //
    {"asid", 0x7FFF},                      // the last one of the engine's
    {"intercepts-4", 0},                   // no VMRUN intercept
    {"cs-attributes", 0xE9B},              // L with D
    {"iopm-base", 1ull << 48},             // just beyond 48 bits
    {"iopm-base", (1ull << 48) - 0x2000},  // its last page is
    {"msrpm-base", 1ull << 48},            //
    {"msrpm-base", (1ull << 48) - 0x1000},
    {"msrpm-base", (1ull << 48) - 0x1FFF},           // rounded down the last one that there is room for
    {"virtual-interrupts", svm::vintr::nmi_enable},  // without the NMI intercept
    {"virtual-interrupts", svm::vintr::masking},     // legal
    {"event-injection", 0x80000000 | 1 << 8},        // reserved types
    {"event-injection", 0x80000000 | 5 << 8},        //
    {"event-injection", 0x80000000 | 6 << 8},        //
    {"event-injection", 0x80000000 | 7 << 8},        //
    {"event-injection", 0x80000000 | 3 << 8 | 2},    // NMI is no exception
    {"event-injection", 0x80000000 | 3 << 8 | 32},   // nor is this
    {"event-injection", 0x80000000 | 3 << 8 | 255},  //
    {"event-injection", 0x80000000 | 3 << 8 | 4},    // INTO and BOUND, which 64-bit mode lacks
    {"event-injection", 0x80000000 | 3 << 8 | 5},    //
    {"event-injection", 0x80000000 | 3 << 8 | 9},    // reserved
    {"event-injection", 0x80000000 | 3 << 8 | 15},   //
    {"event-injection", 0x80000000 | 3 << 8 | 31},   //
    {"event-injection", 0x7FFFFFFF},                 // V clear: nothing
    {"event-injection", 0x500},                      //
};

/// Edges of several fields.
const std::vector<Edge> other_guests[] = {
    {{"nested-control", 1}, {"nested-cr3", layout::monitor_page_tables}, {"g-pat", 2}},  // a type that is reserved
    {{"nested-control", 1}, {"nested-cr3", 1ull << 52}},
    {{"g-pat", 2}},                                                           // not looked at
    {{"efer", 0x1000}, {"cr0", 0x33}, {"cr4", 0}, {"cs-attributes", 0xE9B}},  // L with D, but no long mode
    {{"efer", 0x1500}, {"cr0", 0x80010010}},                                  // long mode without PE
};

/// Another page as MSRPM, which no program changes: it asks for exits of writes of DEBUGCTL and not of reads.
constexpr std::uint64_t other_msrpm = layout::monitor_idt;

/// An op that meets the intercept.
struct Bait {
    Intercept intercept;
    std::string_view mnemonic;
};
constexpr Bait baits[] = {
    {Intercept::Msr, "rdmsr"},
    {Intercept::Cpuid, "cpuid"},
    {Intercept::Msr, "wrmsr"},
    {Intercept::Io, "in"},
    {Intercept::Rdtsc, "rdtsc"},
    {Intercept::Io, "out-dx"},
    {Intercept::Pushf, "pushf"},
    {Intercept::Io, "rep-outs"},
    {Intercept::Popf, "popf"},
    {Intercept::Cr0Selective, "mov-to-cr0"},
    {Intercept::Io, "in-dx"},
    {Intercept::Iret, "iret"},
    {Intercept::Cr0Selective, "lmsw"},
    {Intercept::Io, "out"},
    {Intercept::SoftwareInterrupt, "int"},
    {Intercept::WriteCr0, "clts"},
    {Intercept::Wbinvd, "wbinvd"},
    {Intercept::WriteCr0, "lmsw"},
    {Intercept::Pause, "pause"},
    {Intercept::ReadCr0, "smsw"},
    {Intercept::Icebp, "icebp"},
    {Intercept::Rdtscp, "rdtscp"},
    {Intercept::WriteDr0 + 7, "mov-to-dr"},
    {Intercept::WriteDr0 + 6, "mov-to-dr"},
    {Intercept::SoftwareInterrupt, "int3"},
    {Intercept::Hlt, "hlt"},
};

}  // namespace

void Draft::set_vmcb(std::string_view name, std::uint64_t value) {
    const VmcbValue set{field_named(name), {std::nullopt, value}};
    auto& all = case_.vmm.vmcb;
    const auto place = std::ranges::lower_bound(all, set.field, {}, &VmcbValue::field);
    if (place != all.end() && place->field == set.field)
        *place = set;
    else
        all.insert(place, set);
}

void Draft::intercepts() {
    Vmm& vmm = case_.vmm;
    const auto some_exception = [&] {
        vmm.intercepts.set(Intercept::Exception + of_programs[random_.below(std::size(of_programs))]);
    };
    const auto some_dr = [&] {
        vmm.intercepts.set((random_.percent(50) ? Intercept::ReadDr0 : Intercept::WriteDr0) + random_.below(8));
    };
    const auto some_instruction = [&] {
        vmm.intercepts.set(of_instructions[random_.below(std::size(of_instructions))]);
    };
    if (random_.percent(weights_.forced_exceptions)) vmm.forced = static_cast<std::uint32_t>(random_.next());
    const unsigned style = random_.below(100);
    if (style < weights_.no_intercepts) return;
    if (style < weights_.no_intercepts + weights_.all_intercepts) {
        for (const std::uint8_t vector : of_programs) vmm.intercepts.set(Intercept::Exception + vector);
        for (unsigned n = 0; n < 8; ++n)
            vmm.intercepts.set(Intercept::ReadDr0 + n), vmm.intercepts.set(Intercept::WriteDr0 + n);
        for (const Intercept one : of_instructions) vmm.intercepts.set(one, random_.percent(50));
        return;
    }
    for (unsigned n = 1 + random_.below(4); n > 0; --n) {
        const unsigned what = random_.below(100);
        what < 50 ? some_exception() : what < 70 ? some_dr() : some_instruction();
    }
}

void Draft::injection() {
    namespace info = svm::event_info;
    const unsigned what = random_.below(100);
    if (what < 15)
        return set_vmcb("event-injection", info::make(info::Nmi, static_cast<std::uint8_t>(random_.below(4))));
    const auto interrupt = static_cast<std::uint8_t>(random_.percent(70) ? layout::first_int_vector + random_.below(16)
                                                                         : random_.below(256));
    if (what < 35) return set_vmcb("event-injection", info::make(info::External, interrupt));
    // What an instruction raised goes on behind it: here, at some op.
    set_vmcb("next-rip", 0);
    case_.vmm.vmcb.back().value = forward(1 + random_.below(3));
    if (what < 50) return set_vmcb("event-injection", info::make(info::Software, interrupt));
    const std::uint8_t vector = injectable[random_.below(std::size(injectable))];
    constexpr std::uint32_t with_error = 0x27D00;
    const bool error = (with_error >> vector & 1) != random_.percent(4);
    set_vmcb("event-injection", error ? info::make(info::Exception, vector,
                                                   vector == 8 ? 0 : static_cast<std::uint32_t>(random_.below(32)))
                                      : info::make(info::Exception, vector));
    if (vector == 14) set_vmcb("cr2", data_address());
}

void Draft::bait() {
    if (!random_.percent(weights_.bait)) return;
    const std::size_t first = random_.below(std::size(baits));
    for (std::size_t n = 0; n < std::size(baits); ++n) {
        const Bait& one = baits[(first + n) % std::size(baits)];
        if (!case_.vmm.intercepts.has(one.intercept)) continue;
        const auto catalogue = op_catalogue();
        for (std::size_t i = 0; i < catalogue.size(); ++i)
            if (catalogue[i].mnemonic == one.mnemonic && op_exists(i, case_.mode, case_.world)) return move(i);
    }
}

/// #GP becomes a #DF, and that a shutdown: neither has a gate.
void Draft::no_double_fault() {
    constexpr std::uint8_t df = 8, gp = 13;
    auto& gates = case_.environment.surroundings.gates;
    if (!profile_.machine || !gates.empty()) return;
    for (const std::uint8_t vector : {df, gp}) {
        Gate absent;
        absent.vector.number = vector;
        absent.present = false;
        gates.push_back(absent);
    }
}

void Draft::hypervisor() {
    Vmm& vmm = case_.vmm;
    vmm = {};
    intercepts();
    if (random_.percent(weights_.stop_at_exceptions)) vmm.exceptions = Vmm::OnException::Stop;
    if (random_.percent(weights_.stop_at_instructions)) vmm.instructions = Vmm::OnInstruction::Stop;
    if (random_.percent(weights_.injection)) injection();
    if (random_.percent(20)) set_vmcb("cr2", data_address());
    if (random_.percent(10)) set_vmcb("asid", 1 + random_.below(0x7FFF));
    if (random_.percent(8)) set_vmcb("interrupt-shadow", 1);
    if (random_.percent(weights_.vmcb_edge)) {
        const Edge& edge = edges[random_.below(std::size(edges))];
        set_vmcb(edge.field, edge.value);
        at_edge_ = true;
    } else if (random_.percent(weights_.other_guest)) {
        for (const Edge& edge : other_guests[random_.below(std::size(other_guests))]) set_vmcb(edge.field, edge.value);
        at_edge_ = true;
    }
    if (vmm.intercepts.has(Intercept::Msr) && random_.percent(weights_.other_msrpm))
        set_vmcb("msrpm-base", other_msrpm | random_.below(layout::page));
    if (random_.percent(weights_.no_double_fault)) no_double_fault();
    if (random_.percent(weights_.intercept_shutdown)) vmm.intercepts.set(Intercept::Shutdown);
}

}  // namespace faultline::harness
