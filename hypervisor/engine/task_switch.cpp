#include "hypervisor/engine/task_switch.hpp"

#include <array>
#include <cstring>

#include "hypervisor/engine/frame.hpp"
#include "hypervisor/engine/segment.hpp"

namespace faultline::engine {
namespace {

/// Where a TSS keeps what is saved and loaded: slots of EIP, EFLAGS, the general purpose registers and the segment
/// registers, both in encoding order, stand together. AMD APM vol 2, "Legacy Task-State Segment"; the 16-bit form is
/// the 80286's.
struct Format {
    unsigned width, first, segments, ldt;
    std::uint32_t minimum;  ///< limit

    unsigned slots() const { return 10 + segments; }
    unsigned saved_end() const { return first + slots() * width; }
};
constexpr Format format32{4, 0x20, 6, 0x60, 0x67}, format16{2, 0x0E, 4, 0x2A, 0x2B};
constexpr unsigned most_slots = 16, eip_slot = 0, eflags_slot = 1, gpr_slot = 2, segment_slot = 10;
constexpr unsigned cr3_offset = 0x1C, trap_offset = 0x64;

/// Types 9 and 11 have bit 3, the 16-bit ones not.
const Format& format_of(std::uint16_t attributes) { return attributes & 8 ? format32 : format16; }

struct State {
    std::array<std::uint32_t, most_slots> slot{};
    std::uint16_t ldt = 0, trap = 0;
    std::uint32_t cr3 = 0;
};

constexpr Fault never{vector::ts, 0, 0};  ///< outside long mode no address is non-canonical

/// Writes back what it reads: what may be written once may be written again.
bool probe(Machine& m, std::uint64_t address, std::size_t length) {
    std::uint8_t bytes[64];
    return m.system_read(address, bytes, length, never) && m.system_write(address, bytes, length, never);
}

bool read_state(Machine& m, std::uint64_t base, const Format& format, State& state) {
    std::uint8_t image[64];
    const auto at = [&](std::uint64_t offset) { return table_address(m, base + offset); };
    if (!m.system_read(at(format.first), image, format.slots() * format.width, never) ||
        !m.system_read(at(format.ldt), &state.ldt, sizeof state.ldt, never))
        return false;
    for (unsigned n = 0; n < format.slots(); ++n) {
        state.slot[n] = 0;
        std::memcpy(&state.slot[n], &image[n * format.width], format.width);
    }
    return format.width == 2 || (m.system_read(at(cr3_offset), &state.cr3, sizeof state.cr3, never) &&
                                 m.system_read(at(trap_offset), &state.trap, sizeof state.trap, never));
}

bool save_state(Machine& m, const Format& format, const TaskSwitch& request) {
    std::uint8_t image[64];
    const auto store = [&](unsigned n, std::uint64_t value) {
        std::memcpy(&image[n * format.width], &value, format.width);
    };
    const std::uint64_t address = table_address(m, m.cpu.tr.base + format.first);
    const std::size_t size = format.slots() * format.width;
    // The upper halves of selector slots are not the processor's.
    if (!m.system_read(address, image, size, never)) return false;
    store(eip_slot, request.resume_rip);
    // "The EFLAGS.NT bit for the current task is cleared to 0": "Nesting Tasks", of IRET.
    store(eflags_slot, request.link == TaskLink::Return ? request.saved_rflags & ~rflags::nt : request.saved_rflags);
    for (unsigned n = 0; n < 8; ++n) store(gpr_slot + n, m.cpu.r[n]);
    for (unsigned n = 0; n < format.segments; ++n)
        std::memcpy(&image[(segment_slot + n) * format.width], &m.cpu.segment[n].selector, 2);
    return m.system_write(address, image, size, never);
}

/// AMD APM vol 2, "TSS Selector", "TSS Descriptor", "Switching Tasks", "Preventing Recursion". An IRET complains about
/// the link in the TSS: #TS.
bool check_new_tss(Machine& m, const TaskSwitch& request, Descriptor& out) {
    const std::uint16_t selector = request.selector;
    const bool is_return = request.link == TaskLink::Return;
    const Fault wrong{is_return ? vector::ts : vector::gp, selector_error(selector) | request.external, 0};
    const auto refuse = [&](Fault fault) {
        m.fault = fault;
        return false;
    };
    if (is_null(selector) || selector & 4) return refuse(wrong);
    if (!read_descriptor(m, selector, wrong, out)) return false;
    const unsigned type = out.system_type() & ~system_type::busy;
    const bool busy = out.system_type() & system_type::busy;
    if (!out.is_system() || (type != system_type::tss && type != system_type::tss16) || busy != is_return)
        return refuse(wrong);
    if (!out.present()) return refuse({vector::np, wrong.error, 0});
    if (out.limit() < format_of(out.attributes()).minimum) return refuse({vector::ts, wrong.error, 0});
    return true;
}

/// Loads what a task switch finds in the new TSS. The first fault is the one that counts: "the processor finishes
/// loading the new-task state without performing additional checks".
class Loader {
public:
    Loader(Machine& m, std::uint32_t external) : m_(m), external_(external) {}

    void ldt(std::uint16_t selector) {
        m_.cpu.ldtr = null_segment(selector);
        if (is_null(selector)) return;
        Descriptor d;
        const bool fits =
            !(selector & 4) && read(selector, d) && d.is_system() && d.system_type() == system_type::ldt && d.present();
        if (fits)
            m_.cpu.ldtr = d.segment(selector);
        else
            refuse(vector::ts, selector);
    }

    void code(std::uint16_t selector) {
        Descriptor d;
        if (!find(selector, d)) return;
        const bool level_fits = d.is_conforming() ? d.dpl() <= rpl(selector) : d.dpl() == rpl(selector);
        take(cs, selector, d, d.is_code() && level_fits, vector::np);
    }

    void stack(std::uint16_t selector) {
        Descriptor d;
        if (!find(selector, d)) return;
        const bool fits = rpl(selector) == m_.cpu.cpl && d.is_writable_data() && d.dpl() == m_.cpu.cpl;
        take(ss, selector, d, fits, vector::ss);
    }

    void data(SegmentSlot slot, std::uint16_t selector) {
        Descriptor d;
        if (is_null(selector) || !find(selector, d)) return;
        const bool level_fits = d.is_conforming() || (d.dpl() >= m_.cpu.cpl && d.dpl() >= rpl(selector));
        take(slot, selector, d, d.is_readable() && level_fits, vector::np);
    }

    void refuse(std::uint8_t vector, std::uint16_t selector) {
        fail({vector, selector_error(selector) | external_, 0});
    }
    void fail(Fault fault) {
        if (!failed_) fault_ = fault;
        failed_ = true;
    }
    bool failed() const { return failed_; }
    const Fault& fault() const { return fault_; }

private:
    bool read(std::uint16_t selector, Descriptor& d) {
        return read_descriptor(m_, selector, {vector::ts, selector_error(selector) | external_, 0}, d);
    }
    bool find(std::uint16_t selector, Descriptor& d) {
        if (is_null(selector)) {
            refuse(vector::ts, selector);
            return false;
        }
        if (read(selector, d)) return true;
        fail(m_.fault);  // beyond the table, or a page fault
        return false;
    }
    void take(SegmentSlot slot, std::uint16_t selector, Descriptor d, bool fits, std::uint8_t absent) {
        const bool checked = !failed_;
        if (checked) {
            if (!fits) return refuse(vector::ts, selector);
            if (!d.present()) return refuse(absent, selector);
            if (!mark_accessed(m_, selector, d)) return fail(m_.fault);
        }
        if (!d.is_system()) m_.set_segment(slot, d.segment(selector));
    }

    Machine& m_;
    std::uint32_t external_;
    bool failed_ = false;
    Fault fault_;
};

/// Registers, and selectors whose segments cannot be used yet.
void take_registers(Machine& m, const Format& format, const State& state, TaskLink link) {
    Cpu& cpu = m.cpu;
    if (format.width == 4 && cpu.cr0 & cr0::pg) {
        cpu.cr3 = state.cr3;
        m.paging_changed();
    }
    cpu.rip = cpu.next_rip() = state.slot[eip_slot];
    m.set_rflags((state.slot[eflags_slot] & rflags_defined) | rflags::fixed1 |
                 (link == TaskLink::Nest ? rflags::nt : 0));
    // A 16-bit TSS leaves the upper halves alone.
    const std::uint64_t kept = format.width == 2 ? 0xFFFF'0000 : 0;
    for (unsigned n = 0; n < 8; ++n) cpu.r[n] = (cpu.r[n] & kept) | state.slot[gpr_slot + n];
    for (unsigned n = 0; n < 6; ++n)
        m.set_segment(static_cast<SegmentSlot>(n),
                      null_segment(static_cast<std::uint16_t>(n < format.segments ? state.slot[segment_slot + n] : 0)));
    m.set_cpl(static_cast<std::uint8_t>(rpl(cpu.segment[cs].selector)));
}

void push_error_code(Machine& m, Loader& loader, std::uint64_t code, unsigned width, std::uint32_t external) {
    FrameStack stack{m.cpu.segment[ss], m.stack_pointer(), m.cpu.cpl == 3};
    const std::uint64_t values[] = {code};
    if (!stack.has_room(false, 1, width)) return loader.fail({vector::ss, external, 0});
    if (!push_frame(m, stack, values, width)) return loader.fail(m.fault);
    m.set_stack_pointer(stack.pointer);
}

/// "After the incoming TSS and task gate (if one was involved) have been checked for correctness". AMD APM vol 2, "Task
/// Switch Intercept".
bool is_intercepted(Machine& m, const TaskSwitch& request) {
    constexpr std::uint64_t by_iret = 1ull << 36, by_jump = 1ull << 38, has_error = 1ull << 44;
    const std::uint64_t link = request.link == TaskLink::Return ? by_iret
                               : request.link == TaskLink::Jump ? by_jump
                                                                : 0;
    const std::uint64_t error = request.error_code ? has_error | *request.error_code : 0;
    const std::uint64_t saved_rf = request.saved_rflags & rflags::rf ? 1ull << 48 : 0;
    return m.exits_on(Intercept::TaskSwitch, request.selector, error | link | saved_rf);
}

}  // namespace

bool switch_task(Machine& m, const TaskSwitch& request) {
    Cpu& cpu = m.cpu;
    Descriptor next;
    if (!check_new_tss(m, request, next)) return false;
    if (is_intercepted(m, request)) return false;
    const Format &old_format = format_of(cpu.tr.attributes), &format = format_of(next.attributes());
    // The manual does not say what becomes of a current TSS that is too small to save to.
    if (cpu.tr.limit < old_format.saved_end() - 1)
        return m.raise(vector::ts, selector_error(cpu.tr.selector) | request.external);

    const auto descriptor_at = [&](std::uint16_t selector) {
        return table_address(m, cpu.gdt_base + (selector & 0xFFF8u));
    };
    const std::uint64_t old_at = descriptor_at(cpu.tr.selector), next_at = descriptor_at(request.selector);
    const std::uint64_t next_base = table_address(m, next.base());
    const bool nests = request.link == TaskLink::Nest, returns = request.link == TaskLink::Return;
    // "Up to this point, any exception that occurs aborts the task switch without changing the processor state": all
    // that can fail is tried first. "Effects of Task Nesting" says what is written.
    State state;
    Descriptor old;
    if (!read_state(m, next_base, format, state) || (nests && !probe(m, next_base, 2)) ||
        (!returns && !probe(m, next_at, 8)) ||
        (!nests && (!m.system_read(old_at, &old.raw, sizeof old.raw, never) || !probe(m, old_at, 8))) ||
        !save_state(m, old_format, request))
        return false;

    constexpr std::uint64_t busy_bit = std::uint64_t{system_type::busy} << 40;
    if (nests) {
        m.system_write(next_base, &cpu.tr.selector, sizeof cpu.tr.selector, never);
    } else {
        old.raw &= ~busy_bit;
        m.system_write(old_at, &old.raw, sizeof old.raw, never);
    }
    if (!returns) {
        next.raw |= busy_bit;
        m.system_write(next_at, &next.raw, sizeof next.raw, never);
    }
    if (!read_state(m, next_base, format, state)) return false;  // anew: an IRET may return to the same task

    cpu.tr = next.segment(request.selector);
    cpu.cr0 |= cr0::ts;
    m.debug.clear_local_breakpoints();
    m.breakpoints_changed();
    take_registers(m, format, state, request.link);
    if (cpu.rflags & rflags::vm) return m.unimplemented();  // virtual-8086 mode

    Loader loader(m, request.external);
    const auto selector = [&](SegmentSlot slot) { return cpu.segment[slot].selector; };
    loader.ldt(state.ldt);
    loader.code(selector(cs));
    loader.stack(selector(ss));
    for (const SegmentSlot slot : {es, ds, fs, gs}) loader.data(slot, selector(slot));
    if (request.error_code && !loader.failed())
        push_error_code(m, loader, *request.error_code, format.width, request.external);
    if (!loader.failed() && cpu.rip > cpu.segment[cs].limit) loader.fail({vector::gp, request.external, 0});
    if (loader.failed()) {
        m.fault = loader.fault();
        return false;
    }
    // "Task-Switch Breakpoints": a trap after the switch, before the first instruction of the new task.
    if (state.trap & 1) {
        m.debug.pending |= guest::dr::dr6_bt;
        m.pend(Machine::causes);
    }
    return true;
}

bool switch_task_by_instruction(Machine& m, std::uint16_t selector, TaskLink link) {
    const std::uint64_t from = m.cpu.rip;
    if (!switch_task(m, {.selector = selector,
                         .link = link,
                         .resume_rip = m.cpu.next_rip(),
                         .saved_rflags = m.cpu.rflags,
                         .external = 0,
                         .error_code = std::nullopt}))
        return false;
    m.branched = true;
    m.debug.record_branch(from, m.cpu.rip);
    return true;
}

}  // namespace faultline::engine
