#include "oracle/chapters/exceptions/stimulus.hpp"

#include <algorithm>

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/stage/stage.hpp"
#include "hypervisor/guest/surroundings.hpp"
#include "hypervisor/guest/task.hpp"

namespace faultline::oracle::exceptions {
namespace {

using guest::Cause;
using guest::Descriptor;
using guest::Mode;
namespace layout = guest::layout;

static_assert(cause::invalid_opcode == static_cast<std::uint64_t>(Cause::InvalidOpcode) &&
              cause::privilege == static_cast<std::uint64_t>(Cause::Privilege) &&
              cause::io_permission == static_cast<std::uint64_t>(Cause::IoPermission) &&
              cause::access == static_cast<std::uint64_t>(Cause::Access) &&
              cause::fetch == static_cast<std::uint64_t>(Cause::Fetch) &&
              cause::branch_target == static_cast<std::uint64_t>(Cause::BranchTarget) &&
              cause::divide == static_cast<std::uint64_t>(Cause::Divide) &&
              cause::bound == static_cast<std::uint64_t>(Cause::Bound) &&
              cause::reserved_bits == static_cast<std::uint64_t>(Cause::ReservedBits) &&
              cause::null_selector == static_cast<std::uint64_t>(Cause::NullSelector) &&
              cause::selector == static_cast<std::uint64_t>(Cause::Selector) &&
              cause::absent_selector == static_cast<std::uint64_t>(Cause::AbsentSelector) &&
              cause::gate_dpl == static_cast<std::uint64_t>(Cause::GateDpl) &&
              cause::nested_task == static_cast<std::uint64_t>(Cause::NestedTask) &&
              cause::task_selector == static_cast<std::uint64_t>(Cause::TaskSelector));
static_assert(gate::interrupt == static_cast<std::uint64_t>(guest::Gate::Type::Interrupt) &&
              gate::trap == static_cast<std::uint64_t>(guest::Gate::Type::Trap) &&
              gate::task == static_cast<std::uint64_t>(guest::Gate::Type::Task) &&
              gate::reserved == static_cast<std::uint64_t>(guest::Gate::Type::Reserved));

constexpr std::uint64_t cr4_smep = 1ull << 20;

constexpr std::uint64_t cut(Mode mode, std::uint64_t value) {
    return mode == Mode::Long64 ? value : mode == Mode::Real16 ? value & 0xFFFF : value & 0xFFFFFFFF;
}
using guest::canonical;

/// One delivery's facts, filled in place by place.
class Gatherer {
public:
    Gatherer(const Event& event, const guest::EffectContext& context)
        : state_(context.state),
          image_(context.image),
          surroundings_(context.surroundings ? *context.surroundings : defaults()),
          gates_(context.gates),
          real_(state_.mode == Mode::Real16),
          long_(guest::long_mode(state_.mode)) {
        s_.kind = kind::deliver;
        s_.vector = event.vector, s_.error = event.error, s_.source = event.source;
        s_.rip = event.rip, s_.origin = event.origin, s_.rf = event.rf;
    }

    Stimulus<Judging> gather() {
        look_at_gate();
        if (!real_) look_at_code_segment();
        look_at_stack();
        return s_;
    }

private:
    static const guest::Surroundings& defaults() {
        static const guest::Surroundings none;
        return none;
    }

    void look_at_gate() {
        const std::uint64_t size = real_ ? 4 : long_ ? 16 : 8;
        const std::uint64_t limit = std::min<std::uint64_t>(surroundings_.idt_limit, 256 * size - 1);
        s_.gate_outside = s_.vector * size + size - 1 > limit;
        const bool second = gates_ == guest::Gates::Dpl3 && !real_;
        touch((second ? layout::idt_dpl3 : layout::idt_dpl0) + s_.vector * size, size);
        if (real_) return;
        const guest::Gate gate = guest::gate_of(surroundings_, gates_, static_cast<std::uint8_t>(s_.vector));
        s_.gate_type = static_cast<std::uint64_t>(gate.type);
        s_.gate_dpl = gate.dpl;
        s_.gate_present = gate.present;
        s_.gate_selector = gate.selector;
        s_.gate_ist = long_ ? gate.ist : 0;
        s_.target_out_of_range = gate.target == guest::Gate::Target::OutOfRange;
    }

    void look_at_code_segment() {
        const auto selector = static_cast<std::uint16_t>(s_.gate_selector);
        const Descriptor d = guest::descriptor_of(state_.mode, selector);
        touch(layout::gdt + (selector & ~7u), 8);
        s_.cs_outside = d.outside;
        s_.cs_code = d.kind == Descriptor::Kind::Code;
        s_.cs_conforming = s_.cs_code && d.conforming;
        s_.cs_dpl = d.dpl;
        s_.cs_present = d.present;
        s_.cs_long = s_.cs_code && d.long_code;
        if (d.kind != Descriptor::Kind::Tss) return;
        s_.tss_available = !guest::task_busy(state_, surroundings_, selector);
        s_.tss_present = d.present;
        touch((selector & ~7u) == layout::task_a ? layout::tss_a : layout::tss_b, 0x68);
        touch(tss(), 0x68);
    }

    std::uint64_t tss() const {
        return state_.tr == layout::task_a ? layout::tss_a : state_.tr == layout::task_b ? layout::tss_b : layout::tss;
    }

    void look_at_stack() {
        const bool inner = !real_ && s_.cs_code && !s_.cs_conforming && s_.cs_dpl < state_.cpl;
        const bool loaded = inner || s_.gate_ist != 0;
        std::uint64_t top = cut(state_.mode, state_.reg(guest::Gpr::Rsp));
        if (loaded) {
            const bool main = state_.tr == layout::tr;
            const std::uint64_t slot = s_.gate_ist != 0 ? 28 + 8 * s_.gate_ist : 4 + 8 * s_.cs_dpl;
            const std::uint64_t limit = main ? surroundings_.tss_limit : 0x67;
            s_.slot_outside = slot + (long_ ? 7 : 5) > limit;
            s_.slot_edge = !long_ && !s_.slot_outside && slot + 7 > limit;
            touch(tss() + slot, 8);
            const std::uint64_t inner_sp = main ? image_.resolve(surroundings_.inner_stack) : layout::rsp0_top;
            s_.new_sp = s_.gate_ist == 1   ? layout::df_top
                        : s_.gate_ist == 2 ? image_.resolve(surroundings_.ist2)
                        : s_.gate_ist != 0 ? 0
                                           : inner_sp;
            if (!long_) {
                s_.new_sp &= 0xFFFFFFFF;
                look_at_new_ss(main ? surroundings_.inner_ss : layout::kernel_ss);
            }
            top = s_.new_sp;
        }
        const std::uint64_t slot = long_ ? 8 : real_ ? 2 : 4;
        const unsigned handler_cpl = inner ? static_cast<unsigned>(s_.cs_dpl) : state_.cpl;
        const unsigned slots = (long_ || inner ? 5 : 3) + pushes_error();
        if (long_) {
            s_.sp_out_of_range = !canonical(top);
            top &= ~15ull;
        }
        s_.push_misaligned = !long_ && !real_ && handler_cpl == 3 && (state_.cr0 & guest::cr0_am) != 0 &&
                             (state_.rflags & guest::rflags::ac) != 0 && (top & 3) != 0;
        for (unsigned i = 1; i <= slots; ++i) push(top - slot * i, slot, handler_cpl);
        if (real_) s_.sp_edge = !s_.sp_out_of_range && top < slot * slots && top != 0;
    }
    void look_at_new_ss(std::uint16_t selector) {
        const Descriptor d = guest::descriptor_of(state_.mode, selector);
        touch(layout::gdt + (selector & ~7u), 8);
        s_.new_ss = selector;
        s_.ss_outside = d.outside;
        s_.ss_writable = d.kind == Descriptor::Kind::Data && d.writable;
        s_.ss_dpl = d.dpl;
        s_.ss_present = d.present;
    }
    bool pushes_error() const {
        return !real_ && s_.source == source::exception &&
               (s_.vector == 8 || (s_.vector >= 10 && s_.vector <= 14) || s_.vector == 17);
    }
    /// A slot of the frame, at the value that the stack pointer has then.
    void push(std::uint64_t at, std::uint64_t size, unsigned cpl) {
        if (long_) {
            if (!canonical(at)) s_.sp_out_of_range = true;
        } else {
            at = real_ ? at & 0xFFFF : at & 0xFFFFFFFF;
            if (at + size - 1 > (real_ ? 0xFFFFu : layout::segment_limit)) s_.sp_out_of_range = true;
        }
        const std::uint64_t linear = at + state_.ss_base();
        touch(linear, size);
        if (real_ || s_.sp_out_of_range) return;
        bool first = !s_.push_page;
        for (std::uint64_t byte = linear; byte < linear + size; ++byte) {
            const guest::PageAccess page = guest::page_access(byte);
            if (page.present && page.writable && (cpl < 3 || page.user)) continue;
            if (!s_.push_page) {
                s_.push_page = true;
                s_.push_present = page.present;
                s_.push_low = s_.push_high = byte;
            }
            if (first) s_.push_address = byte, first = false;
            if (page.present != s_.push_present) continue;
            s_.push_low = std::min(s_.push_low, byte);
            s_.push_high = std::max(s_.push_high, byte);
        }
    }
    /// Notes the enabled data breakpoints that share a byte with what the delivery reads or writes. Nothing binds what
    /// they do (rules/watch.hpp), so any reading of an unaligned one counts, and reads count as writes.
    void touch(std::uint64_t address, std::uint64_t length) {
        for (unsigned n = 0; n < 4; ++n) {
            const std::uint64_t rw = state_.dr7 >> (16 + 4 * n) & 3, len = state_.dr7 >> (18 + 4 * n) & 3;
            if ((state_.dr7 >> 2 * n & 3) == 0 || rw == 0) continue;
            const std::uint64_t size = len == 0 ? 1 : len == 1 ? 2 : len == 3 ? 4 : 8;
            const auto meets = [&](std::uint64_t base) { return base - address < length || address - base < size; };
            if (meets(state_.dr[n]) || meets(state_.dr[n] & ~(size - 1))) s_.watched |= 1ull << n;
        }
    }

    const guest::State& state_;
    const guest::Image& image_;
    const guest::Surroundings& surroundings_;
    const guest::Gates gates_;
    const bool real_, long_;
    Stimulus<Judging> s_{};
};

}  // namespace

Pre<Judging> pre_of(const guest::State& state, const guest::Features& features) {
    Pre<Judging> pre{};
    pre.mode = guest::long_mode(state.mode) ? mode::long_mode
               : state.mode == Mode::Prot32 ? mode::protected_mode
                                            : mode::real_mode;
    pre.code64 = state.mode == Mode::Long64;
    pre.cpl = state.cpl;
    pre.cs = state.cs, pre.ss = state.ss, pre.tr = state.tr;
    pre.sp = cut(state.mode, state.reg(guest::Gpr::Rsp));
    pre.tf = state.rflags & guest::rflags::tf;
    pre.if_ = state.rflags & guest::rflags::if_;
    pre.nt = state.rflags & guest::rflags::nt;
    pre.ac = state.rflags & guest::rflags::ac;
    pre.fetch_flag = state.cr4 & cr4_smep;  // no stage sets EFER.NXE
    pre.amd = features.vendor == guest::Vendor::Amd;
    pre.intel = features.vendor == guest::Vendor::Intel;
    return pre;
}

Stimulus<Judging> raise_of(const guest::Effect& effect) {
    const guest::Fault& f = effect.fault;
    Stimulus<Judging> s{};
    s.kind = kind::raise;
    s.cause = static_cast<std::uint64_t>(f.cause);
    s.selector = f.selector;
    s.stack = f.stack;
    s.out_of_range = f.out_of_range;
    s.misaligned = f.misaligned;
    s.page = f.page;
    s.present = f.present;
    s.write = f.write;
    s.user = f.user;
    s.address = f.address;
    s.span = f.span;
    s.iret = effect.kind == guest::Kind::Iret;
    s.vector = effect.vector;
    return s;
}

Stimulus<Judging> deliver_of(const Event& event, const guest::EffectContext& context) {
    return Gatherer(event, context).gather();
}

}  // namespace faultline::oracle::exceptions
