#include "oracle/chapters/debug/stimulus.hpp"

namespace faultline::oracle::debug {
namespace {

using guest::Kind;

constexpr std::uint64_t stepping_controls = guest::debugctl::btf | guest::debugctl::lbr;

static_assert(
    kind::ordinary == static_cast<std::uint64_t>(Kind::Ordinary) &&
    kind::rep == static_cast<std::uint64_t>(Kind::Rep) && kind::mov_dr == static_cast<std::uint64_t>(Kind::MovDr) &&
    kind::load_ss == static_cast<std::uint64_t>(Kind::LoadSs) && kind::sti == static_cast<std::uint64_t>(Kind::Sti) &&
    kind::popf == static_cast<std::uint64_t>(Kind::Popf) && kind::iret == static_cast<std::uint64_t>(Kind::Iret) &&
    kind::sysret == static_cast<std::uint64_t>(Kind::Sysret) &&
    kind::syscall == static_cast<std::uint64_t>(Kind::Syscall) &&
    kind::int_n == static_cast<std::uint64_t>(Kind::IntN) && kind::int3 == static_cast<std::uint64_t>(Kind::Int3) &&
    kind::icebp == static_cast<std::uint64_t>(Kind::Icebp) && kind::hlt == static_cast<std::uint64_t>(Kind::Hlt) &&
    kind::task_switch == static_cast<std::uint64_t>(Kind::TaskSwitch));

}  // namespace

Pre<Judging> pre_of(const guest::State& state, const Carried& carried, const guest::Features& features) {
    Pre<Judging> pre;
    pre.dr0 = state.dr[0], pre.dr1 = state.dr[1], pre.dr2 = state.dr[2], pre.dr3 = state.dr[3];
    pre.dr6 = state.dr6, pre.dr7 = state.dr7;
    pre.debugctl = state.debugctl & stepping_controls;
    pre.cpl = state.cpl;
    pre.tf = state.rflags & guest::rflags::tf;
    pre.rf = state.rflags & guest::rflags::rf;
    pre.de = state.cr4 & guest::cr4_de;
    pre.shadow = carried.shadow;
    pre.held = carried.held;
    pre.amd = features.vendor == guest::Vendor::Amd;
    pre.intel = features.vendor == guest::Vendor::Intel;
    pre.rtm = features.rtm && !pre.amd;
    pre.bus_lock = features.bus_lock_detect;
    return pre;
}

Stimulus<Judging> stimulus_of(const guest::State& state, const Carried& carried, const guest::Effect& effect) {
    Stimulus<Judging> stim{};
    stim.kind = static_cast<std::uint64_t>(effect.kind);
    stim.rip = state.rip;
    stim.next = effect.next;
    stim.faults = effect.faults;
    if (!effect.faults) stim.vector = effect.vector;
    stim.last = effect.kind != Kind::Rep || effect.last_iteration;
    stim.continues = carried.continues;
    // Accesses before a fault are listed too; the rules look at none of a faulting op.
    const auto& access = effect.access;
    switch (effect.access_count) {
        default:
            stim.address4 = access[4].address, stim.length4 = access[4].length, stim.write4 = access[4].write;
            [[fallthrough]];
        case 4:
            stim.address3 = access[3].address, stim.length3 = access[3].length, stim.write3 = access[3].write;
            [[fallthrough]];
        case 3:
            stim.address2 = access[2].address, stim.length2 = access[2].length, stim.write2 = access[2].write;
            [[fallthrough]];
        case 2:
            stim.address1 = access[1].address, stim.length1 = access[1].length, stim.write1 = access[1].write;
            [[fallthrough]];
        case 1:
            stim.address0 = access[0].address, stim.length0 = access[0].length, stim.write0 = access[0].write;
            [[fallthrough]];
        case 0: break;
    }
    stim.io = effect.io;
    stim.io_port = effect.io_port;
    stim.io_width = effect.io_width;
    stim.dr_number = effect.dr_number;
    stim.dr_write = effect.dr_write;
    stim.dr_value = effect.dr_value;
    stim.branch = effect.branch;
    stim.tf_after = effect.rflags & guest::rflags::tf;
    stim.rf_after = effect.rflags & guest::rflags::rf;
    stim.debugctl_after = effect.debugctl & stepping_controls;
    stim.task_trap = effect.task_trap;
    return stim;
}

Stimulus<Judging> stimulus_at_boundary(const guest::State& state, std::uint64_t kind, std::uint8_t vector) {
    Stimulus<Judging> stim{};
    stim.kind = kind;
    stim.rip = stim.next = state.rip;
    stim.vector = vector;
    stim.last = true;
    stim.tf_after = state.rflags & guest::rflags::tf;
    stim.debugctl_after = state.debugctl & stepping_controls;
    return stim;
}

}  // namespace faultline::oracle::debug
