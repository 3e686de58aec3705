#include "hypervisor/engine/debug_unit.hpp"

namespace faultline::engine {

namespace {

/// R/W field of DR7. AMD APM vol 2, "Debug-Control Register (DR7)".
enum Condition : unsigned { execute = 0, write = 1, io = 2, read_write = 3 };

constexpr unsigned condition(std::uint64_t dr7, unsigned n) { return dr7 >> (16 + 4 * n) & 3; }

/// LEN field: 00 one byte, 01 two, 10 eight, 11 four.
constexpr std::uint64_t range(std::uint64_t dr7, unsigned n) {
    constexpr std::uint64_t bytes[] = {1, 2, 8, 4};
    return bytes[dr7 >> (18 + 4 * n) & 3];
}

}  // namespace

void DebugUnit::set_dr7(std::uint64_t value) {
    dr7_ = value;
    rearm();
}

void DebugUnit::set_de(bool enabled) {
    de_ = enabled;
    rearm();
}

void DebugUnit::reset() { *this = DebugUnit{}; }

void DebugUnit::rearm() {
    code_mask_ = read_mask_ = write_mask_ = io_mask_ = 0;
    for (unsigned n = 0; n < 4; ++n) {
        if (!(dr7_ >> 2 * n & 3)) continue;
        const auto bit = static_cast<std::uint8_t>(1u << n);
        switch (condition(dr7_, n)) {
            case Condition::execute: code_mask_ |= bit; break;
            case Condition::write: write_mask_ |= bit; break;
            // "CR4[DE] = 0—Condition is undefined": here it never matches.
            case Condition::io: io_mask_ |= de_ ? bit : 0; break;
            case Condition::read_write: read_mask_ |= bit, write_mask_ |= bit; break;
        }
    }
}

std::uint64_t DebugUnit::pages(unsigned mask) const {
    std::uint64_t pages = 0;
    for (; mask; mask &= mask - 1) pages |= 1ull << (address[__builtin_ctz(mask)] >> 12) % 64;
    return pages;
}

std::uint64_t DebugUnit::match_code(std::uint64_t rip) const {
    std::uint64_t hits = 0;
    for (unsigned n = 0; n < 4; ++n)
        if (code_mask_ >> n & 1 && address[n] == rip) hits |= 1ull << n;
    return hits;
}

/// "LENn is used to mask the low-order address bits … a breakpoint occurs if any accessed byte falls within the range".
/// AMD APM vol 2, "Setting Breakpoints".
bool DebugUnit::overlaps(unsigned n, std::uint64_t first, std::size_t length) const {
    const std::uint64_t size = range(dr7_, n), low = address[n] & ~(size - 1);
    return low - first < length || first - low < size;
}

std::uint64_t DebugUnit::touched(unsigned mask, std::uint64_t first, std::size_t length) const {
    std::uint64_t hits = 0;
    for (; mask; mask &= mask - 1) {
        const auto n = static_cast<unsigned>(__builtin_ctz(mask));
        if (overlaps(n, first, length)) hits |= 1ull << n;
    }
    return hits;
}

std::uint64_t DebugUnit::match_data(std::uint64_t linear, std::size_t length, bool write) const {
    return touched(write ? write_mask_ : read_mask_, linear, length);
}

std::uint64_t DebugUnit::match_io(std::uint16_t port, std::size_t length) const {
    return touched(io_mask_, port, length);
}

/// B3–B0 are updated "on every debug breakpoint or general-detect condition"; bits 15:13 "are not cleared by the
/// processor". AMD APM vol 2, "Debug-Status Register (DR6)". ICEBP has no cause bit and leaves B3–B0 alone, unless
/// a breakpoint held by a MOV SS shadow comes with it (Xen, arch/x86/debug.c, on AMD).
void DebugUnit::record(DebugEvent event, std::uint64_t causes) {
    if (event == DebugEvent::Condition || causes & guest::dr::dr6_b) dr6 &= ~guest::dr::dr6_b;
    dr6 |= causes;
}

/// AMD APM vol 2, "Debug-Control Register (DR7)" for GD, "Control-Transfer Breakpoint Features" for BTF and LBR.
void DebugUnit::enter_handler() {
    clear_general_detect();
    debugctl &= ~(guest::debugctl::btf | guest::debugctl::lbr);
}

/// AMD APM vol 2, "Debug-Control Register (DR7)": L0–L3 "are cleared to 0 by the processor when a hardware task switch
/// occurs".
void DebugUnit::clear_local_breakpoints() { set_dr7(dr7_ & ~0x55ull); }

void DebugUnit::record_branch(std::uint64_t from, std::uint64_t to) {
    if (!(debugctl & guest::debugctl::lbr)) return;
    last_branch_from = from;
    last_branch_to = to;
}

/// AMD APM vol 2, "Recording Control Transfers": loaded from the LastBranch registers "when most interrupts and
/// exceptions are taken", not for #DB, #MC and ICEBP.
void DebugUnit::record_interrupt() {
    if (!(debugctl & guest::debugctl::lbr)) return;
    last_int_from = last_branch_from;
    last_int_to = last_branch_to;
}

/// AMD APM vol 2, "Debug-Status Register (DR6)": 31:16 and 10:4 read 1, 12 reads 0. Bit 11 reads 1: no bus-lock trap.
std::uint64_t DebugUnit::writable_dr6(std::uint64_t value) {
    constexpr std::uint64_t writable = guest::dr::dr6_b | guest::dr::dr6_bd | guest::dr::dr6_bs | guest::dr::dr6_bt;
    return (value & writable) | guest::dr::dr6_reset;
}

/// AMD APM vol 2, "Debug-Control Register (DR7)": bit 10 reads 1; 15:14 and 12:11 read 0.
std::uint64_t DebugUnit::writable_dr7(std::uint64_t value) { return (value & 0xFFFF'23FF) | guest::dr::dr7_reset; }

}  // namespace faultline::engine
