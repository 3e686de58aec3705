#include "harness/generate/generator.hpp"

#include "harness/generate/draft.hpp"
#include "hypervisor/guest/op.hpp"

namespace faultline::harness {

static_assert(std::variant_size_v<guest::Op> <= 256, "op_by_lot_ holds bytes");

Generator::Generator(const Weights& weights) : weights_(weights) {
    const auto catalogue = guest::op_catalogue();
    std::vector<unsigned> weight(catalogue.size(), weights_.other_op);
    for (const OpWeight& named : weights_.ops)
        for (std::size_t i = 0; i < catalogue.size(); ++i)
            if (catalogue[i].mnemonic == named.mnemonic) weight[i] = named.weight;
    std::uint64_t total = 0, sum = 0;
    for (const unsigned w : weight) total += w;
    std::size_t lot = 0;
    for (std::size_t i = 0; i < weight.size(); ++i) {
        sum += weight[i];
        for (; lot < sum * op_by_lot_.size() / total; ++lot) op_by_lot_[lot] = static_cast<std::uint8_t>(i);
    }
}

void Generator::draw(std::uint64_t seed, std::uint64_t index, guest::Case& out) const {
    draw(Stream(seed, index, static_cast<std::uint64_t>(weights_.version)), out);
}

void Generator::draw(Stream random, guest::Case& out) const {
    constexpr std::size_t most_ops = 14;  // preparations of the last one may add a few
    out.ops.clear();
    Draft draft(weights_, random, out);
    draft.environment();
    Stream& stream = draft.random();
    // Short programs say more per microsecond; long ones let causes meet.
    const unsigned moves = 1 + std::min(stream.below(11), stream.below(11));
    for (unsigned i = 0; i < moves && draft.size() < most_ops; ++i)
        draft.move(op_by_lot_[stream.below(static_cast<std::uint32_t>(op_by_lot_.size()))]);
    draft.finish();
}

}  // namespace faultline::harness
