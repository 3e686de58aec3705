// Writing the TOML of cases. Internal to this folder.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hypervisor/guest/text.hpp"

namespace faultline::guest {

inline std::string in_quotes(std::string_view text) {
    return fmt::format("\"{}\"", text);
}  // nothing here needs escapes

/// Writes `key = value` lines for what differs from the default, and a table's header before the first of them.
class TableWriter {
public:
    TableWriter(std::string& out, std::string_view header) : out_(out), header_(header) {}

    void line(std::string_view key, std::string_view value) {
        if (!header_.empty()) fmt::format_to(std::back_inserter(out_), "\n[{}]\n", std::exchange(header_, {}));
        fmt::format_to(std::back_inserter(out_), "{} = {}\n", key, value);
    }
    template <class T>
    void value(std::string_view key, const T& value, const T& otherwise) {
        if (value != otherwise) line(key, in_quotes(to_text(value)));
    }
    void flag(std::string_view key, bool value) {
        if (value) line(key, "true");
    }
    template <class Enum>
    void name(std::string_view key, std::span<const std::string_view> names, Enum value, Enum otherwise) {
        if (value != otherwise) line(key, in_quotes(names[static_cast<std::size_t>(value) % names.size()]));
    }
    template <class Values>
    void array(std::string_view key, const Values& values, const Values& otherwise) {
        if (values == otherwise) return;
        std::vector<std::string> texts;
        for (const auto& element : values) texts.push_back(in_quotes(to_text(element)));
        line(key, fmt::format("[{}]", fmt::join(texts, ", ")));
    }

private:
    std::string& out_;
    std::string_view header_;
};

/// The table that a case of world svm has; `read_vmm` is the inverse.
struct Vmm;
void write_vmm(std::string& out, const Vmm& vmm);

}  // namespace faultline::guest
