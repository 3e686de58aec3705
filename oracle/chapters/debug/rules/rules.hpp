// What the files of rules share: how a rule's identity is written, and what they cite besides the manuals.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/debug/situation.hpp"
#include "oracle/manuals.hpp"
#include "oracle/rule.hpp"

#define KUT "kvm-unit-tests 1da1819e, x86/debug.c, "

namespace faultline::oracle::debug {

inline constexpr RuleMaker arch{"debug", RuleKind::Arch}, free{"debug", RuleKind::Free};

/// An instruction breakpoint outranks whatever a rule says about the op's own end.
template <class D>
typename D::Bool unless_code_db(const Response<D>& r, const typename D::Bool& otherwise) {
    return r.event == event::code_db || otherwise;
}

}  // namespace faultline::oracle::debug
