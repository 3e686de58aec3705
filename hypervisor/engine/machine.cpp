#include "hypervisor/engine/machine.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {

Machine::Machine(std::span<const std::uint8_t> pristine, const Quirks& wrong)
    : memory(pristine),
      mmu(memory),
      decoder{Decoder(CodeMode::Long64),      Decoder(CodeMode::Compat32),    Decoder(CodeMode::Compat16),
              Decoder(CodeMode::Protected32), Decoder(CodeMode::Protected16), Decoder(CodeMode::Real)},
      quirks(wrong) {}

void Machine::reset() {
    memory.restore([this](std::uint64_t physical, std::size_t length) { watched_write(physical, length); });
    debug.reset();
    attention = 0;
    fault = {};
    shadow = Shadow::None;
    in_mov_ss_shadow = in_shadow = branched = step_settled = nmi_blocked = false;
    steps_left = steps_end_ = clock_base_ = 0;
    resumed_at = never;
    quirk_state = {};
    svm = {};
    monitored_ = never;
}

void Machine::registers_changed() {
    set_rflags(cpu.rflags);
    set_cpl(cpu.cpl);
    segments_changed();
    debug.set_de((cpu.cr4 & cr4::de) != 0);
    breakpoints_changed();
    paging_changed();
    if (quirks.any()) pend(quirky);
}

void Machine::write_physical(std::uint64_t physical, const void* from, std::size_t length) {
    const auto* bytes = static_cast<const std::uint8_t*>(from);
    while (length) {
        const std::size_t line = std::min<std::size_t>(length, Memory::line_size - physical % Memory::line_size);
        if (memory.write(physical, bytes, line)) watched_write(physical, line);
        physical += line;
        bytes += line;
        length -= line;
    }
}

std::size_t Machine::fetch_bytes(std::span<std::uint8_t> to) {
    std::size_t fetched = 0;
    while (fetched < to.size()) {
        const std::uint64_t offset = cpu.rip + fetched;
        if (!is_target(offset)) break;
        const Translation at = mmu.translate(code_address(offset), Access::Fetch, user_);
        if (!at.ok) break;
        const std::uint64_t within_limit = std::min<std::uint64_t>(code_limit_ - offset, to.size()) + 1;
        const std::uint64_t here =
            std::min({to.size() - fetched, Memory::page_size - at.physical % Memory::page_size, within_limit});
        memory.read(at.physical, &to[fetched], here);
        fetched += here;
    }
    return fetched;
}

// ---- The loop --------------------------------------------------------------------------------------------------

Exit Machine::run(std::uint64_t steps) {
    clock_base_ += steps_taken();
    steps_left = steps_end_ = steps;
    while (steps_left) {
        --steps_left;
        if (attention || is_among(code_breakpoint_pages_, cpu.rip)) [[unlikely]] {
            const Boundary found = boundary();
            if (found == Boundary::Exit) return leave();
            if (found == Boundary::Again) continue;
            if (attention) {
                if (!execute_closely()) return leave();
                continue;
            }
        }
        const Instruction* instruction = fetch();
        if (instruction) [[likely]] {
            cpu.next_rip() = cpu.rip + instruction->length;
            if (instruction->run(*this, *instruction)) [[likely]] {
                cpu.rip = cpu.next_rip();
                continue;
            }
        }
        if (!take_fault()) return leave();
    }
    if (!(attention & stopped)) exit = Exit::StepLimit;
    return leave();
}

Exit Machine::leave() {
    drop(stopped);
    return exit;
}

/// What lies between two instructions, in order of priority: traps of the previous instruction, NMI, interrupts,
/// instruction breakpoints of the next. AMD APM vol 2, "Simultaneous Interrupts".
Machine::Boundary Machine::boundary() {
    if (attention & stopped) return Boundary::Exit;
    const bool inside_rep = (attention & unfinished_rep) != 0;
    std::uint64_t pushed = cpu.rflags | (inside_rep ? rflags::rf : 0), trap_rip = cpu.rip;
    debug.pending |= debug.seen;
    debug.seen = 0;
    if (quirks.any()) [[unlikely]]
        if (const auto delivered = QuirkHooks::boundary(*this, inside_rep, trap_rip, pushed)) return after(*delivered);

    // What #VMEXIT saves here: the shadow, and the RF that a REP string instruction pushes.
    in_shadow = shadow != Shadow::None;
    if (inside_rep) resumed_at = clock();
    // With GIF = 0 breakpoints are "ignored and discarded". AMD APM vol 2, "Global Interrupt Flag, STGI and CLGI
    // Instructions".
    if (!svm.gif) debug.pending &= ~guest::dr::dr6_b;
    if (svm.gif && attention & (init_line | smi_line)) [[unlikely]]
        return take_signal(pushed);
    // MOV SS holds back every trap, and interrupts with it; STI holds back interrupts only.
    if (debug.pending && shadow != Shadow::MovSs) {
        drop(halted | unfinished_rep | shadowed);
        shadow = Shadow::None;
        return after(deliver_debug(DebugEvent::Condition, 0, trap_rip, pushed));
    }
    if (svm.gif && shadow == Shadow::None) {
        if (attention & nmi_line && !nmi_blocked) {
            if (exits_on(Intercept::Nmi)) return after(leave_guest(*this));
            drop(nmi_line | halted | unfinished_rep);
            nmi_blocked = true;
            return after(deliver({vector::nmi, 0, 0}, Delivery::Nmi, cpu.rip, pushed));
        }
        if (attention & interrupt_line && interrupts_enabled()) {
            if (exits_on(Intercept::Intr)) return after(leave_guest(*this));
            drop(interrupt_line | halted | unfinished_rep);
            return after(deliver({interrupt_vector, 0, 0}, Delivery::Interrupt, cpu.rip, pushed));
        }
        if (attention & virtual_line)
            if (const VirtualEvent event = take_virtual_interrupt(*this, pushed); event != VirtualEvent::None)
                return after(event == VirtualEvent::Taken);
    }
    if (attention & halted) {
        exit = Exit::Halted;
        return Boundary::Exit;
    }
    std::uint64_t hits = 0;
    if (is_among(code_breakpoint_pages_, cpu.rip) && !inside_rep && !(cpu.rflags & rflags::rf) && svm.gif)
        hits = debug.match_code(code_address(cpu.rip));
    if (quirks.any()) [[unlikely]]
        hits = QuirkHooks::match_code(*this, inside_rep);
    if (hits) {
        shadow = Shadow::None;
        drop(shadowed);
        return after(deliver_debug(DebugEvent::Condition, hits, cpu.rip, cpu.rflags));
    }
    drop(unfinished_rep);
    resumed_at = cpu.rflags & rflags::rf ? clock() : never;
    if (cpu.rflags & rflags::rf) set_rflags(cpu.rflags & ~rflags::rf);
    if (!debug.pending) drop(causes);
    return Boundary::Execute;
}

/// INIT, then SMI: before every trap. AMD APM vol 2, "Simultaneous Interrupts"; "INIT Support", "Response to SMI".
/// "INIT is still pending" and "SMI is still pending" after the exit; redirected, INIT is #SX and "no longer pending".
Machine::Boundary Machine::take_signal(std::uint64_t pushed) {
    constexpr std::uint64_t external = 1;
    constexpr std::uint32_t by_init = 1;  // #SX's error code
    drop(halted | unfinished_rep);
    if (attention & init_line) {
        if (exits_on(Intercept::Init)) return after(leave_guest(*this));
        if (svm.vm_cr & vm_cr::r_init) {
            drop(init_line);
            const Fault redirected{vector::sx, by_init, 0};
            if (exits_on(redirected)) return after(leave_guest(*this));
            return after(deliver(redirected, Delivery::Exception, cpu.rip, pushed));
        }
    } else if (exits_on(Intercept::Smi, external)) {
        return after(leave_guest(*this));
    }
    stop(Exit::Unimplemented);
    return Boundary::Exit;
}

/// One instruction with everything watched.
bool Machine::execute_closely() {
    const bool stepping = (cpu.rflags & rflags::tf) != 0;
    if (quirks.any()) [[unlikely]]
        QuirkHooks::before_instruction(*this);
    in_mov_ss_shadow = shadow == Shadow::MovSs;
    in_shadow = shadow != Shadow::None;
    shadow = Shadow::None;
    drop(shadowed);
    branched = step_settled = false;
    const Instruction* instruction = fetch();
    bool done = false;
    if (instruction) {
        cpu.next_rip() = cpu.rip + instruction->length;
        done = quirks.any() ? QuirkHooks::execute(*this, *instruction) : instruction->run(*this, *instruction);
    }
    if (done) {
        cpu.rip = cpu.next_rip();
        // TF at the instruction's start decides, so setting it takes effect one instruction late. A MOV SS that opens
        // a shadow loses its own trap. AMD APM vol 2, "Single Stepping".
        if (stepping && !step_settled && shadow != Shadow::MovSs && (!debug.branch_step() || branched)) {
            debug.pending |= guest::dr::dr6_bs;
            pend(causes);
        }
    }
    const bool completed = done;
    if (!done) done = take_fault();
    if (quirks.any()) [[unlikely]]
        QuirkHooks::after_instruction(*this, stepping, completed);
    in_mov_ss_shadow = in_shadow = false;
    return done;
}

/// The current instruction has raised `fault`, or found an intercept, or set `exit`.
bool Machine::take_fault() {
    if (!quirk(Quirk::faulting_access_reported)) debug.seen = 0;
    if (attention & stopped) return false;
    if (attention & exiting) return leave_guest(*this);
    if (quirks.any()) [[unlikely]]
        QuirkHooks::fault(*this);
    if (fault.vector == vector::db)
        return deliver_debug(DebugEvent::Condition, fault.debug_causes, cpu.rip, cpu.rflags);
    if (exits_on(fault)) return leave_guest(*this);
    return deliver(fault, Delivery::Exception, cpu.rip, cpu.rflags | rflags::rf);
}

// ---- Fetch -----------------------------------------------------------------------------------------------------

const Instruction* Machine::fetched(DecodeStatus status) {
    switch (status) {
        case DecodeStatus::Ok: return &scratch_;
        case DecodeStatus::Undefined: raise_ud(); break;
        default: raise_gp(); break;
    }
    return nullptr;
}

/// Only bytes that the instruction needs are fetched; one beyond the limit of CS is #GP(0). AMD APM vol 2, "Limit
/// Checks", "Code-Segment Limit Checks".
const Instruction* Machine::fetch_slow() {
    if (!long64()) cpu.rip = static_cast<std::uint32_t>(cpu.rip);  // where 32 bits end, EIP wraps
    if (!is_target(cpu.rip)) {
        raise_gp();
        return nullptr;
    }
    const std::uint64_t linear = code_address(cpu.rip);
    const Translation at = mmu.translate(linear, Access::Fetch, user_);
    if (!at.ok) {
        raise_page_fault(linear, at, true);
        return nullptr;
    }
    const std::size_t within_limit = std::min<std::uint64_t>(code_limit_ - cpu.rip, max_instruction_length - 1) + 1;
    const std::uint64_t offset = at.physical % Memory::page_size;
    const std::size_t here = std::min<std::size_t>(within_limit, Memory::page_size - offset);
    if (at.physical >= Memory::size) return fetch_crossing(at.physical, here, within_limit);

    const std::size_t number = at.physical / Memory::page_size;
    CodePage& page = code.page(number);
    page.use(mode_);
    if (code_base_ % Memory::page_size == 0 && (cpu.rip | (Memory::page_size - 1)) <= code_limit_) {
        code_page_ = &page;
        fetch_page_ = page_of(cpu.rip);
    }
    if (const std::uint16_t slot = page.slot[offset])
        if (page.decoded[slot].length <= here) return &page.decoded[slot];
    const DecodeStatus status = decode(memory.page(number) + offset, here);
    if (status == DecodeStatus::NeedMore) return fetch_crossing(at.physical, here, within_limit);
    if (status != DecodeStatus::Ok) return fetched(status);
    memory.watch(at.physical, scratch_.length);
    return code.store(page, offset, scratch_);
}

/// An instruction that goes on in the next page or beyond the limit, or lies in no memory. `here` bytes lie in its
/// first page.
const Instruction* Machine::fetch_crossing(std::uint64_t physical, std::size_t here, std::size_t within_limit) {
    std::uint8_t bytes[max_instruction_length];
    memory.read(physical, bytes, here);
    DecodeStatus status = decode(bytes, here);
    if (status == DecodeStatus::NeedMore && here < within_limit) {
        const std::uint64_t next = code_address(cpu.rip + here);
        if (long64() && !canonical(next)) {
            raise_gp();
            return nullptr;
        }
        const Translation rest = mmu.translate(next, Access::Fetch, user_);
        if (!rest.ok) {
            raise_page_fault(next, rest, true);
            return nullptr;
        }
        memory.read(rest.physical, bytes + here, within_limit - here);
        status = decode(bytes, within_limit);
    }
    return fetched(status);
}

// ---- Memory ----------------------------------------------------------------------------------------------------

/// The address of a program's access, checked: linear in place of what the program computed.
bool Machine::linearise(std::uint64_t& address, std::size_t length, Via via, Access access) {
    if (!long64()) {
        if (!take_through_segment(address, length, via, access)) return false;
    } else if (!canonical(address) || !canonical(address + length - 1)) {
        return raise(via == Via::Stack && !quirk(Quirk::stack_address_is_gp) ? vector::ss : vector::gp);
    }
    return !alignment_checked_ || !(address & (length - 1)) || raise(vector::ac);
}

/// Type and limit. In real mode a segment is whatever was loaded last, and only its limit counts. AMD APM vol 2,
/// "Segment-Protection Checks": "Limit Checks" ("Data-Segment Limit Checks"), "Type Checks"; a null selector's segment
/// is not present here.
bool Machine::take_through_segment(std::uint64_t& address, std::size_t length, Via via, Access access) {
    const guest::Segment& segment = cpu.segment[static_cast<std::size_t>(via)];
    const std::uint8_t refused = via == Via::Stack ? vector::ss : vector::gp;
    const unsigned attributes = segment.attributes;
    const bool is_code = attributes & attribute::code;
    if (!real_mode()) {
        if (!(attributes & attribute::present)) return raise(refused);
        const bool may = is_code ? access == Access::Read && attributes & attribute::readable
                                 : access == Access::Read || attributes & attribute::writable;
        if (!may) return raise_gp();
    }
    const std::uint64_t last = address + length - 1;
    if (!is_code && attributes & attribute::expand_down) {
        const std::uint64_t top = attributes & attribute::big ? 0xFFFF'FFFF : 0xFFFF;
        if (address <= segment.limit || last > top) return raise(refused);
    } else if (last > segment.limit) {
        return raise(refused);
    }
    address = static_cast<std::uint32_t>(segment.base + address);
    return true;
}

const Mmu::TlbEntry* Machine::direct(std::uint64_t linear, std::size_t length) const {
    const bool one_page = page_of(linear) == page_of(linear + length - 1);
    if (long64() || !one_page || is_among(data_breakpoint_pages_, linear)) return nullptr;
    return &mmu.entry(linear, user_);
}

/// Both pages of a crossing access are translated before any byte moves.
bool Machine::translate(std::uint64_t linear, std::size_t length, Access access, bool user,
                        std::uint64_t (&physical)[2], std::size_t& first_length) {
    first_length = std::min<std::size_t>(length, Memory::page_size - linear % Memory::page_size);
    const Translation first = mmu.translate(linear, access, user);
    if (!first.ok) return raise_page_fault(linear, first);
    physical[0] = first.physical;
    if (first_length == length) return true;
    const std::uint64_t rest = long_mode() ? linear + first_length : static_cast<std::uint32_t>(linear + first_length);
    const Translation second = mmu.translate(rest, access, user);
    if (!second.ok) return raise_page_fault(quirk(Quirk::crossing_fault_names_first_byte) ? linear : rest, second);
    physical[1] = second.physical;
    return true;
}

bool Machine::load_slow(std::uint64_t address, void* to, std::size_t length, Via via) {
    if (!linearise(address, length, via, Access::Read)) return false;
    if (const auto* entry = direct(address, length); entry && entry->read == page_of(address)) {
        std::memcpy(to, entry->host + address % Memory::page_size, length);
        return true;
    }
    std::uint64_t physical[2];
    std::size_t first;
    if (!translate(address, length, Access::Read, user_, physical, first)) return false;
    memory.read(physical[0], to, first);
    if (first < length) memory.read(physical[1], static_cast<std::uint8_t*>(to) + first, length - first);
    if (debug.data_armed()) saw(debug.match_data(address, length, false));
    if (quirks.any()) [[unlikely]]
        QuirkHooks::match_data(*this, address, length, false, via);
    return true;
}

bool Machine::store_slow(std::uint64_t address, const void* from, std::size_t length, Via via) {
    std::uint64_t physical[2];
    std::size_t first;
    if (!linearise(address, length, via, Access::Write)) return false;
    if (!translate(address, length, Access::Write, user_, physical, first)) {
        if (quirk(Quirk::store_across_pages_half_done)) QuirkHooks::store_first_page(*this, address, from, length);
        return false;
    }
    write_physical(physical[0], from, first);
    if (first < length) write_physical(physical[1], static_cast<const std::uint8_t*>(from) + first, length - first);
    if (debug.data_armed()) saw(debug.match_data(address, length, true));
    if (quirks.any()) [[unlikely]]
        QuirkHooks::match_data(*this, address, length, true, via);
    return true;
}

bool Machine::may_write(std::uint64_t address, std::size_t length, Via via) {
    std::uint64_t physical[2];
    std::size_t first;
    if (!linearise(address, length, via, Access::Write)) return false;
    quirk_state.modified = address;
    return translate(address, length, Access::Write, user_, physical, first);
}

bool Machine::system_translate(std::uint64_t linear, std::size_t length, Access access, Fault when_noncanonical,
                               std::uint64_t (&physical)[2], std::size_t& first) {
    if (!canonical(linear) || !canonical(linear + length - 1)) {
        fault = when_noncanonical;
        return false;
    }
    return translate(linear, length, access, false, physical, first);
}

bool Machine::system_read_slow(std::uint64_t linear, void* to, std::size_t length, Fault when_noncanonical) {
    std::uint64_t physical[2];
    std::size_t first;
    if (!system_translate(linear, length, Access::Read, when_noncanonical, physical, first)) return false;
    memory.read(physical[0], to, first);
    if (first < length) memory.read(physical[1], static_cast<std::uint8_t*>(to) + first, length - first);
    return true;
}

bool Machine::system_write_slow(std::uint64_t linear, const void* from, std::size_t length, Fault when_noncanonical) {
    std::uint64_t physical[2];
    std::size_t first;
    if (!system_translate(linear, length, Access::Write, when_noncanonical, physical, first)) return false;
    write_physical(physical[0], from, first);
    if (first < length) write_physical(physical[1], static_cast<const std::uint8_t*>(from) + first, length - first);
    return true;
}

/// Memory that is not there cannot be watched.
void Machine::monitor(std::uint64_t physical) {
    monitored_ = physical < Memory::size ? physical & ~(Memory::line_size - 1) : never;
    if (is_monitoring()) memory.watch(monitored_, Memory::line_size);
}

/// Bytes that somebody keeps something derived from have changed.
void Machine::watched_write(std::uint64_t physical, std::size_t length) {
    const std::size_t here = std::min<std::size_t>(length, Memory::page_size - physical % Memory::page_size);
    code.invalidate(physical, here);
    if (monitored_ < physical + here && physical < monitored_ + Memory::line_size) monitored_ = never;
    if (mmu.holds_tables(physical) || mmu.holds_tables(physical + here - 1)) {
        mmu.flush();
        fetch_page_ = no_page;
    }
    if (here < length && physical + here < Memory::size) watched_write(physical + here, length - here);
}

// ---- Derived state ---------------------------------------------------------------------------------------------

void Machine::set_cpl(std::uint8_t cpl) {
    cpu.cpl = cpl;
    user_ = cpl == 3;
    fetch_page_ = no_page;
    access_checks_changed();
}

void Machine::paging_changed() {
    mmu.configure(cpu, svm.nested_paging);
    fetch_page_ = no_page;
    access_checks_changed();
}

void Machine::segments_changed() {
    const guest::Segment& now = cpu.segment[cs];
    const bool big = now.attributes & attribute::big;
    if (real_mode())
        mode_ = CodeMode::Real;
    else if (!long_mode())
        mode_ = big ? CodeMode::Protected32 : CodeMode::Protected16;
    else if (now.attributes & attribute::long_mode)
        mode_ = CodeMode::Long64;
    else
        mode_ = big ? CodeMode::Compat32 : CodeMode::Compat16;
    code_base_ = long64() ? 0 : now.base;
    code_limit_ = long64() ? ~0ull : now.limit;
    stack_mask_ = long64() ? ~0ull : cpu.segment[ss].attributes & attribute::big ? 0xFFFF'FFFF : 0xFFFF;
    stack_kept_ = stack_mask_ == 0xFFFF ? ~stack_mask_ : 0;
    fetch_page_ = no_page;
    breakpoints_changed();
}

void Machine::breakpoints_changed() {
    // A page of CS lies in two linear pages where the base is not aligned.
    const int shift = static_cast<int>(code_base_ / Memory::page_size % 64);
    const bool aligned = code_base_ % Memory::page_size == 0;
    code_breakpoint_pages_ = std::rotr(debug.code_pages(), shift);
    if (!aligned) code_breakpoint_pages_ |= std::rotr(debug.code_pages(), shift + 1);
    data_breakpoint_pages_ = debug.data_pages();
    if (quirks.any()) [[unlikely]]
        code_breakpoint_pages_ = data_breakpoint_pages_ = ~0ull;
    access_checks_changed();
}

}  // namespace faultline::engine
