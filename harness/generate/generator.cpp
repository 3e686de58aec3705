#include "harness/generate/generator.hpp"

#include <algorithm>
#include <initializer_list>
#include <type_traits>
#include <variant>

#include "harness/generate/draft.hpp"
#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/op.hpp"
#include "oracle/judge.hpp"

namespace faultline::harness {
namespace {

using namespace guest;

/// Ops that go astray when what should have prepared them was skipped: RIP, flags, a count or DR7.GD from a register or
/// from the stack.
bool depends_on_data(const Op& op) {
    return std::visit(
        []<class O>(const O&) {
            constexpr auto one_of = []<class... Ops>(std::variant<Ops...>*) { return (std::is_same_v<O, Ops> || ...); };
            using Depending =
                std::variant<ops::Ret, ops::Iret, ops::JmpReg, ops::Jc, ops::Popf, ops::Syscall, ops::Sysret,
                             ops::Rdmsr, ops::Wrmsr, ops::RepMovs, ops::RepStos, ops::RepLods, ops::RepIns,
                             ops::RepOuts, ops::PopFs, ops::Int, ops::Enter, ops::Leave, ops::FarRet, ops::Lss>;
            return one_of(static_cast<Depending*>(nullptr));
        },
        op);
}

bool oracle_can_follow(const Case& kase) {
    const bool usual =
        kase.world == World::Bare && kase.mode == Mode::Long64 && kase.environment.surroundings == Surroundings{};
    if (usual && std::ranges::none_of(kase.ops, depends_on_data)) return true;
    thread_local Assembler assembler;
    thread_local Image image;
    thread_local oracle::Judge judge;
    // A vendor's choice leads nowhere that the other's doesn't; so one of them is asked, on every machine.
    constexpr Features features{.vendor = Vendor::Amd,
                                .btf = true,
                                .svm = {.asids = 0x8000,
                                        .edx = 1u << Features::Svm::nrips | 1u << Features::Svm::decode_assists,
                                        .physical_bits = 48,
                                        .long_mode = true}};
    return assembler.assemble(kase, image) && !judge.forecast(kase, image, features);
}

}  // namespace

static_assert(std::variant_size_v<guest::Op> <= 256, "op_by_lot holds bytes");

Generator::Generator(const Weights& weights, const Profile& profile) : weights_(weights), profile_(profile) {
    const auto catalogue = guest::op_catalogue();
    for (std::size_t n = 0; n < behind_mov_ss_.size(); ++n)
        for (std::size_t i = 0; i < catalogue.size(); ++i)
            if (catalogue[i].mnemonic == weights_.behind_mov_ss[n]) behind_mov_ss_[n] = static_cast<std::uint8_t>(i);
    for (std::size_t theme = 0; theme <= weights_.themes.size(); ++theme)
        bent_.push_back(bend(weights_, static_cast<Theme>(theme), profile_.world));
}

Generator::Bent Generator::bend(const Weights& weights, Theme theme, guest::World world) {
    const auto catalogue = guest::op_catalogue();
    Bent result{bent(weights, theme)};
    for (std::size_t mode = 0; mode < result.op_by_lot.size(); ++mode) {
        std::vector<unsigned> weight(catalogue.size(), weights.other_op);
        for (const OpWeight& named : result.weights.ops)
            for (std::size_t i = 0; i < catalogue.size(); ++i)
                if (catalogue[i].mnemonic == named.mnemonic) weight[i] = named.weight;
        for (std::size_t i = 0; i < weight.size(); ++i)
            if (!guest::op_exists(i, static_cast<guest::Mode>(mode), world)) weight[i] = 0;
        std::uint64_t total = 0, sum = 0;
        for (const unsigned w : weight) total += w;
        std::size_t lot = 0;
        Lots& lots = result.op_by_lot[mode];
        for (std::size_t i = 0; i < weight.size(); ++i) {
            sum += weight[i];
            for (; lot < sum * lots.size() / total; ++lot) lots[lot] = static_cast<std::uint8_t>(i);
        }
    }
    return result;
}

std::size_t Generator::theme(Stream& random) const {
    unsigned lot = random.below(1000);
    const std::size_t themes = profile_.machine ? weights_.themes.size() : 1;
    for (std::size_t i = 0; i < themes; ++i) {
        if (lot < weights_.themes[i]) return i + 1;
        lot -= weights_.themes[i];
    }
    return 0;
}

void Generator::draw(std::uint64_t seed, std::uint64_t index, guest::Case& out) const {
    draw(Stream(seed, index, static_cast<std::uint64_t>(weights_.version)), out);
}

void Generator::draw(Stream random, guest::Case& out) const {
    constexpr int attempts = 16;  // one in a thousand is drawn twice
    for (int attempt = 0; attempt < attempts; ++attempt) {
        if (compose(Stream(random.next()), out) || oracle_can_follow(out)) return;
    }
}

bool Generator::compose(Stream random, guest::Case& out) const {
    constexpr std::size_t most_ops = 14;  // preparations of the last one may add a few
    out.ops.clear();
    const Bent& bent = bent_[theme(random)];
    Draft draft(bent.weights, profile_, random, out);
    draft.environment();
    const Lots& lots = bent.op_by_lot[static_cast<std::size_t>(out.mode)];
    Stream& stream = draft.random();
    if (profile_.world == guest::World::Svm) draft.bait();
    // Short programs say more per microsecond; long ones let causes meet.
    const unsigned moves = 1 + std::min(stream.below(11), stream.below(11));
    const auto pick = [&stream](const auto& ops) { return ops[stream.below(static_cast<std::uint32_t>(ops.size()))]; };
    for (unsigned i = 0; i < moves && draft.size() < most_ops; ++i)
        draft.move(draft.in_shadow() && stream.percent(bent.weights.aim_shadow) ? pick(behind_mov_ss_) : pick(lots));
    draft.finish();
    return draft.at_edge();
}

// --- what each theme changes about the weights --------------------------------------------------------------------

namespace {

/// Multiplies, so that what steering changed goes on counting.
void more(Weights& weights, std::initializer_list<OpWeight> ops) {
    for (const OpWeight& op : ops)
        for (OpWeight& named : weights.ops)
            if (named.mnemonic == op.mnemonic) named.weight *= op.weight;
}

/// long64, compat32, prot32, real16; a mode that steering made frequent stays so.
void only(Weights& weights, std::array<unsigned, 4> share) {
    for (std::size_t mode = 0; mode < share.size(); ++mode)
        weights.modes[mode] = std::max(weights.modes[mode] * share[mode] / 100, share[mode] > 0 ? 1u : 0u);
}

}  // namespace

Weights bent(Weights weights, Theme theme) {
    Weights& w = weights;
    switch (theme) {
        case Theme::Usual: break;
        case Theme::Held:
            more(w, {{"mov-ss-mem", 4}, {"pop-ss", 3}, {"cpuid", 2}});
            w.watch_unused = 10, w.watch_stack = 75, w.watch_disabled = 5, w.watch_shadowed = 35;
            w.aim_shadow = 75, w.start_gd = 18, w.policy_skip = 10;
            break;
        case Theme::Extensions:
            more(w, {{"mov-to-cr4", 4}, {"in", 3}, {"out", 3}, {"in-dx", 3}, {"out-dx", 3}, {"rep-outs", 3}});
            w.cpl3 = 10, w.de = 55, w.watch_io = 50, w.watch_unused = 10, w.watch_execute = 10, w.watch_disabled = 5;
            w.io_without_de = 70, w.io_on_memory = 25, w.watch_far = 12, w.watch_len = 10;
            w.start_gd = 20, w.dr_alias = 25, w.start_iopl3 = 60;
            break;
        case Theme::Branches:
            more(w, {{"wrmsr", 20}, {"rdmsr", 6}, {"syscall", 4}, {"sysret", 5}, {"jmp", 3}, {"icebp", 2}});
            w.cpl3 = 15, w.btf = 80, w.start_tf = 75, w.popped_tf = 60, w.surroundings = 4;
            only(w, {100, 40, 40, 0});
            break;
        case Theme::Tasks:
            more(w, {{"far-jmp", 8}, {"far-call", 8}, {"iret", 3}});
            w.task = 100, w.start_nt = 30, w.surroundings = 5;
            only(w, {0, 0, 100, 0});
            break;
        case Theme::Stacks:
            more(w, {{"set-reg", 6}, {"icebp", 2}, {"int3", 3}, {"int", 2}, {"push-mem", 2}});
            w.cpl3 = 65, w.surroundings = 85, w.inner_stack = 85, w.outer_handler = 35, w.lost_stack = 25;
            w.alignment_check = 40;
            only(w, {25, 30, 100, 20});
            break;
    }
    return weights;
}

}  // namespace faultline::harness
