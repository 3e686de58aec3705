#include "oracle/delivery.hpp"

namespace faultline::oracle {
namespace {

namespace result = exceptions::result;
constexpr std::uint8_t vector_df = 8;

/// What takes the event's place: #DF, or the exception that its delivery met.
exceptions::Event replacing(const exceptions::Response<Judging>& r, const exceptions::Event& event) {
    exceptions::Event next;
    next.vector = r.result == result::double_fault ? vector_df : static_cast<std::uint8_t>(r.vector);
    next.error = static_cast<std::uint32_t>(r.error);
    next.source = exceptions::source::exception;
    next.rip = r.rip;
    next.origin = event.origin;
    next.rf = r.rf;
    return next;
}

bool attempt(const exceptions::Pre<Judging>& pre, const exceptions::Event& event, const guest::EffectContext& context,
             Arrival& way, Arrivals& out) {
    if (way.count == Arrival::most_attempts) return false;
    Attempt& here = way.attempts[way.count];
    here.pre = pre;
    here.stim = exceptions::deliver_of(event, context);
    exceptions::Outcomes right;
    exceptions::outcomes(here.pre, here.stim, right);
    ++way.count;
    for (const auto& outcome : right) {
        way.attempts[way.count - 1].outcome = outcome;
        const auto what = outcome.response.result;
        if (what == result::serial || what == result::double_fault) {
            if (!attempt(pre, replacing(outcome.response, event), context, way, out)) return false;
        } else if (!out.add(way)) {
            return false;
        }
    }
    --way.count;
    return true;
}

}  // namespace

const exceptions::Outcome* Arrival::writes_cr2() const {
    for (std::size_t i = count; i-- > 0;)
        if (attempts[i].outcome.response.writes_cr2) return &attempts[i].outcome;
    return nullptr;
}

bool deliver(const guest::EffectContext& context, const guest::Features& features, const exceptions::Event& event,
             Arrivals& out) {
    out.clear();
    Arrival way;
    return attempt(exceptions::pre_of(context.state, features), event, context, way, out);
}

}  // namespace faultline::oracle
