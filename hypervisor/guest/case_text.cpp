#include "hypervisor/guest/case_text.hpp"

#include <xxhash.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "hypervisor/guest/toml_reader.hpp"
#include "hypervisor/guest/toml_writer.hpp"

namespace faultline::guest {
namespace {

constexpr std::array<std::string_view, 2> gates_names = {"dpl0", "dpl3"};
constexpr std::array<std::string_view, 3> wake_names = {"none", "interrupt", "nmi"};
constexpr std::array<std::string_view, 3> db_names = {"resume", "resume-rf", "skip"};
constexpr std::array<std::string_view, 2> dr6_names = {"clear", "keep"};
constexpr std::array<std::string_view, 2> fault_rf_names = {"keep", "clear"};
constexpr std::array<std::string_view, 4> gate_type_names = {"interrupt", "trap", "task", "reserved"};
constexpr std::array<std::string_view, 2> target_names = {"stub", "out-of-range"};

// --- writing

void write_surroundings(std::string& out, const Surroundings& surroundings) {
    const Surroundings otherwise;
    TableWriter table(out, "environment.surroundings");
    const auto limit = [&](std::string_view key, std::uint16_t value, std::uint16_t default_value) {
        table.value(key, std::uint64_t{value}, std::uint64_t{default_value});
    };
    limit("idt-limit", surroundings.idt_limit, otherwise.idt_limit);
    limit("tss-limit", surroundings.tss_limit, otherwise.tss_limit);
    table.value("inner-stack", surroundings.inner_stack, otherwise.inner_stack);
    limit("inner-ss", surroundings.inner_ss, otherwise.inner_ss);
    table.value("ist2", surroundings.ist2, otherwise.ist2);
    table.flag("alignment-check", surroundings.alignment_check);

    for (const Gate& gate : surroundings.gates) {
        const Gate plain;
        out += "\n[[environment.surroundings.gates]]\n";
        TableWriter one(out, "");
        one.line("vector", in_quotes(to_text(gate.vector)));
        one.name("type", gate_type_names, gate.type, plain.type);
        one.value("dpl", std::uint64_t{gate.dpl}, std::uint64_t{plain.dpl});
        if (!gate.present) one.line("present", "false");
        one.value("selector", std::uint64_t{gate.selector}, std::uint64_t{plain.selector});
        one.value("ist", std::uint64_t{gate.ist}, std::uint64_t{plain.ist});
        one.name("target", target_names, gate.target, plain.target);
    }

    if (!surroundings.task) return;
    const Task plain, &task = *surroundings.task;
    out += "\n[environment.surroundings.task]\n";
    TableWriter one(out, "");
    one.line("eip", in_quotes(to_text(task.eip)));
    one.value("eflags", task.eflags, plain.eflags);
    one.flag("trap", task.trap);
    one.flag("busy", task.busy);
}

void write_environment(std::string& out, const Environment& environment) {
    const Environment otherwise;
    TableWriter table(out, "environment");
    table.array("dr", environment.dr, otherwise.dr);
    table.value("dr6", environment.dr6, otherwise.dr6);
    table.value("dr7", environment.dr7, otherwise.dr7);
    table.value("rflags", environment.rflags, otherwise.rflags);
    table.flag("de", environment.de);
    table.flag("btf", environment.btf);
    table.name("gates", gates_names, environment.gates, otherwise.gates);
    table.name("wake", wake_names, environment.wake, otherwise.wake);
    table.array("stack", environment.stack, otherwise.stack);

    TableWriter gpr(out, "environment.gpr");
    for (std::size_t r = 0; r < gpr_count; ++r) gpr.value(gpr_names[r], environment.gpr[r], otherwise.gpr[r]);

    TableWriter policy(out, "environment.policy");
    policy.name("db", db_names, environment.policy.db, otherwise.policy.db);
    policy.name("dr6", dr6_names, environment.policy.dr6, otherwise.policy.dr6);
    policy.name("fault-rf", fault_rf_names, environment.policy.fault_rf, otherwise.policy.fault_rf);
    write_surroundings(out, environment.surroundings);
}

// --- reading

/// A number of a field that is smaller than 64 bits.
template <class Number>
void read_small(TableReader& table, std::string_view key, Number& value, std::uint64_t limit) {
    const auto* node = table.find(key);
    if (node == nullptr) return;
    std::uint64_t number = 0;
    table.read_node(*node, table.name(key), number);
    if (number > limit) return table.fail(*node, key, fmt::format("a number 0…{}", to_text(limit)), shown(*node));
    value = static_cast<Number>(number);
}

void read_gate(TableReader& table, Gate& gate) {
    if (!table.has("vector")) table.fail_here("vector", "a vector");
    table.read("vector", gate.vector);
    table.read_enum("type", gate.type, gate_type_names);
    read_small(table, "dpl", gate.dpl, 3);
    table.read("present", gate.present);
    read_small(table, "selector", gate.selector, 0xFFFF);
    read_small(table, "ist", gate.ist, 7);
    table.read_enum("target", gate.target, target_names);
}

void read_surroundings(TableReader& table, Surroundings& surroundings) {
    read_small(table, "idt-limit", surroundings.idt_limit, 0xFFFF);
    read_small(table, "tss-limit", surroundings.tss_limit, 0xFFFF);
    table.read("inner-stack", surroundings.inner_stack);
    read_small(table, "inner-ss", surroundings.inner_ss, 0xFFFF);
    table.read("ist2", surroundings.ist2);
    table.read("alignment-check", surroundings.alignment_check);
    table.read_tables("gates", max_gates,
                      [&](TableReader& gate) { read_gate(gate, surroundings.gates.emplace_back()); });
    table.read_table("task", [&](TableReader& one) {
        Task& task = surroundings.task.emplace();
        if (!one.has("eip")) one.fail_here("eip", "an op's address");
        one.read("eip", task.eip);
        one.read("eflags", task.eflags);
        one.read("trap", task.trap);
        one.read("busy", task.busy);
    });
}

void read_environment(TableReader& table, Environment& environment) {
    std::size_t count = 0;
    table.read_array("dr", environment.dr.size(), [&](const toml::node& node, const std::string& key) {
        table.read_node(node, key, environment.dr[count++]);
    });
    table.read("dr6", environment.dr6);
    table.read("dr7", environment.dr7);
    table.read("rflags", environment.rflags);
    table.read("de", environment.de);
    table.read("btf", environment.btf);
    table.read_enum("gates", environment.gates, gates_names);
    table.read_enum("wake", environment.wake, wake_names);
    table.read_array("stack", std::tuple_size_v<decltype(Image::stack)>,
                     [&](const toml::node& node, const std::string& key) {
                         table.read_node(node, key, environment.stack.emplace_back());
                     });
    table.read_table("gpr", [&](TableReader& gpr) {
        for (std::size_t r = 0; r < gpr_count; ++r)
            if (static_cast<Gpr>(r) != Gpr::Rsp) gpr.read(gpr_names[r], environment.gpr[r]);
    });
    table.read_table("policy", [&](TableReader& policy) {
        policy.read_enum("db", environment.policy.db, db_names);
        policy.read_enum("dr6", environment.policy.dr6, dr6_names);
        policy.read_enum("fault-rf", environment.policy.fault_rf, fault_rf_names);
    });
    table.read_table("surroundings",
                     [&](TableReader& surroundings) { read_surroundings(surroundings, environment.surroundings); });
}

}  // namespace

// --- toml_reader.hpp

TomlFile::TomlFile(std::string_view text, std::string_view name) : name_(name) {
    if (text.size() > max_file_size) {
        fail(0, fmt::format("file: expected at most {} bytes, found {}", max_file_size, text.size()));
    } else {
        try {  // the packaged library is built with exceptions; they end here
            root_ = toml::parse(text, name);
        } catch (const toml::parse_error& error) {
            fail(error.source().begin.line,
                 fmt::format("file: expected TOML, found an error: {}", error.description()));
        }
    }
}

void TomlFile::fail(std::uint32_t line, std::string message) {
    // One line, whatever the file holds.
    std::ranges::replace_if(
        message, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7F; }, '?');
    if (ok()) error_ = ParseError{name_, line, std::move(message)};
}

std::string shown(const toml::node& node) {
    if (node.is_table()) return "a table";
    if (node.is_array()) return "an array";
    std::ostringstream out;
    node.visit([&](const auto& value) {
        if constexpr (toml::is_string<decltype(value)>)
            out << backquoted(value.get());
        else
            out << value;
    });
    return out.str();
}

Case read_case(TomlFile& file, TableReader& root) {
    Case result;
    root.read_enum("world", result.world, world_names);
    root.read_enum("mode", result.mode, mode_names);
    if (const auto* node = root.find("cpl")) {
        const auto cpl = node->value_exact<std::int64_t>();
        if (cpl == 0 || cpl == 3)
            result.cpl = static_cast<std::uint8_t>(*cpl);
        else
            root.fail(*node, "cpl", "0 or 3", shown(*node));
    }
    std::vector<std::pair<const toml::node*, OpRef>> references;
    root.read_array("ops", max_ops, [&](const toml::node& node, const std::string& key) {
        const auto text = node.value_exact<std::string_view>();
        if (!text) return file.fail(node, key, "an op in a string", shown(node));
        auto op = parse_op(*text);
        if (!op) return file.fail(node.source().begin.line, fmt::format("{}: {}", key, op.error()));
        if (const auto symbol = encoding_key(*op, result.mode).symbol; symbol.op)
            references.emplace_back(&node, *symbol.op);
        result.ops.push_back(*std::move(op));
    });
    if (!root.has("ops")) file.fail(0, "ops: expected an array of ops, found nothing");
    file.op_count = result.ops.size();
    for (const auto& [node, op] : references)
        if (op.index > file.op_count)
            file.fail(*node, "ops", fmt::format("an op up to op{}, the end", file.op_count), to_text(op));
    root.read_table("environment", [&](TableReader& table) { read_environment(table, result.environment); });
    if (result.world == World::Svm) root.read_table("vmm", [&](TableReader& table) { read_vmm(table, result.vmm); });
    return result;
}

// --- case_text.hpp

std::string ParseError::text() const {
    return line == 0 ? fmt::format("{}: {}", file, message) : fmt::format("{}:{}: {}", file, line, message);
}

std::string to_toml(const Case& subject_case) {
    std::string out;
    TableWriter root(out, "");
    root.name("world", world_names, subject_case.world, World::Bare);
    root.name("mode", mode_names, subject_case.mode, Mode::Long64);
    if (subject_case.cpl != 0) root.line("cpl", fmt::format("{}", subject_case.cpl));
    out += "ops = [\n";
    for (const auto& op : subject_case.ops) fmt::format_to(std::back_inserter(out), "  \"{}\",\n", to_text(op));
    out += "]\n";
    write_environment(out, subject_case.environment);
    write_vmm(out, subject_case.vmm);
    return out;
}

tl::expected<Case, ParseError> parse_case(std::string_view text, std::string_view filename) {
    TomlFile file(text, filename);
    TableReader root(file, file.root());
    auto result = read_case(file, root);
    root.finish();
    if (!file.ok()) return tl::unexpected(file.error());
    return result;
}

nlohmann::json to_json(const Case& subject_case) {
    std::ostringstream out;
    out << toml::json_formatter(TomlFile(to_toml(subject_case), "").root());
    return nlohmann::json::parse(out.str());
}

std::uint64_t hash(const Case& subject_case) {
    const auto text = to_toml(subject_case);
    return XXH3_64bits(text.data(), text.size());
}

std::string hash_text(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

}  // namespace faultline::guest
