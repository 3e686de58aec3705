#include "harness/generate/generator.hpp"

#include <algorithm>
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
    const bool usual = kase.mode == Mode::Long64 && kase.environment.surroundings == Surroundings{};
    if (usual && std::ranges::none_of(kase.ops, depends_on_data)) return true;
    thread_local Assembler assembler;
    thread_local Image image;
    thread_local oracle::Judge judge;
    // A vendor's choice leads nowhere that the other's doesn't; so one of them is asked, on every machine.
    constexpr Features features{.vendor = Vendor::Amd, .btf = true};
    return assembler.assemble(kase, image) && !judge.forecast(kase, image, features);
}

}  // namespace

static_assert(std::variant_size_v<guest::Op> <= 256, "op_by_lot_ holds bytes");

Generator::Generator(const Weights& weights, const Profile& profile) : weights_(weights), profile_(profile) {
    const auto catalogue = guest::op_catalogue();
    for (std::size_t n = 0; n < behind_mov_ss_.size(); ++n)
        for (std::size_t i = 0; i < catalogue.size(); ++i)
            if (catalogue[i].mnemonic == weights_.behind_mov_ss[n]) behind_mov_ss_[n] = static_cast<std::uint8_t>(i);
    for (std::size_t mode = 0; mode < op_by_lot_.size(); ++mode) {
        std::vector<unsigned> weight(catalogue.size(), weights_.other_op);
        for (const OpWeight& named : weights_.ops)
            for (std::size_t i = 0; i < catalogue.size(); ++i)
                if (catalogue[i].mnemonic == named.mnemonic) weight[i] = named.weight;
        for (std::size_t i = 0; i < weight.size(); ++i)
            if (!guest::op_exists(i, static_cast<guest::Mode>(mode))) weight[i] = 0;
        std::uint64_t total = 0, sum = 0;
        for (const unsigned w : weight) total += w;
        std::size_t lot = 0;
        Lots& lots = op_by_lot_[mode];
        for (std::size_t i = 0; i < weight.size(); ++i) {
            sum += weight[i];
            for (; lot < sum * lots.size() / total; ++lot) lots[lot] = static_cast<std::uint8_t>(i);
        }
    }
}

void Generator::draw(std::uint64_t seed, std::uint64_t index, guest::Case& out) const {
    draw(Stream(seed, index, static_cast<std::uint64_t>(weights_.version)), out);
}

void Generator::draw(Stream random, guest::Case& out) const {
    constexpr int attempts = 16;  // one in a thousand is drawn twice
    for (int attempt = 0; attempt < attempts; ++attempt) {
        compose(Stream(random.next()), out);
        if (oracle_can_follow(out)) return;
    }
}

void Generator::compose(Stream random, guest::Case& out) const {
    constexpr std::size_t most_ops = 14;  // preparations of the last one may add a few
    out.ops.clear();
    Draft draft(weights_, profile_, random, out);
    draft.environment();
    const Lots& lots = op_by_lot_[static_cast<std::size_t>(out.mode)];
    Stream& stream = draft.random();
    // Short programs say more per microsecond; long ones let causes meet.
    const unsigned moves = 1 + std::min(stream.below(11), stream.below(11));
    const auto pick = [&stream](const auto& ops) { return ops[stream.below(static_cast<std::uint32_t>(ops.size()))]; };
    for (unsigned i = 0; i < moves && draft.size() < most_ops; ++i)
        draft.move(draft.in_shadow() && stream.percent(weights_.aim_shadow) ? pick(behind_mov_ss_) : pick(lots));
    draft.finish();
}

}  // namespace faultline::harness
