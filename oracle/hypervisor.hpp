// The hypervisor around a program of world svm, as the case asks for it: what it intercepts, and what it answers.
#pragma once

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/svm/stimulus.hpp"

namespace faultline::oracle {

class Hypervisor {
public:
    Hypervisor(const guest::Case& subject_case, const guest::Image& image, const guest::Features& features);

    const svm::Control& control() const { return control_; }
    const svm::Pre<Judging>& pre() const { return pre_; }
    /// What the program runs under, from its first op on; the stage's stubs switch it off and on.
    const guest::svm::Intercepts& intercepts() const { return intercepts_; }
    /// Why nothing can be said about this machine, or null.
    const char* unknown_machine() const {
        return known_machine_ ? nullptr : "the tape does not say what its machine's SVM is";
    }
    /// Why nothing can be said about a guest of this VMCB, or null; whether VMRUN refuses it always can.
    const char* unmodelled() const { return unmodelled_; }

    /// The answer to an intercepted exception is the run's end. Otherwise the guest gets it as if nobody had
    /// intercepted it.
    bool stops_at(std::uint64_t vector, std::uint64_t rip) const;
    /// The answer to an intercepted instruction is the run's end; else the next op.
    bool stops_at_instructions() const;

private:
    const guest::Image& image_;
    svm::Control control_;
    svm::Pre<Judging> pre_{};
    guest::svm::Intercepts intercepts_;
    std::uint32_t forced_;
    bool known_machine_;
    const char* unmodelled_ = nullptr;
};

/// What the processor of a tape can do, as chapter svm asks for it.
svm::Pre<Judging> pre_of(const guest::Features::Svm& features);

}  // namespace faultline::oracle
