#include "oracle/exits.hpp"

namespace faultline::oracle {

using namespace guest;

namespace {

/// RIP, RSP and RAX have no more bits than the guest's mode.
std::uint64_t width(const State& s) { return s.mode == Mode::Long64 ? ~0ull : 0xFFFF'FFFFull; }
std::uint64_t saved_cs(const State& s) { return s.cs | std::uint64_t{s.cpl} << 16; }

}  // namespace

unsigned misfits(const VmExit& exit, const State& s, std::uint32_t records) {
    unsigned wrong = 0;
    if ((exit.rflags ^ s.rflags) & s.rflags_known & ~rflags::rf) wrong |= saved::rflags;
    if (s.known(Gpr::Rsp) && (exit.rsp ^ s.reg(Gpr::Rsp)) & width(s)) wrong |= saved::rsp;
    if (s.known(Gpr::Rax) && (exit.rax ^ s.reg(Gpr::Rax)) & width(s)) wrong |= saved::rax;
    if (exit.cs != saved_cs(s)) wrong |= saved::cs;
    // AMD APM vol 2, "Event Injection": #VMEXIT leaves V clear.
    if (exit.event_injection & guest::svm::event_info::valid) wrong |= saved::injection;
    if (exit.records != records) wrong |= saved::order;
    return wrong;
}

VmExit exit_of(const oracle::svm::Outcome& outcome, const State& s, std::uint32_t records) {
    const auto& r = outcome.response;
    return {.code = r.code,
            .info_1 = r.info1,
            .info_2 = r.info2,
            .int_info = r.int_info,
            .next_rip = r.next_rip,
            .rip = r.rip,
            .rflags = (s.rflags & ~rflags::rf) | (r.rf ? rflags::rf : 0),
            .rsp = s.reg(Gpr::Rsp),
            .rax = s.reg(Gpr::Rax),
            .cs = saved_cs(s),
            .dr6 = r.dr6,
            .dr7 = r.dr7,
            .cr2 = r.cr2,
            .interrupt_shadow = r.shadow,
            .event_injection = 0,
            .records = records};
}

}  // namespace faultline::oracle
