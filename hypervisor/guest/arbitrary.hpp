// RapidCheck generators of ops and cases, for tests of laws that hold for all of them.
#pragma once

#include <rapidcheck.h>

#include <array>
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

/// A case of at least four ops, so that every reference is to one of them or the end.
inline Case subject_case() {
    Case result;
    result.cpl = *rc::gen::element<std::uint8_t>(0, 3);
    const auto count = *rc::gen::inRange(4, 12);
    for (int i = 0; i < count; ++i) result.ops.push_back(op());
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
    environment.policy = {*rc::gen::element(Policy::Db::Resume, Policy::Db::ResumeRf, Policy::Db::Skip),
                          *rc::gen::element(Policy::Dr6::Clear, Policy::Dr6::Keep),
                          *rc::gen::element(Policy::FaultRf::Keep, Policy::FaultRf::Clear)};
    return result;
}

}  // namespace faultline::guest::arbitrary
