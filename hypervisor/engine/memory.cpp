#include "hypervisor/engine/memory.hpp"

#include <algorithm>

namespace faultline::engine {

Memory::Memory(std::span<const std::uint8_t> pristine) : pristine_(pristine), bytes_(pristine.begin(), pristine.end()) {
    bytes_.resize(size);
}

void Memory::read(std::uint64_t physical, void* to, std::size_t length) const {
    const std::size_t backed = physical < size ? std::min<std::size_t>(length, size - physical) : 0;
    std::memcpy(to, bytes_.data() + (backed ? physical : 0), backed);
    if (backed < length) std::memset(static_cast<std::uint8_t*>(to) + backed, 0xFF, length - backed);
}

bool Memory::write(std::uint64_t physical, const void* from, std::size_t length) {
    if (physical >= size) return false;
    const std::uint64_t offset = physical % page_size;
    const std::size_t here = std::min<std::size_t>(length, page_size - offset);
    // Nearly all that comes here is a quadword, and where the compiler knows that, it is one store.
    if (here == sizeof(std::uint64_t))
        std::memcpy(&bytes_[physical], from, sizeof(std::uint64_t));
    else
        std::memcpy(&bytes_[physical], from, here);
    bool watched = mark(physical / page_size, offset, here);
    if (here < length) watched |= write(physical + here, static_cast<const std::uint8_t*>(from) + here, length - here);
    return watched;
}

}  // namespace faultline::engine
