#include "harness/bench/bench.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "harness/bench/bochs.hpp"
#include "harness/bench/kvm_floor.hpp"
#include "harness/bench/native_rate.hpp"
#include "harness/bench/svm_rate.hpp"
#include "harness/bench/unicorn_peer.hpp"
#include "harness/explore/collector.hpp"
#include "harness/explore/explore.hpp"
#include "harness/generate/generator.hpp"
#include "harness/scratch.hpp"
#include "hypervisor/engine/bench.hpp"
#include "hypervisor/engine/engine_backend.hpp"
#include "hypervisor/guest/tape_text.hpp"
#include "hypervisor/kvm/kvm_backend.hpp"

namespace faultline::harness {
namespace {

using Clock = std::chrono::steady_clock;

template <class Body>
double seconds_of(Body&& body) {
    const auto start = Clock::now();
    body();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// One figure over the rounds.
class Median {
public:
    void add(double value) { values_.push_back(value); }
    bool empty() const { return values_.empty(); }
    double get() {
        if (values_.empty()) return 0;
        const auto middle = values_.begin() + static_cast<std::ptrdiff_t>(values_.size() / 2);
        std::nth_element(values_.begin(), middle, values_.end());
        return *middle;
    }
    std::optional<double> optional() { return values_.empty() ? std::nullopt : std::optional(get()); }

private:
    std::vector<double> values_;
};

/// A loop of five plain instructions: arithmetic, a store, a counter, a branch.
constexpr std::uint32_t loop_iterations = 200'000;
constexpr double loop_instructions = 1 + 5.0 * loop_iterations;

guest::Image loop_image() {
    guest::Case kase;
    kase.ops = {guest::ops::Nop{}};
    guest::Image image;
    (void)guest::assemble(kase, image);
    constexpr std::uint8_t code[] = {0xB9,
                                     loop_iterations & 0xFF,
                                     loop_iterations >> 8 & 0xFF,
                                     loop_iterations >> 16 & 0xFF,
                                     loop_iterations >> 24,
                                     0x48,
                                     0x01,
                                     0xD0,  // add rax, rdx
                                     0x48,
                                     0x31,
                                     0xC3,  // xor rbx, rax
                                     0x48,
                                     0x89,
                                     0x04,
                                     0x25,
                                     0x10,
                                     0x00,
                                     0x04,
                                     0x00,  // mov [layout::data + 10h], rax
                                     0x48,
                                     0xFF,
                                     0xC9,  // dec rcx
                                     0x75,
                                     0xED,  // jnz to the add
                                     0x0F,
                                     0x0B};  // the end
    static_assert(guest::layout::data == 0x40000);
    std::memcpy(image.code.data(), code, sizeof code);
    image.code_size = sizeof code - 2;
    image.params.code_size = image.code_size;
    image.op_offset[1] = image.code_size;
    image.step_limit = 4'000'000'000;
    return image;
}

/// Unicorn dies of a breakpoint that a program enables.
bool loads_dr(const guest::Op& op) { return std::holds_alternative<guest::ops::MovToDr>(op); }

/// Programs that floors and peers can run as well: 64-bit, in the stage's own surroundings.
Generator peers_generator() {
    Weights weights;
    weights.surroundings = weights.alignment_check = 0;
    weights.themes = {};  // some have weights of their own for these
    return Generator(weights, {.modes = {true, false, false, false}});
}

double explore_rate(const Generator& generator, const BenchOptions& o, unsigned jobs) {
    Plan plan;
    plan.subjects = {[] { return engine::make_engine_backend(); }};
    plan.source = [&](std::uint64_t index, guest::Case& kase) { generator.draw(o.seed, index, kase); };
    plan.programs = o.programs * 25;  // long enough that making the machines does not count
    plan.jobs = jobs;
    plan.shrink_runs = 0;
    const auto summary = explore(plan);
    return summary ? static_cast<double>(summary->programs) / summary->seconds : 0;
}

class Bench {
public:
    explicit Bench(const BenchOptions& options)
        : o_(options), cases_(options.programs), images_(options.programs), tapes_(options.programs) {}

    Result<BenchFigures> run() {
        for (std::uint64_t i = 0; i < o_.programs; ++i) {
            generator_.draw(o_.seed, i, cases_[i]);
            if (auto assembled = assembler_.assemble(cases_[i], images_[i]); !assembled)
                return fail(Exit::Internal, assembled.error());
            if (unicorn_ && std::ranges::none_of(cases_[i].ops, loads_dr) && unicorn_->run(images_[i]))
                on_unicorn_.push_back(i);
        }
        set_up_kvm();
        svm_ = std::make_unique<SvmRate>(cases_);
        result_.svm_programs = svm_->programs();
        for (unsigned round = 0; round < o_.rounds; ++round) {
            stages();
            if (floor_) kvm();
            peers();
            if (!svm()) return fail(Exit::Internal, "the loop of VMRUNs did not come to its end");
            const double one = explore_rate(generator_, o_, 1), two = explore_rate(generator_, o_, 2);
            jobs1_.add(one);
            jobs2_.add(two);
            jobs_ratio_.add(two / one);
        }
        native();
        if (auto stored = store(); !stored) return tl::unexpected(stored.error());
        return figures();
    }

private:
    double per_program_us(double seconds) const { return seconds * 1e6 / static_cast<double>(o_.programs); }

    void set_up_kvm() {
        auto backend = kvm::make_kvm_backend();
        auto floor = KvmFloor::make(*images_.front().stage);
        if (!backend || !floor) {
            result_.kvm_reason = !backend ? backend.error().reason : floor.error().reason;
            return;
        }
        kvm_ = std::make_unique<Machine>(*std::move(backend));
        floor_ = *std::move(floor);
        for (std::uint64_t i = 0; i < o_.programs; ++i) {
            if (kvm_->look(cases_[i], images_[i]).verdict == Verdict::Skip) continue;
            if (kvm_->tape().outcome == guest::Outcome::Completed) on_kvm_.push_back(i);
        }
        result_.kvm_programs = on_kvm_.size();
    }

    void stages() {
        generate_.add(per_program_us(seconds_of([&] {
            for (std::uint64_t i = 0; i < o_.programs; ++i) generator_.draw(o_.seed, i, scratch_);
        })));
        assemble_.add(per_program_us(seconds_of([&] {
            for (std::uint64_t i = 0; i < o_.programs; ++i) (void)assembler_.assemble(cases_[i], images_[i]);
        })));
        run_.add(per_program_us(engine_seconds_ = seconds_of([&] {
                                    for (std::uint64_t i = 0; i < o_.programs; ++i) engine_->run(images_[i], tapes_[i]);
                                })));
        judge_.add(per_program_us(seconds_of([&] {
            for (std::uint64_t i = 0; i < o_.programs; ++i) (void)oracle_.judge(cases_[i], images_[i], tapes_[i]);
        })));
    }

    bool svm() {
        constexpr std::uint64_t round_trips = 20'000;
        const double loop = engine::vmrun_loop_seconds(round_trips);
        vmrun_rate_.add(round_trips / loop);
        const auto [bare, reference, monitor] = svm_->turn();
        svm_rate_.add(static_cast<double>(svm_->programs()) / reference.whole);
        reference_ratio_.add(bare.whole / reference.whole);
        reference_run_ratio_.add(bare.run / reference.run);
        monitor_ratio_.add(bare.whole / monitor.whole);
        monitor_run_ratio_.add(bare.run / monitor.run);
        return loop > 0;
    }

    /// End to end and floor take turns in small parts of the same programs.
    void kvm() {
        double whole = 0, floor = 0;
        for (std::size_t from = 0; from < on_kvm_.size(); from += 200) {
            const std::size_t to = std::min(from + 200, on_kvm_.size());
            whole += seconds_of([&] {
                for (std::size_t i = from; i < to; ++i) {
                    generator_.draw(o_.seed, on_kvm_[i], scratch_);
                    (void)kvm_->look(scratch_);
                }
            });
            floor += seconds_of([&] {
                for (std::size_t i = from; i < to; ++i) floor_->run(images_[on_kvm_[i]]);
            });
        }
        kvm_rate_.add(static_cast<double>(on_kvm_.size()) / whole);
        floor_rate_.add(static_cast<double>(on_kvm_.size()) / floor);
        kvm_ratio_.add(floor / whole);
    }

    /// In rounds of its own: while the native backend lives it keeps this thread, and threads that it starts, on one
    /// processor.
    void native() {
        NativeRate native(generator_, o_.seed, cases_, images_);
        result_.native_reason = native.reason();
        result_.native_programs = native.programs();
        if (!native.reason().empty()) return;
        for (unsigned round = 0; round < o_.rounds; ++round) {
            const NativeRate::Turn turn = native.turn();
            native_rate_.add(static_cast<double>(native.programs()) / turn.whole);
            native_ratio_.add(turn.floor / turn.whole);
            round_trip_us_.add(turn.floor * 1e6 / static_cast<double>(turn.stops));
        }
    }

    void peers() {
        engine_rate_.add(static_cast<double>(o_.programs) / engine_seconds_);
        engine_mips_.add(loop_instructions / 1e6 / seconds_of([&] { engine_->run(loop_, tapes_.front()); }));
        if (!unicorn_) return;
        // Both take turns in small parts of the same programs, so that a busy neighbour slows both down.
        double theirs = 0, ours = 0;
        for (std::size_t from = 0; from < on_unicorn_.size(); from += 200) {
            const std::size_t to = std::min(from + 200, on_unicorn_.size());
            theirs += seconds_of([&] {
                for (std::size_t i = from; i < to; ++i) (void)unicorn_->run(images_[on_unicorn_[i]]);
            });
            ours += seconds_of([&] {
                for (std::size_t i = from; i < to; ++i) engine_->run(images_[on_unicorn_[i]], tapes_.front());
            });
        }
        unicorn_rate_.add(static_cast<double>(on_unicorn_.size()) / theirs);
        unicorn_ratio_.add(theirs / ours);
        unicorn_mips_.add(loop_instructions / 1e6 / seconds_of([&] { unicorn_->run(loop_); }));
    }

    /// Rows as an exploration writes them, with the commit at their end.
    Result<void> store() {
        const ScratchFolder folder;
        if (folder.path().empty()) return fail(Exit::Internal, "cannot make a folder for temporary files");
        auto store = Store::open(folder / "bench.db", Store::Access::Create);
        if (!store) return tl::unexpected(store.error());
        auto run = store->begin_run({.command = "bench"});
        auto subject = store->subject(engine_->subject());
        if (!run || !subject) return tl::unexpected(run ? subject.error() : run.error());
        Result<void> result;
        store_us_ = per_program_us(seconds_of([&] {
            for (std::uint64_t i = 0; i < o_.programs && result; ++i) {
                auto row = store->add_case(case_row(cases_[i]));
                if (!row)
                    result = tl::unexpected(row.error());
                else
                    result = store->add_result({.run = *run,
                                                .kase = *row,
                                                .subject = *subject,
                                                .case_index = i,
                                                .verdict = "divergence",
                                                .outcome = "completed",
                                                .tape = guest::to_json(tapes_[i])});
            }
            if (result) result = store->commit();
        }));
        return result;
    }

    BenchFigures figures() {
        BenchFigures& f = result_;
        f.kvm_over_floor = kvm_ratio_.optional();
        f.native_over_floor = native_ratio_.optional();
        f.native_programs_per_second = native_rate_.optional();
        f.native_round_trip_us = round_trip_us_.optional();
        f.engine_over_unicorn = unicorn_ratio_.optional();
        f.engine_mips = engine_mips_.get();
        f.unicorn_mips = unicorn_mips_.optional();
        f.bochs_mips = bochs_mips();
        f.jobs2_over_jobs1 = jobs_ratio_.get();
        f.stage_us = {generate_.get(), assemble_.get(), run_.get(), judge_.get(), store_us_};
        f.kvm_programs_per_second = kvm_rate_.optional();
        f.kvm_floor_programs_per_second = floor_rate_.optional();
        f.engine_run_programs_per_second = engine_rate_.get();
        f.engine_programs_per_second =
            1e6 / (f.stage_us.generate + f.stage_us.assemble + f.stage_us.run + f.stage_us.judge);
        f.unicorn_programs_per_second = unicorn_rate_.optional();
        f.unicorn_programs = on_unicorn_.size();
        f.jobs1_programs_per_second = jobs1_.get();
        f.jobs2_programs_per_second = jobs2_.get();
        f.svm_over_bare_reference = reference_ratio_.get();
        f.svm_over_bare_monitor = monitor_ratio_.get();
        f.svm_run_over_bare_reference = reference_run_ratio_.get();
        f.svm_run_over_bare_monitor = monitor_run_ratio_.get();
        f.svm_programs_per_second = svm_rate_.get();
        f.vmrun_round_trips_per_second = vmrun_rate_.get();
        return f;
    }

    const BenchOptions o_;
    const Generator generator_ = peers_generator();
    guest::Assembler assembler_;
    oracle::Judge oracle_;
    std::vector<guest::Case> cases_;
    std::vector<guest::Image> images_;
    std::vector<guest::Tape> tapes_;
    guest::Case scratch_;
    const guest::Image loop_ = loop_image();
    std::unique_ptr<guest::Backend> engine_ = engine::make_engine_backend();
    std::unique_ptr<UnicornPeer> unicorn_ = UnicornPeer::make(*loop_.stage);
    std::unique_ptr<Machine> kvm_;
    std::unique_ptr<KvmFloor> floor_;
    std::unique_ptr<SvmRate> svm_;
    std::vector<std::uint64_t> on_kvm_, on_unicorn_;
    double engine_seconds_ = 0, store_us_ = 0;
    Median generate_, assemble_, run_, judge_, kvm_rate_, floor_rate_, kvm_ratio_, engine_rate_, engine_mips_,
        unicorn_rate_, unicorn_ratio_, unicorn_mips_, jobs1_, jobs2_, jobs_ratio_, native_rate_, native_ratio_,
        round_trip_us_, svm_rate_, reference_ratio_, reference_run_ratio_, monitor_ratio_, monitor_run_ratio_,
        vmrun_rate_;
    BenchFigures result_;
};

}  // namespace

Result<BenchFigures> bench(const BenchOptions& options) { return std::make_unique<Bench>(options)->run(); }

}  // namespace faultline::harness
