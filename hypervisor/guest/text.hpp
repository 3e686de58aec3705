// Text forms of the types in types.hpp; README "Ops" defines them. `parse` accepts exactly what README says, writes
// only on success; `form` is what an error message calls it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

std::string to_text(Gpr value);
std::string to_text(DrNumber value);
std::string to_text(Width value);
std::string to_text(Port value);
std::string to_text(Vector value);
std::string to_text(BitIndex value);
std::string to_text(OpRef value);
std::string to_text(const Value& value);
std::string to_text(const Mem& value);
std::string to_text(std::int32_t value);
std::string to_text(std::uint64_t value);  ///< decimal below 10, else hexadecimal
std::string to_text(bool value);

bool parse(std::string_view text, Gpr& value);
bool parse(std::string_view text, DrNumber& value);
bool parse(std::string_view text, Width& value);
bool parse(std::string_view text, Port& value);
bool parse(std::string_view text, Vector& value);
bool parse(std::string_view text, BitIndex& value);
bool parse(std::string_view text, OpRef& value);
bool parse(std::string_view text, Value& value);
bool parse(std::string_view text, Mem& value);
bool parse(std::string_view text, std::int32_t& value);
bool parse(std::string_view text, std::uint64_t& value);
bool parse(std::string_view text, bool& value);

constexpr std::string_view form(const Gpr&) { return "a register rax…r15"; }
constexpr std::string_view form(const DrNumber&) { return "a debug register 0…15"; }
constexpr std::string_view form(const Width&) { return "a width 1, 2, 4 or 8"; }
constexpr std::string_view form(const Port&) { return "a port 0…0xffff"; }
constexpr std::string_view form(const Vector&) { return "a vector 0…0xff"; }
constexpr std::string_view form(const BitIndex&) { return "a bit 0…31"; }
constexpr std::string_view form(const OpRef&) { return "an op like op3"; }
constexpr std::string_view form(const Value&) { return "a 64-bit number, or an op's address like op3 or op3+1"; }
constexpr std::string_view form(const Mem&) { return "memory like [0x40010], [rbx] or [rbx+0x10]"; }
constexpr std::string_view form(const std::int32_t&) { return "a signed 32-bit number"; }
constexpr std::string_view form(const std::uint64_t&) { return "a 64-bit number"; }
constexpr std::string_view form(const bool&) { return "true or false"; }

/// Lower-case names of enumerators, in order: "bare", "long64", "resume-rf", …
std::string_view to_text(World value);
std::string_view to_text(Mode value);
std::string_view to_text(Vendor value);

/// "#DB" for vectors with a name, else the number.
std::string vector_name(std::uint64_t vector);
/// The inverse of vector_name's names only.
std::optional<std::uint8_t> vector_named(std::string_view name);

}  // namespace faultline::guest
