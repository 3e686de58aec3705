// The chapters that can be proved: one line each.
#include <array>

#include "oracle/chapters/debug/formal.hpp"
#include "oracle/chapters/exceptions/formal.hpp"
#include "oracle/chapters/svm/formal.hpp"
#include "oracle/proof/prover.hpp"

namespace faultline::oracle::proof {
namespace {

template <class Formal>
constexpr Chapter chapter = {Formal::name, [](const Options& options) { return Prover<Formal>(options).prove(); }};

constexpr std::array all = {chapter<debug::Formal>, chapter<exceptions::Formal>, chapter<svm::Formal>};

}  // namespace

std::span<const Chapter> chapters() { return all; }

std::string_view name(Claim claim) {
    switch (claim) {
        case Claim::Satisfiable: return "satisfiable";
        case Claim::Consistent: return "consistent";
        case Claim::Complete: return "complete";
        case Claim::Alive: return "alive";
        case Claim::Invariant: return "invariant";
        case Claim::Lemma: return "lemma";
        case Claim::Prover: return "prover";
    }
    return "";
}

bool Result::holds(Claim claim) const {
    for (const Failure& f : failures)
        // A false lemma, an empty `valid` or a prover that failed leaves nothing proved.
        if (f.claim == claim || f.claim == Claim::Lemma || f.claim == Claim::Satisfiable || f.claim == Claim::Prover)
            return false;
    return true;
}

}  // namespace faultline::oracle::proof
