// Quirks: which of the wrong behaviours in quirk_list.hpp this machine has. None, unless its owner asks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "hypervisor/engine/quirk_list.hpp"
#include "hypervisor/guest/types.hpp"

namespace faultline::engine {

enum class Quirk : std::uint16_t {
#define FAULTLINE_NAME(name, ...) name,
    FAULTLINE_QUIRKS(FAULTLINE_NAME, FAULTLINE_NAME)
#undef FAULTLINE_NAME
};

#define FAULTLINE_ONE(...) +1
inline constexpr std::size_t bare_quirk_count = 0 FAULTLINE_BARE_QUIRKS(FAULTLINE_ONE, FAULTLINE_ONE);
inline constexpr std::size_t quirk_count = 0 FAULTLINE_QUIRKS(FAULTLINE_ONE, FAULTLINE_ONE);
#undef FAULTLINE_ONE

/// A set of quirks. Asking whether one is on costs a load and a test.
class Quirks {
public:
    Quirks() = default;
    Quirks(std::initializer_list<Quirk> quirks) {
        for (const Quirk quirk : quirks) add(quirk);
    }
    bool any() const { return any_; }
    bool has(Quirk quirk) const { return words_[index(quirk) / 64] >> index(quirk) % 64 & 1; }
    void add(Quirk quirk) {
        words_[index(quirk) / 64] |= 1ull << index(quirk) % 64;
        any_ = true;
    }

private:
    static constexpr std::size_t index(Quirk quirk) { return static_cast<std::size_t>(quirk); }
    std::array<std::uint64_t, (quirk_count + 63) / 64> words_{};
    bool any_ = false;
};

struct QuirkInfo {
    Quirk quirk;
    guest::World world;  ///< whose programs show it: bare on engine+NAME, svm on reference+NAME
    std::string name;
    std::string_view wrong;      ///< one sentence
    std::string_view bug;        ///< id of the bug it is modelled on; empty for a systematic mutant
    std::string_view reference;  ///< commit, advisory or issue of the bug; what the manual says, for a mutant
    /// Why no judge can tell it from a correct machine; empty for all others.
    std::string_view equivalent;
};

/// All quirks, in the order of the list.
std::span<const QuirkInfo> quirk_catalogue();
std::optional<Quirk> quirk_named(std::string_view name);

/// A bug of the same catalogue that no quirk shows, and why no program of world bare or svm can meet it here.
struct BugBeyond {
    std::string_view id, reason;
};
std::span<const BugBeyond> bugs_beyond();

}  // namespace faultline::engine
