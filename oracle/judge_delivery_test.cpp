// The judge on events whose delivery fails, and on what handlers find. Expected tapes are counted out by hand.
#include <algorithm>

#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

Gate absent(std::uint8_t vector) {
    Gate gate{.vector = {vector}};
    gate.dpl = 3;
    gate.present = false;
    return gate;
}

std::string rule_of(Program& p) {
    const Verdict v = p.verdict();
    return v.divergences.empty() ? "none" : v.divergences.front().rule;
}
bool violates(Program& p, const std::string& rule) {
    const Verdict v = p.verdict();
    if (v.divergences.empty()) return false;
    const auto& d = v.divergences.front();
    return d.rule == rule || std::find(d.other_rules.begin(), d.other_rules.end(), rule) != d.other_rules.end();
}

/// Intel SDM vol 3, "Error Code": index = vector, IDT = 1; EXT = 0 where a software interrupt was delivered.
TEST(JudgeDelivery, AnAbsentGateOfInt3IsNotPresentAtTheInstruction) {
    Program p({"int3", "nop"}, [](Environment& e) { e.surroundings.gates = {absent(3)}; });
    p.record(11, p.at(0), base | rf).error = 3 * 8 + 2;
    EXPECT_PASS(p);
    p.tape.records[0].error = 3 * 8 + 2 + 1;
    EXPECT_TRUE(violates(p, "XCP-022"));
}

/// The same of ICEBP: EXT = 1, for it is no software interrupt. Intel SDM vol 2, "INT n/INTO/INT3/INT1".
TEST(JudgeDelivery, AnAbsentGateOfIcebpIsNotPresentWithExt) {
    Program p({"icebp", "nop"}, [](Environment& e) { e.surroundings.gates = {absent(1)}; });
    p.record(11, p.at(0), base | rf).error = 1 * 8 + 2 + 1;
    EXPECT_PASS(p);
    p.tape.records[0].error = 1 * 8 + 2;
    EXPECT_TRUE(violates(p, "XCP-024"));
}

/// #NP is contributory, and so is #DE: two of them are a double fault. Intel SDM vol 3, "Double Fault Exception (#DF)".
TEST(JudgeDelivery, TwoContributoryExceptionsAreADoubleFault) {
    Program p({"div reg=rcx width=8", "nop"}, [](Environment& e) { e.surroundings.gates = {absent(0), absent(11)}; });
    p.record(8, 0, 0);
    p.tape.outcome = Outcome::DoubleFault;
    EXPECT_PASS(p);
}

/// A frame for a handler that stays at CPL 3 is pushed by accesses of CPL 3, and so may meet #AC. Intel SDM vol 3,
/// "Alignment Check Exception (#AC)".
TEST(JudgeDelivery, AMisalignedFrameAtCpl3MayBeAnAlignmentCheck) {
    constexpr std::uint64_t ac = 1 << 18, lost = 0x42101;  // not present, either
    Program p({"set-reg reg=rsp value=0x42101", "int vector=0x20"}, [](Environment& e) {
        Gate gate{.vector = {0x20}};
        gate.dpl = 3, gate.selector = 0x23;
        e.surroundings.gates = {gate};
        e.surroundings.alignment_check = true;
        e.rflags = base | ac;
    });
    p.subject_case.mode = Mode::Prot32, p.subject_case.cpl = 3;
    p.assemble();
    Record& r = p.record(17, p.at(1), base | ac | rf);
    r.rsp = p.final_gpr(Gpr::Rsp) = lost;
    r.handler_ss = 0x10, r.frame = 0x16000 - 6 * 4;
    p.tape.final.rflags |= ac;
    EXPECT_PASS(p);
    r.error = 1;  // EXT, but INT n is a software interrupt
    EXPECT_EQ(p.verdict().kind, VerdictKind::Divergence);
}

/// A misaligned store to a page that is not there may be #AC or #PF (XCP-147). Which one it was, the record says: what
/// is wrong with its delivery is not laid at the other's absence.
TEST(JudgeDelivery, OfTwoRightExceptionsTheOneSeenIsJudged) {
    constexpr std::uint64_t ac = 1 << 18;
    Program p({"store at=[0x42001] from=rax width=8", "nop"}, [](Environment& e) {
        e.surroundings.alignment_check = true;
        e.rflags = base | ac;
    });
    p.subject_case.cpl = 3;
    p.assemble();
    p.tape.final.rflags |= ac;
    Record& r = p.record(17, p.at(0), base | ac | rf);
    EXPECT_PASS(p);
    r.handler_flags &= ~ac;  // delivery through a gate keeps AC
    EXPECT_EQ(rule_of(p), "XCP-047");
}

/// An interrupt gate clears IF, a trap gate keeps it. Intel SDM vol 3, "Flag Usage By Exception- or
/// Interrupt-Handler Procedure".
TEST(JudgeDelivery, OnlyATrapGateKeepsIf) {
    for (const bool trap : {false, true}) {
        Program p({"int3", "nop"}, [&](Environment& e) {
            e.rflags = base | if_;
            Gate gate{.vector = {3}};
            gate.type = trap ? Gate::Type::Trap : Gate::Type::Interrupt;
            e.surroundings.gates = {gate};
        });
        Record& r = p.record(3, p.at(1), base | if_);
        r.handler_flags = trap ? base | if_ : base;
        p.tape.final.rflags = base | if_ | rf;
        EXPECT_PASS(p);
        r.handler_flags ^= if_;
        EXPECT_EQ(rule_of(p), trap ? "XCP-216" : "XCP-045");
    }
}

/// RSP is rounded down to 16 before the frame is pushed. Intel SDM vol 3, "64-Bit Mode Stack Frame".
TEST(JudgeDelivery, TheFrameOf64BitModeIsAligned) {
    Program p({"int3", "nop"}, [](Environment& e) { e.stack = {{}}; });  // RSP = 31EF8h
    Record& r = p.record(3, p.at(1), base);
    EXPECT_EQ(r.frame, 0x31EF0u - 40);
    EXPECT_PASS(p);
    r.frame = 0x31EF8 - 40;
    EXPECT_EQ(rule_of(p), "XCP-057");
}

}  // namespace
}  // namespace faultline::oracle
