// What the programs of a run may be about: the part of the case space that its subjects can run. With seed, index and
// weights it determines a case.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "harness/result.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::harness {

struct Profile {
    guest::World world = guest::World::Bare;
    /// By guest::Mode.
    std::array<bool, 4> modes{true, true, true, true};
    bool cpl0 = true, cpl3 = true;
    /// Whether IDT, TSS and CR0.AM may differ from the stage's (guest::Surroundings), and events wait for HLT.
    bool machine = true;

    bool runs(guest::Mode mode) const { return modes[static_cast<std::size_t>(mode)]; }
    /// The modes that the world has a stage for.
    Profile in(guest::World where) const;
    /// Real16 has no CPL 3.
    bool empty() const;
    bool operator==(const Profile&) const = default;
};

/// What both can run; of one world.
Profile operator&(const Profile& a, const Profile& b);

/// `long64,compat32 cpl3 machine`, `svm …`: stable, for databases and people.
std::string to_text(const Profile& profile);
/// The modes of a list such as {"long64", "real16"}; an unknown name is a usage error.
Result<Profile> with_modes(Profile profile, const std::vector<std::string>& modes);

}  // namespace faultline::harness
