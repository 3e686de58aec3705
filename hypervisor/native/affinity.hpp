// Tracer and child on one processor: then a stop is a switch between two threads there. On two, each stop wakes an idle
// processor by an interrupt, which costs ten times as much on a virtual machine.
#pragma once

#include <sched.h>
#include <sys/types.h>

namespace faultline::native {

/// Keeps the calling thread on one of the processors it may use, a different one for each thread as far as they go, for
/// as long as this lives; a thread that has only one stays there. A process that it forks inherits the choice.
class OneProcessor {
public:
    OneProcessor();
    ~OneProcessor();
    OneProcessor(const OneProcessor&) = delete;
    OneProcessor& operator=(const OneProcessor&) = delete;

private:
    pid_t thread_;
    cpu_set_t before_;
    bool changed_ = false;
};

}  // namespace faultline::native
