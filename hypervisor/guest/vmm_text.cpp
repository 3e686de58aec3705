#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "hypervisor/guest/text.hpp"
#include "hypervisor/guest/toml_reader.hpp"
#include "hypervisor/guest/toml_writer.hpp"
#include "hypervisor/guest/vmm.hpp"

namespace faultline::guest {
namespace {

using svm::Intercept;
using svm::Vmcb;

#define FAULTLINE_FIELD(name, member) \
    VmcbField { name, offsetof(Vmcb, member), sizeof(Vmcb::member) }
#define FAULTLINE_SEGMENT(name, member)                                                            \
    VmcbField{name "-selector", offsetof(Vmcb, member) + offsetof(svm::VmcbSegment, selector), 2}, \
        {name "-attributes", offsetof(Vmcb, member) + offsetof(svm::VmcbSegment, attributes), 2},  \
        {name "-limit", offsetof(Vmcb, member) + offsetof(svm::VmcbSegment, limit), 4}, {          \
        name "-base", offsetof(Vmcb, member) + offsetof(svm::VmcbSegment, base), 8                 \
    }
constexpr VmcbField fields[] = {
    FAULTLINE_FIELD("intercepts-4", intercept_4),
    FAULTLINE_FIELD("iopm-base", iopm_base),
    FAULTLINE_FIELD("msrpm-base", msrpm_base),
    FAULTLINE_FIELD("asid", asid),
    FAULTLINE_FIELD("tlb-control", tlb_control),
    FAULTLINE_FIELD("virtual-interrupts", virtual_interrupts),
    FAULTLINE_FIELD("interrupt-shadow", interrupt_shadow),
    FAULTLINE_FIELD("nested-control", nested_control),
    FAULTLINE_FIELD("event-injection", event_injection),
    FAULTLINE_FIELD("nested-cr3", nested_cr3),
    FAULTLINE_FIELD("virtualisation", virtualisation),
    FAULTLINE_FIELD("clean-bits", clean_bits),
    FAULTLINE_FIELD("next-rip", next_rip),
    FAULTLINE_SEGMENT("cs", cs),
    FAULTLINE_SEGMENT("ss", ss),
    FAULTLINE_FIELD("cpl", cpl),
    FAULTLINE_FIELD("efer", efer),
    FAULTLINE_FIELD("cr4", cr4),
    FAULTLINE_FIELD("cr3", cr3),
    FAULTLINE_FIELD("cr0", cr0),
    FAULTLINE_FIELD("dr7", dr7),
    FAULTLINE_FIELD("dr6", dr6),
    FAULTLINE_FIELD("rflags", rflags),
    FAULTLINE_FIELD("rip", rip),
    FAULTLINE_FIELD("rsp", rsp),
    FAULTLINE_FIELD("rax", rax),
    FAULTLINE_FIELD("cr2", cr2),
    FAULTLINE_FIELD("g-pat", g_pat),
    FAULTLINE_FIELD("debugctl", debugctl),
};

/// Intercepts that come in sixteens, by number of the register; the rest each have a name.
constexpr std::pair<Intercept, std::string_view> registers[] = {{Intercept::ReadCr0, "read-cr"},
                                                                {Intercept::WriteCr0, "write-cr"},
                                                                {Intercept::ReadDr0, "read-dr"},
                                                                {Intercept::WriteDr0, "write-dr"},
                                                                {Intercept::Cr0WriteTrap, "write-trap-cr"}};
constexpr std::array<std::string_view, 48> named = {"intr",
                                                    "nmi",
                                                    "smi",
                                                    "init",
                                                    "virtual-interrupt",
                                                    "cr0-selective",
                                                    "sidt",
                                                    "sgdt",
                                                    "sldt",
                                                    "str",
                                                    "lidt",
                                                    "lgdt",
                                                    "lldt",
                                                    "ltr",
                                                    "rdtsc",
                                                    "rdpmc",
                                                    "pushf",
                                                    "popf",
                                                    "cpuid",
                                                    "rsm",
                                                    "iret",
                                                    "int-n",
                                                    "invd",
                                                    "pause",
                                                    "hlt",
                                                    "invlpg",
                                                    "invlpga",
                                                    "io",
                                                    "msr",
                                                    "task-switch",
                                                    "ferr-freeze",
                                                    "shutdown",
                                                    "vmrun",
                                                    "vmmcall",
                                                    "vmload",
                                                    "vmsave",
                                                    "stgi",
                                                    "clgi",
                                                    "skinit",
                                                    "rdtscp",
                                                    "icebp",
                                                    "wbinvd",
                                                    "monitor",
                                                    "mwait",
                                                    "mwait-armed",
                                                    "xsetbv",
                                                    "rdpru",
                                                    "efer-write-trap"};
constexpr std::array<std::string_view, 7> named_in_word_5 = {"invlpgb", "illegal-invlpgb", "invpcid", "mcommit",
                                                             "tlbsync", "bus-lock",        "idle-hlt"};
static_assert(static_cast<std::size_t>(Intercept::EferWriteTrap) - static_cast<std::size_t>(Intercept::Intr) + 1 ==
              named.size());
constexpr std::array<std::string_view, 2> on_exception_names = {"reflect", "stop"};
constexpr std::array<std::string_view, 2> on_instruction_names = {"skip", "stop"};
constexpr std::string_view exception_prefix = "exception-";

/// Reads a decimal number below `limit` that is the whole text.
bool read_index(std::string_view text, unsigned limit, unsigned& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() && value < limit;
}

}  // namespace

std::span<const VmcbField> vmcb_fields() { return fields; }

std::string to_text(Intercept value) {
    const auto n = static_cast<unsigned>(value);
    for (const auto& [first, name] : registers)
        if (const unsigned i = n - static_cast<unsigned>(first); i < 16) return fmt::format("{}{}", name, i);
    if (const unsigned v = n - static_cast<unsigned>(Intercept::Exception); v < 32) {
        const std::string name = vector_name(v);
        return name.starts_with('#') ? name : fmt::format("{}{}", exception_prefix, v);
    }
    if (const unsigned i = n - static_cast<unsigned>(Intercept::Intr); i < named.size()) return std::string(named[i]);
    if (const unsigned i = n - static_cast<unsigned>(Intercept::Invlpgb); i < named_in_word_5.size())
        return std::string(named_in_word_5[i]);
    return fmt::format("intercept-{:#x}", n);
}

bool parse(std::string_view text, Intercept& value) {
    unsigned n = 0;
    for (const auto& [first, name] : registers)
        if (text.starts_with(name) && read_index(text.substr(name.size()), 16, n)) return value = first + n, true;
    if (const auto vector = vector_named(text); vector && text.starts_with('#'))
        return value = Intercept::Exception + *vector, true;
    if (text.starts_with(exception_prefix) && read_index(text.substr(exception_prefix.size()), 32, n))
        return value = Intercept::Exception + n, true;
    if (const auto found = std::ranges::find(named, text); found != named.end())
        return value = Intercept::Intr + static_cast<unsigned>(found - named.begin()), true;
    if (const auto found = std::ranges::find(named_in_word_5, text); found != named_in_word_5.end())
        return value = Intercept::Invlpgb + static_cast<unsigned>(found - named_in_word_5.begin()), true;
    return false;
}

std::string exit_text(std::uint64_t code) {
    if (code == svm::exit_code::invalid) return "invalid";
    if (code == svm::exit_code::nested_page_fault) return "npf";
    if (code == svm::exit_code::vmgexit) return "vmgexit";
    return code < 32 * svm::intercept_words ? to_text(static_cast<Intercept>(code)) : to_text(code);
}

bool parse_exit(std::string_view text, std::uint64_t& code) {
    for (const std::uint64_t named :
         {svm::exit_code::invalid, svm::exit_code::nested_page_fault, svm::exit_code::vmgexit})
        if (text == exit_text(named)) return code = named, true;
    Intercept intercept{};
    return parse(text, intercept) && (code = svm::exit_code::of(intercept), true);
}

// --- [vmm]

void write_vmm(std::string& out, const Vmm& vmm) {
    const Vmm otherwise;
    TableWriter table(out, "vmm");
    const auto list = [&](const svm::Intercepts& set) {
        std::vector<Intercept> all;
        for (unsigned n = 0; n < 32 * svm::intercept_words; ++n)
            if (set.has(static_cast<Intercept>(n))) all.push_back(static_cast<Intercept>(n));
        return all;
    };
    svm::Intercepts forced;
    forced.words[2] = vmm.forced;
    table.array("intercepts", list(vmm.intercepts), {});
    table.array("forced", list(forced), {});
    table.name("exceptions", on_exception_names, vmm.exceptions, otherwise.exceptions);
    table.name("instructions", on_instruction_names, vmm.instructions, otherwise.instructions);
    TableWriter vmcb(out, "vmm.vmcb");
    for (const VmcbValue& set : vmm.vmcb) vmcb.line(fields[set.field].name, in_quotes(to_text(set.value)));
}

void read_vmm(TableReader& table, Vmm& vmm) {
    const auto read_list = [&](std::string_view key, auto&& take) {
        table.read_array(key, 32 * svm::intercept_words, [&](const toml::node& node, const std::string& at) {
            Intercept one{};
            table.read_node(node, at, one);
            take(node, one);
        });
    };
    read_list("intercepts", [&](const toml::node&, Intercept one) { vmm.intercepts.set(one); });
    read_list("forced", [&](const toml::node& node, Intercept one) {
        const unsigned vector = static_cast<unsigned>(one) - static_cast<unsigned>(Intercept::Exception);
        if (vector < 32)
            vmm.forced |= 1u << vector;
        else
            table.fail(node, "forced", "an exception", shown(node));
    });
    table.read_enum("exceptions", vmm.exceptions, on_exception_names);
    table.read_enum("instructions", vmm.instructions, on_instruction_names);
    table.read_table("vmcb", [&](TableReader& vmcb) {
        for (std::size_t i = 0; i < std::size(fields); ++i) {
            if (!vmcb.has(fields[i].name)) continue;
            VmcbValue& set = vmm.vmcb.emplace_back();
            set.field = static_cast<std::uint8_t>(i);
            vmcb.read(fields[i].name, set.value);
        }
    });
}

}  // namespace faultline::guest
