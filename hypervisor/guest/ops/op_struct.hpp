// What every op's struct is made of. An op is one struct: its fields (a Boost.Hana struct, from which come the
// text form, JSON, the generator and the shrinker), `encode` (exactly one instruction) and `effect` (what that
// instruction does when nothing about debugging interferes). Optional: `bool valid() const` restricts field values,
// `static constexpr bool exists(Mode)` modes, and `static constexpr World world` says that only programs of that world
// have the op.
#pragma once

#include <boost/hana/define_struct.hpp>
#include <cstdint>
#include <string_view>

#include "hypervisor/guest/effect_builder.hpp"
#include "hypervisor/guest/encoding.hpp"
#include "hypervisor/guest/types.hpp"

/// Name, mnemonic of the text form, one-line summary, fields as (type, name).
#define FAULTLINE_OP(Name, Mnemonic, Summary, ...)                            \
    BOOST_HANA_DEFINE_STRUCT(Name __VA_OPT__(, ) __VA_ARGS__);                \
    static constexpr std::string_view mnemonic = Mnemonic, summary = Summary; \
    bool operator==(const Name&) const = default
