// The traced process that runs programs, and what can be done to it through ptrace(2). Knows nothing of images and
// tapes.
//
// Its address space holds the program's pages (at their own addresses, shared with the tracer), one private area for
// signal frames, and nothing else. It can make no system call: a seccomp filter turns each into SIGSYS.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "hypervisor/guest/backend.hpp"
#include "hypervisor/native/affinity.hpp"

namespace faultline::native {

/// Selectors of Linux's own descriptor table: asm/segment.h, __USER32_CS, __USER_DS, __USER_CS.
inline constexpr std::uint16_t linux_cs32 = 0x23, linux_ss = 0x2B, linux_cs = 0x33;
/// More flat, writable data segments of DPL 3, which the child has as its thread-local descriptors (GDT entries 12,
/// 14).
inline constexpr std::array<std::uint16_t, 2> other_ss = {12 * 8 + 3, 14 * 8 + 3};

/// A signal-delivery-stop, or the end of the process.
struct Stop {
    bool dead = false;
    int status = 0;  ///< of waitpid, when dead
    int signal = 0, code = 0;
    std::uint64_t address = 0;  ///< si_addr
    user_regs_struct regs{};
};

/// What the kernel noted of the exception behind a signal: the sigcontext's trapno, err and cr2.
struct Noted {
    std::uint64_t vector, error, cr2;
};

/// Belongs to the thread that started it: ptrace takes requests from no other.
class Child {
public:
    static tl::expected<std::unique_ptr<Child>, guest::Unavailable> start();
    ~Child();
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    /// layout::ram_size bytes by linear address; the child sees those of the stage's user pages.
    std::span<std::uint8_t> memory() { return {memory_, memory_size_}; }
    /// Registers as the child was set up with: a template for those that no program has a say in.
    const user_regs_struct& registers() const { return registers_; }
    bool owned_by_this_thread() const;
    /// Whether `other_ss` can be loaded: Linux grants them where it runs 32-bit programs.
    bool has_other_ss() const { return has_other_ss_; }

    /// Addresses of DR0–3 and the enable, type and length bits of DR7. False where Linux refuses them.
    bool set_breakpoints(const std::array<std::uint64_t, 4>& addresses, std::uint64_t dr7);
    bool set_registers(const user_regs_struct& registers);
    /// Clears RFLAGS.ID, which only the child itself can. False when it died.
    bool clear_id();
    /// Runs to the next stop; what a signal would have done is left undone.
    Stop resume();
    /// The same, and looks at nothing.
    bool bounce();
    /// DR6 as Linux shows it: of the last #DB only.
    std::uint64_t dr6() const;
    /// After a SIGSEGV or SIGBUS stop: has the kernel build the signal's frame in the private area, and reads it there.
    /// The registers are the handler's then and must be set. False when the child died.
    bool note(int signal, Noted& noted);

private:
    Child() = default;
    tl::expected<void, guest::Unavailable> set_up();
    long remote(long number, std::array<std::uint64_t, 6> arguments);
    bool run_private_code(user_regs_struct& regs, std::uint64_t offset);
    bool wait_for(int& status) const;

    OneProcessor processor_;
    pid_t pid_ = -1, owner_ = -1;
    std::uint8_t* memory_ = nullptr;  ///< memory_size_ bytes by address, then the private area
    std::size_t memory_size_ = 0;
    user_regs_struct registers_{};
    bool has_other_ss_ = false;
    std::array<std::uint64_t, 4> address_{};
    std::uint64_t dr7_ = 0;
    std::string failure_;
};

}  // namespace faultline::native
