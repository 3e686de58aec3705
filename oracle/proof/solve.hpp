// Questions to the solver, and its terms as text.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "oracle/proof/domain.hpp"

namespace faultline::oracle::proof {

struct Solved {
    z3::check_result answer;
    std::optional<z3::model> model;  ///< when sat
    std::string reason;              ///< when unknown
};
/// Whether all of them can be true at once. For a single hard question: much is simplified away before the search.
Solved solve(z3::context& context, std::initializer_list<Bool> all);

/// Many easy questions about the same statements.
class Search {
public:
    explicit Search(z3::context& context);
    void add(const Bool& statement);
    /// A constant that is equal to the statement, to be assumed or not.
    z3::expr name(std::string_view name, const Bool& statement);
    /// A model of all that was added and is assumed; none: there is none, or the solver gave up.
    std::optional<z3::model> find(z3::expr_vector& assumed);

private:
    z3::context& context_;
    z3::solver solver_;
};

/// A truth over records as text, one line per conjunct: "state.cpl == 0 || state.cpl == 3".
std::string readable(const z3::expr& truth);

}  // namespace faultline::oracle::proof
