#include "harness/bench/svm_rate.hpp"

#include <algorithm>
#include <array>
#include <chrono>

#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/reference/reference_backend.hpp"

namespace faultline::harness {

using namespace guest;

SvmRate::SvmRate(const std::vector<Case>& cases) {
    constexpr std::uint32_t db_and_pf = 1u << 1 | 1u << 14;
    ways_.push_back({engine::make_engine_backend(), World::Bare, {}, {}});
    ways_.push_back({reference::make_reference_backend(), World::Svm, {}, {}});
    ways_.push_back({engine::make_engine_backend(), World::Svm, {}, {}});
    for (const Case& bare : cases) {
        Case hypervised = bare;
        hypervised.world = World::Svm;
        hypervised.vmm = {};
        hypervised.vmm.forced = db_and_pf;
        if (!assembler_.assemble(hypervised, *image_)) continue;  // it uses what is the hypervisor's own
        for (Way& way : ways_) {
            const Case& kase = way.cases.emplace_back(way.world == World::Svm ? hypervised : bare);
            (void)assembler_.assemble(kase, way.images.emplace_back());
        }
    }
}

SvmRate::Turn SvmRate::turn() {
    Turn turn;
    const std::array<Seconds*, 3> sums{&turn.bare, &turn.reference, &turn.monitor};
    // In small parts by turns, so that a busy neighbour slows all down.
    constexpr std::size_t part = 50;
    for (std::size_t from = 0; from < programs(); from += part) {
        const std::size_t to = std::min<std::size_t>(from + part, programs());
        for (std::size_t n = 0; n < ways_.size(); ++n) {
            const Seconds more = part_of_turn(ways_[n], from, to);
            sums[n]->whole += more.whole;
            sums[n]->run += more.run;
        }
    }
    return turn;
}

SvmRate::Seconds SvmRate::part_of_turn(Way& way, std::size_t from, std::size_t to) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    for (std::size_t i = from; i < to; ++i) {
        (void)assembler_.assemble(way.cases[i], *image_);
        way.backend->run(*image_, *tape_);
        (void)judge_.judge(way.cases[i], *image_, *tape_);
    }
    const auto between = Clock::now();
    for (std::size_t i = from; i < to; ++i) way.backend->run(way.images[i], *tape_);
    const std::chrono::duration<double> whole = between - start, run = Clock::now() - between;
    return {whole.count(), run.count()};
}

}  // namespace faultline::harness
