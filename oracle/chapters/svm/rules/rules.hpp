// What the files of rules share: how a rule's identity is written, and the sections they cite most.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/svm/situation.hpp"
#include "oracle/manuals.hpp"
#include "oracle/rule.hpp"

#define SVM_VMRUN APM2 "VMRUN Instruction, Canonicalization and Consistency Checks"
#define SVM_INJECTION APM2 "Event Injection"
#define SVM_OPERATION APM2 "Intercept Operation"
#define SVM_SAVED APM2 "State Saved on Exit"
#define SVM_DURING APM2 "Intercepts During IDT Interrupt Delivery"
#define SVM_INSTRUCTIONS APM2 "Instruction Intercepts"
#define SVM_IOIO APM2 "IOIO Intercepts"
#define SVM_MSR APM2 "MSR Intercepts"
#define SVM_EXCEPTIONS APM2 "Exception Intercepts"

namespace faultline::oracle::svm {

inline constexpr RuleMaker all_arch{"svm", RuleKind::Arch}, all_free{"svm", RuleKind::Free};
constexpr RuleInfo arch(std::string_view id, std::string_view statement, std::string_view citation,
                        std::string_view seed = {}) {
    return all_arch(id, statement, citation, seed, RuleVendor::Amd);
}
constexpr RuleInfo free(std::string_view id, std::string_view statement, std::string_view citation,
                        std::string_view seed = {}) {
    return all_free(id, statement, citation, seed, RuleVendor::Amd);
}

}  // namespace faultline::oracle::svm
