// From what is known about a divergence to its record: rule, class, shape, and with them the signature.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "hypervisor/guest/case_text.hpp"
#include "oracle/catalogue.hpp"
#include "oracle/step.hpp"
#include "oracle/verdict.hpp"
#include "oracle/wording.hpp"

namespace faultline::oracle {

/// The judge's own rules (catalogue.cpp).
inline constexpr std::string_view runs_to_its_end = "EXE-001", computes = "EXE-002", saves_the_guest = "SVM-200";

inline std::string hex(std::uint64_t value) { return fmt::format("{:X}h", value); }

inline std::string_view statement_of(std::string_view rule) {
    const RuleInfo* info = find_rule(rule);
    return info ? info->statement : std::string_view{};
}

struct Builder {
    const guest::Case& subject_case;
    Divergence d;
    std::uint64_t cpl = 0;

    bool given_back = false;  ///< the event came to the guest from its hypervisor

    explicit Builder(const guest::Case& c) : subject_case(c) {}

    std::string op_text(std::size_t op) const {
        if (op >= subject_case.ops.size()) return "the end";
        return fmt::format("op{} `{}`", op, guest::to_text(subject_case.ops[op]));
    }
    void place(const Step& step, std::string_view rule, std::string shape) {
        d.rule = rule;
        d.stimulus_class = stimulus_class(step.pre, step.stim, rule);
        d.shape = std::move(shape);
        d.op_index = step.op;
        cpl = step.pre.cpl;
    }
    /// VMRUN itself: there is no op yet.
    void place_vmrun(std::string_view rule, std::string shape) {
        d.rule = rule;
        d.stimulus_class = "vmrun";
        d.shape = std::move(shape);
        cpl = subject_case.cpl;
    }
    /// A wrong final state that no op accounts for.
    void place_end(const Step& step, std::string_view rule, std::string shape) {
        place(step, rule, std::move(shape));
        d.stimulus_class = "end";
    }
    /// Wrong flags have little to do with the op that shows them.
    void place_flags(const Step& step, std::string shape) {
        place(step, computes, std::move(shape));
        d.stimulus_class = "flags";
    }
    Divergence done(std::string_view statement) {
        constexpr std::string_view transparent = "EXC-019";
        if (given_back) {
            d.other_rules.insert(d.other_rules.begin(), d.rule);
            d.rule = transparent;
            statement = statement_of(transparent);
        }
        d.signature = fmt::format("{}:{}/{}/{}/{}", signature_version, d.rule, d.stimulus_class,
                                  place_of(subject_case, cpl), d.shape);
        d.title = fmt::format("{}: {} ({}: {})", op_text(d.op_index), d.shape, d.rule, statement);
        return std::move(d);
    }
    void field(std::string name, std::string allowed, std::string seen) {
        d.fields.push_back({std::move(name), std::move(allowed), std::move(seen)});
    }
};

}  // namespace faultline::oracle
