// The machine as backends use it: a stage's memory and registers, restored between runs, and a case laid over it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "hypervisor/engine/machine.hpp"
#include "hypervisor/guest/image.hpp"

namespace faultline::engine {

class StagedMachines {
public:
    explicit StagedMachines(const Quirks& quirks = {}) : quirks_(quirks) {}

    /// The machine of this stage: memory pristine, registers as the stage gives them to a vCPU, RIP at `rip`. One for
    /// each stage met, so that a change of stage costs nothing.
    Machine& restore(const guest::Stage& stage, std::uint64_t rip);
    void forget() { machines_.clear(); }

private:
    Quirks quirks_;
    std::map<const guest::Stage*, Machine> machines_;
};

/// What guest::apply does, on a machine just restored, with Params::gprs_by_backend: the registers of
/// `carried_registers` are loaded.
void lay(const guest::Image& image, Machine& machine);
inline constexpr std::array<std::uint8_t, 12> carried_registers{rbx, rbp, rsi, rdi, 8, 9, 10, 11, 12, 13, 14, 15};

/// After Exit::Unimplemented, for people.
std::string describe_unimplemented(Machine& machine);

}  // namespace faultline::engine
