// The meaning of a chapter: a response is right when every constraining rule permits it, FREE rules included.
#pragma once

#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>

#include "oracle/rule.hpp"

namespace faultline::oracle {

/// Whether constraining rule `Rule` permits `r`: for each register it allows it, or a FREE rule of `rules` that
/// excepts `Rule` applies and allows it. `enabled(type)`, a truth of the domain, says which FREE rules take part.
template <class Rule, class D, class Rules, class Pre, class Stimulus, class Response, class Enabled>
typename D::Bool permits(const Rules& rules, const Pre& pre, const Stimulus& stim, const Response& r,
                         Enabled&& enabled) {
    typename D::Bool all = true;
    for (unsigned n = 0; n < Rule::instances; ++n) {
        typename D::Bool ok = !Rule::template applies<D>(pre, stim, n) || Rule::template allows<D>(pre, stim, r, n);
        boost::hana::for_each(rules, [&](auto type) {
            using Free = typename decltype(type)::type;
            if constexpr (Free::excepts::template contains<Rule>) {
                const typename D::Bool takes_part = enabled(type);
                const bool per_register = Free::instances > 1;
                const unsigned first = per_register && Rule::instances > 1 ? n : 0;
                const unsigned last = per_register && Rule::instances == 1 ? Free::instances : first + 1;
                for (unsigned m = first; m < last; ++m)
                    ok = ok || (takes_part && Free::template applies<D>(pre, stim, m) &&
                                Free::template allows<D>(pre, stim, r, m));
            }
        });
        all = all && ok;
    }
    return all;
}

}  // namespace faultline::oracle
