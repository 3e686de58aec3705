#include "harness/shrink/shrink.hpp"

#include <algorithm>
#include <cstdlib>

#include "hypervisor/guest/op_fields.hpp"

namespace faultline::harness {

using namespace guest;

namespace {

// --- values, by type: simpler ones, simplest first; nothing for the simplest ---------------------------------------

std::vector<Gpr> steps(Gpr v) { return v == Gpr::Rax ? std::vector<Gpr>{} : std::vector{Gpr::Rax}; }

std::vector<std::uint64_t> steps(std::uint64_t v) {
    std::vector<std::uint64_t> out;
    const auto consider = [&](std::uint64_t candidate) {
        if (candidate < v && (out.empty() || candidate > out.back())) out.push_back(candidate);
    };
    consider(0);
    consider(v & 0xFFFF'FFFF);
    consider(v & 0xFFFF'FFF0);
    for (unsigned bit = 64; bit-- > 0;)
        if (v >> bit & 1) consider(v & ~(1ull << bit));
    return out;
}

/// Toward zero through the unsigned steps of the magnitude; negative ones first become positive.
std::vector<std::int32_t> steps(std::int32_t v) {
    std::vector<std::int32_t> out;
    if (v < 0) return {0, v == INT32_MIN ? INT32_MAX : -v};
    for (const std::uint64_t s : steps(static_cast<std::uint64_t>(v))) out.push_back(static_cast<std::int32_t>(s));
    return out;
}

template <class Small>
std::vector<Small> narrow(unsigned v) {
    std::vector<Small> out;
    for (const std::uint64_t s : steps(std::uint64_t{v})) out.push_back({static_cast<decltype(Small::number)>(s)});
    return out;
}
std::vector<DrNumber> steps(DrNumber v) { return narrow<DrNumber>(v.number); }
std::vector<Port> steps(Port v) { return narrow<Port>(v.number); }
std::vector<Word> steps(Word v) { return narrow<Word>(v.number); }
std::vector<Vector> steps(Vector v) { return narrow<Vector>(v.number); }
std::vector<BitIndex> steps(BitIndex v) { return narrow<BitIndex>(v.number); }

/// The widest is the plainest instruction (64-bit mode's own); prefixes go last.
std::vector<Width> steps(Width v) {
    std::vector<Width> out;
    for (const std::uint8_t bytes : std::initializer_list<std::uint8_t>{8, 4, 2})
        if (bytes > v.bytes) out.push_back({bytes});
    return out;
}

std::vector<OpRef> steps(OpRef v) {
    return v.index ? std::vector{OpRef{static_cast<std::uint16_t>(v.index - 1)}} : std::vector<OpRef>{};
}

std::vector<Value> steps(const Value& v) {
    std::vector<Value> out;
    for (const std::uint64_t literal : steps(v.literal)) out.push_back({v.op, literal});
    if (v.op) out.push_back({std::nullopt, v.literal});
    return out;
}

std::vector<Mem> steps(const Mem& v) {
    std::vector<Mem> out;
    for (const std::int32_t disp : steps(v.disp)) out.push_back({v.base, disp});
    if (v.base) out.push_back({std::nullopt, v.disp});
    return out;
}

std::vector<bool> steps(bool v) { return v ? std::vector{false} : std::vector<bool>{}; }

// --- cases -------------------------------------------------------------------------------------------------------

/// Takes ops [from, from + count) out; references into the gap go to what follows it.
Case without(const Case& kase, std::size_t from, std::size_t count) {
    Case out = kase;
    out.ops.erase(out.ops.begin() + static_cast<std::ptrdiff_t>(from),
                  out.ops.begin() + static_cast<std::ptrdiff_t>(from + count));
    const auto move = [&](OpRef& ref) {
        if (ref.index >= from + count)
            ref.index = static_cast<std::uint16_t>(ref.index - count);
        else if (ref.index > from)
            ref.index = static_cast<std::uint16_t>(from);
    };
    const auto move_value = [&](Value& value) {
        if (value.op) move(*value.op);
    };
    for (Op& op : out.ops)
        for_each_field(op, [&](std::string_view, auto& field) {
            if constexpr (std::is_same_v<decltype(field), OpRef&>) move(field);
            if constexpr (std::is_same_v<decltype(field), Value&>) move_value(field);
        });
    Environment& e = out.environment;
    for (Value& value : e.dr) move_value(value);
    move_value(e.dr6);
    move_value(e.dr7);
    for (Value& value : e.gpr) move_value(value);
    for (Value& value : e.stack) move_value(value);
    if (e.surroundings.task) move_value(e.surroundings.task->eip);
    return out;
}

class Candidates {
public:
    explicit Candidates(const Case& kase) : kase_(kase) {}

    std::vector<Case> all() && {
        fewer_ops();
        simpler_environment();
        simpler_fields();
        return std::move(out_);
    }

private:
    void fewer_ops() {
        const std::size_t n = kase_.ops.size();
        for (std::size_t count = n == 1 ? 1 : n / 2; count > 0; count /= 2)
            for (std::size_t from = 0; from + count <= n; from += count) out_.push_back(without(kase_, from, count));
    }

    /// The case with what `member` selects set to `value`, if that is a change.
    template <class Member, class T>
    void with(Member member, const T& value) {
        if (member(const_cast<Case&>(kase_)) == value) return;
        out_.push_back(kase_);
        member(out_.back()) = value;
    }
    /// Every simpler value of what `member` selects.
    template <class Member>
    void toward_zero(Member member) {
        for (const auto& value : steps(member(const_cast<Case&>(kase_)))) {
            out_.push_back(kase_);
            member(out_.back()) = value;
        }
    }

    void simpler_environment() {
        const Environment plain;
        with(
            [](Case & c) -> auto& { return c.environment.gpr; }, plain.gpr);
        with(
            [](Case & c) -> auto& { return c.environment.dr; }, plain.dr);
        with(
            [](Case & c) -> auto& { return c.environment.dr6; }, plain.dr6);
        with(
            [](Case & c) -> auto& { return c.environment.policy; }, plain.policy);
        with(
            [](Case & c) -> auto& { return c.environment.gates; }, plain.gates);
        with(
            [](Case & c) -> auto& { return c.environment.wake; }, plain.wake);
        with(
            [](Case & c) -> auto& { return c.environment.stack; }, plain.stack);
        with(
            [](Case & c) -> auto& { return c.environment.rflags; }, plain.rflags);
        simpler_surroundings();
        toward_zero([](Case & c) -> auto& { return c.environment.de; });
        toward_zero([](Case & c) -> auto& { return c.environment.btf; });
        const std::size_t quadwords = kase_.environment.stack.size();
        if (quadwords > 0) {
            out_.push_back(kase_);
            out_.back().environment.stack.pop_back();
        }
        with(
            [](Case & c) -> auto& { return c.environment.policy.db; }, plain.policy.db);
        with(
            [](Case & c) -> auto& { return c.environment.policy.dr6; }, plain.policy.dr6);
        with(
            [](Case & c) -> auto& { return c.environment.policy.fault_rf; }, plain.policy.fault_rf);
        // Bits toward their reset values: the difference shrinks, never the always-one bits.
        const auto bits_toward = [this](auto member, std::uint64_t reset) {
            for (const std::uint64_t s : steps(member(const_cast<Case&>(kase_)) ^ reset)) {
                out_.push_back(kase_);
                member(out_.back()) = s ^ reset;
            }
        };
        bits_toward(
            [](Case & c) -> auto& { return c.environment.dr7.literal; }, plain.dr7.literal);
        bits_toward(
            [](Case & c) -> auto& { return c.environment.dr6.literal; }, plain.dr6.literal);
        bits_toward(
            [](Case & c) -> auto& { return c.environment.rflags; }, plain.rflags);
        for (std::size_t i = 0; i < 4; ++i) toward_zero([i](Case & c) -> auto& { return c.environment.dr[i]; });
        for (std::size_t r = 0; r < gpr_count; ++r)
            toward_zero([r](Case & c) -> auto& { return c.environment.gpr[r]; });
        for (std::size_t q = 0; q < quadwords; ++q)
            toward_zero([q](Case & c) -> auto& { return c.environment.stack[q]; });
    }

    void simpler_surroundings() {
        const Surroundings plain;
        with(
            [](Case & c) -> auto& { return c.environment.surroundings; }, plain);
        for (std::size_t g = 0; g < kase_.environment.surroundings.gates.size(); ++g) {
            out_.push_back(kase_);
            auto& gates = out_.back().environment.surroundings.gates;
            gates.erase(gates.begin() + static_cast<std::ptrdiff_t>(g));
        }
        with(
            [](Case & c) -> auto& { return c.environment.surroundings.idt_limit; }, plain.idt_limit);
        with(
            [](Case & c) -> auto& { return c.environment.surroundings.tss_limit; }, plain.tss_limit);
        with(
            [](Case & c) -> auto& { return c.environment.surroundings.inner_stack; }, plain.inner_stack);
        with(
            [](Case & c) -> auto& { return c.environment.surroundings.inner_ss; }, plain.inner_ss);
        with(
            [](Case & c) -> auto& { return c.environment.surroundings.ist2; }, plain.ist2);
        with(
            [](Case & c) -> auto& { return c.environment.surroundings.task; }, plain.task);
        toward_zero([](Case & c) -> auto& { return c.environment.surroundings.alignment_check; });
    }

    void simpler_fields() {
        for (std::size_t i = 0; i < kase_.ops.size(); ++i) {
            std::size_t position = 0;
            for_each_field(kase_.ops[i], [&](std::string_view, const auto& field) {
                for (const auto& value : steps(field)) replace(i, position, value);
                ++position;
            });
        }
    }
    /// The case with field number `position` of op `i` set to `value`, where the op can have it.
    template <class T>
    void replace(std::size_t i, std::size_t position, const T& value) {
        out_.push_back(kase_);
        std::size_t at = 0;
        for_each_field(out_.back().ops[i], [&](std::string_view, auto& field) {
            if constexpr (std::is_same_v<decltype(field), T&>)
                if (at == position) field = value;
            ++at;
        });
        if (!valid(out_.back().ops[i], kase_.mode)) out_.pop_back();
    }

    const Case& kase_;
    std::vector<Case> out_;
};

}  // namespace

std::vector<Case> simpler(const Case& kase) { return Candidates(kase).all(); }

Case shrink(Case kase, const std::function<bool(const Case&)>& keeps, unsigned budget) {
    for (bool changed = true; changed && budget > 0;) {
        changed = false;
        for (Case& candidate : simpler(kase)) {
            if (budget == 0) break;
            --budget;
            if (!keeps(candidate)) continue;
            kase = std::move(candidate);
            changed = true;
            break;
        }
    }
    return kase;
}

}  // namespace faultline::harness
