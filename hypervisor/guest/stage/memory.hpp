// What a backend does with guest memory round a run: lay the case's bytes over pristine stage memory, take
// the tape out, and put back what an orderly run may have changed.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/tape.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::guest {

/// Writes the parameters, skip table, program, initial stack and patches of `image` into memory that holds its stage.
/// Memory is layout::ram_size bytes; what would stand outside it is left out.
void apply(const Image& image, std::span<std::uint8_t> guest_memory);

/// Puts the stage's own quadwords back where `apply` laid the image's patches.
void remove_patches(const Image& image, std::span<std::uint8_t> guest_memory);

/// Takes records and final state out of guest memory. Trusts nothing there: the count is cut to
/// tape_capacity, everything else is data for the judge. Leaves outcome, features, stop_rip and detail alone.
void parse_tape(std::span<const std::uint8_t> guest_memory, Mode mode, Tape& tape);

/// Where a VMCB's RIP is: outside 64-bit mode it is an offset in CS.
std::uint64_t linear_rip(const svm::Vmcb& vmcb);

/// World svm, after parse_tape and with the outcome known: takes the exits that the stage's monitor has recorded, what
/// it refused or met (`detail`, unless that says something already), and where the guest stopped, which the VMCB says
/// when the guest is not running.
void parse_exits(std::span<const std::uint8_t> guest_memory, bool guest_is_running, Tape& tape);

/// A record before its stub ran: `not_recorded`, cut to the bytes that the stage's stubs store of each field, so that
/// they need not clear the rest. parse_tape undoes it.
Record unwritten_record(Mode stage);

struct MemoryRange {
    std::uint64_t begin, size;
};

/// All that a run which reached the epilogue can have changed, besides what `apply` writes and the places of patches:
/// restoring these ranges from Stage::memory makes the machine's memory as new. A run that ended otherwise may have
/// written anywhere.
std::span<const MemoryRange> restored_ranges(Mode mode);

/// The stage's page tables map no physical address from here up: while they are whole, nobody can write there.
inline constexpr std::uint64_t mapped_end = layout::supervisor + layout::page;

}  // namespace faultline::guest
