#include "hypervisor/guest/stage/memory.hpp"

#include <algorithm>
#include <cstring>

namespace faultline::guest {
namespace {

constexpr std::uint64_t Record::*record_fields[] = {
    &Record::vector,     &Record::error, &Record::rip,      &Record::cs,      &Record::rflags, &Record::rsp,
    &Record::ss,         &Record::cr2,   &Record::rcx,      &Record::dr6,     &Record::dr7,    &Record::handler_flags,
    &Record::handler_ss, &Record::frame, &Record::reserved, &Record::complete};
static_assert(std::size(record_fields) * 8 == sizeof(Record));

}  // namespace

void apply(const Image& image, std::span<std::uint8_t> guest_memory) {
    if (guest_memory.size() < layout::ram_size) return;
    std::uint8_t* memory = guest_memory.data();
    std::memcpy(memory + layout::params, &image.params, sizeof image.params);
    std::memcpy(memory + skip_table, image.skip.data(), image.skip.size());
    std::memcpy(memory + layout::code, image.code.data(), image.code.size());
    const unsigned slot = image.stack_slot_bytes();
    std::uint64_t address = image.initial_stack();
    for (std::size_t i = 0; i < std::min<std::size_t>(image.stack_count, image.stack.size()); ++i, address += slot)
        if (address <= layout::ram_size - slot) std::memcpy(memory + address, &image.stack[i], slot);
    for (const auto& patch : image.all_patches())
        if (patch.address <= layout::ram_size - sizeof patch.value)
            std::memcpy(memory + patch.address, &patch.value, sizeof patch.value);
}

void remove_patches(const Image& image, std::span<std::uint8_t> guest_memory) {
    if (guest_memory.size() < layout::ram_size) return;
    for (const auto& patch : image.all_patches())
        if (patch.address <= layout::ram_size - sizeof patch.value)
            std::memcpy(guest_memory.data() + patch.address, image.stage->memory.data() + patch.address,
                        sizeof patch.value);
}

Record unwritten_record(Mode stage) {
    Record record;
    if (!long_mode(stage))
        for (const auto field : record_fields) record.*field &= 0xFFFF'FFFF;
    record.handler_ss &= 0xFFFF;
    return record;
}

void parse_tape(std::span<const std::uint8_t> guest_memory, Mode mode, Tape& tape) {
    tape.count = 0;
    if (guest_memory.size() < layout::tape + sizeof(RawTape)) return;
    const std::uint8_t* raw = guest_memory.data() + layout::tape;
    std::uint64_t count;
    std::memcpy(&count, raw + offsetof(RawTape, count), sizeof count);
    tape.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, tape_capacity));
    std::memcpy(tape.records.data(), raw + offsetof(RawTape, records), tape.count * sizeof(Record));
    const Record unwritten = unwritten_record(mode);
    for (Record& record : std::span(tape.records).first(tape.count)) {
        if (!long_mode(mode))
            for (const auto field : record_fields)
                if (record.*field == unwritten.*field) record.*field = not_recorded;
        if (record.handler_ss == unwritten.handler_ss) record.handler_ss = not_recorded;
    }
    std::memcpy(&tape.final, raw + offsetof(RawTape, final), sizeof tape.final);
}

}  // namespace faultline::guest
