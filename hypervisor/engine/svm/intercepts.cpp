// What an intercept reports: EXITCODE, EXITINFO1 and 2, nRIP. AMD APM vol 2 (24593, ~2024), "Intercept Operation",
// "IOIO Intercepts", "MSR Intercepts", "Exception Intercepts".
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {
namespace {

namespace svm = guest::svm;

/// "nRIP is saved … on all #VMEXITs that are due to instruction intercepts, as defined in Section 15.9, as well as MSR
/// and IOIO intercepts and exceptions caused by the INT3, INTO, and BOUND instructions. For all other intercepts, nRIP
/// is reset to zero." ("State Saved on Exit")
constexpr bool is_instruction(Intercept what) {
    return what < Intercept::Exception || (what >= Intercept::Cr0Selective && what <= Intercept::Msr) ||
           what >= Intercept::Vmrun;
}

constexpr bool comes_from_instruction(std::uint8_t number) {
    return number == vector::bp || number == vector::of || number == vector::br;
}

/// Those whose EXITINFO1 is the error code; that of #DF and #TS is undefined, and zero here.
constexpr bool reports_error_code(std::uint8_t number) {
    switch (number) {
        case vector::np:
        case vector::ss:
        case vector::gp:
        case vector::pf:
        case vector::ac:
        case vector::sx: return true;
        default: return false;
    }
}

std::uint64_t next_rip(const Machine& m) {
    const std::uint64_t next = m.cpu.r[next_rip_slot];
    return m.long64() ? next : static_cast<std::uint32_t>(next);
}

bool bit_set(const Machine& m, std::uint64_t map, std::uint64_t bit) {
    std::uint8_t byte;
    m.memory.read(map + bit / 8, &byte, 1);
    return byte >> bit % 8 & 1;
}

}  // namespace

bool Machine::exit_on(Intercept what, std::uint64_t info_1, std::uint64_t info_2) {
    if (quirks.any() && QuirkHooks::overlooks(*this, what, info_1)) [[unlikely]]
        return false;
    svm.report = {.code = svm::exit_code::of(what), .info_1 = info_1, .info_2 = info_2};
    if (is_instruction(what)) svm.report.next_rip = next_rip(*this);
    if (quirks.any()) [[unlikely]]
        QuirkHooks::reported(*this, what);
    pend(exiting);
    return true;
}

bool Machine::exits_on(const Fault& recognised) {
    const std::uint8_t number = recognised.vector;
    const bool page_fault = number == vector::pf;
    const bool unseen =
        quirks.any() && (QuirkHooks::overlooks(*this, Intercept::Exception + number, recognised.error) ||
                         (quirk(Quirk::page_fault_of_fetch_not_intercepted) && page_fault && recognised.fetch));
    if (!svm.intercepts.has(Intercept::Exception + number) || unseen) {
        if (page_fault) cpu.cr2 = recognised.address;
        return false;
    }
    exit_on(Intercept::Exception + number, reports_error_code(number) ? recognised.error : 0,
            page_fault ? recognised.address : 0);
    if (comes_from_instruction(number) && !quirk(Quirk::nrip_missing_for_int3)) svm.report.next_rip = next_rip(*this);
    svm.report.data_page_fault = page_fault && !recognised.fetch;
    return true;
}

/// "Nested versus Guest Page Faults, Fault Ordering". The instruction's bytes are reported of data accesses: "Nested
/// and Intercepted #PF".
bool Machine::raise_page_fault(std::uint64_t linear, const Translation& refused, bool fetch) {
    fault = {};
    if (refused.nested_error == 0) {
        fault = {.vector = vector::pf, .error = refused.error, .address = linear, .fetch = fetch};
        return false;
    }
    svm.report = {.code = svm::exit_code::nested_page_fault,
                  .info_1 = refused.nested_error,
                  .info_2 = refused.nested_address,
                  .data_page_fault = !fetch};
    pend(exiting);
    return false;
}

/// "The permission bits for all bytes are checked". "I/O Intercept Information"; an operand of 32 bits is the widest.
bool exits_on_port(Machine& m, const Instruction& i, std::uint16_t port, std::size_t width, IoKind kind) {
    if (!m.svm.intercepts.has(Intercept::Io)) return false;
    bool asked = false;
    if (m.quirks.any()) [[unlikely]]
        asked = QuirkHooks::io_map_asks(m, port, width);
    else
        for (std::size_t n = 0; n < width; ++n) asked |= bit_set(m, m.svm.iopm, port + n);
    if (!asked) return false;
    const auto info = static_cast<std::uint64_t>(kind);
    const bool string = info & static_cast<std::uint64_t>(IoKind::Outs), in = info & 1;
    const std::uint64_t size = width << 4;  // SZ8, SZ16, SZ32
    const std::uint64_t address = i.flags & Instruction::address16   ? 1 << 7
                                  : i.flags & Instruction::address32 ? 1 << 8
                                                                     : 1 << 9;
    const std::uint64_t segment = string ? std::uint64_t{in ? std::uint8_t{es} : i.segment} << 10 : 0;
    const std::uint64_t repeated = string && i.flags & (Instruction::rep | Instruction::repne) ? 1 << 3 : 0;
    return m.exit_on(Intercept::Io, std::uint64_t{port} << 16 | segment | address | size | repeated | info,
                     next_rip(m));
}

/// Two bits each, "the lsb … controls read access"; "any attempt to read or write an MSR not covered by the MSRPM will
/// automatically cause an intercept".
bool exits_on_msr(Machine& m, std::uint32_t index, bool write) {
    if (!m.svm.intercepts.has(Intercept::Msr)) return false;
    constexpr std::uint32_t covered = 0x2000;
    constexpr std::uint64_t vector_bits = 2 * covered;
    bool asked = true;
    std::uint64_t vector = 0;
    for (const std::uint32_t first : {0u, 0xC000'0000u, 0xC001'0000u}) {
        if (index - first < covered) asked = bit_set(m, m.svm.msrpm, vector + 2 * (index - first) + write);
        vector += vector_bits;
    }
    if (m.quirks.any()) [[unlikely]]
        asked = QuirkHooks::msr_map_asks(m, index, write, asked);
    return asked && m.exit_on(Intercept::Msr, write, 0);
}

}  // namespace faultline::engine
