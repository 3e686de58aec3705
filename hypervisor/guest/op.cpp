#include "hypervisor/guest/op.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <concepts>

#include "hypervisor/guest/op_fields.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::guest {
namespace {

template <class T>
concept Restricted = requires(const T& op) {
    { op.valid() } -> std::same_as<bool>;
};

template <class T>
constexpr bool exists(Mode mode) {
    if constexpr (requires { T::exists(mode); })
        return T::exists(mode);
    else
        return true;
}

/// An op without a world is for all of them.
template <class T>
constexpr bool belongs(World world) {
    if constexpr (requires { T::world; })
        return T::world == world;
    else
        return true;
}

/// Whether a value is one its type can have in a mode: fields are plain numbers. Only long64 has REX prefixes; real16
/// has the base registers of 16-bit addressing.
bool in_range(Gpr value, Mode mode) { return static_cast<std::size_t>(value) < (mode == Mode::Long64 ? gpr_count : 8); }
bool in_range(DrNumber value, Mode mode) { return value.number <= (mode == Mode::Long64 ? 15 : 7); }
bool in_range(Width value, Mode mode) {
    return value.bytes == 1 || value.bytes == 2 || value.bytes == 4 || (value.bytes == 8 && mode == Mode::Long64);
}
bool in_range(BitIndex value, Mode) { return value.number <= 31; }
bool in_range(const Mem& value, Mode mode) {
    if (!value.base) return true;
    if (mode != Mode::Real16) return in_range(*value.base, mode);
    return value.base == Gpr::Rbx || value.base == Gpr::Rbp || value.base == Gpr::Rsi || value.base == Gpr::Rdi;
}
template <class T>
requires(std::same_as<T, Port> || std::same_as<T, Word> || std::same_as<T, Vector> || std::same_as<T, OpRef> ||
         std::same_as<T, Value> || std::same_as<T, std::int32_t> ||
         std::same_as<T, bool>) bool in_range(const T&, Mode) {
    return true;
}

/// SPL, BPL, SIL and DIL need a REX prefix; without one their numbers mean AH to BH.
template <class T>
bool needs_rex(const T& op) {
    bool byte = false, upper = false;
    for_each_op_field(op, [&]<class F>(std::string_view, const F& field) {
        if constexpr (std::same_as<F, Width>) byte = byte || field.bytes == 1;
        if constexpr (std::same_as<F, Gpr>) upper = upper || field >= Gpr::Rsp;
    });
    return byte && upper;
}

template <class T>
bool valid_struct(const T& op, Mode mode) {
    bool result = exists<T>(mode) && (mode == Mode::Long64 || !needs_rex(op));
    for_each_op_field(op, [&](std::string_view, const auto& field) { result = result && in_range(field, mode); });
    if constexpr (Restricted<T>) result = result && op.valid();
    return result;
}

/// Long64 has every field value that another mode has; an op that it lacks is in all others.
template <class T>
bool valid_somewhere(const T& op) {
    return valid_struct(op, exists<T>(Mode::Long64) ? Mode::Long64 : Mode::Prot32);
}

/// Packs fields side by side; those of one op fit into 64 bits together.
class KeyPacker {
public:
    KeyPacker(std::size_t op_index, Mode mode) {
        add(op_index, 8);
        add(static_cast<std::uint64_t>(mode), 2);
    }
    EncodingKey key() const { return key_; }

    void operator()(std::string_view, Gpr value) { add(static_cast<std::uint64_t>(value), 4); }
    void operator()(std::string_view, DrNumber value) { add(value.number, 4); }
    void operator()(std::string_view, Width value) { add(value.bytes, 4); }
    void operator()(std::string_view, Port value) { add(value.number, 16); }
    void operator()(std::string_view, Word value) { add(value.number, 16); }
    void operator()(std::string_view, Vector value) { add(value.number, 8); }
    void operator()(std::string_view, BitIndex value) { add(value.number, 8); }
    void operator()(std::string_view, std::int32_t value) { add(static_cast<std::uint32_t>(value), 32); }
    void operator()(std::string_view, bool value) { add(value, 1); }
    void operator()(std::string_view, const Mem& value) {
        add(value.base ? 16u | static_cast<unsigned>(*value.base) : 0u, 5);
        add(static_cast<std::uint32_t>(value.disp), 32);
    }
    // Patched in by the assembler.
    void operator()(std::string_view, OpRef value) { key_.symbol = {value, 0}; }
    void operator()(std::string_view, const Value& value) { key_.symbol = value; }

private:
    void add(std::uint64_t value, unsigned width) {
        assert(used_ + width <= 64);
        key_.bits |= value << used_;
        used_ += width;
    }
    EncodingKey key_{};
    unsigned used_ = 0;
};

template <class T>
std::span<const std::string_view> field_names() {
    static const auto names = [] {
        std::array<std::string_view, 8> result;
        std::size_t count = 0;
        T op{};
        for_each_op_field(op, [&](std::string_view name, auto&) { result[count++] = name; });
        return std::pair(result, count);
    }();
    return std::span(names.first).first(names.second);
}

struct Entry {
    OpInfo info;
    tl::expected<Op, std::string> (*parse)(std::string_view fields);
};

std::string_view next_word(std::string_view& text) {
    constexpr auto blank = " \t";
    text.remove_prefix(std::min(text.find_first_not_of(blank), text.size()));
    const auto word = text.substr(0, text.find_first_of(blank));
    text.remove_prefix(word.size());
    return word;
}

template <class T>
tl::expected<Op, std::string> parse_fields(std::string_view text) {
    T op{};
    std::string error;
    for_each_op_field(op, [&](std::string_view name, auto& field) {
        if (!error.empty()) return;
        const auto word = next_word(text);
        const auto equals = word.find('=');
        if (equals == std::string_view::npos || word.substr(0, equals) != name)
            error =
                fmt::format("{}: expected `{}=` and {}, found {}", T::mnemonic, name, form(field), backquoted(word));
        else if (!parse(word.substr(equals + 1), field))
            error = fmt::format("{}: {}: expected {}, found {}", T::mnemonic, name, form(field),
                                backquoted(word.substr(equals + 1)));
    });
    if (!error.empty()) return tl::unexpected(std::move(error));
    if (const auto rest = next_word(text); !rest.empty())
        return tl::unexpected(fmt::format("{}: expected nothing more, found {}", T::mnemonic, backquoted(rest)));
    if (!valid_somewhere(op))
        return tl::unexpected(
            fmt::format("{}: expected values that {} can have, found others", T::mnemonic, T::summary));
    return op;
}

const auto& table() {
    static const auto entries = []<class... T>(std::variant<T...>*) {
        return std::array<Entry, sizeof...(T)>{Entry{{T::mnemonic, T::summary, field_names<T>()}, parse_fields<T>}...};
    }(static_cast<Op*>(nullptr));
    return entries;
}

}  // namespace

std::string to_text(const Op& op) {
    return std::visit(
        [](const auto& alternative) {
            std::string text(alternative.mnemonic);
            for_each_op_field(alternative, [&](std::string_view name, const auto& field) {
                text.append(" ").append(name).append("=").append(to_text(field));
            });
            return text;
        },
        op);
}

tl::expected<Op, std::string> parse_op(std::string_view text) {
    const auto mnemonic = next_word(text);
    for (const auto& entry : table())
        if (entry.info.mnemonic == mnemonic) return entry.parse(text);
    return tl::unexpected(
        fmt::format("expected an op (`faultline list ops` names them), found {}", backquoted(mnemonic)));
}

bool op_exists(std::size_t index, Mode mode, World world) {
    return [&]<class... T>(std::variant<T...>*) {
        constexpr std::array in_mode = {exists<T>...}, in_world = {belongs<T>...};
        return in_mode[index](mode) && in_world[index](world);
    }(static_cast<Op*>(nullptr));
}

bool belongs_to(const Op& op, World world) {
    return std::visit([world]<class T>(const T&) { return belongs<T>(world); }, op);
}

bool valid(const Op& op, Mode mode) {
    return std::visit([mode](const auto& alternative) { return valid_struct(alternative, mode); }, op);
}

Effect effect_of(const Op& op, const EffectContext& context) {
    return std::visit([&](const auto& alternative) { return alternative.effect(context); }, op);
}

Encoding encode_op(const Op& op, Mode mode) {
    return std::visit(
        [mode](const auto& alternative) {
            return valid_struct(alternative, mode) ? alternative.encode(Encoder(mode)) : Encoding{};
        },
        op);
}

EncodingKey encoding_key(const Op& op, Mode mode) {
    KeyPacker packer(op.index(), mode);
    for_each_field(op, packer);
    return packer.key();
}

std::span<const OpInfo> op_catalogue() {
    static const auto infos = [] {
        std::array<OpInfo, std::variant_size_v<Op>> result;
        std::transform(table().begin(), table().end(), result.begin(), [](const Entry& entry) { return entry.info; });
        return result;
    }();
    return infos;
}

}  // namespace faultline::guest
