// Tapes for people, and for the store.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::guest {

/// "completed", "wild-rip", …
std::string_view to_text(Outcome outcome);
/// False, and `outcome` untouched, when no outcome has this name.
bool parse(std::string_view text, Outcome& outcome);

/// An address as `op3`, `op3+1` (inside the op), `end`, `end+1`, `stage` or a number.
std::string address_text(std::uint64_t address, const Image& image);

/// The pushed RIP as a linear address: in real mode the pushed CS is added.
std::uint64_t linear_rip(const Record& record, const Image& image);

/// One line per record, one for the outcome, and the final state.
std::string to_text(const Tape& tape, const Image& image);

/// Compact JSON with stable keys, for the store. Fields that were not recorded are left out.
std::string to_json(const Tape& tape);
/// The inverse. Takes any text; the error says what was expected.
tl::expected<Tape, std::string> tape_from_json(std::string_view text);

}  // namespace faultline::guest
