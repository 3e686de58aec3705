#include "hypervisor/guest/case_text.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "hypervisor/guest/arbitrary.hpp"

namespace faultline::guest {
namespace {

TEST(CaseText, DefaultsAreLeftOut) {
    Case subject_case;
    subject_case.ops = {ops::Nop{}};
    EXPECT_EQ(to_toml(subject_case), "ops = [\n  \"nop\",\n]\n");
}

TEST(CaseText, IsWrittenInCanonicalOrder) {
    Case subject_case;
    subject_case.cpl = 3;
    subject_case.ops = {ops::Store{{Gpr::Rbx, -8}, Gpr::Rax, {4}}, ops::Icebp{}};
    auto& environment = subject_case.environment;
    environment.dr[1] = {OpRef{1}, 1};
    environment.dr7 = {std::nullopt, 0x408};
    environment.rflags = 0x102;
    environment.de = true;
    environment.gates = Gates::Dpl0;
    environment.stack = {{std::nullopt, ~0ull}, {OpRef{2}, 0}};
    environment.gpr[static_cast<std::size_t>(Gpr::R8)] = {std::nullopt, 9};
    environment.policy.db = Policy::Db::Skip;
    environment.policy.fault_rf = Policy::FaultRf::Clear;
    EXPECT_EQ(to_toml(subject_case), R"(cpl = 3
ops = [
  "store at=[rbx-8] from=rax width=4",
  "icebp",
]

[environment]
dr = ["0", "op1+1", "0", "0"]
dr7 = "0x408"
rflags = "0x102"
de = true
gates = "dpl0"
stack = ["0xffffffffffffffff", "op2"]

[environment.gpr]
r8 = "9"

[environment.policy]
db = "skip"
fault-rf = "clear"
)");
}

TEST(CaseText, SurroundingsAreTheirOwnTables) {
    Case subject_case{.mode = Mode::Prot32, .ops = {ops::Nop{}}};
    auto& surroundings = subject_case.environment.surroundings;
    surroundings.gates = {{.vector = {13}, .type = Gate::Type::Trap, .dpl = 3, .selector = layout::absent_code},
                          {.vector = {14}, .present = false, .target = Gate::Target::OutOfRange}};
    surroundings.idt_limit = 0x67;
    surroundings.inner_stack = {OpRef{1}, 0x100};
    surroundings.inner_ss = 0;
    surroundings.alignment_check = true;
    surroundings.task = Task{.eip = {OpRef{0}, 0}, .trap = true};
    EXPECT_EQ(to_toml(subject_case), R"(mode = "prot32"
ops = [
  "nop",
]

[environment.surroundings]
idt-limit = "0x67"
inner-stack = "op1+0x100"
inner-ss = "0"
alignment-check = true

[[environment.surroundings.gates]]
vector = "0xd"
type = "trap"
dpl = "3"
selector = "0x48"

[[environment.surroundings.gates]]
vector = "0xe"
present = false
target = "out-of-range"

[environment.surroundings.task]
eip = "op0"
trap = true
)");
}

RC_GTEST_PROP(CaseText, ReadsBackAsTheSameCase, ()) {
    const auto subject_case = arbitrary::subject_case(arbitrary::mode());
    const auto again = parse_case(to_toml(subject_case), "case.toml");
    if (!again) RC_FAIL(again.error().text() + "\n" + to_toml(subject_case));
    RC_ASSERT(*again == subject_case);
}

TEST(CaseText, EveryWorldAndModeReadsBack) {
    for (const auto world : {World::Bare, World::Svm, World::Vmx, World::SevEs, World::Snp})
        for (const auto mode : {Mode::Long64, Mode::Compat32, Mode::Prot32, Mode::Real16}) {
            const Case subject_case{.world = world, .mode = mode};
            const auto again = parse_case(to_toml(subject_case), "case.toml");
            ASSERT_TRUE(again) << again.error().text();
            EXPECT_EQ(*again, subject_case);
        }
}

TEST(CaseText, NumbersMayStandBare) {
    const auto parsed = parse_case("ops = []\n[environment]\ndr = [0x40000, 1]\nrflags = 0x102\n", "case.toml");
    ASSERT_TRUE(parsed) << parsed.error().text();
    EXPECT_EQ(parsed->environment.dr[0].literal, 0x40000u);
    EXPECT_EQ(parsed->environment.dr[1].literal, 1u);
    EXPECT_EQ(parsed->environment.rflags, 0x102u);
}

TEST(CaseText, HashIsTheTextsAndStable) {
    // XXH3 with seed 0 over "ops = [\n  \"nop\",\n]\n". Stored cases are found by it: it must never change.
    EXPECT_EQ(hash_text(hash(Case{.ops = {ops::Nop{}}})), "68c0a42c4dcf3c52");
    EXPECT_NE(hash(Case{.ops = {ops::Nop{}}}), hash(Case{.cpl = 3, .ops = {ops::Nop{}}}));
    EXPECT_EQ(hash_text(0x1A), "000000000000001a");
}

TEST(CaseText, JsonHasTheKeysOfTheToml) {
    Case subject_case{.cpl = 3, .ops = {ops::Int{{0x20}}}};
    subject_case.environment.dr7 = {std::nullopt, 0x401};
    EXPECT_EQ(to_json(subject_case).dump(), R"({"cpl":3,"environment":{"dr7":"0x401"},"ops":["int vector=0x20"]})");
}

std::string error_of(const std::string& text) {
    const auto parsed = parse_case(text, "bad.toml");
    return parsed ? "parsed" : parsed.error().text();
}

TEST(CaseText, AMistakeIsNamedByFileLineKeyAndWhatWasExpected) {
    EXPECT_EQ(error_of("cpl = 0\n"), "bad.toml: ops: expected an array of ops, found nothing");
    EXPECT_EQ(error_of("ops = \"nop\"\n"), "bad.toml:1: ops: expected an array, found `nop`");
    EXPECT_EQ(error_of("ops = [\n  \"nop\",\n  7,\n]\n"), "bad.toml:3: ops[1]: expected an op in a string, found 7");
    EXPECT_EQ(error_of("ops = [\n  \"push reg=eax\",\n]\n"),
              "bad.toml:2: ops[0]: push: reg: expected a register rax…r15, found `eax`");
    EXPECT_EQ(error_of("ops = [\"jmp to=op2\"]\n"), "bad.toml:1: ops: expected an op up to op1, the end, found op2");
    EXPECT_EQ(error_of("ops = [\"set-reg reg=rax value=op2\"]\n"),
              "bad.toml:1: ops: expected an op up to op1, the end, found op2");
    EXPECT_EQ(error_of("cpl = 2\nops = []\n"), "bad.toml:1: cpl: expected 0 or 3, found 2");
    EXPECT_EQ(error_of("world = \"mars\"\nops = []\n"),
              "bad.toml:1: world: expected one of bare, svm, vmx, sev-es, snp, found `mars`");
    EXPECT_EQ(error_of("mode = 64\nops = []\n"),
              "bad.toml:1: mode: expected one of long64, compat32, prot32, real16, found 64");
    EXPECT_EQ(error_of("ops = []\nops2 = []\n"), "bad.toml:2: ops2: expected a key that exists, found an unknown one");
    EXPECT_EQ(error_of("ops = []\nabout = {}\n"),
              "bad.toml:2: about: expected a key that exists, found an unknown one");
    EXPECT_EQ(error_of("ops = []\n\n[environment]\ndr9 = 1\n"),
              "bad.toml:4: environment.dr9: expected a key that exists, found an unknown one");
    EXPECT_EQ(error_of("ops = []\nenvironment = 3\n"), "bad.toml:2: environment: expected a table, found 3");
    EXPECT_EQ(error_of("ops = []\n[environment]\ndr = [1,2,3,4,5]\n"),
              "bad.toml:3: environment.dr: expected at most 4 elements, found 5");
    EXPECT_EQ(error_of("ops = []\n[environment]\ndr7 = -1\n"),
              "bad.toml:3: environment.dr7: expected a 64-bit number, or an op's address like op3 or op3+1, found -1");
    EXPECT_EQ(error_of("ops = []\n[environment]\ndr = [\"op1\"]\n"),
              "bad.toml:3: environment.dr[0]: expected an op up to op0, the end, found `op1`");
    EXPECT_EQ(error_of("ops = []\n[environment]\nrflags = 1.5\n"),
              "bad.toml:3: environment.rflags: expected a 64-bit number, found 1.5");
    EXPECT_EQ(error_of("ops = []\n[environment]\nde = \"yes\"\n"),
              "bad.toml:3: environment.de: expected true or false, found `yes`");
    EXPECT_EQ(error_of("ops = []\n[environment.gpr]\nrsp = 1\n"),
              "bad.toml:3: environment.gpr.rsp: expected a key that exists, found an unknown one");
    const std::string surroundings = "ops = []\n[environment.surroundings]\n";
    EXPECT_EQ(error_of(surroundings + "idt-limit = 0x10000\n"),
              "bad.toml:3: environment.surroundings.idt-limit: expected a number 0…0xffff, found 0x10000");
    EXPECT_EQ(error_of(surroundings + "gates = [{dpl = 0}]\n"),
              "bad.toml:3: environment.surroundings.gates[0].vector: expected a vector, found nothing");
    EXPECT_EQ(error_of(surroundings + "gates = [{vector = 3, dpl = 4}]\n"),
              "bad.toml:3: environment.surroundings.gates[0].dpl: expected a number 0…3, found 4");
    EXPECT_EQ(error_of(surroundings + "task = {trap = true}\n"),
              "bad.toml:3: environment.surroundings.task.eip: expected an op's address, found nothing");
    EXPECT_EQ(error_of("ops = []\n[environment.policy]\ndb = \"ignore\"\n"),
              "bad.toml:3: environment.policy.db: expected one of resume, resume-rf, skip, found `ignore`");
}

TEST(CaseText, TextThatIsNotTomlIsRefusedWithItsLine) {
    EXPECT_TRUE(error_of("ops = []\nops = []\n").starts_with("bad.toml:2: file: expected TOML, found an error: "));
    EXPECT_TRUE(error_of("ops = [\n\"nop\"\n").starts_with("bad.toml:"));
    EXPECT_TRUE(error_of(std::string(5000, '[')).starts_with("bad.toml:1: file: expected TOML"));
}

TEST(CaseText, LimitsAreNamed) {
    EXPECT_EQ(error_of(std::string(max_file_size + 1, '#')),
              "bad.toml: file: expected at most 1048576 bytes, found 1048577");
    std::string ops = "ops = [", stack = "ops = []\n[environment]\nstack = [";
    for (int i = 0; i < 65; ++i) ops += "\"nop\",";
    for (int i = 0; i < 33; ++i) stack += "0,";
    EXPECT_EQ(error_of(ops + "]"), "bad.toml:1: ops: expected at most 64 elements, found 65");
    EXPECT_EQ(error_of(stack + "]"), "bad.toml:3: environment.stack: expected at most 32 elements, found 33");
}

TEST(CaseText, AnErrorIsOneLineWhateverTheFileHolds) {
    const auto error = error_of("ops = [\"no\\np\\u0000\"]\n");
    EXPECT_EQ(error.find_first_of(std::string("\n\0", 2)), std::string::npos) << error;
}

RC_GTEST_PROP(CaseText, NoTextAborts, (const std::string& garbage)) {
    auto text = to_toml(arbitrary::subject_case(arbitrary::mode()));
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const auto gone = *rc::gen::inRange<std::size_t>(0, 8);
    text.replace(at, gone, garbage);
    for (const auto& input : {garbage, text})
        if (const auto parsed = parse_case(input, "garbage.toml"); !parsed) {
            const auto message = parsed.error().text();
            RC_ASSERT(message.starts_with("garbage.toml:"));
            RC_ASSERT(message.find('\n') == std::string::npos);
        }
}

}  // namespace
}  // namespace faultline::guest
