#include "hypervisor/guest/tape_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "hypervisor/guest/text.hpp"
#include "hypervisor/guest/vmm.hpp"

namespace faultline::guest {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 11> outcome_names = {
    "completed", "wild-rip",      "tape-overflow",  "double-fault", "shutdown", "halted",
    "hang",      "entry-failure", "internal-error", "crash",        "stopped"};
constexpr std::array<std::string_view, 3> execution_names = {"unknown", "silicon", "emulated"};

// One list of fields serves writing and reading.
template <class T, class Field>
struct Member {
    const char* name;
    Field T::*field;
};
constexpr Member<Record, std::uint64_t> record_members[] = {{"vector", &Record::vector},
                                                            {"error", &Record::error},
                                                            {"rip", &Record::rip},
                                                            {"cs", &Record::cs},
                                                            {"rflags", &Record::rflags},
                                                            {"rsp", &Record::rsp},
                                                            {"ss", &Record::ss},
                                                            {"cr2", &Record::cr2},
                                                            {"rcx", &Record::rcx},
                                                            {"dr6", &Record::dr6},
                                                            {"dr7", &Record::dr7},
                                                            {"handler_flags", &Record::handler_flags},
                                                            {"handler_ss", &Record::handler_ss},
                                                            {"frame", &Record::frame},
                                                            {"complete", &Record::complete}};
constexpr Member<VmExit, std::uint64_t> exit_members[] = {{"code", &VmExit::code},
                                                          {"info1", &VmExit::info_1},
                                                          {"info2", &VmExit::info_2},
                                                          {"int_info", &VmExit::int_info},
                                                          {"next_rip", &VmExit::next_rip},
                                                          {"rip", &VmExit::rip},
                                                          {"rflags", &VmExit::rflags},
                                                          {"rsp", &VmExit::rsp},
                                                          {"rax", &VmExit::rax},
                                                          {"cs", &VmExit::cs},
                                                          {"dr6", &VmExit::dr6},
                                                          {"dr7", &VmExit::dr7},
                                                          {"cr2", &VmExit::cr2},
                                                          {"interrupt_shadow", &VmExit::interrupt_shadow},
                                                          {"event_injection", &VmExit::event_injection},
                                                          {"records", &VmExit::records}};
constexpr Member<Final, std::uint64_t> final_members[] = {
    {"rflags", &Final::rflags},     {"cs", &Final::cs},  {"ss", &Final::ss}, {"dr6", &Final::dr6}, {"dr7", &Final::dr7},
    {"debugctl", &Final::debugctl}, {"cr4", &Final::cr4}};
constexpr Member<Features, bool> feature_members[] = {{"rtm", &Features::rtm},
                                                      {"bus_lock_detect", &Features::bus_lock_detect},
                                                      {"dbext", &Features::dbext},
                                                      {"btf", &Features::btf}};
constexpr Member<Features::Svm, std::uint64_t> svm_words[] = {{"cr4_absent", &Features::Svm::cr4_absent},
                                                              {"efer_absent", &Features::Svm::efer_absent}};
constexpr Member<Features::Svm, bool> svm_flags[] = {{"long_mode", &Features::Svm::long_mode},
                                                     {"shadow_stacks", &Features::Svm::shadow_stacks}};

template <std::size_t n, class Enum>
std::string_view name_of(const std::array<std::string_view, n>& names, Enum value) {
    return names[static_cast<std::size_t>(value) % n];
}

// --- for people

std::string flags_text(std::uint64_t flags) {
    constexpr std::pair<std::string_view, std::uint64_t> spelled[] = {{" TF", rflags::tf}, {" IF", rflags::if_},
                                                                      {" RF", rflags::rf}, {" NT", rflags::nt},
                                                                      {" AC", rflags::ac}, {" DF", rflags::df}};
    std::string text = to_text(flags);
    for (const auto& [name, bit] : spelled)
        if (flags & bit) text += name;
    return text;
}

void append_record(std::string& out, std::size_t index, const Record& record, const Image& image) {
    auto to = std::back_inserter(out);
    fmt::format_to(to, "{:2} {}", index, vector_name(record.vector));
    const auto number = [&](std::string_view name, std::uint64_t value) {
        if (value != not_recorded) fmt::format_to(to, "  {}={}", name, to_text(value));
    };
    if (record.rip != not_recorded) fmt::format_to(to, "  rip={}", address_text(linear_rip(record, image), image));
    if (record.error != 0) number("error", record.error);
    if (record.vector == 14) number("cr2", record.cr2);
    number("cs", record.cs);
    if (record.rflags != not_recorded) fmt::format_to(to, "  rflags={}", flags_text(record.rflags));
    number("dr6", record.dr6);
    number("dr7", record.dr7);
    number("rsp", record.rsp);
    number("rcx", record.rcx);
    if (record.handler_flags != not_recorded)
        fmt::format_to(to, "  handler-flags={}", flags_text(record.handler_flags));
    number("handler-ss", record.handler_ss);
    number("frame", record.frame);
    out += record.complete == 1 ? "\n" : "  (incomplete)\n";
}

void append_exit(std::string& out, const VmExit& exit, const Image& image) {
    auto to = std::back_inserter(out);
    fmt::format_to(to, "   #VMEXIT {}  rip={}", exit_text(exit.code), address_text(exit.rip, image));
    for (const auto& [name, field] : exit_members)
        if (exit.*field != 0 && field != &VmExit::code && field != &VmExit::rip && field != &VmExit::records)
            fmt::format_to(to, "  {}={}", name,
                           field == &VmExit::rflags ? flags_text(exit.rflags) : to_text(exit.*field));
    out += "\n";
}

void append_final(std::string& out, const Final& final) {
    auto to = std::back_inserter(out);
    fmt::format_to(to, "final  cs={}  rflags={}  dr6={}  dr7={}\n", to_text(final.cs), flags_text(final.rflags),
                   to_text(final.dr6), to_text(final.dr7));
    out += "     ";
    for (std::size_t r = 0; r < gpr_count; ++r)
        if (final.gpr[r] != 0) fmt::format_to(to, "  {}={}", gpr_names[r], to_text(final.gpr[r]));
    out += "\n";
}

// --- reading JSON

/// Reads the keys of an object by name; the first thing that is not as expected is the error.
class ObjectReader {
public:
    ObjectReader(const Json& object, std::string path, std::string& error)
        : object_(object), path_(std::move(path)), error_(error) {
        if (!object_.is_object()) fail("", "an object");
    }

    const Json* find(const char* key) {
        if (!error_.empty()) return nullptr;
        const auto found = object_.find(key);
        return found == object_.end() ? nullptr : &*found;
    }
    template <class Number>
    void number(const char* key, Number& value) {
        const auto* node = find(key);
        if (node == nullptr) return;
        if (!node->is_number_unsigned() || !std::in_range<Number>(node->get<std::uint64_t>()))
            return fail(key, "an unsigned number in range");
        value = node->get<Number>();
    }
    void number(const char* key, bool& value) {
        if (const auto* node = find(key))
            node->is_boolean() ? void(value = node->get<bool>()) : fail(key, "true or false");
    }
    template <class T, class Field, std::size_t n>
    void members(const Member<T, Field> (&list)[n], T& value) {
        for (const auto& member : list) number(member.name, value.*member.field);
    }
    template <class Enum, std::size_t n>
    void name(const char* key, const std::array<std::string_view, n>& names, Enum& value) {
        const auto* node = find(key);
        if (node == nullptr) return;
        const auto found = node->is_string()
                               ? std::find(names.begin(), names.end(), node->get_ref<const std::string&>())
                               : names.end();
        if (found == names.end()) return fail(key, "a known name");
        value = static_cast<Enum>(found - names.begin());
    }
    template <class Container>
    void numbers(const char* key, Container& values) {
        const auto* node = find(key);
        if (node == nullptr) return;
        const auto good = [](const Json& element) { return element.is_number_unsigned(); };
        if (!node->is_array() || node->size() != values.size() || !std::all_of(node->begin(), node->end(), good))
            return fail(key, fmt::format("{} unsigned numbers", values.size()));
        std::transform(node->begin(), node->end(), values.begin(),
                       [](const Json& e) { return e.get<std::uint64_t>(); });
    }
    void fail(std::string_view key, std::string_view expected) {
        if (error_.empty()) error_ = fmt::format("{}{}: expected {}, found something else", path_, key, expected);
    }

private:
    const Json& object_;
    std::string path_;
    std::string& error_;
};

constexpr std::size_t max_json_size = 1 << 20, max_detail = 4096;

}  // namespace

std::string_view to_text(Outcome outcome) { return name_of(outcome_names, outcome); }

bool parse(std::string_view text, Outcome& outcome) {
    const auto found = std::find(outcome_names.begin(), outcome_names.end(), text);
    if (found == outcome_names.end()) return false;
    outcome = static_cast<Outcome>(found - outcome_names.begin());
    return true;
}

std::string address_text(std::uint64_t address, const Image& image) {
    const auto place = [](std::string name, std::uint64_t offset) {
        return offset == 0 ? name : fmt::format("{}+{}", name, offset);
    };
    if (address - image.end_address() < 2) return place("end", address - image.end_address());
    for (std::uint16_t i = 0; i < image.op_count; ++i)
        if (address >= image.op_address(i) && address < image.op_address(i + 1u))
            return place(to_text(OpRef{i}), address - image.op_address(i));
    if (image.stage != nullptr) {
        const auto& symbols = image.stage->symbols;
        if (address >= symbols.text_begin && address < symbols.text_end)
            return fmt::format("stage+{}", to_text(address - symbols.text_begin));
    }
    return to_text(address);
}

std::uint64_t linear_rip(const Record& record, const Image& image) {
    return record.rip + (image.mode == Mode::Real16 ? (record.cs & 0xFFFF) << 4 : 0);
}

std::string to_text(const Tape& tape, const Image& image) {
    std::string out;
    std::size_t exit = 0;
    const auto exits_before = [&](std::uint64_t records) {
        for (; exit < std::min(tape.exit_count, tape_capacity) && tape.exits[exit].records <= records; ++exit)
            append_exit(out, tape.exits[exit], image);
    };
    for (std::size_t i = 0; i < std::min(tape.count, tape_capacity); ++i) {
        exits_before(i);
        append_record(out, i, tape.records[i], image);
    }
    exits_before(~0ull);
    out.append("outcome: ").append(to_text(tape.outcome));
    if (tape.outcome != Outcome::Completed) out.append(" at ").append(address_text(tape.stop_rip, image));
    if (!tape.detail.empty()) out.append(" (").append(tape.detail).append(")");
    out += "\n";
    if (tape.outcome == Outcome::Completed) append_final(out, tape.final);
    return out;
}

std::string to_json(const Tape& tape) {
    Json features = {{"vendor", to_text(tape.features.vendor)},
                     {"signature", tape.features.signature},
                     {"cpl0", name_of(execution_names, tape.features.cpl0)},
                     {"cpl3", name_of(execution_names, tape.features.cpl3)}};
    for (const auto& member : feature_members) features[member.name] = tape.features.*member.field;
    if (const Features::Svm& svm = tape.features.svm; svm != Features::Svm{}) {
        Json& json = features["svm"];
        json = {{"asids", svm.asids}, {"edx", svm.edx}, {"physical_bits", svm.physical_bits}};
        for (const auto& member : svm_words) json[member.name] = svm.*member.field;
        for (const auto& member : svm_flags) json[member.name] = svm.*member.field;
    }

    Json records = Json::array();
    for (std::size_t i = 0; i < std::min(tape.count, tape_capacity); ++i) {
        Json record = Json::object();
        for (const auto& member : record_members)
            if (const auto value = tape.records[i].*member.field; value != not_recorded) record[member.name] = value;
        records.push_back(std::move(record));
    }

    Json json = {
        {"features", std::move(features)}, {"outcome", to_text(tape.outcome)}, {"records", std::move(records)}};
    if (tape.exit_count != 0) {
        Json exits = Json::array();
        for (std::size_t i = 0; i < std::min(tape.exit_count, tape_capacity); ++i) {
            Json exit = Json::object();
            for (const auto& member : exit_members)
                if (const auto value = tape.exits[i].*member.field; value != 0) exit[member.name] = value;
            exits.push_back(std::move(exit));
        }
        json["exits"] = std::move(exits);
    }
    if (tape.outcome == Outcome::Completed) {
        Json final = {{"gpr", tape.final.gpr}, {"dr", tape.final.dr}};
        for (const auto& member : final_members)
            if (const auto value = tape.final.*member.field; value != not_recorded) final[member.name] = value;
        json["final"] = std::move(final);
    }
    if (tape.stop_rip != 0) json["stop_rip"] = tape.stop_rip;
    if (!tape.detail.empty()) json["detail"] = tape.detail;
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

tl::expected<Tape, std::string> tape_from_json(std::string_view text) {
    if (text.size() > max_json_size)
        return tl::unexpected(fmt::format("tape: expected at most {} bytes", max_json_size));
    const auto json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) return tl::unexpected<std::string>("tape: expected JSON, found something else");

    Tape tape;
    std::string error;
    ObjectReader root(json, "tape.", error);
    root.name("outcome", outcome_names, tape.outcome);
    root.number("stop_rip", tape.stop_rip);
    if (const auto* detail = root.find("detail")) {
        if (detail->is_string())
            tape.detail = detail->get_ref<const std::string&>().substr(0, max_detail);
        else
            root.fail("detail", "a string");
    }
    if (const auto* node = root.find("features")) {
        ObjectReader features(*node, "tape.features.", error);
        features.name("vendor", vendor_names, tape.features.vendor);
        features.number("signature", tape.features.signature);
        features.name("cpl0", execution_names, tape.features.cpl0);
        features.name("cpl3", execution_names, tape.features.cpl3);
        features.members(feature_members, tape.features);
        if (const auto* inner = features.find("svm")) {
            ObjectReader svm(*inner, "tape.features.svm.", error);
            svm.number("asids", tape.features.svm.asids);
            svm.number("edx", tape.features.svm.edx);
            svm.number("physical_bits", tape.features.svm.physical_bits);
            svm.members(svm_words, tape.features.svm);
            svm.members(svm_flags, tape.features.svm);
        }
    }
    if (const auto* records = root.find("records")) {
        if (!records->is_array() || records->size() > tape_capacity)
            root.fail("records", fmt::format("an array of at most {} records", tape_capacity));
        else
            for (const auto& node : *records)
                ObjectReader(node, "tape.records.", error).members(record_members, tape.records[tape.count++]);
    }
    if (const auto* exits = root.find("exits")) {
        if (!exits->is_array() || exits->size() > tape_capacity)
            root.fail("exits", fmt::format("an array of at most {} exits", tape_capacity));
        else
            for (const auto& node : *exits)
                ObjectReader(node, "tape.exits.", error).members(exit_members, tape.exits[tape.exit_count++]);
    }
    if (const auto* node = root.find("final")) {
        ObjectReader final(*node, "tape.final.", error);
        final.numbers("gpr", tape.final.gpr);
        final.numbers("dr", tape.final.dr);
        final.members(final_members, tape.final);
    }
    if (!error.empty()) return tl::unexpected(std::move(error));
    return tape;
}

}  // namespace faultline::guest
