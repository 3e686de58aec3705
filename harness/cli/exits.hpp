// `list exits`: which corpus cases produce which exit code, and which of VMRUN's refusals.
#pragma once

#include <string>

#include "harness/result.hpp"

namespace faultline::harness::cli {

/// Reads the case files in and below `corpora`. Exit::Divergence where no case produces what the built-in machine can.
Result<Exit> list_exits(const std::string& corpora, bool json);

}  // namespace faultline::harness::cli
