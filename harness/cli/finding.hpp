// A finding taken out of a database, ready to run again. Everything in a database is checked like input.
#pragma once

#include <optional>
#include <string>

#include "harness/explore/machine.hpp"
#include "harness/result.hpp"
#include "harness/store/store.hpp"

namespace faultline::harness::cli {

struct Finding {
    FindingRow row;
    guest::Case original, minimal;
    guest::Tape tape;  ///< of the minimal case
};

Result<Finding> load_finding(Store& store, RowId id);

/// A machine for the subject the finding was made on, or for the backend of another name.
Result<Machine> machine_for(const Finding& finding, const std::optional<std::string>& backend);

/// The case assembled; bad data where it cannot be.
Result<guest::Image> image_of(const guest::Case& kase);

/// The program, one op per line with its bytes and disassembly. Capstone prints, nothing is decided by it:
/// it misnames some newer instructions, hence the op's own text beside it.
std::string listing(const guest::Case& kase, const guest::Image& image);

}  // namespace faultline::harness::cli
