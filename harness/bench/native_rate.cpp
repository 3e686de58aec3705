#include "harness/bench/native_rate.hpp"

#include <algorithm>
#include <chrono>

namespace faultline::harness {

NativeRate::NativeRate(const Generator& generator, std::uint64_t seed, const std::vector<guest::Case>& cases,
                       const std::vector<guest::Image>& images)
    : generator_(generator), seed_(seed) {
    auto backend = native::make_native_backend();
    auto floor = native::SignalRoundTrip::make();
    if (!backend || !floor) {
        reason_ = !backend ? backend.error().reason : floor.error().reason;
        return;
    }
    machine_ = std::make_unique<Machine>(*std::move(backend));
    floor_ = *std::move(floor);
    for (std::uint64_t i = 0; i < cases.size(); ++i) {
        const Verdict verdict = machine_->look(cases[i], images[i]).verdict;
        if (verdict != Verdict::Skip && machine_->tape().outcome == guest::Outcome::Completed)
            kept_.push_back({i, machine_->tape().count + 1});
    }
    if (kept_.empty()) reason_ = "none of the programs can run natively";
}

NativeRate::Turn NativeRate::turn() {
    using Clock = std::chrono::steady_clock;
    const auto seconds_since = [](Clock::time_point start) {
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    Turn turn;
    // In small parts by turns, so that a busy neighbour slows both down.
    constexpr std::size_t part = 50;
    for (std::size_t from = 0; from < kept_.size(); from += part) {
        const std::size_t to = std::min(from + part, kept_.size());
        std::uint64_t stops = 0;
        auto start = Clock::now();
        for (std::size_t i = from; i < to; ++i) {
            generator_.draw(seed_, kept_[i].index, scratch_);
            (void)machine_->look(scratch_);
            stops += kept_[i].stops;
        }
        turn.whole += seconds_since(start);
        start = Clock::now();
        (void)floor_->run(stops);
        turn.floor += seconds_since(start);
        turn.stops += stops;
    }
    return turn;
}

}  // namespace faultline::harness
