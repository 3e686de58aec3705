#include "harness/generate/steering.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bitset>
#include <map>
#include <nlohmann/json.hpp>

#include "hypervisor/guest/text.hpp"

namespace faultline::harness {
namespace {

using Json = nlohmann::json;
constexpr std::string_view mode_prefix = "mode:";

}  // namespace

void Company::add(const guest::Case& program, const oracle::RuleUse& use) {
    std::bitset<columns> present;
    for (const guest::Op& op : program.ops) present.set(op.index());
    present.set(columns - modes + static_cast<std::size_t>(program.mode));
    for (std::size_t rule = 0; rule < oracle::max_rules; ++rule) {
        if (!use.decisive[rule]) continue;
        for (std::size_t column = 0; column < columns; ++column) counts_[rule * columns + column] += present[column];
    }
}

Company& Company::operator+=(const Company& other) {
    std::transform(counts_.begin(), counts_.end(), other.counts_.begin(), counts_.begin(), std::plus{});
    return *this;
}

std::string Company::name(std::size_t column) {
    if (column >= columns - modes)
        return std::string(mode_prefix) +
               std::string(guest::to_text(static_cast<guest::Mode>(column - (columns - modes))));
    return std::string(guest::op_catalogue()[column].mnemonic);
}

Weights steered(const Weights& base, const std::vector<Companion>& seen) {
    // A rule's share of attention is the inverse of how many programs decided it: that many had its mode in them.
    std::map<std::string_view, std::uint64_t> decided;
    for (const Companion& c : seen)
        if (c.op.starts_with(mode_prefix)) decided[c.rule] += c.programs;
    // In millionths, so that every machine computes the same.
    std::map<std::string_view, std::uint64_t> attention;
    for (const Companion& c : seen) {
        const std::uint64_t programs = decided[c.rule];
        if (programs > 0) attention[c.op] += 1'000'000 * c.programs / (programs * programs);
    }
    std::uint64_t most_ops = 0, most_modes = 0;
    for (const auto& [op, value] : attention)
        (op.starts_with(mode_prefix) ? most_modes : most_ops) =
            std::max(op.starts_with(mode_prefix) ? most_modes : most_ops, value);
    const auto raised = [&](unsigned weight, std::string_view op, std::uint64_t most) {
        const auto found = attention.find(op);
        if (found == attention.end() || most == 0) return weight;
        return static_cast<unsigned>(weight + 2 * weight * found->second / most);  // up to three times as often
    };
    Weights weights = base;
    for (OpWeight& op : weights.ops) op.weight = raised(op.weight, op.mnemonic, most_ops);
    for (std::size_t mode = 0; mode < weights.modes.size(); ++mode)
        weights.modes[mode] =
            raised(weights.modes[mode],
                   std::string(mode_prefix) + std::string(guest::to_text(static_cast<guest::Mode>(mode))), most_modes);
    return *with_steering(base, steering_text(weights));
}

std::string steering_text(const Weights& weights) {
    const Weights base;
    Json json = Json::object();
    for (std::size_t i = 0; i < base.ops.size(); ++i)
        if (weights.ops[i].weight != base.ops[i].weight)
            json["ops"][std::string(base.ops[i].mnemonic)] = weights.ops[i].weight;
    for (std::size_t i = 0; i < base.modes.size(); ++i)
        if (weights.modes[i] != base.modes[i])
            json["modes"][std::string(guest::to_text(static_cast<guest::Mode>(i)))] = weights.modes[i];
    return json.empty() ? "" : json.dump();
}

Result<Weights> with_steering(Weights base, std::string_view text) {
    if (text.empty()) return base;
    const Json json = Json::parse(text, nullptr, false);
    const auto number = [](const Json& object, const std::string& key) -> std::optional<unsigned> {
        if (!object.is_object() || !object.contains(key) || !object[key].is_number_unsigned()) return std::nullopt;
        return static_cast<unsigned>(std::min<std::uint64_t>(object[key].get<std::uint64_t>(), 100'000));
    };
    if (!json.is_object()) return fail(Exit::Data, "the run's steering is not a JSON object");
    const Json none = Json::object();
    const Json &ops = json.contains("ops") ? json["ops"] : none, &modes = json.contains("modes") ? json["modes"] : none;
    for (OpWeight& op : base.ops)
        if (const auto weight = number(ops, std::string(op.mnemonic))) op.weight = *weight;
    for (std::size_t mode = 0; mode < base.modes.size(); ++mode)
        if (const auto weight = number(modes, std::string(guest::to_text(static_cast<guest::Mode>(mode)))))
            base.modes[mode] = *weight;
    // The version names the weights: other weights, another version.
    base.version = base.version * 1'000'000 + static_cast<int>(XXH3_64bits(text.data(), text.size()) % 1'000'000);
    return base;
}

}  // namespace faultline::harness
