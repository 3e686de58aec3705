#include "harness/backends.hpp"

#include <fmt/format.h>

#include <sstream>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/kvm/kvm_backend.hpp"
#include "hypervisor/native/native_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

namespace {

/// The quirks in `list`, names joined by '+': what follows "engine+" or "reference+".
Result<engine::Quirks> quirks_in(const std::string& list) {
    engine::Quirks quirks;
    std::istringstream names(list);
    for (std::string name; std::getline(names, name, '+');) {
        const auto quirk = engine::quirk_named(name);
        if (!quirk) return fail(Exit::Usage, fmt::format("there is no quirk '{}' (`faultline list quirks`)", name));
        quirks.add(*quirk);
    }
    if (!quirks.any()) return fail(Exit::Usage, "expected the name of a quirk behind '+' (`faultline list quirks`)");
    return quirks;
}

}  // namespace

Result<BackendFactory> backend_factory(const std::string& name) {
    const std::string plain = name.substr(0, name.find('+'));
    if (plain != name && (plain == "engine" || plain == "reference")) {
        const auto quirks = quirks_in(name.substr(plain.size() + 1));
        if (!quirks) return tl::unexpected(quirks.error());
        if (plain == "engine") return BackendFactory([q = *quirks] { return engine::make_engine_backend(q); });
        return BackendFactory([q = *quirks] { return reference::make_reference_backend(q); });
    }
    if (name == "engine") return BackendFactory([] { return engine::make_engine_backend(); });
    if (name == "kvm") return BackendFactory([] { return kvm::make_kvm_backend(); });
    if (name == "native") return BackendFactory([] { return native::make_native_backend(); });
    if (name == "reference") return BackendFactory([] { return reference::make_reference_backend(); });
    return fail(Exit::Usage, fmt::format("there is no backend '{}': expected engine, engine+QUIRK, kvm, native, "
                                         "reference or reference+QUIRK (`faultline list backends`)",
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
            {"reference", {"svm"}, "the reference hypervisor above the engine. reference+QUIRK is wrong on purpose"}};
}

}  // namespace faultline::harness
