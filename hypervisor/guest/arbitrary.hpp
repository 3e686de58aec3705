// RapidCheck generators of ops and cases, for tests of laws that hold for all of them.
#pragma once

#include <rapidcheck.h>

#include <array>
#include <set>
#include <type_traits>
#include <utility>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/op_fields.hpp"

namespace faultline::guest::arbitrary {

/// Small cases too take from all of a range: some modes and ops refuse its first values.
template <class T>
rc::Gen<T> any_size(rc::Gen<T> generator) {
    return rc::gen::resize(rc::kNominalSize, std::move(generator));
}

inline void fill(Gpr& value) { value = static_cast<Gpr>(*any_size(rc::gen::inRange(0, 16))); }
inline void fill(DrNumber& value) { value.number = *rc::gen::inRange<std::uint8_t>(0, 16); }
inline void fill(Width& value) { value.bytes = *any_size(rc::gen::element<std::uint8_t>(1, 2, 4, 8)); }
inline void fill(Port& value) { value.number = *rc::gen::inRange<std::uint16_t>(0, 0x100); }
inline void fill(Word& value) {
    value.number = *rc::gen::inRange<std::uint16_t>(0, *rc::gen::element<std::uint16_t>(0x100, 0xFFFF));
}
inline void fill(Vector& value) { value.number = *rc::gen::arbitrary<std::uint8_t>(); }
inline void fill(BitIndex& value) { value.number = *rc::gen::inRange<std::uint8_t>(0, 32); }
inline void fill(OpRef& value) { value.index = *rc::gen::inRange<std::uint16_t>(0, 4); }
inline void fill(std::int32_t& value) { value = *rc::gen::arbitrary<std::int32_t>(); }
inline void fill(std::uint64_t& value) { value = *rc::gen::arbitrary<std::uint64_t>(); }
inline void fill(bool& value) { value = *rc::gen::arbitrary<bool>(); }
inline void fill(Value& value) {
    value = {};
    fill(value.literal);
    if (*rc::gen::arbitrary<bool>()) fill(value.op.emplace());
}
inline void fill(Mem& value) {
    value = {};
    fill(value.disp);
    if (*rc::gen::arbitrary<bool>()) fill(value.base.emplace());
}

/// A valid op of the kind at `index` of the variant, which exists in `mode`; references stay within op0…op3.
inline Op op_of_kind(std::size_t index, Mode mode = Mode::Long64) {
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
        using Make = Op (*)();
        constexpr std::array<Make, sizeof...(i)> make = {+[] { return Op(std::in_place_index<i>); }...};
        for (;;) {
            Op op = make[index]();
            for_each_field(op, [](std::string_view, auto& field) { fill(field); });
            if (valid(op, mode)) return op;
        }
    }
    (std::make_index_sequence<std::variant_size_v<Op>>());
}
inline Op op(Mode mode = Mode::Long64) {
    for (;;) {
        const auto kind = *rc::gen::inRange<std::size_t>(0, std::variant_size_v<Op>);
        if (op_exists(kind, mode)) return op_of_kind(kind, mode);
    }
}

inline Mode mode() { return *rc::gen::element(Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16); }

inline Gate gate(Mode mode, std::uint8_t vector) {
    const std::uint8_t highest_ist = long_mode(mode) ? 2 : 0;
    return {.vector = {vector},
            .type = *rc::gen::element(Gate::Type::Interrupt, Gate::Type::Trap, Gate::Type::Task, Gate::Type::Reserved),
            .dpl = *rc::gen::inRange<std::uint8_t>(0, 4),
            .present = *rc::gen::arbitrary<bool>(),
            .selector = *rc::gen::inRange<std::uint16_t>(0, 0x110),
            .ist = *rc::gen::inRange<std::uint8_t>(0, static_cast<std::uint8_t>(highest_ist + 1)),
            .target = *rc::gen::element(Gate::Target::Stub, Gate::Target::OutOfRange)};
}

/// What the mode has; stacks lie in the program's pages or the stage's own.
inline Surroundings surroundings(Mode mode) {
    Surroundings result;
    const auto sometimes = [] { return *rc::gen::inRange(0, 3) == 0; };
    const auto stack = [&](Value& value) {
        if (sometimes())
            value = {std::nullopt, *rc::gen::elementOf(std::vector<std::uint64_t>{layout::stack_top, layout::hole + 8,
                                                                                  layout::ist2_top, ~0ull << 47})};
    };
    if (sometimes()) result.idt_limit = *rc::gen::arbitrary<std::uint16_t>();
    if (mode == Mode::Real16) return result;
    for (const auto vector : *rc::gen::container<std::set<std::uint8_t>>(rc::gen::arbitrary<std::uint8_t>()))
        if (result.gates.size() < max_gates) result.gates.push_back(gate(mode, vector));
    if (sometimes()) result.tss_limit = *rc::gen::arbitrary<std::uint16_t>();
    stack(result.inner_stack);
    if (long_mode(mode)) stack(result.ist2);
    result.alignment_check = *rc::gen::arbitrary<bool>();
    if (mode != Mode::Prot32) return result;
    if (sometimes()) result.inner_ss = *rc::gen::inRange<std::uint16_t>(0, 0x110);
    if (sometimes())
        result.task = Task{{OpRef{*rc::gen::inRange<std::uint16_t>(0, 4)}, 0},
                           *rc::gen::arbitrary<std::uint64_t>(),
                           *rc::gen::arbitrary<bool>(),
                           *rc::gen::arbitrary<bool>()};
    return result;
}

/// A case of at least four ops, so that every reference is to one of them or the end.
inline Case subject_case(Mode mode = Mode::Long64) {
    Case result;
    result.mode = mode;
    result.cpl = mode == Mode::Real16 ? 0 : *rc::gen::element<std::uint8_t>(0, 3);
    const auto count = *rc::gen::inRange(4, 12);
    for (int i = 0; i < count; ++i) result.ops.push_back(op(mode));
    auto& environment = result.environment;
    const auto sometimes = [](auto& field) {
        if (*rc::gen::inRange(0, 3) == 0) fill(field);
    };
    for (auto& value : environment.dr) sometimes(value);
    sometimes(environment.dr6);
    sometimes(environment.dr7);
    sometimes(environment.rflags);
    sometimes(environment.de);
    sometimes(environment.btf);
    environment.gates = *rc::gen::element(Gates::Dpl0, Gates::Dpl3);
    environment.wake = *rc::gen::element(Wake::None, Wake::Interrupt, Wake::Nmi);
    for (auto& value : environment.gpr) sometimes(value);
    environment.gpr[static_cast<std::size_t>(Gpr::Rsp)] = {};
    environment.stack.resize(*rc::gen::inRange<std::size_t>(0, 5));
    for (auto& value : environment.stack) fill(value);
    environment.surroundings = surroundings(mode);
    environment.policy = {*rc::gen::element(Policy::Db::Resume, Policy::Db::ResumeRf, Policy::Db::Skip),
                          *rc::gen::element(Policy::Dr6::Clear, Policy::Dr6::Keep),
                          *rc::gen::element(Policy::FaultRf::Keep, Policy::FaultRf::Clear)};
    return result;
}

}  // namespace faultline::guest::arbitrary
