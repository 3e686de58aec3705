// Pushes by the processor itself onto a stack that may not be the current one: frames of event delivery outside long
// mode, error codes after a task switch.
#pragma once

#include <cstdint>
#include <span>

#include "hypervisor/engine/machine.hpp"

namespace faultline::engine {

struct FrameStack {
    guest::Segment segment;
    std::uint64_t pointer = 0;  ///< cut to the segment's width
    bool user = false;          ///< the level that pushes is 3: its rights count, and alignment is checked

    std::uint64_t mask() const { return segment.attributes & attribute::big ? 0xFFFF'FFFF : 0xFFFF; }
    /// Whether `count` more values of `width` bytes lie within the segment's limit.
    bool has_room(bool real_mode, std::size_t count, unsigned width) const;
};

/// Pushes the values, the first one first, each in a slot of `width` bytes. False after raising #PF or #AC; `has_room`
/// is the caller's to ask.
bool push_frame(Machine& m, FrameStack& stack, std::span<const std::uint64_t> values, unsigned width);

/// Writes with the rights of CPL 3, but no segment and no breakpoints. `length` is at most 64.
bool write_as_user(Machine& m, std::uint64_t linear, const void* from, std::size_t length);

}  // namespace faultline::engine
