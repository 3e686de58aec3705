// A metamorphic check: to the guest, an exception that its hypervisor intercepts and reflects is the exception itself
// (EXC-019). The same program runs bare and as a guest of the reference hypervisor; what the guest records must agree.
// Only programs are compared whose bare run the oracle can judge: what it leaves open, two runs may do differently.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/case.hpp"
#include "oracle/judge.hpp"

namespace faultline::harness {

/// Two machines, reused from program to program. Not thread safe.
class Transparency {
public:
    Transparency();

    enum class Answer : std::uint8_t { Same, Differs, NotComparable };
    /// `bare` is a case of world bare; `forced` a mask of vectors to intercept by force.
    Answer check(const guest::Case& bare, std::uint32_t forced);

    /// After Differs what differs first, after NotComparable why; one line.
    const std::string& why() const { return why_; }
    /// Both runs of the last check, for people.
    std::string tapes() const;

private:
    struct Run {
        guest::Image image;
        guest::Tape tape;
    };
    Answer no(Answer answer, std::string why);
    Answer compare();

    guest::Assembler assembler_;
    oracle::Judge judge_;
    std::unique_ptr<guest::Backend> engine_, reference_;
    std::unique_ptr<Run> bare_ = std::make_unique<Run>(), guest_ = std::make_unique<Run>();
    guest::Case twin_;
    std::string why_;
};

}  // namespace faultline::harness
