// The judge: walks a tape and asks the chapters. No I/O, no backend, deterministic.
#pragma once

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/verdict.hpp"

namespace faultline::oracle {

/// Judges `tape`, recorded by running `image` (assembled from `subject_case`). Reusable: keeps its
/// scratch memory between calls, so one Judge per thread and no allocation on the passing path.
class Judge {
public:
    Judge();
    ~Judge();
    Judge(Judge&&) noexcept;
    Judge& operator=(Judge&&) noexcept;

    /// `use`, when given, is added to (coverage). The decisive count costs a second look at each
    /// response; pass nullptr where it is not wanted.
    Verdict judge(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape,
                  RuleUse* use = nullptr);

    /// Why the oracle could not judge a subject that gives the first of the allowed answers everywhere, or null. For
    /// those who make programs: one that is null here is not-modelled at most on a subject that chooses otherwise.
    const char* forecast(const guest::Case& subject_case, const guest::Image& image, const guest::Features& features);

private:
    struct Impl;
    Impl* impl_;
};

}  // namespace faultline::oracle
