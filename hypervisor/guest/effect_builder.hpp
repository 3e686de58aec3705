// How ops state their effect: a walk through the instruction in the manual's order, over values that may be
// unknown. Once it has found a fault, or something nobody can state, every further step does nothing, so an
// op's `effect` reads as a straight line.
//
// Operand, address and stack widths are the mode's: `slot()` is 8, 4 or 2 bytes. Memory operands are segment base plus
// an offset of that many bytes; a fault before anything is written leaves the machine as it was, a later one is not
// modelled.
#pragma once

#include <cstdint>

#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/surroundings.hpp"

namespace faultline::guest {

/// A value that may not be known (after IN, CPUID, RDTSC, …).
struct Known {
    std::uint64_t value = 0;
    bool known = true;
};

class EffectBuilder {
public:
    explicit EffectBuilder(const EffectContext& context, Kind kind = Kind::Ordinary);

    const State& state() const { return context_.state; }
    const EffectContext& context() const { return context_; }
    const Surroundings& surroundings() const;
    Mode mode() const { return context_.state.mode; }
    /// Bytes of an address, a stack slot and a near branch's target.
    Width slot() const { return {address_bytes(mode())}; }
    /// A fault was found, or the rest cannot be stated.
    bool stopped() const { return effect_.faults || effect_.unmodelled; }
    Effect& raw() { return effect_; }
    Effect done() const { return effect_; }

    // --- ways to stop
    /// Causes that have no facts of their own.
    void fault(Cause cause) { fault(Fault{.cause = cause}); }
    /// A selector is refused; `stack`: it was to be SS.
    void selector_fault(Cause cause, std::uint16_t selector, bool stack = false) {
        fault(Fault{.cause = cause, .selector = selector, .stack = stack});
    }
    void unmodelled(const char* why);
    /// Every fault of the op has been asked for, and what it then does nobody states.
    void does_more(const char* why);
    /// CPL must be 0.
    void privileged();
    /// CPL must be at most IOPL: CLI, STI.
    void iopl_sensitive();

    // --- registers and flags; the default width is all of a register that the mode has
    Known reg(Gpr gpr, Width width = {8}) const;
    /// The register's value, which must be known for the effect to be stated.
    std::uint64_t need(Gpr gpr, const char* why, Width width = {8});
    std::uint64_t need(Known value, const char* why);
    /// Writes `width` bytes: 4 zero-extend, 1 and 2 leave the rest of the register.
    void set(Gpr gpr, Known value, Width width = {8});
    /// RFLAGS after: the bits of `mask` take their value from `value`.
    void set_flags(std::uint64_t mask, Known value);
    void set_rflags(std::uint64_t value);
    void forget_flags(std::uint64_t mask);
    /// The flags of a + b and a − b on `width` bytes.
    void flags_of_add(Known a, Known b, Width width);
    void flags_of_subtract(Known a, Known b, Width width);
    /// SF, ZF and PF of a result; CF, OF and AF become unknown.
    void flags_of_result(Known result, Width width);

    // --- memory; each returns unknown once stopped
    /// `beyond` bytes above the operand's address.
    Known load(Mem at, Width width, unsigned beyond = 0);
    /// The operand just read goes on: its next part is beyond the limit, while paging has refused the first. Which
    /// check comes first, no manual says: unmodelled.
    void next_part(Mem at, Width width, unsigned beyond);
    /// The operand just written is the beginning of one of `bytes`, whose parts are written in an order that is not
    /// stated: of those that paging refuses any may be met first.
    void in_any_order(Mem at, unsigned bytes);
    void store(Mem at, Width width, Known value);
    /// Read-modify-write: the read half, which already asks for write permission; then store().
    Known load_for_write(Mem at, Width width);
    /// Memory by an address in a register, as strings do: DS or ES, never SS.
    Known load_through(Gpr pointer, Width width);
    void store_through(Gpr pointer, Width width, Known value);

    // --- the stack, in slots. The stack pointer is the one after this op's pushes.
    Known stack(unsigned index = 0);
    /// The slots just read are the first of a frame of `slots` whose order of reading is not stated: a #PF may show
    /// any.
    void frame_in_any_order(unsigned slots);
    void push(Known value);
    /// What far calls push: the upper bytes of the slot are undefined.
    void push_selector(std::uint16_t selector);
    /// The stack pointer `slots` up, what POP leaves.
    void release_stack(unsigned slots = 1);
    /// The stack pointer, cut to the slot's size.
    std::uint64_t stack_pointer(unsigned slots_above = 0);
    /// A slot of the stack segment by another pointer, as ENTER and LEAVE use.
    Known stack_at(std::uint64_t offset);
    /// A write of one slot at `offset` of the stack segment would go through; it is not made.
    void probe_stack(std::uint64_t offset);
    /// POP m: `[rsp…]` counts from the incremented RSP. SDM vol 2, "POP".
    void store_after_pop(Mem at, Known value);

    // --- control flow
    /// A taken near branch to an op, by displacement.
    void branch_to(OpRef op);
    /// A taken near branch to an offset in CS.
    void branch_to(Known offset);
    /// A transfer that does not look at CS's limit or at canonical form: to a linear address.
    void transfer_to(std::uint64_t address);
    /// The offset of the next instruction, as CALL pushes it.
    std::uint64_t return_offset() const { return context_.fallthrough - state().cs_base(); }
    /// The privilege and selectors after SYSCALL, SYSRET, IRET, far transfers.
    void enter(std::uint8_t cpl, std::uint16_t cs, std::uint16_t ss);
    /// One iteration of a REP string instruction; false when nothing (more) is to be done.
    bool iterate();

    // --- port I/O
    /// Permission (CPL, IOPL, bitmap), then the access.
    void io_permission(Known port, Width width);
    void io_access(Known port, Width width);

private:
    enum class Space : std::uint8_t { Data, Stack };  ///< DS or ES, or SS
    struct Place {
        std::uint64_t offset;
        Space space;
    };
    void fault(Fault fault);
    Place place(Mem at, unsigned beyond = 0);
    Place through(Gpr pointer);
    std::uint64_t linear(Place place) const;
    Known read(Place place, Width width, bool for_write = false);
    void write(Place place, Width width, Known value);
    /// Limit or canonical form, alignment, paging: true when the access goes through.
    bool check_access(Place place, Width width, bool write);
    Known content(std::uint64_t address, std::uint8_t length) const;

    const EffectContext& context_;
    Effect effect_;
    std::uint64_t moved_ = 0;  ///< by this op's pushes, added to the stack pointer
};

/// RSI and RDI step by the operand size, down when DF is set.
std::uint64_t stepped(const State& state, std::uint64_t pointer, Width width);

}  // namespace faultline::guest
