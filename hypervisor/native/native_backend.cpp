#include "hypervisor/native/native_backend.hpp"

#include <cstring>
#include <optional>
#include <utility>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/native/child.hpp"
#include "hypervisor/native/course.hpp"
#include "hypervisor/native/selectors.hpp"
#include "hypervisor/native/subject.hpp"
#include "hypervisor/native/suitability.hpp"

namespace faultline::native {
namespace {

namespace layout = guest::layout;
using guest::Outcome;

class NativeBackend final : public guest::Backend {
public:
    explicit NativeBackend(Options options) : options_(options) {}

    const guest::Subject& subject() const override { return subject_; }
    const guest::Features& features() const override { return features_; }
    void run(const guest::Image& image, guest::Tape& tape) override;
    void reconsider(const guest::Image& image, guest::Tape& tape) override;
    tl::expected<void, guest::Unavailable> refresh() override {
        child_.reset();
        return ready();
    }

private:
    tl::expected<void, guest::Unavailable> ready();
    void run(const guest::Image& image, const Selectors& selectors, guest::Tape& tape);

    Options options_;
    guest::Subject subject_ = native_subject();
    guest::Features features_ = host_features();
    std::unique_ptr<Child> child_;
    std::unique_ptr<guest::Tape> second_ = std::make_unique<guest::Tape>();
    bool translated_ = false;  ///< the last run's memory or registers held translated selectors
};

tl::expected<void, guest::Unavailable> NativeBackend::ready() {
    if (child_ && child_->owned_by_this_thread()) return {};
    child_.reset();
    auto started = Child::start();
    if (!started) return tl::unexpected(started.error());
    child_ = *std::move(started);
    return {};
}

void NativeBackend::run(const guest::Image& image, const Selectors& selectors, guest::Tape& tape) {
    tape.features = features_;
    tape.through_kernel = true;
    tape.unsuitable = {};
    tape.detail.clear();
    if (auto started = ready(); !started) {
        tape.outcome = Outcome::EntryFailure;
        tape.count = 0;
        tape.detail = started.error().reason;
        return;
    }
    const auto memory = child_->memory();
    for (const auto& range : guest::restored_ranges(image.mode))
        std::memcpy(memory.data() + range.begin, image.stage->memory.data() + range.begin, range.size);
    std::memcpy(memory.data() + layout::readonly, image.stage->memory.data() + layout::readonly, layout::page);
    guest::apply(image, memory);
    memory[image.end_address()] = end_instruction;
    translated_ = translate_memory(image, selectors, memory);
    for (const auto value : image.params.gpr) translated_ |= selectors.to_linux(value) != value;
    Course course(image, selectors, *child_, tape);
    course.run(options_.tick_limit);
    const bool gone = tape.outcome == Outcome::Crash || tape.outcome == Outcome::EntryFailure;
    if ((gone && tape.unsuitable.empty()) || tape.outcome == Outcome::Hang || (course.left_id() && !child_->clear_id()))
        child_.reset();
}

bool same(const guest::Tape& a, const guest::Tape& b) {
    if (a.outcome != b.outcome || a.count != b.count || a.unsuitable != b.unsuitable) return false;
    for (std::uint32_t i = 0; i < a.count; ++i)
        if (a.records[i] != b.records[i]) return false;
    return a.outcome != Outcome::Completed || a.final == b.final;
}

void NativeBackend::run(const guest::Image& image, guest::Tape& tape) {
    tape.unsuitable = why_unsuitable(image);
    if (!tape.unsuitable.empty()) return;
    Selectors selectors;
    selectors.use = selector_use(image);
    if (selectors.use == SelectorUse::Unclear) {
        tape.unsuitable = "a value may be a selector of Linux's table";
        return;
    }
    run(image, selectors, tape);
}

/// Programs that load translated selectors run again with others (selectors.hpp); the many that agree with the oracle
/// have given nothing away.
void NativeBackend::reconsider(const guest::Image& image, guest::Tape& tape) {
    constexpr std::string_view why = "the program computes with a selector";
    if (!translated_) return;
    if (computes(image)) tape.unsuitable = why;
    for (Selectors other : other_selectors) {
        if (!tape.unsuitable.empty() || !child_ || !child_->has_other_ss()) return;
        other.use = selector_use(image);
        run(image, other, *second_);
        if (!same(tape, *second_)) tape.unsuitable = why;
    }
}

class RoundTrip final : public SignalRoundTrip {
public:
    explicit RoundTrip(std::unique_ptr<Child> child) : child_(std::move(child)) {}
    bool run(std::uint64_t count) override {
        for (; count; --count)
            if (!child_->bounce()) return false;
        return true;
    }

private:
    std::unique_ptr<Child> child_;
};

}  // namespace

tl::expected<std::unique_ptr<guest::Backend>, guest::Unavailable> make_native_backend(Options options) {
    // A first child shows whether this host permits one; the thread that runs programs makes its own.
    if (auto child = Child::start(); !child) return tl::unexpected(child.error());
    return std::make_unique<NativeBackend>(options);
}

tl::expected<std::unique_ptr<SignalRoundTrip>, guest::Unavailable> SignalRoundTrip::make() {
    auto child = Child::start();
    if (!child) return tl::unexpected(child.error());
    constexpr std::uint8_t loop[] = {0xCC, 0xEB, 0xFD};  // int3; jmp to it
    std::memcpy((*child)->memory().data() + layout::code, loop, sizeof loop);
    user_regs_struct regs = (*child)->registers();
    regs.rip = layout::code;
    regs.rsp = layout::stack_top;
    if (!(*child)->set_registers(regs)) return tl::unexpected(guest::Unavailable{"ptrace(PTRACE_SETREGS) fails"});
    return std::make_unique<RoundTrip>(*std::move(child));
}

}  // namespace faultline::native
