// Readings: what a subject may have done where its tape does not fit, and which reading asks one to believe least.
#pragma once

#include <vector>

#include "oracle/chapters/debug/chapter.hpp"
#include "oracle/search.hpp"

namespace faultline::oracle {

using Response = debug::Response<Judging>;
using Rules = std::vector<const debug::RuleEntry*>;

/// Rules that reject the response, primary first.
Rules violated(const Step& step, const Response& seen);
/// The right response that comes nearest; its don't-care bits agree with `seen`.
Response nearest(const Step& step, const Response& seen);
/// The op as if nothing had happened at it.
Response uneventful(const Step& step);
/// First step after the last record that this way accounts for.
std::size_t first_open(const Failure& failure);

/// One reading of what the subject did.
struct Reading {
    const Failure* failure = nullptr;
    std::size_t step = 0;  ///< in the failure's trail
    Response seen{};
    Rules rules;
    bool missing = false;
    std::size_t cost = ~std::size_t{0};

    const Step& at() const { return failure->trail[step]; }
};

/// Weighs every reading of the first record that does not fit against `best`.
void read_record(Reading& best, const Failure& failure, const guest::Image& image, const guest::Tape& tape);
/// The reading that nothing was raised at the failure's last step.
void read_silence(Reading& best, const Failure& failure);

}  // namespace faultline::oracle
