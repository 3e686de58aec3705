#include "harness/backends.hpp"

#include <fmt/format.h>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/kvm/kvm_backend.hpp"

namespace faultline::harness {

Result<BackendFactory> backend_factory(const std::string& name) {
    if (name == "engine") return BackendFactory([] { return engine::make_engine_backend(); });
    if (name == "kvm") return BackendFactory([] { return kvm::make_kvm_backend(); });
    return fail(Exit::Usage, fmt::format("there is no backend '{}': expected engine or kvm (`faultline list backends`)", name));
}

std::vector<BackendInfo> backend_catalogue() {
    return {{"engine", {"bare"}, "the built-in machine, an interpreter of real bytes; runs everywhere"},
            {"kvm", {"bare"}, "/dev/kvm of this host, whatever vendor module stands behind it"}};
}

}  // namespace faultline::harness
