// How the harness says that something went wrong: a value with the exit status it deserves.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace faultline::harness {

/// Exit statuses of the command line: the closed set that scripts may rely on.
enum class Exit : int {
    Ok = 0,            ///< no divergence, known ones aside
    Divergence = 1,    ///< at least one finding
    Skipped = 4,       ///< what was asked for cannot run here
    Usage = 64,        ///< the command line is wrong (sysexits.h EX_USAGE)
    Data = 65,         ///< input data is wrong (EX_DATAERR)
    Internal = 70,     ///< our own error (EX_SOFTWARE)
    CannotTell = 125,  ///< `replay --exit bisect` only: `git bisect run` skips this revision
};

/// `message` is one sentence for a person: what was expected, what was seen, what to do.
struct Error {
    Exit exit = Exit::Internal;
    std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Exit exit, std::string message) {
    return tl::unexpected(Error{exit, std::move(message)});
}

}  // namespace faultline::harness
