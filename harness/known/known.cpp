#include "harness/known/known.hpp"

#include <fmt/format.h>
#include <fnmatch.h>
#include <string.h>

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <filesystem>

#include "hypervisor/guest/op.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;

bool glob(const std::string& pattern, const std::string& text) {
    return pattern.empty() || fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

/// Reads one table strictly: a missing, unknown or mistyped key is an error that names it.
class Reader {
public:
    Reader(const toml::table& table, std::string where) : table_(table), where_(std::move(where)) {}

    std::string text(const char* key, bool required) {
        known_.emplace_back(key);
        const toml::node* node = table_.get(key);
        if (!node) {
            if (required) complain(fmt::format("'{}' is missing", key));
            return {};
        }
        if (auto value = node->value_exact<std::string>()) return *value;
        complain(fmt::format("'{}' must be a string", key));
        return {};
    }
    std::vector<std::string> texts(const char* key, bool required) {
        known_.emplace_back(key);
        if (!required && !table_.get(key)) return {};
        std::vector<std::string> all;
        if (const toml::array* array = table_[key].as_array())
            for (const toml::node& node : *array) all.push_back(node.value_exact<std::string>().value_or(""));
        if (all.empty() || std::count(all.begin(), all.end(), ""))
            complain(fmt::format("'{}' must be an array of strings with at least one entry", key));
        return all;
    }
    const toml::table* table(const char* key) {
        known_.emplace_back(key);
        return table_[key].as_table();
    }
    std::optional<std::regex> expression(const char* key) {
        const std::string pattern = text(key, false);
        if (pattern.empty()) return {};
        try {
            return std::regex(pattern, std::regex::ECMAScript | std::regex::multiline);
        } catch (const std::regex_error& e) {
            complain(fmt::format("'{}' is no regular expression: {}", key, e.what()));
            return {};
        }
    }
    std::vector<const toml::table*> tables(const char* key) {
        known_.emplace_back(key);
        std::vector<const toml::table*> all;
        const toml::node* node = table_.get(key);
        const toml::array* array = node ? node->as_array() : nullptr;
        if (array)
            for (const toml::node& each : *array)
                if (each.is_table()) all.push_back(each.as_table());
        if (node && (!array || all.size() != array->size())) complain(fmt::format("'{}' must be tables", key));
        return all;
    }
    /// The first complaint, or empty.
    std::string finish() {
        for (const auto& [key, node] : table_)
            if (!std::count(known_.begin(), known_.end(), std::string_view(key.str())))
                complain(fmt::format("'{}' is not a key of this table", key.str()));
        return complaint_;
    }

private:
    void complain(const std::string& what) {
        if (complaint_.empty()) complaint_ = where_ + ": " + what;
    }
    const toml::table& table_;
    std::string where_, complaint_;
    std::vector<std::string> known_;
};

/// The first complaint, or empty.
std::string load_faces(const std::vector<const toml::table*>& tables, const std::string& where,
                       std::vector<Face>& faces) {
    std::string complaint;
    for (const toml::table* table : tables) {
        Reader reader(*table, where);
        Face face{.signatures = reader.texts("signatures", true),
                  .seen = reader.expression("seen"),
                  .at = reader.expression("at"),
                  .program = reader.expression("program")};
        if (const std::string found = reader.finish(); complaint.empty()) complaint = found;
        if (complaint.empty() && !face.seen && !face.at && !face.program)
            complaint = where + ": one of 'seen', 'at', 'program' is needed";
        faces.push_back(std::move(face));
    }
    return complaint;
}

Result<Known> load(const fs::path& file) {
    toml::table table;
    try {
        table = toml::parse_file(file.string());
    } catch (const toml::parse_error& e) {
        return fail(Exit::Data, fmt::format("{}:{}: {}", file.string(), e.source().begin.line, e.description()));
    }
    Known known;
    known.id = file.stem().string();
    Reader reader(table, file.string());
    if (table.contains("signatures") || !table.contains("face"))
        known.faces.push_back({.signatures = reader.texts("signatures", true)});
    std::string complaint = load_faces(reader.tables("face"), file.string() + ": [[face]]", known.faces);
    known.title = reader.text("title", true);
    known.argument = reader.text("argument", true);
    known.citation = reader.text("citation", true);
    known.source = reader.text("source", false);
    known.program = reader.text("program", true);
    const std::string kind = reader.text("kind", true);
    constexpr std::array<std::string_view, 3> kinds{"bug", "limitation", "fixed-in"};
    const auto found = std::find(kinds.begin(), kinds.end(), kind);
    known.kind = static_cast<KnownKind>(found - kinds.begin());
    if (const toml::table* subject = reader.table("subject")) {
        Reader inner(*subject, file.string() + ": [subject]");
        known.subject = {inner.text("backend", true), inner.text("module", false), inner.text("from", false),
                         inner.text("until", false)};
        if (const std::string found_inside = inner.finish(); complaint.empty()) complaint = found_inside;
    } else if (complaint.empty()) {
        complaint = file.string() + ": the table [subject] is missing";
    }
    if (const std::string outer = reader.finish(); !outer.empty()) complaint = outer;
    if (complaint.empty() && found == kinds.end())
        complaint = fmt::format("{}: kind '{}' is none of bug, limitation, fixed-in", file.string(), kind);
    if (complaint.empty() && known.kind == KnownKind::FixedIn && known.subject.until.empty())
        complaint =
            fmt::format("{}: kind 'fixed-in' needs subject.until, the first version with the fix", file.string());
    if (!complaint.empty()) return fail(Exit::Data, complaint);
    return known;
}

}  // namespace

bool Known::is_about(const guest::Subject& seen_on) const {
    // strverscmp orders kernel releases as people do: 6.9 before 6.12.
    const char* version = seen_on.version.c_str();
    return glob(subject.backend, seen_on.backend) && glob(subject.module, seen_on.module) &&
           (subject.from.empty() || strverscmp(version, subject.from.c_str()) >= 0) &&
           (subject.until.empty() || strverscmp(version, subject.until.c_str()) < 0);
}

bool Face::accepts(const Appearance& look) const {
    const auto fits = [&](const std::string& pattern) { return glob(pattern, look.signature); };
    return std::ranges::any_of(signatures, fits) && (!seen || std::regex_search(look.seen, *seen)) &&
           (!at || std::regex_search(look.at, *at));
}

bool Face::accepts(const Appearance& look, const std::string& program_text) const {
    return accepts(look) && (!program || std::regex_search(program_text, *program));
}

Result<std::vector<Known>> load_known(const std::string& folder) {
    std::error_code error;
    std::vector<fs::path> files;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
        if (it->path().extension() == ".toml") files.push_back(it->path());
    if (error) return fail(Exit::Data, fmt::format("{}: cannot read known findings: {}", folder, error.message()));
    std::sort(files.begin(), files.end());
    std::vector<Known> all;
    for (const fs::path& file : files) {
        auto known = load(file);
        if (!known) return tl::unexpected(known.error());
        all.push_back(*std::move(known));
    }
    return all;
}

const Known* find_known(const std::vector<Known>& all, const guest::Subject& seen_on, const Appearance& look,
                        const std::optional<std::string>& program) {
    const auto accepts = [&](const Face& face) {
        return program ? face.accepts(look, *program) : !face.program && face.accepts(look);
    };
    for (const Known& known : all)
        if (known.is_about(seen_on) && std::ranges::any_of(known.faces, accepts)) return &known;
    return nullptr;
}

std::string at_op(const guest::Case& kase, const guest::Image& image, const guest::Tape& tape,
                  std::size_t record_index) {
    const std::uint64_t rip =
        record_index < tape.count ? guest::linear_rip(tape.records[record_index], image) : tape.stop_rip;
    for (std::size_t i = 0; i < image.op_count; ++i)
        if (rip == image.op_address(i)) return guest::to_text(kase.ops[i]);
    const guest::StageSymbols& stage = image.stage->symbols;
    if (rip == image.end_address()) return "end";
    if (rip == stage.syscall_entry) return "syscall entry";
    const std::uint64_t into_stubs = rip - stage.stubs;
    if (into_stubs < 256 * guest::stub_stride && into_stubs % guest::stub_stride == 0)
        return fmt::format("handler {}", into_stubs / guest::stub_stride);
    return "";
}

}  // namespace faultline::harness
