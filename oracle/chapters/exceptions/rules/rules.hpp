// What the files of rules share: how a rule's identity is written, and the manuals they cite.
#pragma once

#include "oracle/chapters/exceptions/situation.hpp"
#include "oracle/rule.hpp"

// Document and revision; a rule adds the section's title.
#define APM2 "AMD APM vol 2 (24593, 2024 edition), "
#define SDM2_2024 "Intel SDM vol 2 (325383, 2024 edition), "
#define SDM3 "Intel SDM vol 3 (325384-061, Dec 2016), "
#define SDM3_INT SDM3 "Interrupt and Exception Handling, "
#define INTN SDM2_2024 "INT n/INTO/INT3/INT1—Call to Interrupt Procedure"

namespace faultline::oracle::exceptions {

constexpr RuleInfo arch(std::string_view id, std::string_view statement, std::string_view citation,
                        std::string_view seed = {}, RuleVendor vendor = RuleVendor::Both) {
    return {id, "exceptions", statement, vendor, RuleKind::Arch, citation, seed};
}
constexpr RuleInfo free(std::string_view id, std::string_view statement, std::string_view citation,
                        std::string_view seed = {}, RuleVendor vendor = RuleVendor::Both) {
    return {id, "exceptions", statement, vendor, RuleKind::Free, citation, seed};
}

}  // namespace faultline::oracle::exceptions
