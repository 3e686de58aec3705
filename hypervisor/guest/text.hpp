// Text forms of the types in types.hpp; README "Ops" defines them. `parse` accepts exactly what README says, writes
// only on success; `form` is what an error message calls it.
#pragma once

#include <array>
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
std::string to_text(Word value);
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
bool parse(std::string_view text, Word& value);
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
constexpr std::string_view form(const Word&) { return "a number 0…0xffff"; }
constexpr std::string_view form(const Vector&) { return "a vector 0…0xff"; }
constexpr std::string_view form(const BitIndex&) { return "a bit 0…31"; }
constexpr std::string_view form(const OpRef&) { return "an op like op3"; }
constexpr std::string_view form(const Value&) { return "a 64-bit number, or an op's address like op3 or op3+1"; }
constexpr std::string_view form(const Mem&) { return "memory like [0x40010], [rbx] or [rbx+0x10]"; }
constexpr std::string_view form(const std::int32_t&) { return "a signed 32-bit number"; }
constexpr std::string_view form(const std::uint64_t&) { return "a 64-bit number"; }
constexpr std::string_view form(const std::string&) { return "a string"; }
constexpr std::string_view form(const bool&) { return "true or false"; }

/// Names of enumerators and registers, in order.
inline constexpr std::array<std::string_view, gpr_count> gpr_names = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
inline constexpr std::array<std::string_view, 5> world_names = {"bare", "svm", "vmx", "sev-es", "snp"};
inline constexpr std::array<std::string_view, 4> mode_names = {"long64", "compat32", "prot32", "real16"};
inline constexpr std::array<std::string_view, 3> vendor_names = {"unknown", "amd", "intel"};
inline std::string_view to_text(World value) {
    return world_names[static_cast<std::size_t>(value) % world_names.size()];
}
inline std::string_view to_text(Mode value) { return mode_names[static_cast<std::size_t>(value) % mode_names.size()]; }
inline std::string_view to_text(Vendor value) {
    return vendor_names[static_cast<std::size_t>(value) % vendor_names.size()];
}

/// Some input as an error message shows it: in back quotes, cut after 60 bytes; "nothing" when empty.
std::string backquoted(std::string_view text);

/// "#DB" for vectors with a name, else the number.
std::string vector_name(std::uint64_t vector);
/// The inverse of vector_name's names only.
std::optional<std::uint8_t> vector_named(std::string_view name);

}  // namespace faultline::guest
