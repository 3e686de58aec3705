// One event on its way into a handler: what the modes' ways of getting there have in common.
#pragma once

#include <cstdint>

#include "hypervisor/engine/machine.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {

struct Event {
    std::uint8_t number = 0;
    Delivery delivery = Delivery::Exception;
    bool pushes_error = false;
    std::uint32_t error = 0;
    std::uint64_t return_rip = 0, pushed_rflags = 0;

    bool software() const { return delivery == Delivery::Software || delivery == Delivery::SoftwareException; }
    /// EXT of the error codes of what goes wrong on the way. AMD APM vol 2, "Selector-Error Code".
    std::uint32_t external() const { return software() ? 0 : 1; }
    /// IDT set, and the vector as index.
    std::uint32_t gate_error() const { return number * 8u | 2 | external(); }
    std::uint32_t selector_error(std::uint16_t selector) const { return engine::selector_error(selector) | external(); }
};

/// Pushed with RF set: faults other than #DB. AMD APM vol 2, "Resume Flag (RF) Bit".
constexpr bool is_fault(std::uint8_t number) {
    return number != vector::db && number != vector::nmi && number != vector::bp && number != vector::of &&
           number != vector::df;
}

/// One attempt each: false after raising what went wrong, with no register changed (but see switch_task).
bool enter_long(Machine& m, const Event& event);
bool enter_legacy(Machine& m, const Event& event);
bool enter_real(Machine& m, const Event& event);

/// A gate may be used by software interrupts only if its DPL says so, and must be present.
/// AMD APM vol 2, "Privilege Checks" of interrupt control transfers.
bool check_gate(Machine& m, const Event& event, unsigned dpl, bool present);
/// The code segment a gate leads to, checked; `new_cpl` is the level it runs at.
bool find_handler_code(Machine& m, const Event& event, std::uint16_t selector, Descriptor& code, std::uint8_t& new_cpl);
/// Reads `length` bytes of the TSS's stack pointers: #TS where they lie beyond its limit.
bool read_inner_stack(Machine& m, const Event& event, std::uint64_t offset, void* to, std::size_t length);
/// RFLAGS as a handler behind an interrupt gate (IF is cleared) or a trap gate finds them.
void clear_flags(Machine& m, std::uint64_t cleared, bool interrupt_gate);

}  // namespace faultline::engine
