// Strict reading of TOML tables: every key must be known, every value of its form. Internal to this folder.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::guest {

/// A file being read. Remembers the first error, after which nothing more is read.
class TomlFile {
public:
    TomlFile(std::string_view text, std::string_view name);

    bool ok() const { return !error_; }
    const ParseError& error() const { return *error_; }
    const toml::table& root() const { return root_; }
    /// `line` 0: the file as a whole.
    void fail(std::uint32_t line, std::string message);
    void fail(const toml::node& at, std::string_view key, std::string_view expected, std::string_view found) {
        fail(at.source().begin.line, fmt::format("{}: expected {}, found {}", key, expected, found));
    }

    std::size_t op_count = 0;  ///< references up to here are to an op or the end

private:
    std::string name_;
    toml::table root_;
    std::optional<ParseError> error_;
};

/// What a node holds, as an error message shows it.
std::string shown(const toml::node& node);

/// Reads the keys of one table, then rejects the keys nobody asked for.
class TableReader {
public:
    TableReader(TomlFile& file, const toml::table& table, std::string path = {})
        : file_(file), table_(table), path_(std::move(path)) {}

    /// A key that is absent leaves `value` alone.
    template <class T>
    void read(std::string_view key, T& value) {
        if (const auto* node = find(key)) read_node(*node, name(key), value);
    }
    template <class T>
    void read(std::string_view key, std::optional<T>& value) {
        if (const auto* node = find(key)) read_node(*node, name(key), value.emplace());
    }

    /// One of `names`, whose position is the enumerator.
    template <class Enum>
    void read_enum(std::string_view key, Enum& value, std::span<const std::string_view> names) {
        const auto* node = find(key);
        if (node == nullptr) return;
        const auto text = node->value_exact<std::string_view>().value_or("");
        if (const auto found = std::find(names.begin(), names.end(), text); found != names.end())
            value = static_cast<Enum>(found - names.begin());
        else
            fail(*node, key, fmt::format("one of {}", fmt::join(names, ", ")), shown(*node));
    }

    /// Calls `each(node, "key[i]")` for the elements of an array of at most `limit`.
    template <class F>
    void read_array(std::string_view key, std::size_t limit, F&& each) {
        const auto* node = find(key);
        if (node == nullptr) return;
        const auto* array = node->as_array();
        if (array == nullptr) return fail(*node, key, "an array", shown(*node));
        if (array->size() > limit)
            return fail(*node, key, fmt::format("at most {} elements", limit), std::to_string(array->size()));
        for (std::size_t i = 0; i < array->size() && file_.ok(); ++i)
            each((*array)[i], fmt::format("{}[{}]", name(key), i));
    }

    /// Calls `each(TableReader&)` for the table below, if it is there.
    template <class F>
    void read_table(std::string_view key, F&& each) {
        if (const auto* node = find(key)) read_below(*node, name(key), each);
    }
    /// The same for each table of an array of tables.
    template <class F>
    void read_tables(std::string_view key, std::size_t limit, F&& each) {
        read_array(key, limit, [&](const toml::node& node, const std::string& at) { read_below(node, at, each); });
    }

    /// The key with the tables above it, as errors name it.
    std::string name(std::string_view key) const { return path_ + std::string(key); }
    bool has(std::string_view key) const { return table_.contains(key); }
    void fail(const toml::node& at, std::string_view key, std::string_view expected, std::string_view found) {
        file_.fail(at, name(key), expected, found);
    }

    /// A key that should be there.
    void fail_here(std::string_view key, std::string_view expected) { fail(table_, key, expected, "nothing"); }

    void finish() {
        for (const auto& [key, node] : table_)
            if (std::find(known_.begin(), known_.end(), key.str()) == known_.end())
                fail(node, key.str(), "a key that exists", "an unknown one");
    }

    // Values. Numbers stand in strings, as TOML's integers are signed; small ones may also stand bare.
    template <class T>
    void read_node(const toml::node& node, const std::string& key, T& value) {
        bool good = false;
        if constexpr (std::is_same_v<T, bool>) {
            if (const auto flag = node.value_exact<bool>()) value = *flag, good = true;
        } else if constexpr (std::is_same_v<T, std::string>) {
            if (auto text = node.value_exact<std::string>()) value = *std::move(text), good = true;
        } else if (const auto text = node.value_exact<std::string_view>()) {
            good = parse(*text, value);
        } else if (const auto number = node.value_exact<std::int64_t>()) {
            good = parse(std::to_string(*number), value);
        }
        if (!good) return file_.fail(node, key, form(value), shown(node));
        if constexpr (std::is_same_v<T, Value>)
            if (value.op && value.op->index > file_.op_count)
                file_.fail(node, key, fmt::format("an op up to op{}, the end", file_.op_count), shown(node));
    }

    /// The node of a key, or null; and the key is known from here on.
    const toml::node* find(std::string_view key) {
        known_.push_back(key);
        return file_.ok() ? table_.get(key) : nullptr;
    }

private:
    template <class F>
    void read_below(const toml::node& node, const std::string& key, F&& each) {
        const auto* table = node.as_table();
        if (table == nullptr) return file_.fail(node, key, "a table", shown(node));
        TableReader reader(file_, *table, key + ".");
        each(reader);
        reader.finish();
    }

    TomlFile& file_;
    const toml::table& table_;
    std::string path_;  ///< "environment.", empty at the root
    std::vector<std::string_view> known_;
};

/// Reads the keys that make a case out of the root table, and sets the file's op_count.
Case read_case(TomlFile& file, TableReader& root);
/// The table [vmm] of a case of world svm.
struct Vmm;
void read_vmm(TableReader& table, Vmm& vmm);

}  // namespace faultline::guest
