#include "hypervisor/guest/stage/memory.hpp"

#include <algorithm>
#include <cstring>

namespace faultline::guest {

void apply(const Image& image, std::span<std::uint8_t> guest_memory) {
    if (guest_memory.size() < layout::ram_size) return;
    std::uint8_t* memory = guest_memory.data();
    std::memcpy(memory + layout::params, &image.params, sizeof image.params);
    std::memcpy(memory + skip_table, image.skip.data(), image.skip.size());
    std::memcpy(memory + layout::code, image.code.data(), image.code.size());
    const std::size_t bytes = std::min<std::size_t>(image.stack_count, image.stack.size()) * sizeof(std::uint64_t);
    const std::uint64_t rsp = image.params.entry_frame.rsp;
    if (rsp <= layout::ram_size - bytes) std::memcpy(memory + rsp, image.stack.data(), bytes);
}

void parse_tape(std::span<const std::uint8_t> guest_memory, Tape& tape) {
    tape.count = 0;
    if (guest_memory.size() < layout::tape + sizeof(RawTape)) return;
    const std::uint8_t* raw = guest_memory.data() + layout::tape;
    std::uint64_t count;
    std::memcpy(&count, raw + offsetof(RawTape, count), sizeof count);
    tape.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, tape_capacity));
    std::memcpy(tape.records.data(), raw + offsetof(RawTape, records), tape.count * sizeof(Record));
    std::memcpy(&tape.final, raw + offsetof(RawTape, final), sizeof tape.final);
}

}  // namespace faultline::guest
