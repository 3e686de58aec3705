// World svm: exits between the records, what the hypervisor answers, and what VMRUN refuses. Expected tapes are literal
// values from the AMD manual.
#include "oracle/judge_fixture.hpp"

namespace faultline::oracle {
namespace {

using guest::svm::Intercept;

/// A program under a hypervisor, on a processor with nRIP and decode assists.
struct Guest : Program {
    explicit Guest(std::vector<std::string> ops, const std::function<void(Vmm&)>& set,
                   const std::function<void(Environment&)>& environment = {})
        : Program(std::move(ops), environment) {
        subject_case.world = World::Svm;
        set(subject_case.vmm);
        assemble();
        tape.features.vendor = Vendor::Amd;
        tape.features.svm = {
            .asids = 16, .edx = 1u << 3 | 1u << 7, .physical_bits = 48, .long_mode = true, .shadow_stacks = false};
        tape.exit_count = 0;
    }
    /// At op `op`, of what had RF clear and no error: the rest is the VMCB's and the program's beginning.
    VmExit& exit(std::uint64_t code, std::size_t op) {
        VmExit& e = tape.exits[tape.exit_count++];
        e = {};
        e.code = code, e.rip = at(op), e.rflags = 2, e.rsp = layout::stack_top, e.cs = 8;
        e.dr6 = 0xFFFF0FF0, e.dr7 = 0x400, e.records = tape.count;
        return e;
    }
    /// … of an instruction, which is `bytes` long.
    VmExit& at_instruction(std::uint64_t code, std::size_t op, unsigned bytes) {
        VmExit& e = exit(code, op);
        e.next_rip = at(op) + bytes;
        return e;
    }
};
constexpr std::uint64_t db = 0x41, bp = 0x43, df = 0x48, np = 0x4B, gp = 0x4D, pf_exit = 0x4E, cpuid = 0x72,
                        write_dr7 = 0x37, invalid = ~0ull;

std::function<void(Vmm&)> intercepting(std::vector<Intercept> all) {
    return [all = std::move(all)](Vmm& vmm) {
        for (const Intercept one : all) vmm.intercepts.set(one);
    };
}
constexpr Intercept exception(unsigned vector) { return Intercept::Exception + vector; }

TEST(JudgeSvm, AnInterceptedInstructionExitsAndDoesNothing) {
    Guest p({"cpuid", "nop"}, intercepting({Intercept::Cpuid}));
    p.at_instruction(cpuid, 0, 2);
    EXPECT_PASS(p);
    p.tape.exits[0].next_rip = p.at(0);
    EXPECT_SIGNATURE(p, "SVM-137/cpuid/svm-long64-cpl0/exit.next-rip");
    p.tape.exits[0].next_rip = p.at(1);
    p.tape.exits[0].rsp -= 8;
    EXPECT_SIGNATURE(p, "SVM-200/cpuid/svm-long64-cpl0/exit.rsp");
    p.tape.exits[0].rsp += 8;
    p.final_gpr(Gpr::Rax) = 1;
    EXPECT_NE(p.signature(), "pass") << "the hypervisor skips it";
}

TEST(JudgeSvm, AnExitThatDoesNotComeAndOneThatNobodyAskedFor) {
    Guest missing({"nop", "cpuid"}, intercepting({Intercept::Cpuid}));
    EXPECT_SIGNATURE(missing, "SVM-101/cpuid/svm-long64-cpl0/missing-exit");
    Guest extra({"nop", "pushf"}, intercepting({Intercept::Cpuid}));
    extra.at_instruction(0x70, 1, 1);
    extra.final_gpr(Gpr::Rsp) = layout::stack_top;
    EXPECT_SIGNATURE(extra, "SVM-100/pushf/svm-long64-cpl0/extra-exit");
}

TEST(JudgeSvm, AnExceptionExitsBeforeItsHandlerRuns) {
    Guest p({"ud2", "nop"}, intercepting({exception(6)}));
    p.exit(0x46, 0);
    p.record(6, p.at(0), rf | base);
    p.exit(0x46, 2).records = 1;  // the end's own
    EXPECT_PASS(p);
    // In the frame RF is set, and it may be so in the VMCB.
    p.tape.exits[0].rflags |= rf;
    EXPECT_PASS(p);
    p.tape.exits[0].records = 1;
    EXPECT_SIGNATURE(p, "EXC-112/ud/svm-long64-cpl0/missing-exit");
}

TEST(JudgeSvm, ForcedVectorsAreInterceptedAndTwoOfThemRefused) {
    Guest p({"ud2"}, [](Vmm& vmm) { vmm.forced = 1u << 6 | 1u << 2 | 1u << 9; });
    p.exit(0x46, 0);
    p.record(6, p.at(0), rf | base);
    p.exit(0x46, 1).rflags |= rf;  // as the handler's frame had it
    EXPECT_PASS(p);
}

TEST(JudgeSvm, APageFaultThatIsInterceptedHasNotWrittenCr2) {
    Guest p({"load to=rax at=[0x42000] width=4"}, intercepting({exception(14)}));
    p.exit(pf_exit, 0).info_2 = 0x42000;
    Record& r = p.record(14, p.at(0), rf | base);
    r.cr2 = 0x42000, r.frame = ((r.rsp & ~15ull) - 48);
    EXPECT_PASS(p);
    p.tape.exits[0].cr2 = 0x42000;
    EXPECT_SIGNATURE(p, "EXC-009/pf/svm-long64-cpl0/exit.cr2");
    p.tape.exits[0].cr2 = 0;
    p.tape.records[0].cr2 = 0x42004;
    EXPECT_SIGNATURE(p, "EXC-019/fault-pf/svm-long64-cpl0/frame.cr2") << "given back by the hypervisor";
}

TEST(JudgeSvm, Int3ExitsAtItselfWithTheNextInstructionAsNrip) {
    Guest p({"int3", "nop"}, intercepting({exception(3)}));
    p.exit(bp, 0).next_rip = p.at(1);
    p.record(3, p.at(1), base);
    EXPECT_PASS(p);
    p.tape.exits[0].rip = p.at(1);
    EXPECT_SIGNATURE(p, "EXC-015/bp/svm-long64-cpl0/exit.rip");
    p.tape.exits[0].rip = p.at(0);
    // K-14: pushed as if it were a fault.
    p.tape.records[0].rip = p.at(0);
    EXPECT_NE(p.signature().find("EXC-019"), std::string::npos) << p.signature();
}

TEST(JudgeSvm, IntNMeetsNoExceptionIntercept) {
    Guest p({"int vector=3", "nop"}, intercepting({exception(3)}));
    p.record(3, p.at(1), base);
    EXPECT_PASS(p);
}

TEST(JudgeSvm, GeneralDetectComesBeforeTheDrIntercept) {
    const auto under_gd = [](Environment& e) { e.dr7.literal |= dr::dr7_gd; };
    Guest p({"mov-to-dr dr=7 from=rax", "nop"}, intercepting({Intercept::WriteDr0 + 7, exception(1)}), under_gd);
    VmExit& detected = p.exit(db, 0);
    detected.dr6 = 0xFFFF2FF0;  // BD; and DR7 as the handler would find it
    p.db(p.at(0), base, 0xFFFF2FF0);
    // Cleared DR6, and the policy runs the MOV again.
    p.at_instruction(write_dr7, 0, 3).rflags |= rf;
    p.tape.final.dr7 = 0x400;
    EXPECT_PASS(p);
    p.tape.exits[0].dr7 = 0x2400;
    EXPECT_SIGNATURE(p, "EXC-129/db/svm-long64-cpl0/exit.dr7");
}

TEST(JudgeSvm, AnExceptionInADeliveryExitsByItselfAndTheHypervisorCombinesThem) {
    const auto absent_gate = [](Environment& e) {
        Gate gate;
        gate.vector.number = 0;
        gate.present = false;
        gate.selector = 8;
        e.surroundings.gates.push_back(gate);
    };
    Guest p({"div reg=rcx width=4"}, intercepting({exception(11), exception(8)}), absent_gate);
    VmExit& second = p.exit(np, 0);
    second.info_1 = 3, second.int_info = 0x80000300;
    p.record(8, p.at(0), base);
    p.tape.outcome = Outcome::DoubleFault;
    EXPECT_PASS(p);
    p.tape.exits[0].int_info = 0;
    EXPECT_SIGNATURE(p, "EXC-134/np-in-delivery/svm-long64-cpl0/exit.int-info");
    Guest neither({"div reg=rcx width=4"}, intercepting({exception(8)}), absent_gate);
    neither.exit(df, 0).int_info = 0x80000300;
    neither.record(8, neither.at(0), base);
    neither.tape.outcome = Outcome::DoubleFault;
    EXPECT_PASS(neither);
}

TEST(JudgeSvm, PoliciesStopTheRun) {
    Guest p({"cpuid", "nop"}, [](Vmm& vmm) {
        vmm.intercepts.set(Intercept::Cpuid);
        vmm.instructions = Vmm::OnInstruction::Stop;
    });
    p.at_instruction(cpuid, 0, 2);
    p.tape.outcome = Outcome::Stopped;
    EXPECT_PASS(p);
    p.tape.outcome = Outcome::Completed;
    EXPECT_NE(p.signature(), "pass");
}

TEST(JudgeSvm, VmrunRefusesAndTheGuestDoesNothing) {
    const auto asid = [](std::uint64_t value) {
        return [value](Vmm& vmm) {
            const auto fields = vmcb_fields();
            for (std::uint8_t i = 0; i < fields.size(); ++i)
                if (fields[i].name == "asid") vmm.vmcb.push_back({i, {std::nullopt, value}});
        };
    };
    Guest p({"nop"}, asid(0));
    p.exit(invalid, 0);
    p.tape.outcome = Outcome::Stopped;
    EXPECT_PASS(p);
    p.tape.exit_count = 0;
    p.tape.outcome = Outcome::Completed;
    EXPECT_SIGNATURE(p, "VMR-010/vmrun/svm-long64-cpl0/missing-exit");
    Guest legal({"nop"}, asid(2));
    EXPECT_PASS(legal);
    legal.exit(invalid, 0);
    legal.tape.outcome = Outcome::Stopped;
    EXPECT_SIGNATURE(legal, "VMR-111/vmrun/svm-long64-cpl0/extra-exit");
}

TEST(JudgeSvm, TheRulesThatSpokeAreCounted) {
    Guest p({"cpuid", "nop"}, intercepting({Intercept::Cpuid}));
    p.at_instruction(cpuid, 0, 2);
    for (const char* rule : {"SVM-001", "SVM-009", "SVM-137", "VMR-111"}) EXPECT_EQ(p.use(rule).applied, 1u) << rule;
    EXPECT_EQ(p.use("SVM-137").decisive, 1u);
}

TEST(JudgeSvm, AMachineThatDoesNotSayWhatItsSvmIsIsNotJudged) {
    Guest p({"nop"}, [](Vmm&) {});
    p.tape.features.svm = {};
    EXPECT_EQ(p.signature(), "not modelled: the tape does not say what its machine's SVM is");
}

}  // namespace
}  // namespace faultline::oracle
