#include "hypervisor/guest/stage/memory.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>
#include <string>

#include "hypervisor/guest/stage/tables.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::guest {
namespace {

struct Field {
    std::uint64_t Record::*field;
    std::array<std::uint8_t, 3> bytes = {8, 4, 2};  ///< that stubs store of it in long mode, prot32, real16
    bool optional = false;                          ///< a complete record may lack it
};
constexpr std::array<std::uint8_t, 3> of_a_register = {8, 4, 4};
constexpr Field record_fields[] = {{&Record::vector},
                                   {&Record::error},
                                   {&Record::rip},
                                   {&Record::cs},
                                   {&Record::rflags},
                                   {&Record::rsp},
                                   {&Record::ss},
                                   {&Record::cr2, of_a_register, true},
                                   {&Record::rcx, of_a_register},
                                   {&Record::dr6, of_a_register, true},
                                   {&Record::dr7, of_a_register, true},
                                   {&Record::handler_flags},
                                   {&Record::handler_ss, {2, 2, 2}},
                                   {&Record::frame},
                                   {&Record::reserved, of_a_register, true},
                                   {&Record::complete}};
static_assert(std::size(record_fields) * 8 == sizeof(Record));

std::string hexadecimal(std::uint64_t number) {
    char digits[16];
    return "0x" + std::string(digits, std::to_chars(digits, std::end(digits), number, 16).ptr);
}

std::string refusal(std::uint64_t vectors) {
    std::string list;
    for (unsigned v = 0; v < 32; ++v)
        if (vectors >> v & 1) list += (list.empty() ? "" : ", ") + std::to_string(v);
    return std::string("force_intercept_exceptions_mask: refused vector") +
           ((vectors & (vectors - 1)) == 0 ? " " : "s ") + list;
}

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
    const unsigned column = long_mode(stage) ? 0 : stage == Mode::Prot32 ? 1 : 2;
    for (const Field& f : record_fields) record.*f.field &= ~0ull >> (64 - 8 * f.bytes[column]);
    return record;
}

std::span<const MemoryRange> restored_ranges(Mode mode) {
    static constexpr MemoryRange ranges[] = {
        {layout::tape, sizeof(RawTape)},
        {layout::rsp0_top - 0x100, 0x100},
        {layout::ist2_top - 0x100, 0x100},
        {layout::code + layout::code_limit, layout::page - layout::code_limit},
        {layout::stack_bottom, 2 * layout::page},
        {layout::data, layout::data_size},
        {layout::supervisor, layout::page},
        // Task switches save the old task and mark descriptors busy.
        {layout::gdt, layout::gdt_bytes},
        {layout::tss, tss::task_limit + 1},
        {layout::tss_a, tss::task_limit + 1},
        {layout::tss_b, tss::task_limit + 1},
    };
    // Without paging and with a stack segment of its own choice, a program reaches all of it.
    static constexpr MemoryRange everything[] = {{0, layout::ram_size}};
    if (mode == Mode::Real16) return everything;
    return std::span(ranges).first(std::size(ranges) - (mode == Mode::Prot32 ? 0 : 4));
}

void parse_tape(std::span<const std::uint8_t> guest_memory, Mode mode, Tape& tape) {
    tape.count = tape.exit_count = 0;
    if (guest_memory.size() < layout::tape + sizeof(RawTape)) return;
    const std::uint8_t* raw = guest_memory.data() + layout::tape;
    std::uint64_t count;
    std::memcpy(&count, raw + offsetof(RawTape, count), sizeof count);
    tape.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(count, tape_capacity));
    std::memcpy(tape.records.data(), raw + offsetof(RawTape, records), tape.count * sizeof(Record));
    const Record unwritten = unwritten_record(mode);
    for (Record& record : std::span(tape.records).first(tape.count))
        for (const Field& f : record_fields)
            if ((f.optional || record.complete != 1) && record.*f.field == unwritten.*f.field)
                record.*f.field = not_recorded;
    std::memcpy(&tape.final, raw + offsetof(RawTape, final), sizeof tape.final);
}

std::uint64_t linear_rip(const svm::Vmcb& vmcb) {
    constexpr std::uint64_t lma = 1 << 10, l = 1 << 9;
    const bool long64 = vmcb.efer & lma && vmcb.cs.attributes & l;
    return long64 ? vmcb.rip : static_cast<std::uint32_t>(vmcb.cs.base + vmcb.rip);
}

void parse_exits(std::span<const std::uint8_t> guest_memory, bool guest_is_running, Tape& tape) {
    if (guest_memory.size() < layout::ram_size) return;
    const auto word = [&](std::uint64_t address) {
        std::uint64_t value;
        std::memcpy(&value, guest_memory.data() + address, sizeof value);
        return value;
    };
    tape.exit_count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(word(layout::exits + offsetof(RawExits, count)), tape_capacity));
    std::memcpy(tape.exits.data(), guest_memory.data() + layout::exits + offsetof(RawExits, exits),
                tape.exit_count * sizeof(VmExit));
    const std::uint64_t guest_rip = word(layout::vmcb + offsetof(svm::Vmcb, rip));
    if (!guest_is_running && tape.outcome != Outcome::Completed) {
        svm::Vmcb vmcb;
        std::memcpy(&vmcb, guest_memory.data() + layout::vmcb, sizeof vmcb);
        tape.stop_rip = linear_rip(vmcb);
    }

    const std::uint64_t fault_rip = word(layout::exits + offsetof(RawExits, fault_rip));
    const std::uint64_t refused = word(layout::exits + offsetof(RawExits, refused)) & 0xFFFF'FFFF;
    if (fault_rip != 0)
        tape.detail = "the monitor itself met exception " +
                      std::to_string(word(layout::exits + offsetof(RawExits, fault_vector))) + " at " +
                      hexadecimal(fault_rip);
    else if (!tape.detail.empty())
        return;
    else if (tape.outcome == Outcome::InternalError && !guest_is_running)
        tape.detail =
            "an exit that nobody asked for: " + hexadecimal(word(layout::vmcb + offsetof(svm::Vmcb, exit_code))) +
            " at " + hexadecimal(guest_rip);
    else if (refused != 0)
        tape.detail = refusal(refused);
}

}  // namespace faultline::guest
