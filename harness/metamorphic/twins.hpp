// Two backends that must give a case of world svm exactly the same tape, exits included.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

/// Two machines, reused from program to program. Not thread safe.
class Twins {
public:
    enum class Answer : std::uint8_t { Same, Differs, NotComparable };
    Answer check(const guest::Case& kase);

    /// After Differs what differs first, after NotComparable why; one line.
    const std::string& why() const { return why_; }
    /// Both runs of the last check, for people.
    std::string tapes() const;
    const guest::Tape& first() const { return first_->tape; }
    const guest::Tape& second() const { return second_->tape; }

protected:
    /// A backend, and how it is called where the tapes are told apart: "under the monitor".
    struct Twin {
        std::unique_ptr<guest::Backend> backend;
        std::string where;
        guest::Tape tape{};
    };
    Twins(std::unique_ptr<Twin> first, std::unique_ptr<Twin> second)
        : first_(std::move(first)), second_(std::move(second)) {}
    virtual ~Twins() = default;

    /// Why these two cannot be held against each other in this case, or null.
    virtual const char* no_twin(const guest::Case&) const { return nullptr; }

private:
    Answer no(Answer answer, std::string why);
    Answer compare();

    guest::Assembler assembler_;
    std::unique_ptr<Twin> first_, second_;
    std::unique_ptr<guest::Image> image_ = std::make_unique<guest::Image>();
    std::string why_;
};

}  // namespace faultline::harness
