// A case: everything that determines what a guest program should do. A value: comparable, hashable,
// printable (case_text.hpp has the TOML and JSON forms). Its hash is its identity.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/op.hpp"
#include "hypervisor/guest/surroundings.hpp"
#include "hypervisor/guest/types.hpp"
#include "hypervisor/guest/vmm.hpp"

namespace faultline::guest {

/// What the exception stubs do after recording. #BP, #OF and vectors from 20h resume at the pushed RIP; every
/// other vector but #DB is answered by resuming at the next op (`skip`).
struct Policy {
    enum class Db : std::uint8_t {
        Resume,    ///< IRET to the pushed RIP, flags as pushed
        ResumeRf,  ///< the same with RF set in the image
        Skip,      ///< IRET to the op after the one that contains the pushed RIP
    } db = Db::ResumeRf;
    enum class Dr6 : std::uint8_t { Clear, Keep } dr6 = Dr6::Clear;  ///< Clear writes FFFF0FF0h
    enum class FaultRf : std::uint8_t {
        Keep,
        Clear
    } fault_rf = FaultRf::Keep;  ///< RF in the image when skipping a fault
    auto operator<=>(const Policy&) const = default;
};

/// State in force when op 0 starts. Loaded by the stage's prologue, which ends in IRETQ.
struct Environment {
    std::array<Value, 4> dr{};
    Value dr6{std::nullopt, dr::dr6_reset};
    Value dr7{std::nullopt, dr::dr7_reset};
    std::uint64_t rflags = rflags::fixed1;  ///< TF, RF, IF, AC, DF, IOPL, CF … as given
    bool de = false;                        ///< CR4.DE
    bool btf = false;                       ///< DEBUGCTL.BTF; runs only where Features::btf
    Gates gates = Gates::Dpl3;
    Wake wake = Wake::None;
    std::array<Value, gpr_count> gpr{};  ///< RSP's slot must be zero: RSP = stack_top − 8·stack.size()
    std::vector<Value> stack;            ///< quadwords at RSP upward, at most 32
    Policy policy;
    Surroundings surroundings;
    auto operator<=>(const Environment&) const = default;
};

struct Case {
    World world = World::Bare;
    Mode mode = Mode::Long64;
    std::uint8_t cpl = 0;  ///< 0 or 3
    Environment environment;
    Vmm vmm;              ///< world svm
    std::vector<Op> ops;  ///< at most 64
    bool operator==(const Case&) const = default;
};

inline constexpr std::size_t max_ops = 64;

}  // namespace faultline::guest
