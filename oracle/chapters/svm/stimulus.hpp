// From a case's VMCB, from an op, and from an event to the chapter's records. Only facts are gathered here; what
// follows from them is the rules' affair. Of what a processor can do (Pre) tapes say nothing yet: it is the caller's to
// know.
#pragma once

#include <optional>

#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/op.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/svm/records.hpp"

namespace faultline::oracle::svm {

/// What the hypervisor of a case has in memory when it first does VMRUN.
class Control {
public:
    explicit Control(const guest::Image& image);  ///< kept by reference

    const guest::svm::Vmcb& vmcb() const { return vmcb_; }
    /// The VMCB's own. Those that the hypervisor adds later, or takes away for its stubs, the caller has to follow.
    guest::svm::Intercepts intercepts() const;
    /// HLT's idle intercept is asked for, and whether a virtual interrupt is pending there is not known.
    bool interrupts_may_be_pending() const;
    /// CR3's four PAE page directory pointers, read as they lie in memory: one is present and has a reserved bit set.
    /// Outside the image's memory: none.
    bool bad_page_directory_pointers() const;
    /// Bit i: the IOPM's bit of `port` + i. Of a map outside the image's memory: none.
    std::uint64_t ports(std::uint16_t port) const;
    /// The MSRPM's bit of this MSR and direction; false where it has none.
    bool msr(std::uint32_t number, bool write) const;

private:
    bool bit(std::uint64_t map, std::uint64_t index) const;
    std::uint8_t byte(std::uint64_t address) const;

    const guest::Image& image_;
    guest::svm::Vmcb vmcb_;
};

/// The guest's state as an exit would find it: records.hpp says of each moment what that is. RIP as the VMCB has it, an
/// offset in CS.
struct Standing {
    std::uint64_t rip = 0, next_rip = 0;
    bool rf = false, shadow = false;
    std::uint64_t cr2 = 0, dr6 = 0, dr7 = 0;
};
/// What was being delivered when an event was met.
struct Prior {
    std::uint64_t source = prior::none;  ///< one of `prior`
    std::uint8_t vector = 0;
    std::optional<std::uint32_t> error = {};  ///< that its frame would have
};
struct Event {
    std::uint64_t source = source::fault;  ///< one of `source`
    std::uint8_t vector = 0;
    std::optional<std::uint32_t> error = {};         ///< #PF: always
    std::uint64_t address = 0;                       ///< #PF
    bool interrupt_op = false;                       ///< met by INT3, INTO or BOUND
    std::optional<std::uint64_t> incoming_rip = {};  ///< #TS of a task switch
};

/// kind::enter. The host pages, and page directory pointers are taken to be in order.
Stimulus<Judging> enter_of(const guest::svm::Vmcb& vmcb);
/// kind::instruction: of the intercept that the op checks under `intercepts`. Nothing where it checks none, where its
/// own fetch fails, and where a register that decides is unknown. Of what it raises, the debug chapter's share is
/// missing: all that MOV DR meets, breakpoints, pending traps.
std::optional<Stimulus<Judging>> instruction_of(const guest::Op& op, const guest::Effect& effect,
                                                const guest::State& state, const Standing& standing,
                                                const Control& control, const guest::svm::Intercepts& intercepts);
/// kind::exception.
Stimulus<Judging> exception_of(const Event& event, const Prior& prior, const Standing& standing,
                               const guest::svm::Intercepts& intercepts);
/// What the tape shows of an exit that ended a moment of `kind`.
Response<Judging> response_of(const guest::VmExit& exit, std::uint64_t kind);

}  // namespace faultline::oracle::svm
