// A metamorphic check: both realisations of world svm give the same tape. The same image runs under the reference
// hypervisor, C++ above the engine's vCPU, and on the engine under the stage's monitor, which executes VMRUN itself;
// the two share no policy code.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

/// Two machines, reused from program to program. Not thread safe.
class Realisation {
public:
    Realisation();

    enum class Answer : std::uint8_t { Same, Differs, NotComparable };
    /// `kase` is a case of world svm.
    Answer check(const guest::Case& kase);

    /// After Differs what differs first, after NotComparable why; one line.
    const std::string& why() const { return why_; }
    /// Both runs of the last check, for people.
    std::string tapes() const;
    const guest::Tape& reference() const { return *reference_tape_; }
    const guest::Tape& monitor() const { return *monitor_tape_; }

private:
    Answer no(Answer answer, std::string why);
    Answer compare();

    guest::Assembler assembler_;
    std::unique_ptr<guest::Backend> reference_, monitor_;
    std::unique_ptr<guest::Image> image_ = std::make_unique<guest::Image>();
    std::unique_ptr<guest::Tape> reference_tape_ = std::make_unique<guest::Tape>(),
                                 monitor_tape_ = std::make_unique<guest::Tape>();
    std::string why_;
};

}  // namespace faultline::harness
