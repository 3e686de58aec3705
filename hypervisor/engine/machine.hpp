// The built-in machine: memory, one vCPU of an AMD processor with SVM, and `run`, which interprets bytes until
// something happens that the machine's owner has to deal with.
//
// Addresses that a program computes are offsets in a segment until `load`, `store` and their kind have taken them
// through it; in 64-bit mode that changes nothing, and only there the fast paths stand.
//
// Everything is deterministic: the time stamp counter counts steps, and nothing reads the host.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hypervisor/engine/code_cache.hpp"
#include "hypervisor/engine/cpu.hpp"
#include "hypervisor/engine/debug_unit.hpp"
#include "hypervisor/engine/decoder.hpp"
#include "hypervisor/engine/memory.hpp"
#include "hypervisor/engine/mmu.hpp"
#include "hypervisor/engine/quirk_hooks.hpp"
#include "hypervisor/engine/svm/state.hpp"

namespace faultline::engine {

/// Why `Machine::run` came back.
enum class Exit : std::uint8_t {
    StopPort,  ///< OUT to `stop_port` completed; AL holds what the guest said
    Hlt,       ///< HLT completed: now is the time to inject what should wake it
    Halted,    ///< still halted, and nothing that may be taken is pending
    Shutdown,  ///< triple fault
    StepLimit,
    Unimplemented,  ///< a defined instruction or mode that this machine does not have; RIP is at it
    EntryFailure,   ///< quirks only: as where a hypervisor fails to enter its guest
    VmExit,         ///< #VMEXIT from the guest that the owner entered: the VMCB says why
};

/// An exception about to be delivered.
struct Fault {
    std::uint8_t vector = 0;
    std::uint32_t error = 0;         ///< pushed for the vectors that have an error code
    std::uint64_t debug_causes = 0;  ///< #DB only: DR6 bits
    std::uint64_t address = 0;       ///< #PF only: CR2 as its handler finds it
    bool fetch = false;              ///< met while fetching the instruction
    /// Injected exceptions only: EVENTINJ says whether there is an error code, not the vector.
    std::optional<bool> has_error;
};

namespace vector {
inline constexpr std::uint8_t de = 0, db = 1, nmi = 2, bp = 3, of = 4, br = 5, ud = 6, nm = 7, df = 8, ts = 10, np = 11,
                              ss = 12, gp = 13, pf = 14, ac = 17, sx = 30;
}

/// The segment a memory operand is reached through, numbered as in SegmentSlot. In 64-bit mode it only decides between
/// #SS and #GP for a non-canonical address: the bases of FS and GS are part of the address there.
enum class Via : std::uint8_t { Extra, Code, Stack, Data, Fs, Gs };

/// How an event comes to the IDT. Only exceptions push error codes. Software (INT n) and SoftwareException (INT3, INTO)
/// check the gate's DPL, and the error codes of faults met on the way have EXT clear. AMD APM vol 2, "Error Codes".
enum class Delivery : std::uint8_t { Exception, Interrupt, Nmi, Software, SoftwareException };

enum class Shadow : std::uint8_t { None, Sti, MovSs };

/// All state is open to the instruction handlers, which are its methods in all but name.
struct Machine {
    /// `pristine` has Memory::size bytes and outlives the machine.
    explicit Machine(std::span<const std::uint8_t> pristine, const Quirks& wrong = {});

    /// Runs until an exit, at most `steps` boundaries (instructions, REP iterations and deliveries).
    Exit run(std::uint64_t steps);

    /// For the owner: after changing registers by hand, so that what is derived from them is recomputed.
    void registers_changed();
    /// Memory pristine, nothing pending, no shadow. Registers are the owner's to set.
    void reset();
    /// Writes guest-physical memory as a device would: decoded code stays coherent.
    void write_physical(std::uint64_t physical, const void* from, std::size_t length);
    /// Fetches from RIP on, as far as that goes: how many bytes.
    std::size_t fetch_bytes(std::span<std::uint8_t> to);

    /// IRET has completed: NMIs may come again, virtual ones, too. AMD APM vol 2, "NMI Virtualization".
    void open_nmi() {
        nmi_blocked = false;
        if (svm.virtual_interrupts & guest::svm::vintr::nmi_enable)
            svm.virtual_interrupts &= ~guest::svm::vintr::nmi_mask;
    }
    void inject_nmi() { pend(nmi_line); }
    void inject_interrupt(std::uint8_t number) {
        interrupt_vector = number;
        pend(interrupt_line);
    }
    /// Signals from outside, which only a guest's hypervisor, or VM_CR.R_INIT, keeps from doing what this machine
    /// cannot: neither the state after INIT nor system management mode is there.
    void inject_init() { pend(init_line); }
    void inject_smi() { pend(smi_line); }
    std::uint64_t steps_taken() const { return steps_end_ - steps_left; }

    /// For an owner that is the hypervisor: VMRUN of the VMCB at this physical address, with the registers as they are
    /// for the host's. The next `run` is the guest's and ends with Exit::VmExit at the #VMEXIT, be it because VMRUN
    /// finds the VMCB invalid. By then the VMCB holds what #VMEXIT writes and the registers are what it leaves: the
    /// host's where it reloads them, the guest's everywhere else; so the guest goes on after another `enter_guest`.
    void enter_guest(std::uint64_t vmcb);

    Cpu cpu;
    Memory memory;
    Mmu mmu;
    DebugUnit debug;
    CodeCache code;
    std::array<Decoder, code_modes> decoder;  ///< by CodeMode
    /// Wrong behaviours asked for; see quirk_hooks.hpp.
    const Quirks quirks;
    QuirkState quirk_state;
    Svm svm;
    bool quirk(Quirk which) const { return __builtin_expect(quirks.has(which), false); }
    /// OUT of one byte to this port ends a run.
    std::uint16_t stop_port = 0;

    // ---- for instruction handlers -------------------------------------------------------------------------------

    /// Reasons to look closer at the next boundary. While none is set, and no instruction breakpoint is armed in RIP's
    /// page, instructions run back to back.
    enum Attention : std::uint32_t {
        trap_flag = 1,    ///< RFLAGS.TF
        resume_flag = 2,  ///< RFLAGS.RF
        causes = 4,       ///< debug.seen or debug.pending
        shadowed = 8,
        interrupt_line = 16,
        nmi_line = 32,
        halted = 64,           ///< HLT was executed
        stopped = 128,         ///< the run is over: `exit` says why
        unfinished_rep = 256,  ///< RIP is inside a REP string instruction
        quirky = 512,          ///< always set on a machine with quirks
        init_line = 4096,
        smi_line = 8192,
        virtual_line = 2048,  ///< V_IRQ or V_NMI: what becomes of them is looked at between instructions
        exiting = 1024,       ///< the handler that returns false has not raised a fault but found an intercept
    };
    std::uint32_t attention = 0;
    std::uint64_t steps_left = 0;
    Fault fault;  ///< what a handler that returned false has raised
    Exit exit = Exit::StepLimit;
    Shadow shadow = Shadow::None;   ///< opened by the instruction just executed
    bool in_mov_ss_shadow = false;  ///< the current instruction is the one that a MOV SS shadow covers
    bool in_shadow = false;         ///< … that any interrupt shadow covers
    bool branched = false;          ///< the current instruction transferred control
    bool step_settled = false;      ///< the current instruction has decided about its single-step trap itself
    bool nmi_blocked = false;
    static constexpr std::uint64_t never = ~0ull;
    std::uint64_t resumed_at = never;  ///< `clock` of the last instruction that began with RF = 1
    std::uint8_t interrupt_vector = 0;

    /// MONITOR arms the line of this physical address, until something is written there or the world changes; `never`:
    /// none.
    void monitor(std::uint64_t physical);
    bool is_monitoring() const { return monitored_ != never; }

    void pend(Attention reason) { attention |= reason; }
    /// Ends the run after the current instruction.
    void stop(Exit why) {
        exit = why;
        pend(stopped);
    }
    void drop(std::uint32_t reason) { attention &= ~reason; }

    bool raise(std::uint8_t number, std::uint32_t error = 0) {
        fault = {number, error, 0};
        return false;
    }
    bool raise_gp() { return raise(vector::gp); }
    bool raise_ud() { return raise(vector::ud); }
    /// What could not be translated: #PF, or in a guest the exit of a nested page fault.
    bool raise_page_fault(std::uint64_t linear, const Translation& refused, bool fetch = false);
    /// A defined instruction that this machine does not implement: ends the run.
    bool unimplemented() {
        stop(Exit::Unimplemented);
        return false;
    }

    // ---- Intercepts: of a guest, and never in a host. A handler that finds one has done nothing yet ----

    /// True: the hypervisor asked for this. The handler returns false.
    bool exits_on(Intercept what, std::uint64_t info_1 = 0, std::uint64_t info_2 = 0) {
        return svm.intercepts.has(what) && exit_on(what, info_1, info_2);
    }
    /// The same for an exception that is recognised; if it is not intercepted, it writes what it writes before its
    /// delivery (CR2; DR6 and DR7 are written before).
    bool exits_on(const Fault& recognised);
    /// Reports an instruction intercept that applies: true.
    bool exit_on(Intercept what, std::uint64_t info_1, std::uint64_t info_2);

    CodeMode mode() const { return mode_; }
    bool long64() const { return mode_ == CodeMode::Long64; }
    bool long_mode() const { return (cpu.efer & efer::lma) != 0; }
    bool real_mode() const { return !(cpu.cr0 & cr0::pe); }
    /// Every change of CS or SS goes through here; so may the others.
    void set_segment(SegmentSlot slot, const guest::Segment& value) {
        cpu.segment[slot] = value;
        if (slot == cs || slot == ss) segments_changed();
    }
    /// After a change of CS, SS, CR0.PE or EFER.LMA by hand.
    void segments_changed();
    /// Linear address of an offset in CS.
    std::uint64_t code_address(std::uint64_t offset) const {
        return long64() ? offset : static_cast<std::uint32_t>(code_base_ + offset);
    }
    /// RSP as far as it addresses the stack: 64 bits in 64-bit mode, else by SS.B.
    /// AMD APM vol 2, "Default Operand Size (D/B) Bit".
    std::uint64_t stack_pointer() const { return cpu.r[rsp] & stack_mask_; }
    /// `offset` in the stack segment, wrapped at the stack's width.
    std::uint64_t in_stack(std::uint64_t offset) const { return offset & stack_mask_; }
    /// A 16-bit stack keeps the rest of RSP.
    void set_stack_pointer(std::uint64_t value) { cpu.r[rsp] = (cpu.r[rsp] & stack_kept_) | (value & stack_mask_); }

    /// Loads, stores: false after raising #PF, #GP, #SS or #AC. `address` is linear in 64-bit mode, else an offset in
    /// the segment that `via` names.
    template <class T>
    bool load(std::uint64_t address, T& value, Via via = Via::Data) {
        const auto& entry = mmu.entry(address, user_);
        if (entry.read != page_of(last_byte<T>(address)) || checked(address)) [[unlikely]]
            return load_slow(address, &value, sizeof(T), via);
        std::memcpy(&value, entry.host + address % Memory::page_size, sizeof(T));
        return true;
    }
    template <class T>
    bool store(std::uint64_t address, T value, Via via = Via::Data) {
        const auto& entry = mmu.entry(address, user_);
        if (entry.write != page_of(last_byte<T>(address)) || checked(address)) [[unlikely]]
            return store_slow(address, &value, sizeof(T), via);
        const std::uint64_t offset = address % Memory::page_size;
        std::memcpy(entry.host + offset, &value, sizeof(T));
        if (memory.mark(entry.page, offset, sizeof(T))) [[unlikely]]
            watched_write(entry.page * Memory::page_size + offset, sizeof(T));
        return true;
    }
    /// The read of a read-modify-write: needs, and reports lacking, the right to write.
    template <class T>
    bool load_to_modify(std::uint64_t address, T& value, Via via = Via::Data) {
        const auto& entry = mmu.entry(address, user_);
        if (entry.write != page_of(last_byte<T>(address)) || checked(address)) [[unlikely]]
            return may_write(address, sizeof(T), via) && load_slow(address, &value, sizeof(T), via);
        std::memcpy(&value, entry.host + address % Memory::page_size, sizeof(T));
        return true;
    }
    bool load_slow(std::uint64_t address, void* to, std::size_t length, Via via);
    bool store_slow(std::uint64_t address, const void* from, std::size_t length, Via via);
    /// Raises what a store would raise, without storing.
    bool may_write(std::uint64_t address, std::size_t length, Via via);

    /// Implicit supervisor accesses (descriptor tables, TSS, frames of event delivery) by linear address: no segment,
    /// no #AC, no breakpoints. `when_noncanonical` is raised for such an address. `length` is at most 64.
    bool system_read(std::uint64_t linear, void* to, std::size_t length, Fault when_noncanonical) {
        const auto& entry = mmu.entry(linear, false);
        const std::uint64_t offset = linear % Memory::page_size;
        if (entry.read != page_of(linear) || offset > Memory::page_size - length) [[unlikely]]
            return system_read_slow(linear, to, length, when_noncanonical);
        std::memcpy(to, entry.host + offset, length);
        return true;
    }
    bool system_write(std::uint64_t linear, const void* from, std::size_t length, Fault when_noncanonical) {
        const auto& entry = mmu.entry(linear, false);
        const std::uint64_t offset = linear % Memory::page_size;
        if (entry.write != page_of(linear) || offset > Memory::page_size - length) [[unlikely]]
            return system_write_slow(linear, from, length, when_noncanonical);
        std::memcpy(entry.host + offset, from, length);
        if (memory.mark(entry.page, offset, length)) [[unlikely]]
            watched_write(entry.page * Memory::page_size + offset, length);
        return true;
    }

    /// Whether near transfers to this offset are possible: canonical, and not beyond the limit of CS.
    bool is_target(std::uint64_t offset) const { return canonical(offset) && offset <= code_limit_; }
    /// Near transfer; raises #GP(0) for what is no target.
    bool jump(std::uint64_t target) {
        if (!is_target(target)) return raise_gp();
        transfer(target);
        return true;
    }
    void transfer(std::uint64_t target) {
        cpu.next_rip() = target;
        branched = true;
        debug.record_branch(cpu.rip, target);
    }
    /// Everything but the arithmetic flags goes through here: TF and RF have consequences.
    void set_rflags(std::uint64_t value) {
        cpu.rflags = value;
        attention = (attention & ~(trap_flag | resume_flag)) | (value & rflags::tf ? trap_flag : 0u) |
                    (value & rflags::rf ? resume_flag : 0u);
        access_checks_changed();
    }
    void set_cpl(std::uint8_t cpl);
    /// After a change of CR0, CR3, CR4 or EFER.
    void paging_changed();
    /// After a change of DR0–DR3, DR7 or CR4.DE.
    void breakpoints_changed();
    void saw(std::uint64_t debug_causes) {
        debug.seen |= debug_causes;
        if (debug_causes) pend(causes);
    }
    /// RFLAGS.IF, of the host's RFLAGS where V_INTR_MASKING says so. AMD APM vol 2, "Physical (INTR) Interrupt Masking
    /// in EFLAGS".
    bool interrupts_enabled() const {
        const bool by_host = svm.virtual_interrupts & guest::svm::vintr::masking;
        return ((by_host ? svm.host.rflags : cpu.rflags) & rflags::if_) != 0;
    }
    /// RFLAGS of the current instruction, with the RF that it began with: the processor clears RF when an instruction
    /// completes.
    std::uint64_t current_rflags() const { return cpu.rflags | (resumed_at == clock() ? rflags::rf : 0); }
    /// Time stamp counter before the offset: steps since the machine was made.
    std::uint64_t clock() const { return clock_base_ + steps_taken(); }
    /// What RDTSC reads, in a guest with TSC_OFFSET.
    std::uint64_t time_stamp() const { return clock() + cpu.tsc_offset + svm.tsc_offset; }

    // delivery.cpp
    /// One attempt to enter the handler of `event`, which pushes `return_rip`. False: `fault` is what went wrong.
    bool enter_handler(Fault event, Delivery delivery, std::uint64_t return_rip, std::uint64_t pushed_rflags);
    /// Delivers `first`, which no intercept has caught, and whatever delivering it raises. False: shutdown (`exit` is
    /// set). True also where an intercept on the way led back to the host.
    bool deliver(Fault first, Delivery delivery, std::uint64_t return_rip, std::uint64_t pushed_rflags);
    /// #DB with its effects on DR6, DR7 and DEBUGCTL. Held causes join.
    bool deliver_debug(DebugEvent event, std::uint64_t debug_causes, std::uint64_t return_rip,
                       std::uint64_t pushed_rflags);

private:
    friend struct QuirkHooks;
    enum class Boundary : std::uint8_t { Execute, Again, Exit };

    static std::uint64_t page_of(std::uint64_t linear) { return linear & ~(Memory::page_size - 1); }
    /// An access that ends in another page than it begins in misses the TLB entry of its beginning.
    template <class T>
    static std::uint64_t last_byte(std::uint64_t address) {
        return address + (sizeof(T) - 1);
    }

    static bool is_among(std::uint64_t pages, std::uint64_t linear) {
        return pages >> linear / Memory::page_size % 64 & 1;
    }
    bool checked(std::uint64_t address) const { return is_among(checked_pages_, address); }

    Boundary boundary();
    Boundary take_signal(std::uint64_t pushed);
    bool execute_closely();
    bool take_fault();
    const Instruction* fetch() {
        if (page_of(cpu.rip) == fetch_page_) [[likely]]
            if (const std::uint16_t slot = code_page_->slot[cpu.rip % Memory::page_size]) [[likely]]
                return &code_page_->decoded[slot];
        return fetch_slow();
    }
    const Instruction* fetch_slow();
    const Instruction* fetch_crossing(std::uint64_t physical, std::size_t here, std::size_t within_limit);
    const Instruction* fetched(DecodeStatus status);
    DecodeStatus decode(const std::uint8_t* bytes, std::size_t available) {
        return decoder[static_cast<std::size_t>(mode_)].decode(bytes, available, scratch_);
    }
    Boundary after(bool delivered) {
        in_shadow = false;
        return delivered ? Boundary::Again : Boundary::Exit;
    }
    Exit leave();
    bool linearise(std::uint64_t& address, std::size_t length, Via via, Access access);
    bool take_through_segment(std::uint64_t& address, std::size_t length, Via via, Access access);
    /// The TLB entry by which an access outside 64-bit mode may go directly; null if it has to be looked at.
    const Mmu::TlbEntry* direct(std::uint64_t linear, std::size_t length) const;
    bool system_read_slow(std::uint64_t linear, void* to, std::size_t length, Fault when_noncanonical);
    bool system_write_slow(std::uint64_t linear, const void* from, std::size_t length, Fault when_noncanonical);
    bool translate(std::uint64_t linear, std::size_t length, Access access, bool user, std::uint64_t (&physical)[2],
                   std::size_t& first_length);
    /// The same for the processor's own tables; an address that is not canonical is `when_noncanonical`.
    bool system_translate(std::uint64_t linear, std::size_t length, Access access, Fault when_noncanonical,
                          std::uint64_t (&physical)[2], std::size_t& first_length);
    void watched_write(std::uint64_t physical, std::size_t length);
    void access_checks_changed() {
        alignment_checked_ = user_ && cpu.cr0 & cr0::am && cpu.rflags & rflags::ac;
        checked_pages_ = alignment_checked_ || !long64() ? ~0ull : data_breakpoint_pages_;
    }

    static constexpr std::uint64_t no_page = 1;
    CodePage* code_page_ = nullptr;
    std::uint64_t fetch_page_ = no_page;  ///< page of CS that `code_page_` decodes, wholly within its limit
    Instruction scratch_;                 ///< an instruction that crosses a page is decoded anew each time
    CodeMode mode_ = CodeMode::Real;
    std::uint64_t code_base_ = 0, code_limit_ = 0;  ///< of CS; in 64-bit mode no base and no limit
    std::uint64_t stack_mask_ = 0, stack_kept_ = 0;
    bool user_ = false, alignment_checked_ = false;
    /// Pages by their number modulo 64: of CS, and linear.
    std::uint64_t code_breakpoint_pages_ = 0, data_breakpoint_pages_ = 0;
    /// Those whose accesses go the slow way: they hold a data breakpoint's range; all of them while alignment is
    /// checked or segments matter.
    std::uint64_t checked_pages_ = 0;
    std::uint64_t steps_end_ = 0, clock_base_ = 0;
    std::uint64_t monitored_ = never;  ///< address of a line
};

}  // namespace faultline::engine
