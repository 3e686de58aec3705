#include "hypervisor/kvm/watchdog.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace faultline::kvm {
namespace {

constexpr std::chrono::milliseconds tick{25};

/// Shared between a thread and the handler that interrupts it, hence signal fences suffice.
struct State {
    timer_t timer{};
    bool started = false;
    std::uint8_t* volatile immediate_exit = nullptr;
    volatile std::int64_t ticks_left = 0;
    ~State() {
        if (started) timer_delete(timer);
    }
};
thread_local State state;

int signal_number() { return SIGRTMIN + 3; }

void on_tick(int) {
    if (state.immediate_exit == nullptr || state.ticks_left == 0) return;
    state.ticks_left = state.ticks_left - 1;
    if (state.ticks_left == 0) *state.immediate_exit = 1;
}

guest::Unavailable cannot(const char* call) {
    return {std::string("the timer that ends hanging runs cannot be set up: ") + call + ": " + std::strerror(errno)};
}

}  // namespace

tl::expected<void, guest::Unavailable> start_watchdog() {
    if (state.started) return {};
    struct sigaction action {};
    action.sa_handler = on_tick;
    action.sa_flags = SA_RESTART;
    if (sigaction(signal_number(), &action, nullptr) != 0) return tl::unexpected(cannot("sigaction"));

    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal_number();
    event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
    if (timer_create(CLOCK_MONOTONIC, &event, &state.timer) != 0) return tl::unexpected(cannot("timer_create"));
    state.started = true;
    const timespec period{0, std::chrono::nanoseconds(tick).count()};
    const itimerspec periodic{period, period};
    if (timer_settime(state.timer, 0, &periodic, nullptr) != 0) return tl::unexpected(cannot("timer_settime"));
    return {};
}

Watch::Watch(std::uint8_t& immediate_exit, std::chrono::milliseconds limit) {
    immediate_exit = 0;
    // One more, because the first tick may come at once.
    state.ticks_left = (limit + tick - std::chrono::milliseconds{1}) / tick + 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    state.immediate_exit = &immediate_exit;
}

Watch::~Watch() { state.immediate_exit = nullptr; }

bool Watch::expired() const { return state.ticks_left == 0; }

}  // namespace faultline::kvm
