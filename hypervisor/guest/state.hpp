// The program-visible machine state, as the oracle carries it from op to op: plain data, no behaviour
// beyond bounded memory bookkeeping. What is not known (after CPUID, IN, …) says so.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::guest {

/// Bytes the program has written, over the image's initial memory. Small and bounded: a case that
/// writes more than it holds is not modelled, and says so.
class MemoryOverlay {
public:
    static constexpr std::size_t capacity = 96;
    struct Write {
        std::uint64_t address;
        std::uint64_t value;  ///< little endian, `length` bytes
        std::uint8_t length;  ///< 1–8
        bool known;
    };
    /// False when full.
    bool write(std::uint64_t address, std::uint64_t value, std::uint8_t length, bool known) {
        if (count_ == capacity) return false;
        writes_[count_++] = {address, value, length, known};
        return true;
    }
    /// The newest write that covers this byte; only writes from number `since` on count.
    const Write* find(std::uint64_t byte_address, std::size_t since = 0) const {
        for (std::size_t i = count_; i-- > since;)
            if (byte_address - writes_[i].address < writes_[i].length) return &writes_[i];
        return nullptr;
    }
    std::size_t size() const { return count_; }

    // Copies only what is used: states are copied for every candidate of every op.
    MemoryOverlay() = default;
    MemoryOverlay(const MemoryOverlay& other) { *this = other; }
    MemoryOverlay& operator=(const MemoryOverlay& other) {
        count_ = other.count_;
        for (std::size_t i = 0; i < count_; ++i) writes_[i] = other.writes_[i];
        return *this;
    }

private:
    std::size_t count_ = 0;
    std::array<Write, capacity> writes_;
};

/// What a task's TSS holds of its program while another task runs.
struct SavedTask {
    std::array<std::uint64_t, 8> gpr{};
    std::uint16_t gpr_known = 0xFF;
    std::uint64_t rip = 0, rflags = 0, rflags_known = ~0ull;
    std::uint8_t cpl = 0;
    std::uint16_t cs = 0, ss = 0;
};

struct State {
    std::array<std::uint64_t, gpr_count> gpr{};
    std::uint16_t gpr_known = 0xFFFF;  ///< bit r: gpr[r] is known
    Mode mode = Mode::Long64;
    std::uint64_t rip = 0;  ///< linear, in every mode: cs_base() + the offset that frames show
    std::uint64_t rflags = rflags::fixed1;
    std::uint64_t rflags_known = ~0ull;  ///< arithmetic flags may become unknown
    std::uint8_t cpl = 0;
    std::uint16_t cs = 0, ss = 0;
    std::array<std::uint64_t, 4> dr{};
    std::uint64_t dr6 = dr::dr6_reset, dr7 = dr::dr7_reset;
    std::uint64_t debugctl = 0;
    std::uint64_t cr0 = 0, cr4 = 0;
    std::uint16_t tr = layout::tr;   ///< prot32: the current task
    std::optional<SavedTask> outer;  ///< the main task, while one nested in it runs (task.hpp)
    std::uint8_t tasks_entered = 0;  ///< bit 0: task_a, bit 1: task_b; what their TSSs hold is the image's no more
    MemoryOverlay memory;

    std::uint64_t cs_base() const { return mode == Mode::Real16 ? std::uint64_t{cs} << 4 : 0; }
    std::uint64_t ss_base() const { return mode == Mode::Real16 ? std::uint64_t{ss} << 4 : 0; }
    /// Of DS and ES, which no op loads.
    std::uint64_t ds_base() const { return mode == Mode::Real16 ? std::uint64_t{layout::real_ds} << 4 : 0; }

    std::uint64_t reg(Gpr r) const { return gpr[static_cast<std::size_t>(r)]; }
    bool known(Gpr r) const { return gpr_known >> static_cast<unsigned>(r) & 1; }
};

}  // namespace faultline::guest
