// One thread's way of a case: assemble, run on one backend, judge. Keeps every buffer between cases.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "harness/metamorphic/pairs.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/backend.hpp"
#include "hypervisor/guest/case.hpp"
#include "oracle/judge.hpp"

namespace faultline::harness {

/// What became of one case on one subject; never mixed up, only Divergence is a finding.
enum class Verdict : std::uint8_t {
    Pass,
    Divergence,
    Known,           ///< a divergence that corpora/known accepts
    OrderDependent,  ///< a divergence that a fresh machine did not repeat
    Undefined,       ///< the architecture leaves it open
    NotModelled,     ///< the oracle cannot tell; the reason says why
    Skip,            ///< the subject lacks a feature the case needs
    Error,           ///< our own fault
};
inline constexpr std::size_t verdict_count = 8;
std::string_view name(Verdict verdict);

/// The verdict on one run. `oracle.divergences` is filled for Divergence only.
struct Look {
    Verdict verdict = Verdict::Pass;
    std::string reason;
    oracle::Verdict oracle;
    /// The divergence of this signature, or null.
    const oracle::Divergence* find(std::string_view signature) const;
};

/// Not thread safe: one per thread and subject.
class Machine {
public:
    explicit Machine(std::unique_ptr<guest::Backend> backend) : backend_(std::move(backend)) {}

    /// By the oracle; where that has nothing to say against it, by the pairs that must agree. `use` is added to when
    /// given (coverage per rule).
    Look look(const guest::Case& kase, oracle::RuleUse* use = nullptr);
    /// The same with an image assembled from `kase`.
    Look look(const guest::Case& kase, const guest::Image& image, oracle::RuleUse* use = nullptr);
    /// The same on a new machine; after a hang three of them, since a timeout alone proves nothing. The
    /// answer is a divergence of `signature` only if every one repeated it.
    Look confirm(const guest::Case& kase, std::string_view signature);

    /// Of the last look.
    const guest::Image& image() const { return *image_; }
    const guest::Tape& tape() const { return *tape_; }
    guest::Backend& backend() { return *backend_; }

private:
    std::unique_ptr<guest::Backend> backend_;
    guest::Assembler assembler_;
    oracle::Judge judge_;
    std::unique_ptr<Pairs> pairs_;  ///< made for the first program that has any
    std::unique_ptr<guest::Image> image_ = std::make_unique<guest::Image>();
    std::unique_ptr<guest::Tape> tape_ = std::make_unique<guest::Tape>();
};

}  // namespace faultline::harness
