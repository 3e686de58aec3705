// How ops state their effect: a walk through the instruction in the manual's order, over values that may be
// unknown. Once it has found a fault, or something nobody can state, every further step does nothing, so an
// op's `effect` reads as a straight line.
#pragma once

#include <cstdint>

#include "hypervisor/guest/effect.hpp"

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
    /// A fault was found, or the rest cannot be stated.
    bool stopped() const { return effect_.faults || effect_.unmodelled; }
    Effect& raw() { return effect_; }
    Effect done() const { return effect_; }

    // --- ways to stop
    void fault(std::uint8_t vector, std::uint32_t error = 0, std::uint64_t cr2 = 0);
    void unmodelled(const char* why);
    /// #GP(0) unless CPL is 0.
    void privileged();
    /// #GP(0) when CPL > IOPL: CLI, STI.
    void iopl_sensitive();

    // --- registers and flags
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

    // --- memory; each returns unknown once stopped
    Known load(Mem at, Width width);
    void store(Mem at, Width width, Known value);
    /// Read-modify-write: the read half, which already asks for write permission; then store().
    Known load_for_write(Mem at, Width width);
    /// Memory by an address in a register, as strings do: DS or ES, never SS.
    Known load_through(Gpr pointer, Width width);
    void store_through(Gpr pointer, Width width, Known value);
    /// The quadword at RSP + offset, without moving RSP.
    Known stack(std::uint64_t offset = 0);
    void push(Known value);
    /// RSP + 8, what POP leaves; RSP must be known.
    void release_stack();
    /// POP m64: `[rsp…]` counts from the incremented RSP. SDM vol 2, "POP".
    void store_after_pop(Mem at, Known value);

    // --- control flow
    /// A taken near branch.
    void branch_to(std::uint64_t target);
    void branch_to(Known target);
    /// The privilege and selectors after SYSCALL, SYSRET, IRET.
    void enter(std::uint8_t cpl, std::uint16_t cs, std::uint16_t ss);
    /// One iteration of a REP string instruction; false when nothing (more) is to be done.
    bool iterate();

    // --- port I/O
    /// Permission (CPL, IOPL, bitmap), then the access.
    void io_permission(Known port, Width width);
    void io_access(Known port, Width width);

private:
    enum class Space : std::uint8_t { Data, Stack };  ///< non-canonical: #GP(0) or #SS(0)
    std::uint64_t linear(Mem at);
    Known read(std::uint64_t address, Width width, Space space, bool for_write = false);
    void write(std::uint64_t address, Width width, Known value, Space space);
    /// Canonical form, alignment, paging: true when the access goes through.
    bool check_access(std::uint64_t address, Width width, bool write, Space space);
    Known content(std::uint64_t address, std::uint8_t length) const;

    const EffectContext& context_;
    Effect effect_;
};

/// RSI and RDI step by the operand size, down when DF is set.
std::uint64_t stepped(const State& state, std::uint64_t pointer, Width width);
bool canonical(std::uint64_t address);

}  // namespace faultline::guest
