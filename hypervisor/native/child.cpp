#include "hypervisor/native/child.hpp"

#include <asm/ldt.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/stage.hpp"

// Where glibc registers a thread's restartable sequence area; absent before 2.35.
extern "C" {
[[gnu::weak]] extern const std::ptrdiff_t __rseq_offset;
[[gnu::weak]] extern const unsigned __rseq_size;
}

namespace faultline::native {
namespace {

namespace layout = guest::layout;

/// The private area: code for remote system calls first, arguments behind it, signal frames in the rest. Its address is
/// one that no program computes.
constexpr std::uint64_t private_base = 0x5B3D'1000'0000, private_size = 0x20000, arguments_offset = 0x100,
                        frames_offset = 0x1000;
/// Programs end within microseconds of their own time. SIGVTALRM counts only what the child spends in user mode.
constexpr suseconds_t tick_us = 250'000;
constexpr std::uint64_t task_end = 0x7FFF'FFFF'F000;  // asm/page_64_types.h, TASK_SIZE_MAX with four-level paging

struct Area {
    std::uint64_t begin, end;
    int protection;
};

/// Runs of user pages with one protection, in address order.
std::vector<Area> program_areas() {
    std::vector<Area> areas;
    for (std::uint64_t page = 0; page < layout::ram_size; page += layout::page) {
        const auto access = guest::page_access(page);
        if (!access.present || !access.user) continue;
        const int protection = PROT_READ | PROT_EXEC | (access.writable ? PROT_WRITE : 0);
        if (!areas.empty() && areas.back().end == page && areas.back().protection == protection)
            areas.back().end += layout::page;
        else
            areas.push_back({page, page + layout::page, protection});
    }
    return areas;
}

/// In the new process: only what is safe after a fork from many threads. Ends in a stop.
[[noreturn]] void become_child(int memory, const std::vector<Area>& areas) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (&__rseq_size != nullptr && __rseq_size != 0) {
        constexpr unsigned unregister = 1, signature = 0x53053053;
        auto* area = static_cast<char*>(__builtin_thread_pointer()) + __rseq_offset;
        // The length it was registered with: glibc's is 32 although fewer bytes may be in use.
        if (syscall(SYS_rseq, area, 32, unregister, signature) != 0)
            syscall(SYS_rseq, area, __rseq_size, unregister, signature);
    }
    const auto map = [memory](std::uint64_t address, std::uint64_t size, int protection, std::uint64_t offset) {
        void* at = reinterpret_cast<void*>(address);
        if (mmap(at, size, protection, MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE, memory,
                 static_cast<off_t>(offset)) != at)
            _exit(1);
        // Faults that Linux serves in between would set RF: pages stay. Without the right to lock they stay as well as
        // anyone's.
        mlock(at, size);
    };
    for (const Area& area : areas) map(area.begin, area.end - area.begin, area.protection, area.begin);
    map(private_base, private_size, PROT_READ | PROT_WRITE | PROT_EXEC, layout::ram_size);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
    raise(SIGSTOP);
    _exit(3);
}

std::string because(std::string_view what) { return fmt::format("{}: {}", what, std::strerror(errno)); }

constexpr std::size_t debug_register(unsigned n) {
    return offsetof(struct user, u_debugreg) + n * sizeof(std::uint64_t);
}

}  // namespace

tl::expected<std::unique_ptr<Child>, guest::Unavailable> Child::start() {
    std::unique_ptr<Child> child(new Child);
    if (auto ready = child->set_up(); !ready) return tl::unexpected(ready.error());
    return child;
}

Child::~Child() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        int status = 0;
        while (waitpid(pid_, &status, __WALL) == pid_ && !WIFEXITED(status) && !WIFSIGNALED(status)) {
        }
    }
    if (memory_) munmap(memory_, memory_size_ + private_size);
}

bool Child::owned_by_this_thread() const { return owner_ == static_cast<pid_t>(syscall(SYS_gettid)); }

tl::expected<void, guest::Unavailable> Child::set_up() {
    const auto cannot = [](std::string why) { return tl::unexpected(guest::Unavailable{std::move(why)}); };
    owner_ = static_cast<pid_t>(syscall(SYS_gettid));
    const int file = memfd_create("faultline-program", MFD_CLOEXEC);
    if (file < 0) return cannot(because("no memory to share with a traced process: memfd_create"));
    memory_size_ = layout::ram_size;
    void* shared = MAP_FAILED;
    if (ftruncate(file, static_cast<off_t>(memory_size_ + private_size)) == 0)
        shared = mmap(nullptr, memory_size_ + private_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (shared == MAP_FAILED) {
        close(file);
        return cannot(because("no memory to share with a traced process: mmap"));
    }
    memory_ = static_cast<std::uint8_t*>(shared);
    const auto areas = program_areas();
    pid_ = _Fork();
    if (pid_ == 0) become_child(file, areas);
    const std::string fork_failure = pid_ < 0 ? because("fork") : "";
    close(file);
    if (pid_ < 0) return cannot(fork_failure);
    int status = 0;
    if (!wait_for(status)) {
        pid_ = -1;
        const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        return cannot(code == 1   ? "the program's addresses are taken, or below vm.mmap_min_addr"
                      : code == 2 ? "ptrace(PTRACE_TRACEME) is forbidden here"
                                  : "the traced process ended before it began");
    }
    if (ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL) != 0 ||
        ptrace(PTRACE_GETREGS, pid_, nullptr, &registers_) != 0)
        return cannot(because("ptrace"));
    registers_.orig_rax = ~0ull;

    std::uint8_t* area = memory_ + memory_size_;
    constexpr std::uint8_t code[] = {0x0F, 0x05, 0xCC,         // syscall; int3
                                     0x6A, 0x02, 0x9D, 0xCC};  // push 2; popfq; int3
    std::memcpy(area, code, sizeof code);
    std::uint8_t* arguments = area + arguments_offset;
    const std::uint64_t there = private_base + arguments_offset;
    const auto call = [&](const char* name, long number, std::array<std::uint64_t, 6> a) {
        const long result = remote(number, a);
        if (result < 0 && result > -4096 && failure_.empty())
            failure_ = fmt::format("the traced process cannot be prepared: {}: {}", name,
                                   std::strerror(static_cast<int>(-result)));
        return result;
    };
    // Everything but the program's pages goes, so that no program reads or writes what it inherited.
    std::uint64_t from = 0;
    auto kept = areas;
    kept.push_back({private_base, private_base + private_size, 0});
    for (const Area& keep : kept) {
        if (keep.begin > from) call("munmap", SYS_munmap, {from, keep.begin - from});
        from = keep.end;
    }
    call("munmap", SYS_munmap, {from, task_end - from});
    call("rt_sigprocmask", SYS_rt_sigprocmask, {SIG_SETMASK, there, 0, 8});  // the arguments are zeros: nothing blocked

    // Signal frames tell what ptrace does not (Noted). NODEFER: nothing ever returns from the handler.
    const std::uint64_t action[] = {private_base + 2, SA_SIGINFO | SA_ONSTACK | SA_NODEFER | 0x0400'0000u,
                                    private_base + 2, 0};
    std::memcpy(arguments, action, sizeof action);
    for (const std::uint64_t signal : {SIGSEGV, SIGBUS}) call("rt_sigaction", SYS_rt_sigaction, {signal, there, 0, 8});
    const std::uint64_t stack[] = {private_base + frames_offset, 0, private_size - frames_offset};
    std::memcpy(arguments, stack, sizeof stack);
    call("sigaltstack", SYS_sigaltstack, {there, 0});
    const itimerval tick{{0, tick_us}, {0, tick_us}};
    std::memcpy(arguments, &tick, sizeof tick);
    call("setitimer", SYS_setitimer, {ITIMER_VIRTUAL, there, 0});
    const sock_filter refuse_all{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP};
    std::memcpy(arguments, &refuse_all, sizeof refuse_all);
    const struct { std::uint64_t length, filter; } program{1, there};
    std::memcpy(arguments + sizeof refuse_all, &program, sizeof program);
    call("prctl", SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0});
    call("seccomp", SYS_seccomp, {SECCOMP_SET_MODE_FILTER, 0, there + sizeof refuse_all});
    if (!failure_.empty()) return cannot(failure_);

    if (!clear_id()) return cannot("the traced process does not run");
    has_other_ss_ = true;
    for (const std::uint16_t selector : other_ss) {
        user_desc segment{};
        segment.entry_number = selector >> 3;
        segment.limit = 0xFFFFF;
        segment.seg_32bit = segment.limit_in_pages = segment.useable = 1;
        has_other_ss_ &=
            ptrace(static_cast<__ptrace_request>(PTRACE_SET_THREAD_AREA), pid_, segment.entry_number, &segment) == 0;
    }
    return {};
}

bool Child::wait_for(int& status) const {
    while (waitpid(pid_, &status, __WALL) != pid_)
        if (errno != EINTR) return false;
    return WIFSTOPPED(status);
}

/// Runs code of the private area up to its INT3, and reads the registers there.
bool Child::run_private_code(user_regs_struct& regs, std::uint64_t offset) {
    regs.rip = private_base + offset;
    regs.rsp = private_base + private_size;
    int status = 0;
    return set_registers(regs) && ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0 && wait_for(status) &&
           WSTOPSIG(status) == SIGTRAP && ptrace(PTRACE_GETREGS, pid_, nullptr, &regs) == 0;
}

/// A system call by the child itself, before the filter shuts them out; -ECHILD when the child does not come back.
long Child::remote(long number, std::array<std::uint64_t, 6> a) {
    user_regs_struct regs = registers_;
    regs.rax = static_cast<std::uint64_t>(number);
    regs.rdi = a[0], regs.rsi = a[1], regs.rdx = a[2], regs.r10 = a[3], regs.r8 = a[4], regs.r9 = a[5];
    return run_private_code(regs, 0) ? static_cast<long>(regs.rax) : -ECHILD;
}

bool Child::clear_id() {
    user_regs_struct regs = registers_;
    return run_private_code(regs, 3);
}

bool Child::set_registers(const user_regs_struct& registers) {
    return ptrace(PTRACE_SETREGS, pid_, nullptr, &registers) == 0;
}

bool Child::set_breakpoints(const std::array<std::uint64_t, 4>& addresses, std::uint64_t dr7) {
    const auto used = [dr7](unsigned n) { return (dr7 >> 2 * n & 3) != 0; };
    bool moved = false;
    for (unsigned n = 0; n < 4; ++n) moved |= used(n) && address_[n] != addresses[n];
    if (!moved && dr7 == dr7_) return true;
    const auto poke = [this](unsigned n, std::uint64_t value) {
        return ptrace(PTRACE_POKEUSER, pid_, debug_register(n), value) == 0;
    };
    // An address is checked against the register's present type and length, disabled or not.
    if (dr7_ != 0 && !poke(7, 0)) return false;
    dr7_ = 0;
    for (unsigned n = 0; n < 4; ++n) {
        if (!used(n) || address_[n] == addresses[n]) continue;
        if (!poke(n, addresses[n])) return false;
        address_[n] = addresses[n];
    }
    if (dr7 != 0 && !poke(7, dr7)) return false;
    dr7_ = dr7;
    return true;
}

Stop Child::resume() {
    Stop stop;
    siginfo_t info;
    if (ptrace(PTRACE_CONT, pid_, nullptr, nullptr) != 0 || !wait_for(stop.status) ||
        ptrace(PTRACE_GETREGS, pid_, nullptr, &stop.regs) != 0 ||
        ptrace(PTRACE_GETSIGINFO, pid_, nullptr, &info) != 0) {
        stop.dead = true;
        return stop;
    }
    stop.signal = WSTOPSIG(stop.status);
    stop.code = info.si_code;
    stop.address = reinterpret_cast<std::uint64_t>(info.si_addr);
    return stop;
}

bool Child::bounce() {
    int status = 0;
    return ptrace(PTRACE_CONT, pid_, nullptr, nullptr) == 0 && wait_for(status);
}

std::uint64_t Child::dr6() const {
    return static_cast<std::uint64_t>(ptrace(PTRACE_PEEKUSER, pid_, debug_register(6), nullptr));
}

bool Child::note(int signal, Noted& noted) {
    // With a step requested, the kernel stops the child on entry to the handler: signal_setup_done (kernel/signal.c).
    int status = 0;
    if (ptrace(PTRACE_SINGLESTEP, pid_, nullptr, signal) != 0 || !wait_for(status)) return false;
    const long context = ptrace(PTRACE_PEEKUSER, pid_, offsetof(struct user, regs.rdx), nullptr);
    const std::uint64_t offset = static_cast<std::uint64_t>(context) - private_base;
    if (offset > private_size - sizeof(ucontext_t)) return false;
    const std::uint8_t* frame = memory_ + memory_size_ + offset + offsetof(ucontext_t, uc_mcontext.gregs);
    const auto read = [frame](int index) {
        std::uint64_t value;
        std::memcpy(&value, frame + sizeof value * static_cast<std::size_t>(index), sizeof value);
        return value;
    };
    noted = {read(REG_TRAPNO), read(REG_ERR), read(REG_CR2)};
    return true;
}

}  // namespace faultline::native
