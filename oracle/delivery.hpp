// From an event to where it arrives: attempts at delivery, each judged by the exceptions chapter, until a handler (or
// shutdown, or another task) is reached.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/exceptions/outcomes.hpp"
#include "oracle/chapters/exceptions/stimulus.hpp"

namespace faultline::oracle {

/// One attempt, as the chapter sees it.
struct Attempt {
    exceptions::Pre<Judging> pre;
    exceptions::Stimulus<Judging> stim;
    exceptions::Outcome outcome;
};

/// A way that an event may go: attempts, of which the last one ends it.
struct Arrival {
    static constexpr std::size_t most_attempts = 4;  ///< the event, what replaces it, #DF, shutdown
    std::size_t count = 0;
    std::array<Attempt, most_attempts> attempts;

    const exceptions::Response<Judging>& end() const { return attempts[count - 1].outcome.response; }
    const exceptions::Outcome& end_outcome() const { return attempts[count - 1].outcome; }
    /// Of the handler it ends in, if it does.
    std::uint64_t vector() const { return attempts[count - 1].stim.vector; }
    /// The event itself reached its handler.
    bool direct() const { return count == 1 && end().result == exceptions::result::delivered; }
    /// The last attempt that wrote CR2, or null.
    const exceptions::Outcome* writes_cr2() const;
};

class Arrivals {
public:
    static constexpr std::size_t capacity = 24;
    void clear() { size_ = 0; }
    bool add(const Arrival& arrival) {
        if (size_ == capacity) return false;
        Arrival& item = items_[size_++];
        item.count = arrival.count;  // attempts behind them are nothing: most ways have one of four
        std::copy_n(arrival.attempts.begin(), arrival.count, item.attempts.begin());
        return true;
    }
    std::size_t size() const { return size_; }
    const Arrival& operator[](std::size_t i) const { return items_[i]; }
    const Arrival* begin() const { return items_.data(); }
    const Arrival* end() const { return items_.data() + size_; }

private:
    std::size_t size_ = 0;
    std::array<Arrival, capacity> items_;
};

/// All ways `event` may go from the context's state. False: more of them than anyone can follow.
bool deliver(const guest::EffectContext& context, const guest::Features& features, const exceptions::Event& event,
             Arrivals& out);

}  // namespace faultline::oracle
