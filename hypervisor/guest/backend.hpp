// What it takes to be a backend: run an image, return a tape, say who you are.
#pragma once

#include <memory>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::guest {

/// A backend with its identity. Stored with every run; two findings are about the same subject iff equal.
struct Subject {
    std::string backend;            ///< "kvm", "engine", "engine+QUIRK", …
    std::string version;            ///< kernel release, engine version, …
    std::string module;             ///< vendor module ("kvm_pvm"), empty where there is none
    std::string module_parameters;  ///< "name=value …", sorted
    std::string cpu;                ///< CPU model name and microcode, where readable
    auto operator<=>(const Subject&) const = default;
};

/// Why something cannot run here. `reason` is one sentence for a person.
struct Unavailable {
    std::string reason;
};

/// One vCPU with its guest memory. Not thread safe: one per job. `run` never throws for anything the
/// subject does, allocates nothing in the common case, and always comes back.
class Backend {
public:
    virtual ~Backend() = default;
    virtual const Subject& subject() const = 0;
    virtual const Features& features() const = 0;
    /// Runs the image from its stage's entry and fills `tape` (features included).
    virtual void run(const Image& image, Tape& tape) = 0;
    /// Asked of the run just made when its tape turns out to be wrong: a backend that finds by further runs that the
    /// image does not suit it says so in Tape::unsuitable.
    virtual void reconsider(const Image&, Tape&) {}
    /// Throws this machine away and starts with a new one (new VM, new vCPU; new process where there is one).
    virtual tl::expected<void, Unavailable> refresh() = 0;
};

}  // namespace faultline::guest
