#include "hypervisor/guest/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace faultline::guest {
namespace {

constexpr std::array<std::string_view, 32> vector_names = {
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS", "#NP", "#SS", "#GP", "#PF", "",
    "#MF", "#AC", "#MC", "#XF", "#VE", "#CP", "",    "",    "",    "", "",    "",    "#HV", "#VC", "#SX", ""};

/// The whole of `text` as a number in hexadecimal (0x…) or decimal, at most `limit`.
bool parse_number(std::string_view text, std::uint64_t& value, std::uint64_t limit) {
    const bool hex = text.starts_with("0x");
    if (hex) text.remove_prefix(2);
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, hex ? 16 : 10);
    if (error != std::errc{} || end != text.data() + text.size() || number > limit) return false;
    value = number;
    return true;
}

template <class T, class Field>
bool parse_small(std::string_view text, Field T::*field, T& value, std::uint64_t limit) {
    std::uint64_t number;
    if (!parse_number(text, number, limit)) return false;
    value.*field = static_cast<Field>(number);
    return true;
}

/// What follows a base: nothing, `+n` or `-n`, as two's complement.
bool parse_offset(std::string_view text, std::uint64_t& value) {
    if (text.empty()) {
        value = 0;
        return true;
    }
    const char sign = text.front();
    std::uint64_t magnitude;
    if ((sign != '+' && sign != '-') || !parse_number(text.substr(1), magnitude, ~0ull)) return false;
    value = sign == '-' ? -magnitude : magnitude;
    return true;
}

/// An offset as `+n` or `-n`, whichever is shorter; empty for zero.
std::string offset_text(std::uint64_t offset) {
    if (offset == 0) return {};
    return static_cast<std::int64_t>(offset) < 0 ? "-" + to_text(-offset) : "+" + to_text(offset);
}

bool fits_disp(std::uint64_t offset) {
    const auto value = static_cast<std::int64_t>(offset);
    return value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max();
}

}  // namespace

std::string to_text(std::uint64_t value) { return value < 10 ? fmt::format("{}", value) : fmt::format("{:#x}", value); }
std::string to_text(Gpr value) { return std::string(gpr_names[static_cast<std::size_t>(value) % gpr_count]); }
std::string to_text(DrNumber value) { return fmt::format("{}", value.number); }
std::string to_text(Width value) { return fmt::format("{}", value.bytes); }
std::string to_text(Port value) { return to_text(std::uint64_t{value.number}); }
std::string to_text(Word value) { return to_text(std::uint64_t{value.number}); }
std::string to_text(Vector value) { return to_text(std::uint64_t{value.number}); }
std::string to_text(BitIndex value) { return fmt::format("{}", value.number); }
std::string to_text(OpRef value) { return fmt::format("op{}", value.index); }
std::string to_text(bool value) { return value ? "true" : "false"; }

std::string to_text(std::int32_t value) {
    const auto magnitude = static_cast<std::uint64_t>(value < 0 ? -std::int64_t{value} : std::int64_t{value});
    return (value < 0 ? "-" : "") + to_text(magnitude);
}

std::string to_text(const Value& value) {
    return value.op ? to_text(*value.op) + offset_text(value.literal) : to_text(value.literal);
}

std::string to_text(const Mem& value) {
    if (!value.base) return "[" + to_text(value.disp) + "]";
    return "[" + to_text(*value.base) + offset_text(static_cast<std::uint64_t>(std::int64_t{value.disp})) + "]";
}

bool parse(std::string_view text, std::uint64_t& value) { return parse_number(text, value, ~0ull); }

bool parse(std::string_view text, Gpr& value) {
    const auto name = std::find(gpr_names.begin(), gpr_names.end(), text);
    if (name == gpr_names.end()) return false;
    value = static_cast<Gpr>(name - gpr_names.begin());
    return true;
}

bool parse(std::string_view text, DrNumber& value) { return parse_small(text, &DrNumber::number, value, 15); }
bool parse(std::string_view text, Port& value) { return parse_small(text, &Port::number, value, 0xFFFF); }
bool parse(std::string_view text, Word& value) { return parse_small(text, &Word::number, value, 0xFFFF); }
bool parse(std::string_view text, Vector& value) { return parse_small(text, &Vector::number, value, 0xFF); }
bool parse(std::string_view text, BitIndex& value) { return parse_small(text, &BitIndex::number, value, 31); }

bool parse(std::string_view text, Width& value) {
    Width width;
    if (!parse_small(text, &Width::bytes, width, 8) || width.bytes == 0 || (width.bytes & (width.bytes - 1)) != 0)
        return false;
    value = width;
    return true;
}

bool parse(std::string_view text, OpRef& value) {
    return text.starts_with("op") && parse_small(text.substr(2), &OpRef::index, value, 0xFFFF);
}

bool parse(std::string_view text, Value& value) {
    Value result;
    if (text.starts_with("op")) {
        const auto end = std::min(text.find_first_of("+-"), text.size());
        OpRef op;
        if (!parse(text.substr(0, end), op) || !parse_offset(text.substr(end), result.literal)) return false;
        result.op = op;
    } else if (!parse(text, result.literal)) {
        return false;
    }
    value = result;
    return true;
}

bool parse(std::string_view text, std::int32_t& value) {
    std::uint64_t number;
    const bool negative = text.starts_with('-');
    if (negative ? !parse_offset(text, number) : !parse_number(text, number, ~0ull)) return false;
    if (!fits_disp(number) || (!negative && number >> 63)) return false;
    value = static_cast<std::int32_t>(number);
    return true;
}

bool parse(std::string_view text, Mem& value) {
    if (text.size() < 3 || text.front() != '[' || text.back() != ']') return false;
    text = text.substr(1, text.size() - 2);
    Mem result;
    if (text.front() != 'r') {
        if (!parse(text, result.disp)) return false;
    } else {
        const auto end = std::min(text.find_first_of("+-"), text.size());
        Gpr base;
        std::uint64_t offset;
        if (!parse(text.substr(0, end), base) || !parse_offset(text.substr(end), offset) || !fits_disp(offset))
            return false;
        result = {base, static_cast<std::int32_t>(offset)};
    }
    value = result;
    return true;
}

bool parse(std::string_view text, bool& value) {
    if (text != "true" && text != "false") return false;
    value = text == "true";
    return true;
}

std::string backquoted(std::string_view text) {
    if (text.empty()) return "nothing";
    std::size_t length = std::min<std::size_t>(text.size(), 60);
    const auto within_character = [&](std::size_t at) { return at < text.size() && (text[at] & 0xC0) == 0x80; };
    while (length > 0 && within_character(length)) --length;
    return fmt::format("`{}{}`", text.substr(0, length), length < text.size() ? "…" : "");
}

std::string vector_name(std::uint64_t vector) {
    if (vector < vector_names.size() && !vector_names[vector].empty()) return std::string(vector_names[vector]);
    return to_text(vector);
}

std::optional<std::uint8_t> vector_named(std::string_view name) {
    const auto found = std::find(vector_names.begin(), vector_names.end(), name);
    if (name.empty() || found == vector_names.end()) return std::nullopt;
    return static_cast<std::uint8_t>(found - vector_names.begin());
}

}  // namespace faultline::guest
