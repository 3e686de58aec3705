#include "hypervisor/guest/effect_builder.hpp"

#include <bit>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::guest {
namespace {

constexpr std::uint8_t stack_fault = 12, general_protection = 13, page_fault = 14;

constexpr std::uint64_t mask_of(unsigned bytes) { return bytes >= 8 ? ~0ull : (1ull << 8 * bytes) - 1; }

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
    if (const auto offset = address - image.params.entry_frame.rsp; offset < 8u * image.stack_count)
        return static_cast<std::uint8_t>(image.stack[offset / 8] >> 8 * (offset % 8));
    if (address - layout::stack_bottom < 2 * layout::page) return 0;
    return layout::initial_data(address);
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

bool canonical(std::uint64_t address) {
    const auto upper = static_cast<std::int64_t>(address) >> 47;
    return upper == 0 || upper == -1;
}

std::uint64_t stepped(const State& state, std::uint64_t pointer, Width width) {
    return state.rflags & rflags::df ? pointer - width.bytes : pointer + width.bytes;
}

EffectBuilder::EffectBuilder(const EffectContext& context, Kind kind) : context_(context) {
    const auto& state = context.state;
    effect_.kind = kind;
    effect_.next = context.fallthrough;
    // RF is cleared by every instruction that does not load it. AMD APM vol 2, "RFLAGS Register", "Resume Flag".
    effect_.rflags = state.rflags & ~rflags::rf;
    effect_.rflags_known = state.rflags_known | rflags::rf;
    effect_.cpl = state.cpl;
    effect_.cs = state.cs;
    effect_.ss = state.ss;
    effect_.debugctl = state.debugctl;
    effect_.cr4 = state.cr4;
}

// --- ways to stop ----------------------------------------------------------------------------------------------

void EffectBuilder::fault(std::uint8_t vector, std::uint32_t error, std::uint64_t cr2) {
    if (stopped()) return;
    effect_.faults = true;
    effect_.fault = {vector, error, cr2};
}

void EffectBuilder::unmodelled(const char* why) {
    if (stopped()) return;
    effect_.unmodelled = true;
    effect_.why = why;
}

void EffectBuilder::privileged() {
    if (state().cpl != 0) fault(general_protection);
}

void EffectBuilder::iopl_sensitive() {
    if (state().cpl > (state().rflags & rflags::iopl) >> 12) fault(general_protection);
}

// --- registers and flags ---------------------------------------------------------------------------------------

Known EffectBuilder::reg(Gpr gpr, Width width) const {
    return {state().reg(gpr) & mask_of(width.bytes), state().known(gpr)};
}

std::uint64_t EffectBuilder::need(Known value, const char* why) {
    if (!value.known) unmodelled(why);
    return stopped() ? 0 : value.value;
}

std::uint64_t EffectBuilder::need(Gpr gpr, const char* why, Width width) { return need(reg(gpr, width), why); }

void EffectBuilder::set(Gpr gpr, Known value, Width width) {
    if (stopped()) return;
    const auto mask = mask_of(width.bytes);
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

// --- memory ----------------------------------------------------------------------------------------------------

bool EffectBuilder::check_access(std::uint64_t address, Width width, bool write, Space space) {
    if (stopped()) return false;
    const auto last = address + width.bytes - 1;
    // AMD APM vol 2, "Canonical Address Form"; SDM vol 1, "Canonical Addressing". A wrap at 2^64 is no violation.
    if (!canonical(address) || !canonical(last)) {
        fault(space == Space::Stack ? stack_fault : general_protection);
        return false;
    }
    // The stage keeps CR0.AM clear, so there is no #AC; and CR4.SMAP, so CPL0 may touch user pages.
    const auto denied = [&](std::uint64_t byte) -> std::optional<std::uint32_t> {
        constexpr std::uint32_t protection = 1, on_write = 2, by_user = 4;  // SDM vol 3, "Page-Fault Exceptions"
        const auto page = page_access(byte);
        const bool user = state().cpl == 3;
        const bool allowed = page.present && (!write || page.writable) && (!user || page.user);
        if (allowed) return std::nullopt;
        return (page.present ? protection : 0) | (write ? on_write : 0) | (user ? by_user : 0);
    };
    const auto first_error = denied(address);
    const bool crosses = page_of(address) != page_of(last);
    const auto second_error = crosses ? denied(last) : std::nullopt;
    if (first_error && second_error)
        unmodelled("both pages of one access fault: which is reported is not architectural");
    else if (first_error)
        fault(page_fault, *first_error, address);
    else if (second_error)
        fault(page_fault, *second_error, page_of(last));
    else if (!belongs_to_program(address) || !belongs_to_program(last))
        unmodelled("access to the stage's memory");
    else if (write && (page_of(address) == layout::code || page_of(last) == layout::code))
        unmodelled("write to the program's code");
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

Known EffectBuilder::read(std::uint64_t address, Width width, Space space, bool for_write) {
    if (!check_access(address, width, for_write, space)) return {0, false};
    effect_.access[effect_.access_count++] = {address, width.bytes, false};
    return content(address, width.bytes);
}

void EffectBuilder::write(std::uint64_t address, Width width, Known value, Space space) {
    if (!check_access(address, width, true, space)) return;
    effect_.access[effect_.access_count++] = {address, width.bytes, true};
    effect_.memory[effect_.memory_count++] = {address, value.value & mask_of(width.bytes), width.bytes, value.known};
}

// SDM vol 1, "Default Segment Selection Rules"; in 64-bit mode the segment decides only between #SS and #GP.
static bool stack_based(Mem at) { return at.base == Gpr::Rsp || at.base == Gpr::Rbp; }

std::uint64_t EffectBuilder::linear(Mem at) {
    const auto base = at.base ? need(*at.base, "an address depends on an unknown register") : 0;
    return base + static_cast<std::uint64_t>(std::int64_t{at.disp});
}

Known EffectBuilder::load(Mem at, Width width) {
    return read(linear(at), width, stack_based(at) ? Space::Stack : Space::Data);
}
void EffectBuilder::store(Mem at, Width width, Known value) {
    write(linear(at), width, value, stack_based(at) ? Space::Stack : Space::Data);
}
Known EffectBuilder::load_for_write(Mem at, Width width) {
    return read(linear(at), width, stack_based(at) ? Space::Stack : Space::Data, true);
}

Known EffectBuilder::load_through(Gpr pointer, Width width) {
    return read(need(pointer, "an address depends on an unknown register"), width, Space::Data);
}
void EffectBuilder::store_through(Gpr pointer, Width width, Known value) {
    write(need(pointer, "an address depends on an unknown register"), width, value, Space::Data);
}

static constexpr auto unknown_rsp = "RSP is unknown";

Known EffectBuilder::stack(std::uint64_t offset) {
    return read(need(Gpr::Rsp, unknown_rsp) + offset, {8}, Space::Stack);
}
void EffectBuilder::push(Known value) {
    const auto top = need(Gpr::Rsp, unknown_rsp) - 8;
    write(top, {8}, value, Space::Stack);
    set(Gpr::Rsp, {top});
}
void EffectBuilder::release_stack() { set(Gpr::Rsp, {need(Gpr::Rsp, unknown_rsp) + 8}); }

void EffectBuilder::store_after_pop(Mem at, Known value) {
    const auto address = linear(at) + (at.base == Gpr::Rsp ? 8 : 0);
    write(address, {8}, value, stack_based(at) ? Space::Stack : Space::Data);
}

// --- control flow ----------------------------------------------------------------------------------------------

void EffectBuilder::branch_to(std::uint64_t target) {
    if (stopped()) return;
    effect_.next = target;
    effect_.branch = true;
}

void EffectBuilder::branch_to(Known target) {
    const auto address = need(target, "branch to an unknown address");
    // #GP(0) on both, but only Intel states that it is the branch's own: on AMD the target may be what faults.
    if (!canonical(address)) unmodelled("near branch to a non-canonical address");
    branch_to(address);
}

void EffectBuilder::enter(std::uint8_t cpl, std::uint16_t cs, std::uint16_t ss) {
    if (stopped()) return;
    effect_.cpl = cpl;
    effect_.cs = cs;
    effect_.ss = ss;
}

bool EffectBuilder::iterate() {
    const auto count = need(Gpr::Rcx, "REP with an unknown RCX");
    if (stopped() || count == 0) return false;
    set(Gpr::Rcx, {count - 1});
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
    // SDM vol 1, "I/O Permission Bit Map": every byte's bit must be clear.
    const bool permitted = state().cpl <= (state().rflags & rflags::iopl) >> 12 ||
                           (first >= layout::first_port && last <= layout::last_allowed_port);
    if (!permitted) return fault(general_protection);
    if (first <= layout::exit_port && layout::exit_port <= last) unmodelled("I/O to the port that ends the run");
}

void EffectBuilder::io_access(Known port, Width width) {
    if (stopped()) return;
    effect_.io = true;
    effect_.io_port = static_cast<std::uint16_t>(port.value);
    effect_.io_width = width.bytes;
}

}  // namespace faultline::guest
