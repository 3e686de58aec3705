#include "hypervisor/engine/frame.hpp"

#include <algorithm>

namespace faultline::engine {

/// AMD APM vol 2, "Limit Checks".
bool FrameStack::has_room(bool real_mode, std::size_t count, unsigned width) const {
    if (!real_mode && !(segment.attributes & attribute::present)) return false;
    const bool down = !(segment.attributes & attribute::code) && segment.attributes & attribute::expand_down;
    for (std::size_t n = 1; n <= count; ++n) {
        const std::uint64_t first = (pointer - n * width) & mask(), last = first + width - 1;
        if (down ? first <= segment.limit || last > mask() : last > segment.limit) return false;
    }
    return true;
}

bool write_as_user(Machine& m, std::uint64_t linear, const void* from, std::size_t length) {
    const std::size_t first = std::min<std::size_t>(length, Memory::page_size - linear % Memory::page_size);
    const std::uint64_t next = linear + first;
    const Translation here = m.mmu.translate(linear, Access::Write, true);
    if (!here.ok) return m.raise_page_fault(linear, here);
    const Translation there = first < length ? m.mmu.translate(next, Access::Write, true) : Translation{};
    if (first < length && !there.ok) return m.raise_page_fault(next, there);
    m.write_physical(here.physical, from, first);
    m.write_physical(there.physical, static_cast<const std::uint8_t*>(from) + first, length - first);
    return true;
}

bool push_frame(Machine& m, FrameStack& stack, std::span<const std::uint64_t> values, unsigned width) {
    const bool aligned = stack.user && m.cpu.cr0 & cr0::am && m.cpu.rflags & rflags::ac;
    for (const std::uint64_t value : values) {
        const std::uint64_t top = (stack.pointer - width) & stack.mask();
        const auto linear = static_cast<std::uint32_t>(stack.segment.base + top);
        if (aligned && linear % width) return m.raise(vector::ac);
        if (!(stack.user ? write_as_user(m, linear, &value, width)
                         : m.system_write(linear, &value, width, {vector::ss, 0, 0})))
            return false;
        stack.pointer = top;
    }
    return true;
}

}  // namespace faultline::engine
