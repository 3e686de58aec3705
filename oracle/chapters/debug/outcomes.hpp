// The chapter's operational form: the finite list of responses that are right. An independent reading of the same
// manuals as the rules, and much faster: this is what judging runs on. Tests (and the proof) hold the two equal.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <span>
#include <string_view>

#include "oracle/chapters/debug/records.hpp"

namespace faultline::oracle::debug {

/// A right response; bits set in `dr6_any` and RF when `rf_any` may have either value.
struct Outcome {
    Response<Judging> response;
    std::uint64_t dr6_any = 0;
    bool rf_any = false;
};

/// A list without allocation. More than `capacity` outcomes cannot arise from a valid stimulus.
class Outcomes {
public:
    static constexpr std::size_t capacity = 128;
    void clear() { size_ = 0; }
    void add(const Outcome& outcome) {
        assert(size_ < capacity);
        if (size_ < capacity) items_[size_++] = outcome;
    }
    std::size_t size() const { return size_; }
    const Outcome& operator[](std::size_t i) const { return items_[i]; }
    const Outcome* begin() const { return items_.data(); }
    const Outcome* end() const { return items_.data() + size_; }

private:
    std::size_t size_ = 0;
    std::array<Outcome, capacity> items_;
};

/// The FREE rules' alternatives, by name, in the order of `alternative_ids`.
enum class Alternative : std::uint8_t {
    Dbg015,
    Dbg017,
    Xcp170,
    Dbg036,
    Exe010,
    Dbg032,
    Exe039,
    Exe040,
    Dbg087,
    Exe032,
    Exe033,
    Exe013,
    Exe014,
    Exe029,
    Exe030,
    Exe031,
    Dbg055,
    Dbg056,
    Dbg095,
    Dbg084,
    Exe038,
    Dbg026,
    Xcp006,
    Count
};
inline constexpr std::array<std::string_view, static_cast<std::size_t>(Alternative::Count)> alternative_ids = {
    "DBG-015", "DBG-017", "XCP-170", "DBG-036", "EXE-010", "DBG-032", "EXE-039", "EXE-040",
    "DBG-087", "EXE-032", "EXE-033", "EXE-013", "EXE-014", "EXE-029", "EXE-030", "EXE-031",
    "DBG-055", "DBG-056", "DBG-095", "DBG-084", "EXE-038", "DBG-026", "XCP-006"};

/// Fills `out` with what is right; never empty for a valid stimulus. `without` leaves one alternative out (tests).
void outcomes(const Pre<Judging>& pre, const Stimulus<Judging>& stim, Outcomes& out,
              Alternative without = Alternative::Count);

/// Whether `r` is one of them, don't-care bits aside.
bool matches(const Outcome& outcome, const Response<Judging>& r);

}  // namespace faultline::oracle::debug
