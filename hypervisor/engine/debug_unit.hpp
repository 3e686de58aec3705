// The debug facilities of one vCPU: DR0–DR7, DEBUGCTL, the causes of a #DB and what they do to DR6.
//
// AMD APM vol 2, "Software-Debug Resources". What the unit decides is data (bits for DR6); when a #DB is taken is the
// business of the instruction boundary (machine.cpp).
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/guest/types.hpp"

namespace faultline::engine {

/// How a #DB came about: it decides what happens to DR6.
enum class DebugEvent : std::uint8_t { Condition, Icebp };

class DebugUnit {
public:
    std::array<std::uint64_t, 4> address{};
    std::uint64_t dr6 = guest::dr::dr6_reset;
    std::uint64_t debugctl = 0;
    std::uint64_t last_branch_from = 0, last_branch_to = 0, last_int_from = 0, last_int_to = 0;

    /// Causes (DR6 bits) seen by the instruction being executed. They become `pending` when it completes and are
    /// forgotten when it faults.
    std::uint64_t seen = 0;
    /// Causes due at the next boundary that lets a #DB through.
    std::uint64_t pending = 0;

    /// DR7 and CR4.DE have setters: what is armed follows from them.
    std::uint64_t dr7() const { return dr7_; }
    void set_dr7(std::uint64_t value);
    void set_de(bool enabled);
    void reset();

    bool general_detect() const { return (dr7_ & guest::dr::dr7_gd) != 0; }
    bool branch_step() const { return (debugctl & guest::debugctl::btf) != 0; }
    bool data_armed() const { return (read_mask_ | write_mask_) != 0; }
    bool io_armed() const { return io_mask_ != 0; }
    /// Bit p modulo 64 for every page p with an armed breakpoint on instructions or data. A range is aligned and so
    /// never leaves its page.
    std::uint64_t code_pages() const { return pages(code_mask_); }
    std::uint64_t data_pages() const { return pages(read_mask_ | write_mask_); }

    /// B0–B3 of the enabled instruction breakpoints at this linear address.
    std::uint64_t match_code(std::uint64_t rip) const;
    /// B0–B3 of the enabled data breakpoints that a byte of this access touches.
    std::uint64_t match_data(std::uint64_t linear, std::size_t length, bool write) const;
    /// B0–B3 of the enabled I/O breakpoints; the port is zero-extended to 64 bits.
    std::uint64_t match_io(std::uint16_t port, std::size_t length) const;

    /// The #DB is recognised: DR6 as its handler will find it.
    void record(DebugEvent event, std::uint64_t causes);
    /// The #DB handler is entered: GD, BTF and LBR are cleared.
    void enter_handler();
    void clear_general_detect() { dr7_ &= ~guest::dr::dr7_gd; }
    /// A task switch: L0–L3 are cleared, G0–G3 stay.
    void clear_local_breakpoints();
    void record_branch(std::uint64_t from, std::uint64_t to);
    void record_interrupt();

    /// What MOV to DR6 and DR7 store (bits 63:32 are the caller's #GP).
    static std::uint64_t writable_dr6(std::uint64_t value);
    static std::uint64_t writable_dr7(std::uint64_t value);
    static constexpr std::uint64_t writable_debugctl = guest::debugctl::lbr | guest::debugctl::btf;

private:
    void rearm();
    std::uint64_t pages(unsigned mask) const;
    bool overlaps(unsigned n, std::uint64_t address, std::size_t length) const;
    /// Bit n for each breakpoint n of the mask whose range the access touches.
    std::uint64_t touched(unsigned mask, std::uint64_t address, std::size_t length) const;

    std::uint64_t dr7_ = guest::dr::dr7_reset;
    bool de_ = false;
    std::uint8_t code_mask_ = 0, read_mask_ = 0, write_mask_ = 0, io_mask_ = 0;  ///< bit n: DRn is armed for it
};

}  // namespace faultline::engine
