#include "hypervisor/guest/case_file.hpp"

#include <utility>

#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/guest/toml_reader.hpp"
#include "hypervisor/guest/vmm.hpp"

namespace faultline::guest {
namespace {

constexpr std::array<std::string_view, 3> about_vendor_names = {"both", "amd", "intel"};
constexpr std::array<std::string_view, 4> dr_names = {"dr0", "dr1", "dr2", "dr3"};
constexpr std::size_t max_rules = 64;

constexpr std::pair<std::string_view, std::uint64_t> flag_names[] = {
    {"cf", rflags::cf}, {"pf", rflags::pf}, {"af", rflags::af},  {"zf", rflags::zf},
    {"sf", rflags::sf}, {"tf", rflags::tf}, {"if", rflags::if_}, {"df", rflags::df},
    {"of", rflags::of}, {"nt", rflags::nt}, {"rf", rflags::rf},  {"ac", rflags::ac}};
/// Those that delivery may leave or clear in the handler.
constexpr std::pair<std::string_view, std::uint64_t> handler_flag_names[] = {
    {"handler-tf", rflags::tf}, {"handler-if", rflags::if_}, {"handler-nt", rflags::nt}, {"handler-ac", rflags::ac}};
using FlagNames = std::span<const std::pair<std::string_view, std::uint64_t>>;

void read_flag_bits(TableReader& table, FlagNames names, ExpectedFlags& flags) {
    for (const auto& [name, bit] : names) {
        std::optional<bool> flag;
        table.read(name, flag);
        if (!flag) continue;
        flags.mask |= bit;
        flags.value = *flag ? flags.value | bit : flags.value & ~bit;
    }
}

void read_flags(TableReader& table, ExpectedFlags& flags) {
    std::optional<std::uint64_t> all;
    table.read("rflags", all);
    if (all) flags = {~0ull, *all};
    read_flag_bits(table, flag_names, flags);
}

/// A vector by name or number.
void read_vector(TableReader& table, std::uint64_t& vector) {
    const auto* node = table.find("vector");
    const auto name = node ? node->value_exact<std::string_view>() : std::nullopt;
    if (const auto named = name ? vector_named(*name) : std::nullopt)
        vector = *named;
    else if (Vector number; node) {
        table.read_node(*node, table.name("vector"), number);
        vector = number.number;
    }
}

void read_record(TableReader& table, ExpectedRecord& record) {
    read_vector(table, record.vector);
    table.read("rip", record.rip);
    table.read("error", record.error);
    table.read("cr2", record.cr2);
    table.read("rcx", record.rcx);
    table.read("cs", record.cs);
    table.read("dr6", record.dr6);
    table.read("dr7", record.dr7);
    table.read("handler-ss", record.handler_ss);
    table.read("frame", record.frame);
    read_flags(table, record.flags);
    read_flag_bits(table, handler_flag_names, record.handler_flags);
    if (table.has("when")) {
        enum class Only : std::uint8_t { Amd, Intel } only{};
        table.read_enum("when", only, std::span(about_vendor_names).subspan(1));
        record.when = only == Only::Amd ? Vendor::Amd : Vendor::Intel;
    }
}

// One list of numbers serves reading and comparing.
struct ExitNumber {
    const char* name;
    std::optional<Value> ExpectedExit::*expected;
    std::uint64_t VmExit::*seen;
};
constexpr ExitNumber exit_numbers[] = {{"info1", &ExpectedExit::info_1, &VmExit::info_1},
                                       {"info2", &ExpectedExit::info_2, &VmExit::info_2},
                                       {"int-info", &ExpectedExit::int_info, &VmExit::int_info},
                                       {"next-rip", &ExpectedExit::next_rip, &VmExit::next_rip},
                                       {"rsp", &ExpectedExit::rsp, &VmExit::rsp},
                                       {"rax", &ExpectedExit::rax, &VmExit::rax},
                                       {"cs", &ExpectedExit::cs, &VmExit::cs},
                                       {"dr6", &ExpectedExit::dr6, &VmExit::dr6},
                                       {"dr7", &ExpectedExit::dr7, &VmExit::dr7},
                                       {"cr2", &ExpectedExit::cr2, &VmExit::cr2},
                                       {"records", &ExpectedExit::records, &VmExit::records},
                                       {"event-injection", &ExpectedExit::event_injection, &VmExit::event_injection}};

void read_exit(TableReader& table, ExpectedExit& exit) {
    if (const auto* node = table.find("code"))
        if (!parse_exit(node->value_exact<std::string_view>().value_or(""), exit.code))
            table.fail(*node, "code", "an intercept, npf or invalid", shown(*node));
    table.read("rip", exit.rip);
    for (const ExitNumber& number : exit_numbers) table.read(number.name, exit.*number.expected);
    table.read("shadow", exit.shadow);
    read_flags(table, exit.flags);
}

void read_final(TableReader& table, ExpectedFinal& final) {
    if (const auto* node = table.find("outcome"))
        if (!parse(node->value_exact<std::string_view>().value_or(""), final.outcome))
            table.fail(*node, "outcome", "completed, halted, shutdown or another outcome", shown(*node));
    for (std::size_t r = 0; r < gpr_count; ++r) table.read(gpr_names[r], final.gpr[r]);
    for (std::size_t i = 0; i < dr_names.size(); ++i) table.read(dr_names[i], final.dr[i]);
    table.read("dr6", final.dr6);
    table.read("dr7", final.dr7);
    table.read("debugctl", final.debugctl);
    table.read("de", final.de);
    read_flags(table, final.flags);
}

void read_about(TableReader& table, About& about) {
    table.read("fact", about.fact);
    table.read_array("rules", max_rules, [&](const toml::node& node, const std::string& key) {
        table.read_node(node, key, about.rules.emplace_back());
    });
    table.read("citation", about.citation);
    table.read("argument", about.argument);
    table.read("quirk", about.quirk);
    table.read_enum("vendor", about.vendor, about_vendor_names);
}

/// Collects one line per difference.
class Comparison {
public:
    Comparison(const Image& image, std::vector<std::string>& out) : image_(image), out_(out) {}

    void at(std::string place) { place_ = std::move(place); }
    void differs(std::string_view field, std::string_view expected, std::string_view found) {
        out_.push_back(fmt::format("{}: {}: expected {}, found {}", place_, field, expected, found));
    }
    void number(std::string_view field, const std::optional<Value>& expected, std::uint64_t found,
                std::uint64_t unseen = 0) {
        if (!expected || ((image_.resolve(*expected) ^ found) & ~unseen) == 0) return;
        differs(field, to_text(image_.resolve(*expected)), recorded(found));
    }
    void address(std::string_view field, const std::optional<Value>& expected, std::uint64_t found) {
        if (!expected || image_.resolve(*expected) == found) return;
        differs(field, address_text(image_.resolve(*expected), image_), address_text(found, image_));
    }
    void flags(const ExpectedFlags& expected, std::uint64_t found) {
        if (expected.mask == ~0ull && expected.value != found)
            return differs("rflags", to_text(expected.value), recorded(found));
        bits(flag_names, expected, found);
    }
    void bits(FlagNames names, const ExpectedFlags& expected, std::uint64_t found) {
        for (const auto& [name, bit] : names)
            if (expected.mask & bit & (expected.value ^ found))
                differs(name, to_text((expected.value & bit) != 0), to_text((found & bit) != 0));
    }

private:
    static std::string recorded(std::uint64_t value) {
        return value == not_recorded ? "nothing recorded" : to_text(value);
    }
    const Image& image_;
    std::vector<std::string>& out_;
    std::string place_;
};

}  // namespace

tl::expected<CaseFile, ParseError> parse_case_file(std::string_view text, std::string_view filename) {
    TomlFile file(text, filename);
    TableReader root(file, file.root());
    CaseFile result;
    result.subject_case = read_case(file, root);
    root.read_table("about", [&](TableReader& table) { read_about(table, result.about); });
    if (root.has("expect") || root.has("expect-exit") || root.has("expect-final")) {
        auto& expectation = result.expectation.emplace();
        root.read_tables("expect", tape_capacity, [&](TableReader& table) {
            if (!table.has("vector")) table.fail_here("vector", "a vector");
            read_record(table, expectation.records.emplace_back());
        });
        root.read_tables("expect-exit", tape_capacity, [&](TableReader& table) {
            if (!table.has("code")) table.fail_here("code", "an exit code");
            read_exit(table, expectation.exits.emplace_back());
        });
        root.read_table("expect-final", [&](TableReader& table) { read_final(table, expectation.final); });
    }
    root.finish();
    if (!file.ok()) return tl::unexpected(file.error());
    return result;
}

bool applies(const About& about, Vendor vendor) { return about.vendor == Vendor::Unknown || about.vendor == vendor; }

std::vector<std::string> mismatches(const Expectation& expectation, const Image& image, const Tape& tape) {
    std::vector<std::string> result;
    Comparison compare(image, result);
    compare.at("tape");
    if (tape.outcome != expectation.final.outcome)
        compare.differs("outcome", to_text(expectation.final.outcome), to_text(tape.outcome));

    std::vector<const ExpectedRecord*> expected;
    for (const auto& record : expectation.records) {
        if (record.when && *record.when != tape.features.vendor) continue;
        // A handler's own events are that kernel's: Tape::through_kernel.
        if (tape.through_kernel && record.cs && (image.resolve(*record.cs) & 3) == 0) continue;
        expected.push_back(&record);
    }
    if (expected.size() != tape.count)
        compare.differs("records", std::to_string(expected.size()), std::to_string(tape.count));

    for (std::size_t i = 0; i < std::min<std::size_t>(expected.size(), tape.count); ++i) {
        const auto& [want, seen] = std::tie(*expected[i], tape.records[i]);
        compare.at(fmt::format("record {}", i));
        if (want.vector != seen.vector) compare.differs("vector", vector_name(want.vector), vector_name(seen.vector));
        compare.address("rip", want.rip, linear_rip(seen, image));
        const Unseen unseen = tape.through_kernel ? tape.unseen[i] : Unseen{};
        compare.number("error", want.error, seen.error, unseen.error);
        compare.number("cr2", want.cr2, seen.cr2);
        compare.number("rcx", want.rcx, seen.rcx);
        compare.number("cs", want.cs, seen.cs);
        compare.number("dr6", want.dr6, seen.dr6, unseen.dr6);
        compare.number("dr7", want.dr7, seen.dr7, unseen.dr7);
        compare.flags({want.flags.mask & ~unseen.rflags, want.flags.value}, seen.rflags);
        // A backend that sees events through another kernel has no handler to record these.
        if (seen.handler_flags == not_recorded) continue;
        compare.number("handler-ss", want.handler_ss, seen.handler_ss);
        compare.number("frame", want.frame, seen.frame);
        compare.bits(handler_flag_names, want.handler_flags, seen.handler_flags);
    }
    compare.at("tape");
    if (expectation.exits.size() != tape.exit_count)
        compare.differs("exits", std::to_string(expectation.exits.size()), std::to_string(tape.exit_count));
    for (std::size_t i = 0; i < std::min<std::size_t>(expectation.exits.size(), tape.exit_count); ++i) {
        const auto& [want, seen] = std::tie(expectation.exits[i], tape.exits[i]);
        compare.at(fmt::format("exit {}", i));
        if (want.code != seen.code) compare.differs("code", exit_text(want.code), exit_text(seen.code));
        compare.address("rip", want.rip, seen.rip);
        for (const ExitNumber& number : exit_numbers)
            compare.number(number.name, want.*number.expected, seen.*number.seen);
        if (want.shadow && *want.shadow != (seen.interrupt_shadow & 1))
            compare.differs("shadow", to_text(*want.shadow), to_text(!*want.shadow));
        compare.flags(want.flags, seen.rflags);
    }
    if (tape.outcome != Outcome::Completed || expectation.final.outcome != Outcome::Completed) return result;

    compare.at("final");
    const auto& want = expectation.final;
    for (std::size_t r = 0; r < gpr_count; ++r) compare.number(gpr_names[r], want.gpr[r], tape.final.gpr[r]);
    compare.flags(want.flags, tape.final.rflags);
    if (tape.through_kernel) return result;
    for (std::size_t i = 0; i < dr_names.size(); ++i) compare.number(dr_names[i], want.dr[i], tape.final.dr[i]);
    compare.number("dr6", want.dr6, tape.final.dr6);
    compare.number("dr7", want.dr7, tape.final.dr7);
    compare.number("debugctl", want.debugctl, tape.final.debugctl);
    const bool de = (tape.final.cr4 & cr4_de) != 0;
    if (want.de && *want.de != de) compare.differs("de", to_text(*want.de), to_text(de));
    return result;
}

}  // namespace faultline::guest
