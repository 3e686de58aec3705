// The reference hypervisor: one guest on the engine's vCPU, a case's intercepts, and the answers that the case asks
// for. Small and straight on purpose: what it gets wrong is our own fault, and rules of kind POLICY judge it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "hypervisor/engine/svm/vmcb_memory.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::reference {

/// The facility of force_intercept_exceptions_mask: vectors whose exceptions are intercepted whatever else is asked
/// for. Sampled once, when the virtual machine is made.
class ForcedExceptions {
public:
    /// Takes the vectors whose exits can be answered. 2 and 9 have no defined effect as intercepts (AMD APM vol 2,
    /// "NMI Interception" and "Coprocessor-Segment-Overrun Exception"), 18 is the host's own, 28 comes by injection
    /// only, and the rest are reserved.
    explicit ForcedExceptions(std::uint32_t asked = 0, std::uint32_t takes = answerable)
        : taken_(asked & takes), refused_(asked & ~takes) {}
    std::uint32_t mask() const { return taken_; }
    bool has(unsigned vector) const { return vector < 32 && taken_ >> vector & 1; }
    /// One line about the vectors that were refused; empty when none was.
    std::string warning() const;

private:
    static constexpr std::uint32_t answerable = 0x602B'7DFB;  // 0, 1, 3–8, 10–14, 16, 17, 19, 21, 29, 30
    std::uint32_t taken_, refused_;
};

/// What a hypervisor knows about its guest besides the VMCB.
struct Oversight {
    ForcedExceptions forced;
    guest::svm::Intercepts stage;   ///< what the stage's stubs run under
    guest::svm::Intercepts wanted;  ///< what the program runs under
    unsigned stubs = 0;             ///< stubs of the stage that have begun and not returned
};

/// A guest between two entries, enough for another machine to go on with it: memory, the VMCB in it; the registers that
/// #VMEXIT leaves in the processor; what waits outside of it. Nothing of what a processor hides.
struct SavedVm {
    std::vector<std::uint8_t> memory;
    engine::Cpu cpu;
    std::array<std::uint64_t, 4> dr{};
    std::uint64_t debugctl = 0;
    std::array<std::uint64_t, 4> branches{};  ///< last branch from and to, last interrupt from and to
    std::uint64_t clock = 0;                  ///< the time stamp counter goes on
    bool interrupt_pending = false, nmi_pending = false, nmi_blocked = false;
    std::uint8_t interrupt_vector = 0;
    Oversight oversight;
};

class Vm {
public:
    /// `machine` holds the image already: the VMCB at layout::vmcb, parameters, program.
    Vm(engine::Machine& machine, const guest::Image& image, guest::Tape& tape);

    /// The guest of another Vm, saved while its tape was as `tape` is, goes on on `machine`, which is as restored.
    Vm(engine::Machine& machine, const guest::Image& image, guest::Tape& tape, const SavedVm& saved);

    /// Runs the guest up to the answer to its next exit, which appears on the tape; takes what that took in boundaries
    /// of the machine off `steps`. The outcome, where that ends the run; with the tape's stop_rip, where the guest does
    /// not reach the stage's end by itself.
    std::optional<guest::Outcome> run_to_exit(std::uint64_t& steps);
    guest::Outcome run(std::uint64_t steps);

    /// Between two exits, and before the first. `to` lends its memory.
    void save(SavedVm& to);

private:
    enum class Next : std::uint8_t { Resume, Over };
    Next answer();
    Next answer_exception(unsigned vector);
    Next answer_interrupt(guest::svm::Intercept what);
    Next answer_instruction();
    Next answer_stage_port(std::uint16_t port);
    Next reflect(unsigned vector);
    Next try_again_without(unsigned vector);
    Next over(guest::Outcome outcome);
    Next unexpected();
    guest::Outcome broken(std::string why);
    bool record();
    void wake();
    void enter_stub();
    void put_back_intercepts();
    bool return_from_stub();

    const guest::svm::Vmcb& vmcb() const;
    template <class Field>
    void set(Field guest::svm::Vmcb::*field, const std::type_identity_t<Field>& value) {
        engine::VmcbWriter(machine_, guest::layout::vmcb).set(field, value);
    }
    /// Policies that are wrong on purpose.
    bool quirk(engine::Quirk which) const { return machine_.quirk(which); }
    void set_intercepts(const guest::svm::Intercepts& words);
    std::uint64_t word_at(std::uint64_t address) const;

    engine::Machine& machine_;
    const guest::Image& image_;
    guest::Tape& tape_;
    Oversight oversight_;
    guest::Outcome outcome_ = guest::Outcome::Hang;
};

}  // namespace faultline::reference
