// What the hypervisor around a program of world svm does: a part of the case, carried out by the reference hypervisor
// and by the stage's monitor.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/guest/types.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::guest {

/// A field of the VMCB by name.
struct VmcbField {
    std::string_view name;
    std::uint16_t offset;
    std::uint8_t bytes;
};
/// Those that a case may set.
std::span<const VmcbField> vmcb_fields();

/// A field that holds something else at the first VMRUN than what the hypervisor would put there.
struct VmcbValue {
    std::uint8_t field;  ///< in vmcb_fields()
    Value value;         ///< cut to the field
    auto operator<=>(const VmcbValue&) const = default;
};

struct Vmm {
    svm::Intercepts intercepts;
    /// Vectors that the facility of the seed intercepts by force, and reflects whatever `exceptions` says: the case's
    /// force_intercept_exceptions_mask.
    std::uint32_t forced = 0;
    /// The answer to the exit of an intercepted exception. At the program's end it is always Reflect.
    enum class OnException : std::uint8_t {
        Reflect,  ///< the guest gets it as if nobody had intercepted it
        Stop,     ///< the run is over
    } exceptions = OnException::Reflect;
    /// The answer to the exit of an intercepted instruction.
    enum class OnInstruction : std::uint8_t {
        Skip,  ///< on at the next op; RF and the interrupt shadow are cleared, nothing else happens
        Stop,
    } instructions = OnInstruction::Skip;
    std::vector<VmcbValue> vmcb;  ///< in the order of vmcb_fields(), each once
    auto operator<=>(const Vmm&) const = default;
};

/// "#DB", "exception-9", "write-dr7", "cpuid", …
std::string to_text(svm::Intercept value);
/// False, and `value` untouched, for anything else.
bool parse(std::string_view text, svm::Intercept& value);
constexpr std::string_view form(const svm::Intercept&) {
    return "an intercept like #DB, exception-9, write-dr7 or cpuid";
}

/// An exit code: the intercept's text, "npf", "invalid", or a number.
std::string exit_text(std::uint64_t code);
/// The inverse of its names.
bool parse_exit(std::string_view text, std::uint64_t& code);

}  // namespace faultline::guest
