// Readings: what a subject may have done where its tape does not fit, and which reading asks one to believe least.
#pragma once

#include <vector>

#include "oracle/chapters/debug/chapter.hpp"
#include "oracle/chapters/exceptions/chapter.hpp"
#include "oracle/chapters/svm/chapter.hpp"
#include "oracle/search.hpp"

namespace faultline::oracle {

using Response = debug::Response<Judging>;
using Rules = std::vector<const RuleInfo*>;

/// Rules that reject the response, primary first.
Rules violated(const Step& step, const Response& seen);
/// The same of the exceptions chapter.
Rules violated(const exceptions::Pre<Judging>& pre, const exceptions::Stimulus<Judging>& stim,
               const exceptions::Response<Judging>& seen);
/// The same of chapter svm.
Rules violated(const svm::Pre<Judging>& pre, const svm::Stimulus<Judging>& stim, const svm::Response<Judging>& seen);
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
    bool missing = false;       ///< `seen` is nothing
    bool misdelivered = false;  ///< `seen` is right: what is wrong is its delivery
    bool late = false;          ///< … and the next record is what was due, behind a later op
    std::size_t cost = ~std::size_t{0};

    const Step& at() const { return failure->trail[step]; }
};

/// The tape's record with what the subject does not show of it (guest::Unseen) as the step found it.
guest::Record as_kept(const guest::Tape& tape, std::uint32_t index, const Step& step);

/// A field of a record that is not what the way taken asks for.
struct FieldMisfit {
    const char* field;
    std::uint64_t allowed, seen, mask;
};
/// How an event that happened as it should was delivered otherwise.
struct Misdelivery {
    Arrival way;                       ///< the one that comes nearest
    std::vector<FieldMisfit> misfits;  ///< all fields
    Rules rules;                       ///< of the exceptions chapter
    bool found = false;
};

/// Finds the reading of a tape that asks one to believe least, over all ways that got furthest.
class Reader {
public:
    Reader(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape)
        : case_(subject_case), image_(image), tape_(tape), walk_(subject_case, image, tape.features) {}

    /// Weighs every reading of the first record that does not fit.
    void read_record(const Failure& failure);
    /// The reading that nothing was raised at the failure's last step.
    void read_silence(const Failure& failure);
    /// `failure` is null when there was none.
    const Reading& best() const { return best_; }
    /// What the record shows of the delivery of `seen`.
    Misdelivery misdelivery(const Step& step, const Response& seen, const guest::Record& record) const;

private:
    void consider_delivery(const Failure& failure, std::size_t step, const guest::Record& record);
    void consider(const Failure& failure, std::size_t step, const Response& seen, const guest::Record* record);
    bool is_op(std::uint64_t rip) const;
    std::uint32_t progress(const Failure& failure, const Step& step, const Response& seen, const guest::Record* record);

    const guest::Case& case_;
    const guest::Image& image_;
    const guest::Tape& tape_;
    Walk walk_;
    Search search_;
    Reading best_;
};

}  // namespace faultline::oracle
