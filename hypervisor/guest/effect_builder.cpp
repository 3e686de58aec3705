#include "hypervisor/guest/effect_builder.hpp"

#include <algorithm>
#include <bit>
#include <optional>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/stage.hpp"
#include "hypervisor/guest/stage/tables.hpp"

namespace faultline::guest {
namespace {

constexpr std::uint64_t mask_of(unsigned bytes) { return bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1; }

/// Bytes of a general purpose register.
constexpr std::uint8_t whole(Mode mode) { return mode == Mode::Long64 ? 8 : 4; }

constexpr std::uint64_t page_of(std::uint64_t address) { return address & ~(layout::page - 1); }

bool belongs_to_program(std::uint64_t address) {
    const auto within = [address](std::uint64_t begin, std::uint64_t size) { return address - begin < size; };
    return within(layout::code, layout::page) || within(layout::stack_bottom, 2 * layout::page) ||
           within(layout::data, layout::data_size) || within(layout::readonly, layout::page) ||
           within(layout::supervisor, layout::page);
}

/// What a byte of the program's pages holds when the program starts.
std::uint8_t initial_byte(const Image& image, std::uint64_t address) {
    if (const auto offset = address - layout::code; offset < layout::page)
        return offset < image.code.size() ? image.code[offset] : 0;
    const unsigned slot = image.stack_slot_bytes();
    if (const auto offset = address - image.initial_stack(); offset < std::uint64_t{slot} * image.stack_count)
        return static_cast<std::uint8_t>(image.stack[offset / slot] >> 8 * (offset % slot));
    if (const auto byte = image.entry_frame_byte(address)) return *byte;
    return address < image.stage->memory.size() ? image.stage->memory[address] : 0;  // in real16 holes are memory too
}

/// ZF, SF and PF of a result of `bytes` bytes.
std::uint64_t result_flags(std::uint64_t result, unsigned bytes) {
    std::uint64_t flags = 0;
    if (result == 0) flags |= rflags::zf;
    if (result >> (8 * bytes - 1) & 1) flags |= rflags::sf;
    if (std::popcount(result & 0xFF) % 2 == 0) flags |= rflags::pf;
    return flags;
}

}  // namespace

std::uint64_t stepped(const State& state, std::uint64_t pointer, Width width) {
    return state.rflags & rflags::df ? pointer - width.bytes : pointer + width.bytes;
}

Effect no_effect(const State& state, std::uint64_t next) {
    Effect e;
    e.next = next;
    e.rflags = state.rflags & ~rflags::rf;
    e.rflags_known = state.rflags_known | rflags::rf;
    e.cpl = state.cpl, e.cs = state.cs, e.ss = state.ss;
    e.debugctl = state.debugctl, e.cr0 = state.cr0, e.cr4 = state.cr4, e.tr = state.tr;
    return e;
}

EffectBuilder::EffectBuilder(const EffectContext& context, Kind kind)
    : context_(context), effect_(no_effect(context.state, context.fallthrough)) {
    effect_.kind = kind;
}

const Surroundings& EffectBuilder::surroundings() const {
    static const Surroundings defaults;
    return context_.surroundings ? *context_.surroundings : defaults;
}

// --- ways to stop ----------------------------------------------------------------------------------------------

void EffectBuilder::fault(Fault fault) {
    if (stopped()) return;
    if (effect_.memory_count != 0)
        return unmodelled("an op faults after it has written: whether the bytes are changed is not stated");
    effect_.faults = true;
    effect_.fault = fault;
}

void EffectBuilder::unmodelled(const char* why) {
    if (stopped()) return;
    effect_.unmodelled = true;
    effect_.why = why;
}

void EffectBuilder::does_more(const char* why) {
    if (stopped()) return;
    effect_.raises_nothing = true;
    unmodelled(why);
}

void EffectBuilder::privileged() {
    if (state().cpl != 0) fault(Cause::Privilege);
}

void EffectBuilder::iopl_sensitive() {
    if (state().cpl > (state().rflags & rflags::iopl) >> 12) fault(Cause::Privilege);
}

// --- registers and flags ---------------------------------------------------------------------------------------

Known EffectBuilder::reg(Gpr gpr, Width width) const {
    return {state().reg(gpr) & mask_of(std::min(width.bytes, whole(mode()))), state().known(gpr)};
}

std::uint64_t EffectBuilder::need(Known value, const char* why) {
    if (!value.known) unmodelled(why);
    return stopped() ? 0 : value.value;
}

std::uint64_t EffectBuilder::need(Gpr gpr, const char* why, Width width) { return need(reg(gpr, width), why); }

void EffectBuilder::set(Gpr gpr, Known value, Width width) {
    if (stopped()) return;
    const auto mask = mask_of(std::min(width.bytes, whole(mode())));
    if (width.bytes < 4) {
        const auto old = reg(gpr);
        value = {(old.value & ~mask) | (value.value & mask), old.known && value.known};
    }
    effect_.registers[effect_.register_count++] = {gpr, width.bytes < 4 ? value.value : value.value & mask,
                                                   value.known};
}

void EffectBuilder::set_flags(std::uint64_t mask, Known value) {
    if (stopped()) return;
    effect_.rflags = (effect_.rflags & ~mask) | (value.value & mask);
    effect_.rflags_known = value.known ? effect_.rflags_known | mask : effect_.rflags_known & ~mask;
}

void EffectBuilder::set_rflags(std::uint64_t value) { set_flags(~0ull, {value}); }

void EffectBuilder::forget_flags(std::uint64_t mask) { set_flags(mask, {0, false}); }

void EffectBuilder::flags_of_add(Known a, Known b, Width width) {
    if (!a.known || !b.known) return forget_flags(rflags::arithmetic);
    const auto mask = mask_of(width.bytes), sum = (a.value + b.value) & mask;
    const auto sign = 1ull << (8 * width.bytes - 1);
    std::uint64_t flags = result_flags(sum, width.bytes);
    if (sum < (a.value & mask)) flags |= rflags::cf;
    if ((a.value ^ b.value ^ sum) & 0x10) flags |= rflags::af;
    if (~(a.value ^ b.value) & (a.value ^ sum) & sign) flags |= rflags::of;
    set_flags(rflags::arithmetic, {flags});
}

void EffectBuilder::flags_of_subtract(Known a, Known b, Width width) {
    if (!a.known || !b.known) return forget_flags(rflags::arithmetic);
    const auto mask = mask_of(width.bytes), difference = (a.value - b.value) & mask;
    const auto sign = 1ull << (8 * width.bytes - 1);
    std::uint64_t flags = result_flags(difference, width.bytes);
    if ((a.value & mask) < (b.value & mask)) flags |= rflags::cf;
    if ((a.value ^ b.value ^ difference) & 0x10) flags |= rflags::af;
    if ((a.value ^ b.value) & (a.value ^ difference) & sign) flags |= rflags::of;
    set_flags(rflags::arithmetic, {flags});
}

void EffectBuilder::flags_of_result(Known result, Width width) {
    forget_flags(rflags::arithmetic);
    set_flags(rflags::zf | rflags::sf | rflags::pf, {result_flags(result.value, width.bytes), result.known});
}

// --- memory ----------------------------------------------------------------------------------------------------

std::uint64_t EffectBuilder::linear(Place place) const {
    if (mode() == Mode::Long64) return place.offset;
    return ((place.space == Space::Stack ? state().ss_base() : state().ds_base()) + place.offset) & 0xFFFF'FFFF;
}

bool EffectBuilder::check_access(Place place, Width width, bool write) {
    if (stopped()) return false;
    const auto address = linear(place), last = address + width.bytes - 1, last_offset = place.offset + width.bytes - 1;
    const bool user = state().cpl == 3;
    Fault f{.cause = Cause::Access, .stack = place.space == Space::Stack, .write = write, .user = user};
    // SDM vol 3, "Alignment Check Exception (#AC)".
    f.misaligned = surroundings().alignment_check && state().rflags & rflags::ac && user && address % width.bytes != 0;
    // AMD APM vol 2, "Canonical Address Form"; SDM vol 1, "Canonical Addressing". A wrap at 2^64 is no violation.
    // Segment limits: SDM vol 3, "Limit Checking"; the whole operand must be inside.
    f.out_of_range = mode() == Mode::Long64   ? !canonical(address) || !canonical(last)
                     : mode() == Mode::Real16 ? last_offset > 0xFFFF
                                              : last_offset > layout::segment_limit;
    if (f.out_of_range) {
        fault(f);
        return false;
    }
    // No SMAP in CR4, so CPL0 may touch user pages.
    const auto denied = [&](std::uint64_t byte) {
        if (mode() == Mode::Real16) return false;
        const auto page = page_access(byte);
        return !page.present || (write && !page.writable) || (user && !page.user);
    };
    const bool crosses = page_of(address) != page_of(last);
    const bool first_denied = denied(address), second_denied = crosses && denied(last);
    if (first_denied || second_denied) {
        f.page = true;
        f.address = first_denied ? address : page_of(last);
        f.present = page_access(f.address).present;
        const auto end = first_denied ? std::min(last, page_of(address) + layout::page - 1) : last;
        f.span = static_cast<std::uint8_t>(end - f.address);
    }
    if (first_denied && second_denied)
        unmodelled("both pages of one access fault: which is reported is not architectural");
    else if (f.misaligned || f.page)
        fault(f);
    else if (!belongs_to_program(address) || !belongs_to_program(last))
        unmodelled("access to memory outside the program's pages");
    else if (write && (page_of(address) == layout::code || page_of(last) == layout::code))
        unmodelled("write to the program's code");
    else if (write && (page_of(address) == layout::readonly || page_of(last) == layout::readonly))
        unmodelled("write to the read-only page where paging does not protect it");
    return !stopped();
}

Known EffectBuilder::content(std::uint64_t address, std::uint8_t length) const {
    Known result;
    for (std::uint8_t i = 0; i < length; ++i) {
        const auto byte_address = address + i;
        std::uint64_t byte;
        if (const auto* write = state().memory.find(byte_address)) {
            if (!write->known) return {0, false};
            byte = write->value >> 8 * (byte_address - write->address) & 0xFF;
        } else {
            byte = initial_byte(context_.image, byte_address);
        }
        result.value |= byte << 8 * i;
    }
    return result;
}

Known EffectBuilder::read(Place place, Width width, bool for_write) {
    if (!check_access(place, width, for_write)) return {0, false};
    const auto address = linear(place);
    effect_.access[effect_.access_count++] = {address, width.bytes, false};
    return content(address, width.bytes);
}

void EffectBuilder::write(Place place, Width width, Known value) {
    if (!check_access(place, width, true)) return;
    const auto address = linear(place);
    effect_.access[effect_.access_count++] = {address, width.bytes, true};
    effect_.memory[effect_.memory_count++] = {address, value.value & mask_of(width.bytes), width.bytes, value.known};
}

// SDM vol 1, "Default Segment Selection Rules"; in 64-bit mode the segment decides only between #SS and #GP.
EffectBuilder::Place EffectBuilder::place(Mem at, unsigned beyond) {
    const auto base = at.base ? need(*at.base, "an address depends on an unknown register") : 0;
    const auto offset = base + static_cast<std::uint64_t>(std::int64_t{at.disp}) + beyond;
    const bool stack = at.base == Gpr::Rsp || at.base == Gpr::Rbp;
    return {offset & mask_of(slot().bytes), stack ? Space::Stack : Space::Data};
}
EffectBuilder::Place EffectBuilder::through(Gpr pointer) {
    return {need(pointer, "an address depends on an unknown register", slot()), Space::Data};
}

Known EffectBuilder::load(Mem at, Width width, unsigned beyond) { return read(place(at, beyond), width); }
void EffectBuilder::store(Mem at, Width width, Known value) { write(place(at), width, value); }
Known EffectBuilder::load_for_write(Mem at, Width width) { return read(place(at), width, true); }

Known EffectBuilder::load_through(Gpr pointer, Width width) { return read(through(pointer), width); }
void EffectBuilder::store_through(Gpr pointer, Width width, Known value) { write(through(pointer), width, value); }

std::uint64_t EffectBuilder::stack_pointer(unsigned slots_above) {
    const auto pointer = need(Gpr::Rsp, "RSP is unknown");
    return (pointer + moved_ + slots_above * slot().bytes) & mask_of(slot().bytes);
}

Known EffectBuilder::stack(unsigned index) { return read({stack_pointer(index), Space::Stack}, slot()); }
void EffectBuilder::next_part(Mem at, Width width, unsigned beyond) {
    if (!effect_.faults || !effect_.fault.page || effect_.fault.out_of_range) return;
    EffectBuilder alone(context_);
    alone.load(at, width, beyond);
    if (!alone.effect_.faults || !alone.effect_.fault.out_of_range) return;
    effect_.faults = false;
    unmodelled(
        "an operand of two parts, one not mapped and one beyond the limit: which is checked first is not stated");
}
void EffectBuilder::in_any_order(Mem at, unsigned bytes) {
    if (effect_.unmodelled) return;
    const auto first = linear(place(at)), last = first + bytes - 1;
    Fault& f = effect_.fault;
    const bool aligned = surroundings().alignment_check && state().rflags & rflags::ac && state().cpl == 3;
    if (page_of(first) != page_of(last) || f.out_of_range || aligned) {  // nor is how each has to be aligned
        effect_.faults = false;
        return unmodelled("an operand of two parts, and which of them is written first is not stated");
    }
    if (effect_.faults && f.page) f.span = static_cast<std::uint8_t>(last - f.address);
}
void EffectBuilder::frame_in_any_order(unsigned slots) {
    Fault& f = effect_.fault;
    if (!effect_.faults || !f.page) return;
    const auto top = state().reg(Gpr::Rsp) & mask_of(slot().bytes);  // known: the slots have been looked for
    const auto first = linear({top, Space::Stack}), last = first + slots * slot().bytes - 1;
    if (page_of(first) != page_of(last)) {
        effect_.faults = false;
        return unmodelled("a far return's frame cannot be read: which slot is read first is not stated");
    }
    f.span = static_cast<std::uint8_t>(last - f.address);
}
Known EffectBuilder::stack_at(std::uint64_t offset) {
    return read({offset & mask_of(slot().bytes), Space::Stack}, slot());
}
void EffectBuilder::probe_stack(std::uint64_t offset) {
    check_access({offset & mask_of(slot().bytes), Space::Stack}, slot(), true);
}
void EffectBuilder::push(Known value) {
    moved_ -= slot().bytes;
    const auto top = stack_pointer();
    write({top, Space::Stack}, slot(), value);
    set(Gpr::Rsp, {top}, slot());
}
void EffectBuilder::push_selector(std::uint16_t selector) {
    push({selector});
    if (stopped() || slot().bytes == 2) return;
    auto& selected = effect_.memory[effect_.memory_count - 1];
    const auto rest = static_cast<std::uint8_t>(slot().bytes - 2);
    effect_.memory[effect_.memory_count++] = {selected.address + 2, 0, rest, false};
    selected.length = 2;
}
void EffectBuilder::release_stack(unsigned slots) { set(Gpr::Rsp, {stack_pointer(slots)}, slot()); }

void EffectBuilder::store_after_pop(Mem at, Known value) {
    write(place(at, at.base == Gpr::Rsp ? slot().bytes : 0), slot(), value);
}

// --- control flow ----------------------------------------------------------------------------------------------

void EffectBuilder::transfer_to(std::uint64_t address) {
    if (stopped()) return;
    effect_.next = address;
    effect_.branch = true;
}

void EffectBuilder::branch_to(OpRef op) {
    const auto base = state().cs_base();
    transfer_to(base + ((context_.image.op_address(op.index) - base) & mask_of(slot().bytes)));
}

void EffectBuilder::branch_to(Known target) {
    const auto offset = need(target, "branch to an unknown address") & mask_of(slot().bytes);
    // #GP(0) on both, but only Intel states that it is the branch's own: on AMD the target may be what faults.
    if (mode() == Mode::Long64 && !canonical(offset)) unmodelled("near branch to a non-canonical address");
    // SDM vol 2, "JMP", "CALL", "RET": the offset is held against CS's limit before it is loaded.
    if (mode() != Mode::Long64 && mode() != Mode::Real16 && offset > layout::segment_limit) fault(Cause::BranchTarget);
    transfer_to(state().cs_base() + offset);
}

void EffectBuilder::enter(std::uint8_t cpl, std::uint16_t cs, std::uint16_t ss) {
    if (stopped()) return;
    effect_.cpl = cpl;
    effect_.cs = cs;
    effect_.ss = ss;
}

bool EffectBuilder::iterate() {
    const auto count = need(Gpr::Rcx, "REP with an unknown RCX", slot());
    if (stopped() || count == 0) return false;
    set(Gpr::Rcx, {count - 1}, slot());
    if (count > 1) {
        effect_.last_iteration = false;
        effect_.next = state().rip;
    }
    return true;
}

// --- port I/O --------------------------------------------------------------------------------------------------

void EffectBuilder::io_permission(Known port, Width width) {
    constexpr auto unknown = "I/O to an unknown port";
    const auto first = need(port, unknown), last = first + width.bytes - 1;
    if (stopped()) return;
    if (state().cpl > (state().rflags & rflags::iopl) >> 12) {
        // SDM vol 1, "I/O Permission Bit Map": every byte's bit must be clear, and what lies beyond the TSS's limit
        // reads as set. The bytes of the bitmap are read in pairs; a limit between the two decides nothing.
        const auto limit = std::min<std::uint64_t>(surroundings().tss_limit, tss::limit);
        const auto byte = tss::bitmap + last / 8;
        const bool main_task = state().tr == layout::tr;  // the others have no bitmap
        if (main_task && byte == limit) unmodelled("the TSS ends inside the pair of bitmap bytes that I/O reads");
        if (!main_task || byte > limit || first < layout::first_port || last > layout::last_allowed_port)
            return fault(Cause::IoPermission);
    }
    if (first <= layout::exit_port && layout::exit_port <= last) unmodelled("I/O to the port that ends the run");
}

void EffectBuilder::io_access(Known port, Width width) {
    if (stopped()) return;
    effect_.io = true;
    effect_.io_port = static_cast<std::uint16_t>(port.value);
    effect_.io_width = width.bytes;
}

}  // namespace faultline::guest
