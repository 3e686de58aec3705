// One run of an image in the child: each stop is turned into the record a stub would have written, and answered as the
// stub would have answered it. The observation model (README.md) is here.
#pragma once

#include <optional>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"
#include "hypervisor/native/child.hpp"
#include "hypervisor/native/selectors.hpp"

namespace faultline::native {

/// HLT, which is what ends a program here, in the place of UD2: a fault that no hypervisor intercepts, and so one that
/// costs a third.
inline constexpr std::uint8_t end_instruction = 0xF4;

class Course {
public:
    Course(const guest::Image& image, const Selectors& selectors, Child& child, guest::Tape& tape);

    /// From the program's first op to the tape's outcome. The child's memory holds the program already.
    void run(unsigned tick_limit);
    /// Whether the program left RFLAGS.ID set, which no request takes back.
    bool left_id() const { return left_id_; }

private:
    /// The run's outcome, or nothing when it goes on.
    using Answer = std::optional<guest::Outcome>;

    bool begin();
    Answer answer(Stop& stop);
    Answer exception(std::uint64_t vector, const Noted& noted, const user_regs_struct& regs);
    Answer react(std::uint64_t vector, user_regs_struct regs, std::uint64_t unseen_flags);
    Answer unsuitable(std::string_view why) {
        tape_.unsuitable = why;
        return guest::Outcome::InternalError;
    }
    void show_db(guest::Record& record, guest::Unseen& unseen);
    void show_pf(guest::Record& record, guest::Unseen& unseen) const;
    std::string_view stage_differs(std::uint64_t vector, const Noted& noted, const user_regs_struct& regs) const;
    bool stage_permits_port(std::uint64_t offset, const user_regs_struct& regs) const;
    bool at_end(const Stop& stop) const;
    void finish(const user_regs_struct& regs);
    std::uint64_t program_offset(std::uint64_t rip) const { return rip - guest::layout::code; }
    bool inside(std::uint64_t rip) const { return program_offset(rip) < image_.code_size + 2u; }

    const guest::Image& image_;
    const Selectors& selectors_;
    Child& child_;
    guest::Tape& tape_;
    bool left_id_ = false;
    std::uint64_t other_if_ = 0;          ///< IF where the case has it clear: turned over between tape and process
    std::uint64_t code_breakpoints_ = 0;  ///< bits 3:0: enabled instruction breakpoints
    std::uint64_t stale_dr6_ = 0;         ///< bits that the stage's DR6 may hold beforehand, and Linux's does not
};

}  // namespace faultline::native
