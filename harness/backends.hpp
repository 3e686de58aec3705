// The backends this build has, by the names the command line gives them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/explore/explore.hpp"
#include "harness/generate/profile.hpp"
#include "harness/result.hpp"

namespace faultline::harness {

/// "engine", "engine+QUIRK+…", "reference", "reference+QUIRK+…", "kvm", "native". An unknown name is a usage error that
/// lists the known ones; whether the backend can run here shows only when the factory is called.
Result<BackendFactory> backend_factory(const std::string& name);

/// What part of the case space a backend of this name can run.
Profile profile_of_backend(const std::string& name);

struct BackendInfo {
    std::string name;
    std::vector<std::string> worlds;
    std::string summary;
};
std::vector<BackendInfo> backend_catalogue();

}  // namespace faultline::harness
