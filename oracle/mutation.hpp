// Wrong tapes made from right ones, to measure how many the judge rejects.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::oracle {

/// A tape that differs from `passing`, which the judge passes, in one place: a bit of a record or of the final state
/// flipped, a record dropped, doubled or swapped with the next, another outcome. A pure function of its arguments;
/// nothing when this seed's place has nothing to change. `what`, when given, says what was done.
///
/// Left alone, because the oracle compares none of it:
/// - features, stop_rip and detail, which tell about the subject; records from `count` on; the final state unless
///   the run completed;
/// - registers and flags that the program left unknown (after CPUID, RDTSC, IN, BTS, DIV, …);
/// - bits of DR6, and RF, that a FREE rule leaves open for that record; #PF's W of a read-modify-write;
/// - the low bits of CR2 where an access crosses into an absent page;
/// - of #DF, everything but vector, error code and `complete`: its frame is undefined.
std::optional<guest::Tape> mutate(const guest::Case& subject_case, const guest::Image& image,
                                  const guest::Tape& passing, std::uint64_t seed, std::string* what = nullptr);

}  // namespace faultline::oracle
