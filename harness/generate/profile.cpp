#include "harness/generate/profile.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::harness {
bool Profile::empty() const {
    const bool with_rings = modes[0] || modes[1] || modes[2];
    return !(with_rings && (cpl0 || cpl3)) && !(modes[3] && cpl0);
}

Profile Profile::in(guest::World where) const {
    Profile there = *this;
    there.world = where;
    for (std::size_t i = 0; i < modes.size(); ++i)
        there.modes[i] = modes[i] && guest::stage_of(where, static_cast<guest::Mode>(i)) != nullptr;
    return there;
}

Profile operator&(const Profile& a, const Profile& b) {
    Profile both;
    both.world = a.world;
    for (std::size_t i = 0; i < both.modes.size(); ++i) both.modes[i] = a.modes[i] && b.modes[i];
    both.cpl0 = a.cpl0 && b.cpl0;
    both.cpl3 = a.cpl3 && b.cpl3;
    both.machine = a.machine && b.machine;
    return both;
}

std::string to_text(const Profile& profile) {
    std::string text = profile.world == guest::World::Bare ? "" : fmt::format("{} ", guest::to_text(profile.world));
    const std::size_t before = text.size();
    for (std::size_t i = 0; i < guest::mode_names.size(); ++i)
        if (profile.modes[i]) text += fmt::format("{}{}", text.size() == before ? "" : ",", guest::mode_names[i]);
    if (profile.cpl0) text += " cpl0";
    if (profile.cpl3) text += " cpl3";
    if (profile.machine) text += " machine";
    return text;
}

Result<Profile> with_modes(Profile profile, const std::vector<std::string>& modes) {
    profile.modes = {};
    for (const std::string& mode : modes) {
        const auto at = std::find(guest::mode_names.begin(), guest::mode_names.end(), mode);
        if (at == guest::mode_names.end())
            return fail(Exit::Usage,
                        fmt::format("there is no mode '{}': expected long64, compat32, prot32 or real16", mode));
        profile.modes[static_cast<std::size_t>(at - guest::mode_names.begin())] = true;
    }
    return profile;
}

}  // namespace faultline::harness
