#include "hypervisor/guest/vmm.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::guest {
namespace {

using svm::Intercept;

Case case_of(std::string_view text) {
    auto parsed = parse_case(text, "test");
    EXPECT_TRUE(parsed) << parsed.error().text();
    return parsed ? *parsed : Case{};
}

svm::Vmcb vmcb_of(std::string_view text) {
    Image image;
    const auto done = assemble(case_of(text), image);
    EXPECT_TRUE(done) << done.error();
    std::vector<std::uint8_t> memory = image.stage->memory;
    guest::apply(image, memory);
    svm::Vmcb block;
    std::memcpy(&block, memory.data() + layout::vmcb, sizeof block);
    return block;
}

TEST(Vmm, EveryInterceptHasATextThatNamesItAgain) {
    unsigned named = 0;
    for (unsigned n = 0; n < 32 * svm::intercept_words; ++n) {
        const auto one = static_cast<Intercept>(n);
        Intercept again{};
        if (!parse(to_text(one), again)) continue;
        ++named;
        EXPECT_EQ(again, one) << to_text(one);
    }
    EXPECT_EQ(named, 16u * 4 + 32 + 32 + 16 + 16 + 7) << "the words of the VMCB that AMD has defined";
    Intercept untouched = Intercept::Cpuid;
    for (const char* wrong : {"", "#XX", "NMI", "exception-32", "write-cr16", "write-cr", "cpuid "})
        EXPECT_FALSE(parse(wrong, untouched)) << wrong;
    EXPECT_EQ(untouched, Intercept::Cpuid);
    EXPECT_EQ(exit_text(0x400), "npf");
    EXPECT_EQ(exit_text(~0ull), "invalid");
    EXPECT_EQ(exit_text(0x72), "cpuid");
}

TEST(Vmm, ACaseOfWorldSvmSurvivesItsText) {
    const Case first = case_of(R"(
world = "svm"
ops = ["cpuid"]
[vmm]
intercepts = ["#DB", "exception-9", "write-dr7", "cpuid"]
forced = ["#GP", "#UD"]
exceptions = "stop"
instructions = "stop"
[vmm.vmcb]
dr6 = "0x100000000"
rip = "op1"
)");
    EXPECT_TRUE(first.vmm.intercepts.has(Intercept::Exception + 1));
    EXPECT_TRUE(first.vmm.intercepts.has(Intercept::WriteDr0 + 7));
    EXPECT_EQ(first.vmm.forced, 1u << 13 | 1u << 6);
    EXPECT_EQ(case_of(to_toml(first)), first) << to_toml(first);
    EXPECT_EQ(hash(case_of(to_toml(first))), hash(first));
}

TEST(Vmm, WhatIsNoFormOfIsRefusedByName) {
    for (const auto& [text, message] :
         {std::pair{"intercepts = [\"cpui\"]", "vmm.intercepts[0]: expected an intercept"},
          {"forced = [\"cpuid\"]", "vmm.forced: expected an exception"},
          {"exceptions = \"skip\"", "vmm.exceptions: expected one of reflect, stop"},
          {"[vmm.vmcb]\nvmsa = \"1\"", "vmm.vmcb.vmsa: expected a key that exists"},
          {"[vmm.vmcb]\nrip = \"op7\"", "vmm.vmcb.rip: expected an op up to op0"}}) {
        const auto parsed = parse_case(std::string("world = \"svm\"\nops = []\n[vmm]\n") + text, "test");
        ASSERT_FALSE(parsed) << text;
        EXPECT_NE(parsed.error().message.find(message), std::string::npos) << parsed.error().message;
    }
    EXPECT_FALSE(parse_case("ops = []\n[vmm]\nexceptions = \"stop\"", "test")) << "world bare has no hypervisor";
}

TEST(Vmm, TheVmcbStartsTheProgramInItsEnvironment) {
    const svm::Vmcb block = vmcb_of(R"(
world = "svm"
cpl = 3
ops = ["nop", "nop"]
[environment]
dr6 = "0xffff0ff1"
dr7 = "0x401"
rflags = "0x102"
de = true
gates = "dpl3"
stack = ["1", "2"]
[environment.gpr]
rax = "op1"
)");
    EXPECT_EQ(block.rip, layout::code);
    EXPECT_EQ(block.rsp, layout::stack_top - 16);
    EXPECT_EQ(block.rax, layout::code + 1);
    EXPECT_EQ(block.rflags, 0x102u);
    EXPECT_EQ(block.cpl, 3);
    EXPECT_EQ(block.cs.selector, layout::user_cs);
    EXPECT_EQ(block.ss.selector, layout::user_ss);
    EXPECT_EQ(block.dr6, 0xFFFF0FF1u);
    EXPECT_EQ(block.dr7, 0x401u);
    EXPECT_EQ(block.cr4, stage_cr4 | cr4_de);
    EXPECT_EQ(block.efer, stage_efer | 0x1000) << "VMRUN wants EFER.SVME of the guest";
    EXPECT_EQ(block.idtr.base, layout::idt_dpl3);
    EXPECT_EQ(block.asid, 1u);
    EXPECT_EQ(block.intercept_4 & 1, 1u) << "and the intercept of VMRUN";
}

TEST(Vmm, InterceptsAndFieldsOfTheCaseAreLaidOverTheHypervisorsOwn) {
    const svm::Vmcb block = vmcb_of(R"(
world = "svm"
ops = ["nop"]
[vmm]
intercepts = ["#DB", "write-dr7", "cpuid", "icebp", "bus-lock"]
forced = ["#GP"]
[vmm.vmcb]
intercepts-4 = "0"
asid = "0"
cs-attributes = "0x629b"
)");
    EXPECT_EQ(block.intercept_exceptions, 2u) << "forced ones are the hypervisor's business";
    EXPECT_EQ(block.intercept_dr, 1u << 23);
    EXPECT_EQ(block.intercept_3, 1u << 18 | 1u << 27) << "CPUID, and I/O for the stage's own ports";
    EXPECT_EQ(block.intercept_4, 0u);
    EXPECT_EQ(block.intercept_5, 1u << 5);
    EXPECT_EQ(block.asid, 0u);
    EXPECT_EQ(block.cs.attributes, 0x629B);
}

TEST(Vmm, ProgramPortsExitOnlyWhereTheCaseInterceptsIo) {
    const auto mapped = [](const char* text, unsigned port) {
        Image image;
        EXPECT_TRUE(assemble(case_of(text), image));
        std::vector<std::uint8_t> memory = image.stage->memory;
        guest::apply(image, memory);
        return memory[layout::iopm + port / 8] >> port % 8 & 1;
    };
    const char *with = "world = \"svm\"\nops = []\n[vmm]\nintercepts = [\"io\"]",
               *without = "world = \"svm\"\nops = []";
    for (unsigned port = 0; port < 0x100; ++port) {
        const bool stage = port >= layout::exit_port && port <= layout::leave_port;
        EXPECT_EQ(mapped(with, port), stage || (port >= layout::first_port && port <= layout::last_port)) << port;
        EXPECT_EQ(mapped(without, port), stage) << port;
    }
}

TEST(Vmm, AnExitThatIsNotTheExpectedOneIsNamed) {
    const auto file = parse_case_file(R"(world = "svm"
ops = ["cpuid"]
[[expect-exit]]
code = "cpuid"
rip = "op0"
next-rip = "op1"
shadow = false
tf = false)",
                                      "test");
    ASSERT_TRUE(file) << file.error().text();
    Image image;
    ASSERT_TRUE(assemble(file->subject_case, image));
    Tape tape;
    tape.outcome = Outcome::Completed;
    tape.exit_count = 1;
    tape.exits[0] = {.code = 0x72, .next_rip = image.op_address(1), .rip = image.op_address(0)};
    const auto wrong = [&] { return mismatches(*file->expectation, image, tape); };
    EXPECT_TRUE(wrong().empty()) << wrong().front();
    tape.exits[0].code = 0x75;
    tape.exits[0].next_rip = 0;
    tape.exits[0].interrupt_shadow = 1;
    tape.exits[0].rflags = rflags::tf;
    EXPECT_EQ(wrong(), (std::vector<std::string>{
                           "exit 0: code: expected cpuid, found int-n", "exit 0: next-rip: expected 0x20002, found 0",
                           "exit 0: shadow: expected false, found true", "exit 0: tf: expected false, found true"}));
    tape.exit_count = 0;
    EXPECT_EQ(wrong(), std::vector<std::string>{"tape: exits: expected 1, found 0"});
    EXPECT_FALSE(parse_case_file("ops = []\n[[expect-exit]]\ncode = \"cpuidd\"", "test"));
    EXPECT_FALSE(parse_case_file("ops = []\n[[expect-exit]]\nrip = \"op0\"", "test"));
}

TEST(Vmm, WorldBareHasNoHypervisorAndSvmNoBranchSteppingYet) {
    Image image;
    Case bare = case_of("ops = []");
    bare.vmm.forced = 2;
    EXPECT_FALSE(assemble(bare, image));
    EXPECT_FALSE(assemble(case_of("world = \"svm\"\nops = []\n[environment]\nbtf = true"), image));
    EXPECT_FALSE(assemble(case_of("world = \"svm\"\nmode = \"prot32\"\nops = []"), image)) << "no stage yet";
}

}  // namespace
}  // namespace faultline::guest
