// Pairs of runs that must agree, for one program of world svm: by realisation, by transparency, and by saving and
// restoring. What they find is about our own hypervisors and the engine below them.
#pragma once

#include <optional>

#include "harness/metamorphic/realisation.hpp"
#include "harness/metamorphic/save_restore.hpp"
#include "harness/metamorphic/transparency.hpp"
#include "oracle/verdict.hpp"

namespace faultline::harness {

/// Not thread safe.
class Pairs {
public:
    /// Whether runs of this subject are held against each other: our own hypervisors', the right engine below them.
    static bool concern(const guest::Subject& subject);

    /// The first pair that differs, as a divergence of a POLICY rule.
    std::optional<oracle::Divergence> check(const guest::Case& kase);

private:
    Realisation realisation_;
    SaveRestore save_restore_;
    Transparency transparency_;
};

}  // namespace faultline::harness
