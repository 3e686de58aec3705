#include "harness/witness/freedom.hpp"

#include <algorithm>

namespace faultline::harness::witness {
namespace {

using oracle::proof::Bits;
using oracle::proof::Bool;

Bits bits(z3::context& context, const char* name) { return Bits(context.bv_const(name, 64)); }
Bool truth(z3::context& context, const char* name) { return Bool(context.bool_const(name)); }

/// An op's address as a reference to it, so that the case says what it means.
guest::Value value_of(std::uint64_t literal, const guest::Case& kase, const guest::Image& image) {
    for (std::uint16_t i = 0; i <= kase.ops.size(); ++i)
        if (image.op_address(i) == literal) return {guest::OpRef{i}, 0};
    return {std::nullopt, literal};
}
void set_flag(std::uint64_t& flags, std::uint64_t mask, bool from, bool to) {
    if (from != to) flags = to ? flags | mask : flags & ~mask;
}
bool steers_flags(std::uint64_t kind) {
    namespace k = oracle::debug::kind;
    return kind == k::popf || kind == k::iret || kind == k::sysret || kind == k::syscall || kind == k::task_switch;
}

}  // namespace

using Debug = Freedom<oracle::debug::Formal>;

template <>
Bool Debug::release(const guest::Case& kase, const Moment& m, z3::context& context, Pre& pre, Stimulus& stim) {
    namespace k = oracle::debug::kind;
    pre.dr0 = bits(context, "dr0"), pre.dr1 = bits(context, "dr1");
    pre.dr2 = bits(context, "dr2"), pre.dr3 = bits(context, "dr3");
    pre.dr6 = bits(context, "dr6"), pre.dr7 = bits(context, "dr7");
    pre.de = truth(context, "de");
    // Only before the first op are these the environment's for certain.
    if (m.op == 0 && m.stim.kind != k::boundary && m.stim.kind != k::wake && !m.stim.continues) {
        pre.tf = truth(context, "tf"), pre.rf = truth(context, "rf");
        pre.debugctl = bits(context, "debugctl") & guest::debugctl::btf;
        if (!steers_flags(m.stim.kind) && m.stim.tf_after == m.pre.tf) stim.tf_after = pre.tf;
        if (m.stim.debugctl_after == m.pre.debugctl) stim.debugctl_after = pre.debugctl;
    }
    const bool wide = kase.mode == guest::Mode::Long64;
    if (m.stim.kind == k::mov_dr && m.stim.dr_write) stim.dr_value = bits(context, "dr_value");
    Bool possible = wide || (stim.dr_value & 0xFFFFFFFF'00000000) == 0;
    const auto& s = m.stim;
    for (const Bits* address : {&pre.dr0, &pre.dr1, &pre.dr2, &pre.dr3}) {
        Bool near = *address == 0;
        const auto allow = [&](std::uint64_t at) { near = near || (*address & ~Bits(15)) == (at & ~15ull); };
        allow(s.rip), allow(s.next);
        if (s.io) allow(s.io_port);
        if (s.length0) allow(s.address0), allow(s.address0 + s.length0 - 1);
        if (s.length1) allow(s.address1), allow(s.address1 + s.length1 - 1);
        if (s.length2) allow(s.address2);
        if (s.length3) allow(s.address3);
        if (s.length4) allow(s.address4);
        possible = possible && near;
    }
    return possible;
}

template <>
guest::Case Debug::realise(guest::Case kase, const guest::Image& image, const Moment& from, const Moment& to) {
    auto& e = kase.environment;
    const auto copy = [&](guest::Value& value, std::uint64_t before, std::uint64_t after) {
        if (before != after) value = value_of(after, kase, image);
    };
    copy(e.dr[0], from.pre.dr0, to.pre.dr0), copy(e.dr[1], from.pre.dr1, to.pre.dr1);
    copy(e.dr[2], from.pre.dr2, to.pre.dr2), copy(e.dr[3], from.pre.dr3, to.pre.dr3);
    copy(e.dr6, from.pre.dr6, to.pre.dr6), copy(e.dr7, from.pre.dr7, to.pre.dr7);
    set_flag(e.rflags, guest::rflags::tf, from.pre.tf, to.pre.tf);
    set_flag(e.rflags, guest::rflags::rf, from.pre.rf, to.pre.rf);
    if (from.pre.de != to.pre.de) e.de = to.pre.de;
    if (from.pre.debugctl != to.pre.debugctl) e.btf = to.pre.debugctl != 0;
    if (from.stim.dr_value != to.stim.dr_value && from.op < kase.ops.size())
        if (const auto* op = std::get_if<guest::ops::MovToDr>(&kase.ops[from.op]); op && op->from != guest::Gpr::Rsp)
            e.gpr[static_cast<std::size_t>(op->from)] = {std::nullopt, to.stim.dr_value};
    return kase;
}

using Exceptions = Freedom<oracle::exceptions::Formal>;

template <>
Bool Exceptions::release(const guest::Case& kase, const Moment& m, z3::context& context, Pre& pre, Stimulus& stim) {
    namespace k = oracle::exceptions::kind;
    if (m.op == 0) {
        pre.tf = truth(context, "tf"), pre.if_ = truth(context, "if");
        pre.nt = truth(context, "nt"), pre.ac = truth(context, "ac");
    }
    if (m.stim.kind != k::deliver || kase.mode == guest::Mode::Real16) return true;
    stim.gate_type = bits(context, "gate_type");
    stim.gate_dpl = bits(context, "gate_dpl");
    stim.gate_present = truth(context, "gate_present");
    stim.target_out_of_range = truth(context, "target_out_of_range");
    return stim.gate_type != oracle::exceptions::gate::task && ule(stim.gate_type, Bits(3)) &&
           (stim.gate_dpl == 0 || stim.gate_dpl == 3);
}

template <>
guest::Case Exceptions::realise(guest::Case kase, const guest::Image&, const Moment& from, const Moment& to) {
    auto& e = kase.environment;
    set_flag(e.rflags, guest::rflags::tf, from.pre.tf, to.pre.tf);
    set_flag(e.rflags, guest::rflags::if_, from.pre.if_, to.pre.if_);
    set_flag(e.rflags, guest::rflags::nt, from.pre.nt, to.pre.nt);
    set_flag(e.rflags, guest::rflags::ac, from.pre.ac, to.pre.ac);
    const auto& a = from.stim;
    const auto& b = to.stim;
    if (a.gate_type == b.gate_type && a.gate_dpl == b.gate_dpl && a.gate_present == b.gate_present &&
        a.target_out_of_range == b.target_out_of_range)
        return kase;
    const auto vector = static_cast<std::uint8_t>(b.vector);
    guest::Gate gate = guest::gate_of(e.surroundings, e.gates, vector);
    gate.type = static_cast<guest::Gate::Type>(b.gate_type);
    gate.dpl = static_cast<std::uint8_t>(b.gate_dpl);
    gate.present = b.gate_present;
    gate.target = b.target_out_of_range ? guest::Gate::Target::OutOfRange : guest::Gate::Target::Stub;
    auto& gates = e.surroundings.gates;
    const auto own = std::ranges::find_if(gates, [&](const guest::Gate& g) { return g.vector.number == vector; });
    if (own != gates.end())
        *own = gate;
    else if (gates.size() < guest::max_gates)
        gates.push_back(gate);
    return kase;
}

}  // namespace faultline::harness::witness
