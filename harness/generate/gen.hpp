// The generator as RapidCheck knows generators: for laws about cases, with the shrinker behind it.
#pragma once

#include <rapidcheck.h>

#include "harness/generate/generator.hpp"
#include "harness/shrink/shrink.hpp"
#include "hypervisor/guest/case_text.hpp"

namespace faultline::guest {
/// How RapidCheck shows a counterexample.
inline void showValue(const Case& kase, std::ostream& os) { os << to_toml(kase); }
}  // namespace faultline::guest

namespace faultline::harness {

inline rc::Gen<guest::Case> cases(const Weights& weights = {}) {
    return [generator = Generator(weights)](rc::Random random, int) {
        guest::Case kase;
        generator.draw(Stream(random.next()), kase);
        return rc::shrinkable::shrinkRecur(std::move(kase),
                                           [](const guest::Case& c) { return rc::seq::fromContainer(simpler(c)); });
    };
}

}  // namespace faultline::harness
