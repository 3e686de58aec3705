// How stimuli, responses and their differences are named: in signatures, and to people.
#pragma once

#include <string>
#include <string_view>

#include "oracle/search.hpp"

namespace faultline::oracle {

/// "db", "gp", "pf", "v20"; for signatures.
std::string vector_name(std::uint64_t vector);
/// "#DB", "#GP", "vector 32"; for people.
std::string exception_name(std::uint64_t vector);

/// The mechanism at work, not the mnemonic: "data-write-hit", "gd-read", … `rule` picks among several.
std::string stimulus_class(const debug::Pre<Judging>& pre, const debug::Stimulus<Judging>& stim, std::string_view rule);

/// How `seen` is wrong where `allowed` was right, as one word: "missing-db", "rf=0", "dr6.bs=1", ….
std::string shape_of(const Step& step, std::string_view rule, const debug::Response<Judging>& allowed,
                     const debug::Response<Judging>& seen);

/// "rflags.iopl=0": the first wrong bit of RFLAGS, arithmetic flags as one.
std::string flags_shape(std::uint64_t allowed, std::uint64_t seen, std::uint64_t mask);

/// "#DB trap, RIP 20004h, RF 0, DR6 FFFF4FF0h, DR7 400h"; "no exception".
std::string describe(const debug::Outcome& outcome);
std::string describe(const guest::Record& record);

/// The word of a signature for where it happened: "bare-long64-cpl0". The CPL is the op's own.
std::string place_of(const guest::Case& subject_case, std::uint64_t cpl);

}  // namespace faultline::oracle
