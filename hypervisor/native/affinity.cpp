#include "hypervisor/native/affinity.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace faultline::native {
namespace {

pid_t this_thread() { return static_cast<pid_t>(syscall(SYS_gettid)); }

std::atomic<unsigned> threads_placed{0};

}  // namespace

OneProcessor::OneProcessor() : thread_(this_thread()) {
    if (sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    const int count = CPU_COUNT(&before_);
    if (count < 2) return;
    int place = static_cast<int>(threads_placed++ % static_cast<unsigned>(count)), processor = -1;
    while (place >= 0) place -= CPU_ISSET(++processor, &before_) ? 1 : 0;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    changed_ = sched_setaffinity(0, sizeof one, &one) == 0;
}

OneProcessor::~OneProcessor() {
    if (changed_ && thread_ == this_thread()) sched_setaffinity(0, sizeof before_, &before_);
}

}  // namespace faultline::native
