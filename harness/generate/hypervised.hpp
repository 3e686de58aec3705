// Ops that stand in programs because somebody intercepts them: which intercept that is.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "hypervisor/guest/vmcb.hpp"

namespace faultline::harness {

using guest::svm::Intercept;

inline constexpr std::array<std::pair<std::string_view, Intercept>, 38> hypervised_ops{{
    {"clgi", Intercept::Clgi},
    {"invd", Intercept::Invd},
    {"invlpg", Intercept::Invlpg},
    {"invlpga", Intercept::Invlpga},
    {"invpcid", Intercept::Invpcid},
    {"lgdt", Intercept::LoadGdtr},
    {"lidt", Intercept::LoadIdtr},
    {"lldt", Intercept::LoadLdtr},
    {"lmsw", Intercept::WriteCr0},
    {"ltr", Intercept::LoadTr},
    {"mcommit", Intercept::Mcommit},
    {"monitor", Intercept::Monitor},
    {"mov-from-cr0", Intercept::ReadCr0},
    {"mov-from-cr2", Intercept::ReadCr0 + 2},
    {"mov-from-cr3", Intercept::ReadCr0 + 3},
    {"mov-from-cr8", Intercept::ReadCr0 + 8},
    {"mov-to-cr0", Intercept::WriteCr0},
    {"mov-to-cr2", Intercept::WriteCr0 + 2},
    {"mov-to-cr3", Intercept::WriteCr0 + 3},
    {"mov-to-cr8", Intercept::WriteCr0 + 8},
    {"mwait", Intercept::Mwait},
    {"rdpmc", Intercept::Rdpmc},
    {"rdpru", Intercept::Rdpru},
    {"rdtscp", Intercept::Rdtscp},
    {"rsm", Intercept::Rsm},
    {"sgdt", Intercept::StoreGdtr},
    {"sidt", Intercept::StoreIdtr},
    {"skinit", Intercept::Skinit},
    {"sldt", Intercept::StoreLdtr},
    {"smsw", Intercept::ReadCr0},
    {"stgi", Intercept::Stgi},
    {"str", Intercept::StoreTr},
    {"tlbsync", Intercept::Tlbsync},
    {"vmload", Intercept::Vmload},
    {"vmmcall", Intercept::Vmmcall},
    {"vmrun", Intercept::Vmrun},
    {"vmsave", Intercept::Vmsave},
    {"xsetbv", Intercept::Xsetbv},
}};

/// Null: programs of world bare have it, too.
constexpr const Intercept* intercept_of(std::string_view mnemonic) {
    for (const auto& [name, intercept] : hypervised_ops)
        if (name == mnemonic) return &intercept;
    return nullptr;
}

}  // namespace faultline::harness
