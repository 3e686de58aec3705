#include "oracle/catalogue.hpp"

#include <vector>

#include "oracle/chapters/debug/chapter.hpp"
#include "oracle/chapters/exceptions/chapter.hpp"
#include "oracle/chapters/svm/chapter.hpp"
#include "oracle/verdict.hpp"

namespace faultline::oracle {
namespace {

/// Rules of the judge itself: about whole runs, not about one op.
constexpr RuleInfo judge_rules[] = {
    {"EXE-001",
     "debug",
     "The subject runs every defined program to its end",
     RuleVendor::Both,
     RuleKind::Arch,
     "Intel SDM vol 3 (325384-061, Dec 2016), Interrupt and Exception Handling: every exception of a program has a "
     "handler here",
     {}},
    {"EXE-002",
     "debug",
     "Registers, flags, and the frame of an exception hold what the instructions computed",
     RuleVendor::Both,
     RuleKind::Arch,
     "Intel SDM vol 2 (325383-061, Dec 2016) and AMD APM vol 3, each instruction's Operation; SDM vol 3, 64-Bit Mode "
     "Stack Frame",
     {}},
    {"SVM-200",
     "svm",
     "An exit saves RFLAGS, RSP, RAX, CS and CPL as the intercepted event found them, and leaves EVENTINJ.V clear",
     RuleVendor::Amd,
     RuleKind::Arch,
     "AMD APM vol 2 (24593), \"#VMEXIT\", \"Event Injection\"",
     {}},
    {"SVM-201",
     "svm",
     "The monitor in the guest's memory and the reference hypervisor give a program the same tape",
     RuleVendor::Amd,
     RuleKind::Policy,
     "Faultline's own hypervisors: two realisations of one case",
     {}},
    {"SVM-202",
     "svm",
     "A guest that is saved at an exit and restored in another machine does not notice",
     RuleVendor::Amd,
     RuleKind::Policy,
     "Faultline's own hypervisors: everything of a guest is in its VMCB, its registers and its memory",
     {}},
    {"EXC-019", "svm", "An exception that the hypervisor gives back reaches the guest as if nobody had intercepted it",
     RuleVendor::Amd, RuleKind::Policy,
     "Faultline's own hypervisors: force_intercept_exceptions_mask, review of 2 September 2021", "S2"},
};

const std::vector<RuleInfo>& all() {
    static const auto rules = [] {
        std::vector<RuleInfo> list;
        for (const auto& rule : debug::rule_table()) list.push_back(rule.info);
        list.insert(list.end(), std::begin(judge_rules), std::end(judge_rules));
        for (const auto& rule : exceptions::rule_table()) list.push_back(rule.info);
        for (const auto& rule : svm::rule_table()) list.push_back(rule.info);
        return list;
    }();
    return rules;
}

}  // namespace

std::span<const RuleInfo> catalogue() { return all(); }

const RuleInfo* find_rule(std::string_view id) {
    for (const RuleInfo& rule : all())
        if (rule.id == id) return &rule;
    return nullptr;
}

std::string_view beyond_reach(const RuleInfo& info, RuleVendor machines) {
    if (is_corollary(info.id)) return "a corollary: other rules imply it";
    if (info.chapter == "svm") return "no program of world bare runs under a hypervisor";
    if (info.vendor == RuleVendor::Intel && machines == RuleVendor::Amd)
        return "Intel only, and the subject is an AMD machine";
    constexpr std::string_view by_the_op = "an op meets the check itself, before anything is delivered (XCP-182)";
    constexpr std::string_view by_the_judge = "the judge's own, about whole runs";
    constexpr std::pair<std::string_view, std::string_view> reasons[] = {
        {"EXE-001", by_the_judge},
        {"EXE-002", by_the_judge},
        {"EXE-049", "it decides where a subject loses several held breakpoints (EXE-033); the engine reports them"},
        {"EXE-010", "every subject here names AMD or Intel as its vendor"},
        {"XCP-034", by_the_op},
        {"XCP-035", by_the_op},
        {"XCP-041", "the GDT of the stage has no code segment that is neither 64-bit nor present"},
        {"XCP-068", "the GDT of the stage has no TSS that is not present"},
        {"XCP-184",
         "whatever loads RIP holds it against CS's limit first (XCP-145), and the program lies far below it"},
        {"XCP-228", "data breakpoints on the IDT, the TSS and frames are kept out of programs: no manual binds them"},
        {"XCP-251",
         "the frame wraps to the top of a segment that never moves, outside the program's pages: not followed"},
    };
    for (const auto& [rule, why] : reasons)
        if (rule == info.id) return why;
    return {};
}

}  // namespace faultline::oracle
