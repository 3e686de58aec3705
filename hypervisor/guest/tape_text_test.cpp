#include "hypervisor/guest/tape_text.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <ranges>

#include "hypervisor/guest/assemble.hpp"

namespace faultline::guest {
namespace {

std::uint64_t word() { return *rc::gen::oneOf(rc::gen::just(not_recorded), rc::gen::arbitrary<std::uint64_t>()); }

Tape arbitrary_tape() {
    Tape tape;
    auto& features = tape.features;
    features.vendor = *rc::gen::element(Vendor::Unknown, Vendor::Amd, Vendor::Intel);
    features.signature = *rc::gen::arbitrary<std::uint32_t>();
    for (bool* flag : {&features.rtm, &features.bus_lock_detect, &features.dbext, &features.btf})
        *flag = *rc::gen::arbitrary<bool>();
    if (*rc::gen::arbitrary<bool>())
        features.svm = {*rc::gen::arbitrary<std::uint32_t>(), *rc::gen::arbitrary<std::uint32_t>(),
                        *rc::gen::arbitrary<std::uint64_t>(), *rc::gen::arbitrary<std::uint64_t>(),
                        *rc::gen::arbitrary<std::uint8_t>(),  *rc::gen::arbitrary<bool>(),
                        *rc::gen::arbitrary<bool>()};
    using Execution = Features::Execution;
    features.cpl0 = *rc::gen::element(Execution::Unknown, Execution::Silicon, Execution::Emulated);
    features.cpl3 = *rc::gen::element(Execution::Unknown, Execution::Silicon, Execution::Emulated);
    tape.outcome = static_cast<Outcome>(*rc::gen::inRange(0, 10));
    tape.count = *rc::gen::inRange<std::uint32_t>(0, 4);
    for (auto& r : tape.records | std::views::take(tape.count))
        for (auto field : {&Record::vector, &Record::error, &Record::rip, &Record::cs, &Record::rflags, &Record::rsp,
                           &Record::ss, &Record::cr2, &Record::rcx, &Record::dr6, &Record::dr7, &Record::handler_flags,
                           &Record::handler_ss, &Record::frame, &Record::complete})
            r.*field = word();
    if (tape.outcome == Outcome::Completed) {
        std::ranges::generate(tape.final.gpr, word);
        std::ranges::generate(tape.final.dr, word);
        for (auto* field :
             {&tape.final.rflags, &tape.final.cs, &tape.final.ss, &tape.final.dr6, &tape.final.dr7, &tape.final.cr4})
            *field = *rc::gen::arbitrary<std::uint64_t>();
        tape.final.debugctl = word();
    }
    tape.stop_rip = *rc::gen::arbitrary<std::uint64_t>();
    tape.detail = *rc::gen::container<std::string>(rc::gen::inRange('\x01', '\x7f'));
    return tape;
}

RC_GTEST_PROP(TapeJson, ReadsBackAsTheSameTape, ()) {
    const auto tape = arbitrary_tape();
    const auto again = tape_from_json(to_json(tape));
    if (!again) RC_FAIL(again.error());
    RC_ASSERT(again->features == tape.features);
    RC_ASSERT(again->outcome == tape.outcome);
    RC_ASSERT(again->count == tape.count);
    for (std::size_t i = 0; i < tape.count; ++i) RC_ASSERT(again->records[i] == tape.records[i]);
    RC_ASSERT(again->final == tape.final);
    RC_ASSERT(again->stop_rip == tape.stop_rip);
    RC_ASSERT(again->detail == tape.detail);
}

RC_GTEST_PROP(TapeJson, NoTextAborts, (const std::string& garbage)) {
    auto text = to_json(arbitrary_tape());
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    text.replace(at, *rc::gen::inRange<std::size_t>(0, 12), garbage);
    for (const auto& input : {garbage, text})
        if (const auto tape = tape_from_json(input)) RC_ASSERT(tape->count <= tape_capacity);
}

TEST(TapeJson, AMistakeSaysWhatWasExpected) {
    const auto error_of = [](std::string_view text) {
        const auto tape = tape_from_json(text);
        return tape ? std::string("parsed") : tape.error();
    };
    EXPECT_EQ(error_of("{"), "tape: expected JSON, found something else");
    EXPECT_EQ(error_of("[]"), "tape.: expected an object, found something else");
    EXPECT_EQ(error_of(R"({"outcome":"fine"})"), "tape.outcome: expected a known name, found something else");
    EXPECT_EQ(error_of(R"({"records":{}})"),
              "tape.records: expected an array of at most 64 records, found something else");
    EXPECT_EQ(error_of(R"({"records":[{"rip":-1}]})"),
              "tape.records.rip: expected an unsigned number in range, found something else");
    EXPECT_EQ(error_of(R"({"records":[7]})"), "tape.records.: expected an object, found something else");
    EXPECT_EQ(error_of(R"({"final":{"gpr":[1]}})"),
              "tape.final.gpr: expected 16 unsigned numbers, found something else");
    EXPECT_EQ(error_of(R"({"features":{"signature":4294967296}})"),
              "tape.features.signature: expected an unsigned number in range, found something else");
    EXPECT_EQ(error_of(R"({"features":{"rtm":1}})"), "tape.features.rtm: expected true or false, found something else");
    std::string many = R"({"records":[{})";
    for (std::uint32_t i = 0; i < tape_capacity; ++i) many += ",{}";
    EXPECT_NE(error_of(many + "]}"), "parsed");
}

TEST(TapeText, NamesAddressesByOp) {
    Image image;
    ASSERT_TRUE(assemble({.ops = {ops::Nop{}, ops::SetReg{}}}, image));
    EXPECT_EQ(address_text(layout::code, image), "op0");
    EXPECT_EQ(address_text(layout::code + 1, image), "op1");
    EXPECT_EQ(address_text(layout::code + 4, image), "op1+3");
    EXPECT_EQ(address_text(image.end_address(), image), "end");
    EXPECT_EQ(address_text(image.end_address() + 1, image), "end+1");
    EXPECT_EQ(address_text(image.end_address() + 2, image), "0x2000d");
    EXPECT_EQ(address_text(layout::text + 0x20, image), "stage+0x20");
    EXPECT_EQ(address_text(0, image), "0");
}

TEST(TapeText, ShowsRecordsOutcomeAndFinalState) {
    Image image;
    ASSERT_TRUE(assemble({.ops = {ops::Nop{}}}, image));
    Tape tape;
    tape.outcome = Outcome::Completed;
    tape.count = 1;
    tape.records[0] = {.vector = 1,
                       .error = 0,
                       .rip = image.end_address(),
                       .cs = 8,
                       .rflags = 0x102,
                       .dr6 = 0xffff4ff0,
                       .complete = 1};
    tape.final.gpr[3] = 0x10;
    tape.final.rflags = 0x10002;
    tape.final.cs = 8;
    tape.final.dr7 = 0x400;
    EXPECT_EQ(to_text(tape, image),
              " 0 #DB  rip=end  cs=8  rflags=0x102 TF  dr6=0xffff4ff0\n"
              "outcome: completed\n"
              "final  cs=8  rflags=0x10002 RF  dr6=0  dr7=0x400\n"
              "       rbx=0x10\n");
    tape.outcome = Outcome::InternalError;
    tape.detail = "suberror 1";
    tape.stop_rip = layout::code;
    EXPECT_TRUE(to_text(tape, image).ends_with("outcome: internal-error at op0 (suberror 1)\n"));
}

}  // namespace
}  // namespace faultline::guest
