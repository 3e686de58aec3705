#include "harness/backends.hpp"

#include <fmt/format.h>

#include <sstream>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/kvm/kvm_backend.hpp"
#include "hypervisor/native/native_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

namespace {

/// `list` is what follows "engine+": names of quirks, joined by '+'.
Result<BackendFactory> engine_with(const std::string& list) {
    engine::Quirks quirks;
    std::istringstream names(list);
    for (std::string name; std::getline(names, name, '+');) {
        const auto quirk = engine::quirk_named(name);
        if (!quirk)
            return fail(Exit::Usage, fmt::format("the engine has no quirk '{}' (`faultline list quirks`)", name));
        quirks.add(*quirk);
    }
    if (!quirks.any()) return fail(Exit::Usage, "expected engine+QUIRK (`faultline list quirks`)");
    return BackendFactory([quirks] { return engine::make_engine_backend(quirks); });
}

}  // namespace

Result<BackendFactory> backend_factory(const std::string& name) {
    if (name == "engine") return BackendFactory([] { return engine::make_engine_backend(); });
    if (name.starts_with("engine+")) return engine_with(name.substr(std::string_view("engine+").size()));
    if (name == "kvm") return BackendFactory([] { return kvm::make_kvm_backend(); });
    if (name == "native") return BackendFactory([] { return native::make_native_backend(); });
    if (name == "reference") return BackendFactory([] { return reference::make_reference_backend(); });
    return fail(Exit::Usage, fmt::format("there is no backend '{}': expected engine, engine+QUIRK, kvm, native or "
                                         "reference (`faultline list backends`)",
                                         name));
}

Profile profile_of_backend(const std::string& name) {
    if (name != "native") return {};
    // A process: no privilege, no IDT, no interrupts of its own, and the two kinds of user code that Linux runs.
    return {.modes = {true, true, false, false}, .cpl0 = false, .cpl3 = true, .machine = false};
}

std::vector<BackendInfo> backend_catalogue() {
    return {{"engine",
             {"bare", "svm"},
             "the built-in machine, an interpreter of real bytes; runs everywhere. engine+QUIRK is wrong on purpose"},
            {"kvm", {"bare"}, "/dev/kvm of this host, whatever vendor module stands behind it"},
            {"native", {"bare"}, "this host's own processor: CPL3 programs in a traced process"},
            {"reference", {"svm"}, "the reference hypervisor above the engine; case files only so far"}};
}

}  // namespace faultline::harness
