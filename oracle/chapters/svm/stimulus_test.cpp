// Cases of world svm become the chapter's records.
#include "oracle/chapters/svm/stimulus.hpp"

#include <gtest/gtest.h>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "oracle/chapters/svm/outcomes.hpp"
#include "oracle/chapters/svm/situation.hpp"

namespace faultline::oracle::svm {
namespace {

guest::Image image_of(std::string_view text) {
    const auto parsed = guest::parse_case(text, "test");
    EXPECT_TRUE(parsed) << parsed.error().text();
    guest::Image image;
    EXPECT_TRUE(guest::assemble(*parsed, image));
    return image;
}
Pre<Judging> processor() {
    Pre<Judging> p{};
    p.long_mode = p.nrips = p.decode_assists = true;
    p.physical_limit = 1ull << 40, p.asid_count = 16;
    return p;
}
bool only_enters(std::string_view text) {
    const auto s = enter_of(Control(image_of(text)).vmcb());
    EXPECT_TRUE(valid<Judging>(processor(), s));
    Outcomes list;
    outcomes(processor(), s, list);
    return list.size() == 1 && !list[0].response.exits;
}
/// The exit of an op in its world, or nothing.
std::optional<Stimulus<Judging>> at(std::string_view intercepts, std::string_view op, const guest::Effect& effect = {},
                                    std::uint64_t rdx = 0x80, std::uint64_t rcx = 0x1D9) {
    const auto image = image_of("world = \"svm\"\nops = []\n[vmm]\nintercepts = [" + std::string(intercepts) + "]\n");
    const Control control(image);
    guest::State state;
    state.gpr[1] = rcx, state.gpr[2] = rdx;
    const auto s = instruction_of(guest::parse_op(op).value(), effect, state,
                                  {.rip = 0x20000, .next_rip = 0x20002, .dr6 = 0xFFFF0FF0, .dr7 = 0x400}, control,
                                  control.intercepts());
    EXPECT_TRUE(!s || valid<Judging>(processor(), *s)) << op;
    return s;
}
std::uint64_t exit_code(const std::optional<Stimulus<Judging>>& s) {
    if (!s) return 0;
    Outcomes list;
    outcomes(processor(), *s, list);
    EXPECT_EQ(list.size(), 1u);
    return list[0].response.code;
}
guest::Effect with(guest::Cause cause) {
    guest::Effect effect;
    effect.faults = true;
    effect.fault.cause = cause;
    return effect;
}

TEST(SvmStimulus, AnOrdinaryCaseIsEnteredAndFieldsOfTheVmcbCanPreventIt) {
    EXPECT_TRUE(only_enters("world = \"svm\"\nops = []\n"));
    EXPECT_FALSE(only_enters("world = \"svm\"\nops = []\n[vmm.vmcb]\nasid = \"0\"\n"));
    EXPECT_FALSE(only_enters("world = \"svm\"\nops = []\n[vmm.vmcb]\nintercepts-4 = \"0\"\n"));
}

TEST(SvmStimulus, OpsCheckTheirOwnIntercepts) {
    EXPECT_EQ(exit_code(at("\"cpuid\"", "cpuid")), 0x72u);
    EXPECT_EQ(exit_code(at("\"cpuid\"", "rdtsc")), 0u);
    EXPECT_EQ(exit_code(at("\"write-dr7\"", "mov-to-dr dr=7 from=rax")), 0x37u);
    EXPECT_EQ(exit_code(at("\"read-cr4\"", "mov-from-cr4 to=r9")), 0x04u);
    EXPECT_EQ(at("\"read-cr4\"", "mov-from-cr4 to=r9")->gpr, 9u);
    EXPECT_FALSE(at("\"cpuid\"", "nop"));
    EXPECT_FALSE(at("\"cpuid\"", "cpuid", with(guest::Cause::Fetch))) << "there is no instruction yet";
}

TEST(SvmStimulus, WhatAnOpMeetsComesInItsPlace) {
    EXPECT_EQ(exit_code(at("\"hlt\"", "hlt")), 0x78u);
    EXPECT_EQ(exit_code(at("\"hlt\"", "hlt", with(guest::Cause::Privilege))), 0u);
    EXPECT_EQ(exit_code(at("\"popf\"", "popf", with(guest::Cause::Access))), 0x71u);
    EXPECT_EQ(exit_code(at("\"io\"", "outs width=1", with(guest::Cause::Access))), 0x7Bu);
    EXPECT_EQ(exit_code(at("\"io\"", "outs width=1", with(guest::Cause::IoPermission))), 0u);
}

TEST(SvmStimulus, PortsAndMsrsAreLookedUpInTheCasesOwnMaps) {
    EXPECT_EQ(exit_code(at("\"io\"", "out-dx width=2")), 0x7Bu);
    EXPECT_EQ(exit_code(at("\"cpuid\"", "out-dx width=2")), 0u) << "the stage's intercept, but none of its ports";
    EXPECT_EQ(exit_code(at("\"io\"", "in-dx width=2", {}, 0x7F)), 0x7Bu) << "the second byte";
    EXPECT_EQ(exit_code(at("\"io\"", "in-dx width=1", {}, 0x7F)), 0u);
    EXPECT_EQ(exit_code(at("\"msr\"", "wrmsr")), 0x7Cu);
    EXPECT_EQ(exit_code(at("\"msr\"", "rdmsr", {}, 0, 0x1D8)), 0u);
    EXPECT_EQ(exit_code(at("\"msr\"", "rdmsr", {}, 0, 0x4000)), 0x7Cu) << "in no map";
}

TEST(SvmStimulus, EventsAndExitsKeepTheirFields) {
    guest::svm::Intercepts asked;
    asked.set(Intercept::Exception + 13);
    const Standing standing = {.rip = 0x20000, .next_rip = 0x20002, .rf = true, .dr6 = 0xFFFF0FF0, .dr7 = 0x400};
    auto s = exception_of({.vector = 13, .error = 0x6A}, {prior::exception, 11, 0x28}, standing, asked);
    EXPECT_TRUE(valid<Judging>(processor(), s));
    Outcomes list;
    outcomes(processor(), s, list);
    ASSERT_EQ(list.size(), 1u);
    guest::VmExit exit{.code = 0x4D, .info_1 = 0x6A, .int_info = 0x28'80000B0B, .rip = 0x20000, .rflags = 0x10002};
    exit.dr6 = 0xFFFF0FF0, exit.dr7 = 0x400;
    EXPECT_TRUE(matches<Judging>(list[0], response_of(exit, kind::exception)));
    exit.info_1 = 0;
    EXPECT_FALSE(matches<Judging>(list[0], response_of(exit, kind::exception)));
    s = exception_of({.vector = 14, .error = 0, .address = 0x42000}, {}, standing, asked);
    outcomes(processor(), s, list);
    EXPECT_FALSE(list[0].response.exits);
}

}  // namespace
}  // namespace faultline::oracle::svm
