// What a rule is made of. A rule is a type: one adjacent block with its identity (`info`), when it speaks
// (`applies`) and what it then permits (`allows`), written over a domain (domain.hpp).
//
//   ARCH, SPEC  constrain: where the rule applies, a response it does not allow is wrong.
//   FREE        names an alternative and adds it: a response that a constraining rule listed in `Excepts` rejects
//               is right after all where the FREE rule applies and allows it.
//
// A rule about each of the four breakpoint registers has `instances` = 4, and its predicates speak about register
// `n`; an exception holds for the same register.
#pragma once

#include <type_traits>

#include "oracle/catalogue.hpp"
#include "oracle/domain.hpp"

namespace faultline::oracle {

/// What a rule is about, in the order that decides which violated rule is the primary one.
enum class Aspect : std::uint8_t { Outcome, Presence, Vector, Class, Rf, Dr6, Dr7, Rest };

template <class... Rules>
struct Excepts {
    template <class Rule>
    static constexpr bool contains = (std::is_same_v<Rule, Rules> || ...);
};

/// Defaults of a rule.
struct RuleBase {
    static constexpr unsigned instances = 1;
    /// True for a corollary: a fact worth naming that other rules imply. Never the primary rule of a finding.
    static constexpr bool redundant = false;
    using excepts = Excepts<>;
};
struct RulePerRegister : RuleBase {
    static constexpr unsigned instances = 4;
};

/// Writes the identity of a chapter's rules of one kind.
struct RuleMaker {
    std::string_view chapter;
    RuleKind kind;
    constexpr RuleInfo operator()(std::string_view id, std::string_view statement, std::string_view citation,
                                  std::string_view seed = {}, RuleVendor vendor = RuleVendor::Both) const {
        return {id, chapter, statement, vendor, kind, citation, seed};
    }
};

/// An invariant is a type, too: `info` and `holds`. It says what is true of every response that the rules permit, so
/// it constrains nothing: it is proved, never judged by.
struct InvariantInfo {
    std::string_view id, statement;
};

}  // namespace faultline::oracle

/// Heads of a rule's two predicates: generic over the domain D, with `pre`, `stim`, `r` and the register `n`.
#define FAULTLINE_APPLIES                                                                                         \
    template <class D>                                                                                            \
    static typename D::Bool applies([[maybe_unused]] const Pre<D>& pre, [[maybe_unused]] const Stimulus<D>& stim, \
                                    [[maybe_unused]] unsigned n)
#define FAULTLINE_ALLOWS                                                                                         \
    template <class D>                                                                                           \
    static typename D::Bool allows([[maybe_unused]] const Pre<D>& pre, [[maybe_unused]] const Stimulus<D>& stim, \
                                   [[maybe_unused]] const Response<D>& r, [[maybe_unused]] unsigned n)
/// Head of an invariant's predicate.
#define FAULTLINE_HOLDS                                                                                         \
    template <class D>                                                                                          \
    static typename D::Bool holds([[maybe_unused]] const Pre<D>& pre, [[maybe_unused]] const Stimulus<D>& stim, \
                                  [[maybe_unused]] const Response<D>& r)
