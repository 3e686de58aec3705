// A corpus file: a case, what it is about, and the tape it must give, as literal values written by hand
// (corpora/README.md). Same TOML as case_text.hpp with the tables [about], [[expect]], [[expect-exit]] and
// [expect-final].
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::guest {

struct About {
    std::string fact;                ///< one sentence
    std::vector<std::string> rules;  ///< ids of the rules it decides
    std::string citation;
    std::string argument;             ///< why the expectation follows, where it is not plain
    Vendor vendor = Vendor::Unknown;  ///< where the case applies; Unknown: on both
    std::string quirk;                ///< corpora/history: the engine's quirk with which the case fails
    bool operator==(const About&) const = default;
};

/// Bits of RFLAGS that are compared, and what they must be.
struct ExpectedFlags {
    std::uint64_t mask = 0, value = 0;
    auto operator<=>(const ExpectedFlags&) const = default;
};

/// One exception record. What is not given is not compared.
struct ExpectedRecord {
    std::uint64_t vector = 0;
    std::optional<Value> rip, error, cr2, rcx, cs, dr6, dr7, handler_ss, frame;
    ExpectedFlags flags;          ///< of the pushed RFLAGS
    ExpectedFlags handler_flags;  ///< of RFLAGS in the handler
    std::optional<Vendor> when;   ///< this record only where the vendor is this
    bool operator==(const ExpectedRecord&) const = default;
};

/// World svm: one #VMEXIT. What is not given is not compared.
struct ExpectedExit {
    std::uint64_t code = 0;
    std::optional<Value> rip, info_1, info_2, int_info, next_rip, rsp, rax, cs, dr6, dr7, cr2, event_injection;
    std::optional<Value> records;  ///< exceptions that the guest had recorded before
    std::optional<bool> shadow;
    ExpectedFlags flags;  ///< of the saved RFLAGS
    bool operator==(const ExpectedExit&) const = default;
};

struct ExpectedFinal {
    Outcome outcome = Outcome::Completed;
    std::array<std::optional<Value>, gpr_count> gpr;
    std::array<std::optional<Value>, 4> dr;
    std::optional<Value> dr6, dr7, debugctl;
    std::optional<bool> de;
    ExpectedFlags flags;  ///< of the RFLAGS that the end's #UD pushed
    bool operator==(const ExpectedFinal&) const = default;
};

struct Expectation {
    std::vector<ExpectedRecord> records;  ///< all of them, in order
    std::vector<ExpectedExit> exits;      ///< the same
    ExpectedFinal final;
    bool operator==(const Expectation&) const = default;
};

struct CaseFile {
    Case subject_case;
    About about;
    std::optional<Expectation> expectation;  ///< none: the file has no table that begins with expect
};

tl::expected<CaseFile, ParseError> parse_case_file(std::string_view text, std::string_view filename);

/// Whether the file's case says anything about a guest of this vendor.
bool applies(const About& about, Vendor vendor);

/// Where the tape is not the expected one, a line each; empty when it is. The vendor is the tape's.
std::vector<std::string> mismatches(const Expectation& expectation, const Image& image, const Tape& tape);

}  // namespace faultline::guest
