// Case files named on the command line.
#pragma once

#include <string>
#include <vector>

#include "harness/result.hpp"
#include "hypervisor/guest/case_file.hpp"

namespace faultline::harness::cli {

/// The files named, and for a folder every .toml file below it, in name order. A name that leads nowhere is bad data.
Result<std::vector<std::string>> case_paths(const std::vector<std::string>& names);

Result<guest::CaseFile> load_case_file(const std::string& path);

}  // namespace faultline::harness::cli
