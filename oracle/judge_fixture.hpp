// What the tests of the judge share: a short program, its image, and a tape that starts as one without events.
// Expected tapes are literal values from the manuals, never made by the oracle's own code.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "hypervisor/guest/assemble.hpp"
#include "oracle/catalogue.hpp"
#include "oracle/judge.hpp"

namespace faultline::oracle {

using namespace guest;

inline constexpr std::uint64_t tf = 0x100, if_ = 0x200, rf = 0x10000, pf = 4, zf = 0x40, base = 2;

/// A program, its image, and a tape that starts as one without events.
struct Program {
    Case subject_case;
    Image image;
    Tape tape;
    Judge judge;

    explicit Program(std::vector<std::string> ops, const std::function<void(Environment&)>& set = {}) {
        for (const auto& text : ops) subject_case.ops.push_back(parse_op(text).value());
        if (set) set(subject_case.environment);
        assemble();
    }
    void assemble() {
        if (const auto done = guest::assemble(subject_case, image); !done) throw std::logic_error(done.error());
        tape.features.vendor = Vendor::Intel;
        tape.outcome = Outcome::Completed;
        tape.count = 0;
        const bool user = subject_case.cpl == 3;
        auto& f = tape.final;
        f = {};
        f.gpr = image.params.gpr;
        f.gpr[4] = image.params.entry_frame.rsp;
        f.rflags = (image.params.entry_frame.rflags & ~rf) | rf;
        f.cs = user ? 0x23 : 0x08, f.ss = user ? 0x1B : 0x10;
        f.dr6 = image.params.dr6, f.dr7 = image.params.dr7, f.dr = image.params.dr;
        f.cr4 = image.params.cr4;
    }
    std::uint64_t at(std::size_t op) const { return image.op_address(op); }
    std::uint64_t& final_gpr(Gpr r) { return tape.final.gpr[static_cast<std::size_t>(r)]; }

    Record& record(std::uint64_t vector, std::uint64_t rip, std::uint64_t rflags) {
        Record& r = tape.records[tape.count++];
        r = {};
        const bool user = subject_case.cpl == 3;
        r.vector = vector, r.error = 0, r.rip = rip, r.rflags = rflags;
        r.cs = user ? 0x23 : 0x08, r.ss = user ? 0x1B : 0x10;
        r.rsp = image.params.entry_frame.rsp, r.rcx = image.params.gpr[1], r.complete = 1;
        // An interrupt gate in 64-bit mode: IF, TF, NT, RF clear; SS null with the new CPL's RPL where it changed; five
        // or six quadwords below the stack pointer rounded down to 16. Intel SDM vol 3, "64-Bit Mode Stack Frame".
        const bool error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
        r.handler_flags = rflags & ~(tf | if_ | 0x4000 | rf);
        r.handler_ss = user ? 0 : 0x10;
        r.frame = ((user ? 0x16000 : r.rsp) & ~15ull) - (error ? 48 : 40);
        return r;
    }
    Record& db(std::uint64_t rip, std::uint64_t rflags, std::uint64_t dr6, std::uint64_t dr7 = 0x400) {
        Record& r = record(1, rip, rflags);
        r.dr6 = dr6, r.dr7 = dr7;
        return r;
    }

    struct Use {
        std::uint32_t applied, decisive;
    };
    /// Of one rule, on a tape that must pass.
    Use use(std::string_view rule) {
        RuleUse all;
        EXPECT_EQ(verdict(&all).kind, VerdictKind::Pass) << signature();
        const auto i = static_cast<std::size_t>(find_rule(rule) - catalogue().data());
        return {all.applied[i], all.decisive[i]};
    }
    Verdict verdict(RuleUse* use = nullptr) { return judge.judge(subject_case, image, tape, use); }
    std::string signature() {
        const Verdict v = verdict();
        if (v.kind == VerdictKind::Pass) return "pass";
        if (v.kind == VerdictKind::NotModelled) return "not modelled: " + v.reason;
        return v.divergences.empty() ? "?" : v.divergences.front().signature;
    }
};

/// The same record with another stack pointer, at CPL 0: the frame goes with it.
inline Record& at_rsp(Record& r, std::uint64_t rsp) {
    r.rsp = rsp;
    r.frame = (rsp & ~15ull) - (r.vector >= 10 && r.vector <= 14 ? 48 : 40);
    return r;
}

/// The same record from CPL 3: the frame is on the stack that the TSS names.
inline Record& from_user(Record& r) {
    r.cs = 0x23, r.ss = 0x1B, r.handler_ss = 0;
    r.frame = 0x16000 - (r.vector >= 10 && r.vector <= 14 ? 48 : 40);
    return r;
}
/// Behind a pop.
inline Record& popped(Record& r) { return at_rsp(r, r.rsp + 8); }

#define EXPECT_PASS(program) EXPECT_EQ((program).signature(), "pass")
#define EXPECT_SIGNATURE(program, text) EXPECT_EQ((program).signature(), "1:" text)

inline void watch(Environment& e, unsigned n, std::uint64_t address, std::uint64_t control) {
    e.dr[n].literal = address;
    e.dr7.literal |= 2ull << 2 * n | control << (16 + 4 * n);  // Gn
}
inline constexpr std::uint64_t code = 0, write1 = 1, write4 = 0xD, port1 = 2, access1 = 3, access8 = 0xB;

}  // namespace faultline::oracle
