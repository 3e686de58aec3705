// The moments of a program: each question that a tape which fits put to the chapters.
#pragma once

#include <memory>
#include <vector>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/debug/formal.hpp"
#include "oracle/chapters/exceptions/formal.hpp"
#include "oracle/proof/boundary.hpp"

namespace faultline::oracle {
class Search;
struct Step;
}  // namespace faultline::oracle

namespace faultline::oracle::proof {

struct Moments {
    std::vector<Moment<debug::Formal>> debug;
    std::vector<Moment<exceptions::Formal>> exceptions;

    template <class Formal>
    const std::vector<Moment<Formal>>& of() const {
        if constexpr (std::is_same_v<Formal, debug::Formal>)
            return debug;
        else
            return exceptions;
    }
};

/// Keeps its scratch memory; one per thread.
class Observer {
public:
    Observer();
    ~Observer();
    /// False: the tape does not fit, or cannot be judged.
    bool observe(const guest::Case& subject_case, const guest::Image& image, const guest::Tape& tape, Moments& out);
    /// The way of the tape observed last.
    const std::vector<Step>& trail() const;

private:
    std::unique_ptr<oracle::Search> search_;
};

}  // namespace faultline::oracle::proof
