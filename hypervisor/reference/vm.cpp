#include "hypervisor/reference/vm.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "hypervisor/engine/staged_machine.hpp"
#include "hypervisor/engine/svm/svm.hpp"
#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/stage/tables.hpp"

namespace faultline::reference {

using namespace guest;
using engine::Quirk;
using svm::Intercept;
using svm::Intercepts;
using svm::Vmcb;

std::string ForcedExceptions::warning() const {
    if (refused_ == 0) return {};
    std::vector<unsigned> vectors;
    for (unsigned v = 0; v < 32; ++v)
        if (refused_ >> v & 1) vectors.push_back(v);
    return fmt::format("force_intercept_exceptions_mask: refused vector{} {}", vectors.size() == 1 ? "" : "s",
                       fmt::join(vectors, ", "));
}

namespace {

Intercepts words_at(const std::uint8_t* vmcb) {
    Intercepts all;
    std::memcpy(all.words.data(), vmcb, sizeof all.words);
    return all;
}

ForcedExceptions forced_exceptions(const engine::Machine& machine, std::uint32_t asked) {
    constexpr std::uint32_t no_defined_effect = 1u << 2 | 1u << 9;
    if (machine.quirk(Quirk::forced_mask_inverted)) return ForcedExceptions(asked, no_defined_effect);
    return ForcedExceptions(asked);
}

}  // namespace

Vm::Vm(engine::Machine& machine, const Image& image, Tape& tape)
    : machine_(machine),
      image_(image),
      tape_(tape),
      oversight_{.forced = forced_exceptions(machine, static_cast<std::uint32_t>(image.params.forced_exceptions)),
                 .stage = words_at(image.stage->memory.data() + layout::vmcb),
                 .wanted = svm::intercepts_of(vmcb())} {
    oversight_.wanted.words[2] |= oversight_.forced.mask();
    // VMRUN refuses V_NMI_ENABLE without it. AMD APM vol 2, "Canonicalization and Consistency Checks".
    oversight_.stage.set(Intercept::Nmi, oversight_.wanted.has(Intercept::Nmi));
    set_intercepts(oversight_.wanted);
    engine::load_guest_rest(machine_, layout::vmcb);
    tape_.exit_count = 0;
    tape_.detail = oversight_.forced.warning();
}

const Vmcb& Vm::vmcb() const { return *reinterpret_cast<const Vmcb*>(machine_.memory.bytes().data() + layout::vmcb); }

void Vm::set_intercepts(const Intercepts& all) {
    machine_.write_physical(layout::vmcb, all.words.data(), sizeof all.words);
}

std::uint64_t Vm::word_at(std::uint64_t address) const {
    std::uint64_t word = 0;
    machine_.memory.read(address, &word, sizeof word);
    return word;
}

Outcome Vm::run(std::uint64_t steps) {
    for (;;)
        if (const auto outcome = run_to_exit(steps)) return *outcome;
}

std::optional<Outcome> Vm::run_to_exit(std::uint64_t& steps) {
    while (steps > 0) {
        if (!machine_.svm.in_guest) machine_.enter_guest(layout::vmcb);
        const engine::Exit exit = machine_.run(steps);
        steps -= std::min(steps, std::max<std::uint64_t>(machine_.steps_taken(), 1));
        switch (exit) {
            case engine::Exit::VmExit:
                if (answer() == Next::Over) return outcome_;
                return std::nullopt;
            case engine::Exit::Hlt: wake(); break;
            case engine::Exit::Halted: over(Outcome::Halted); return outcome_;
            case engine::Exit::Shutdown: over(Outcome::Shutdown); return outcome_;
            case engine::Exit::StepLimit: over(Outcome::Hang); return outcome_;
            case engine::Exit::EntryFailure: over(Outcome::EntryFailure); return outcome_;
            case engine::Exit::StopPort: return broken("the exit port is not intercepted");  // the case took that away
            case engine::Exit::Unimplemented: return broken(engine::describe_unimplemented(machine_));
        }
    }
    over(Outcome::Hang);
    return outcome_;
}

/// What ends a HLT; its own step trap may do so, too.
void Vm::wake() {
    if (image_.wake == Wake::Nmi) machine_.inject_nmi();
    if (image_.wake == Wake::Interrupt && machine_.cpu.rflags & rflags::if_) machine_.inject_interrupt(wake_vector);
}

Vm::Next Vm::over(Outcome outcome) {
    outcome_ = outcome;
    tape_.stop_rip = machine_.svm.in_guest ? machine_.code_address(machine_.cpu.rip) : linear_rip(vmcb());
    return Next::Over;
}

/// Nobody asked for this exit.
Vm::Next Vm::unexpected() {
    broken(fmt::format("an exit that nobody asked for: {:#x} at {:#x}", vmcb().exit_code, vmcb().rip));
    return Next::Over;
}

Outcome Vm::broken(std::string why) {
    tape_.detail = std::move(why);
    over(Outcome::InternalError);
    return outcome_;
}

/// False: the tape is full.
bool Vm::record() {
    if (tape_.exit_count == tape_capacity) return false;
    const Vmcb& v = vmcb();
    tape_.exits[tape_.exit_count++] = {.code = v.exit_code,
                                       .info_1 = v.exit_info_1,
                                       .info_2 = v.exit_info_2,
                                       .int_info = v.exit_int_info,
                                       .next_rip = v.next_rip,
                                       .rip = v.rip,
                                       .rflags = v.rflags,
                                       .rsp = v.rsp,
                                       .rax = v.rax,
                                       .cs = v.cs.selector | std::uint64_t{v.cpl} << 16,
                                       .dr6 = v.dr6,
                                       .dr7 = v.dr7,
                                       .cr2 = v.cr2,
                                       .interrupt_shadow = v.interrupt_shadow,
                                       .event_injection = v.event_injection,
                                       .records = word_at(layout::tape + offsetof(RawTape, count))};
    return true;
}

Vm::Next Vm::answer() {
    const Vmcb& v = vmcb();
    const std::uint64_t code = v.exit_code;
    if (code == svm::exit_code::of(Intercept::Io)) {
        const auto port = static_cast<std::uint16_t>(v.exit_info_1 >> 16);
        const StageSymbols& stage = image_.stage->symbols;
        const bool from_stage = v.rip >= stage.text_begin && v.rip < stage.text_end;
        if (from_stage && port >= layout::exit_port && port <= layout::leave_port) return answer_stage_port(port);
    }
    if (!record()) return over(Outcome::TapeOverflow);
    if (code == svm::exit_code::invalid) return over(Outcome::Stopped);
    // Nothing to go on with, or nobody who would mend the nested tables.
    if (code == svm::exit_code::of(Intercept::Shutdown) || code == svm::exit_code::nested_page_fault)
        return over(Outcome::Stopped);
    const auto vector = static_cast<unsigned>(code - svm::exit_code::of(Intercept::Exception));
    if (vector < 32) return answer_exception(vector);
    if (code >= 32 * svm::intercept_words || !oversight_.wanted.has(static_cast<Intercept>(code))) return unexpected();
    if (code >= svm::exit_code::of(Intercept::Intr) && code <= svm::exit_code::of(Intercept::VirtualInterrupt))
        return answer_interrupt(static_cast<Intercept>(code));
    // Nothing to resume: the saved state is undefined. AMD APM vol 2, "Shutdown Intercept".
    if (code == svm::exit_code::of(Intercept::Shutdown)) return over(Outcome::Stopped);
    return answer_instruction();
}

Vm::Next Vm::answer_exception(unsigned vector) {
    if (oversight_.forced.has(vector) && !quirk(Quirk::forced_exception_stops)) return reflect(vector);
    if (!oversight_.wanted.has(Intercept::Exception + vector)) return unexpected();
    const bool stops = image_.params.stop_at_exceptions && !quirk(Quirk::stop_ignored_for_exceptions);
    if (stops && vmcb().rip != image_.end_address()) return over(Outcome::Stopped);
    return reflect(vector);
}

/// An interrupt stays pending through #VMEXIT (AMD APM vol 2, "INTR Intercept"); its hypervisor takes it, or takes back
/// the virtual one that it had asked for, and the guest goes on.
Vm::Next Vm::answer_interrupt(Intercept what) {
    if (image_.params.stop_at_instructions) return over(Outcome::Stopped);
    if (what == Intercept::Intr) machine_.drop(engine::Machine::interrupt_line);
    if (what == Intercept::Nmi) machine_.drop(engine::Machine::nmi_line);
    if (what == Intercept::VirtualInterrupt)
        set(&Vmcb::virtual_interrupts, vmcb().virtual_interrupts & ~svm::vintr::irq);
    return Next::Resume;
}

/// Skip: on at the next op. Nothing of the instruction happens.
Vm::Next Vm::answer_instruction() {
    if (image_.params.stop_at_instructions && !quirk(Quirk::stop_ignored_for_instructions))
        return over(Outcome::Stopped);
    const std::uint64_t offset = vmcb().rip - layout::code;
    if (offset >= image_.code_size) return unexpected();
    set(&Vmcb::rip, vmcb().rip + image_.skip[offset]);
    if (!quirk(Quirk::skipping_keeps_rf)) set(&Vmcb::rflags, vmcb().rflags & ~rflags::rf);
    if (!quirk(Quirk::skipping_keeps_shadow)) set(&Vmcb::interrupt_shadow, 0);
    return Next::Resume;
}

/// What the stage says to its hypervisor.
Vm::Next Vm::answer_stage_port(std::uint16_t port) {
    if (port == layout::exit_port) {
        const auto said = static_cast<ExitCode>(vmcb().rax & 0xFF);
        const auto outcome = said <= ExitCode::DoubleFault ? outcome_of(said) : std::nullopt;  // the rest is no stub's
        return outcome ? over(*outcome) : unexpected();
    }
    if (port == layout::enter_port)
        enter_stub();
    else if (!return_from_stub())
        return unexpected();
    return Next::Resume;
}

/// A stub runs under the stage's own intercepts. They nest: a #DB may come inside one.
void Vm::enter_stub() {
    if (oversight_.stubs++ == 0) set_intercepts(oversight_.stage);
    set(&Vmcb::rip, vmcb().exit_info_2);  // behind the OUT
    set(&Vmcb::interrupt_shadow, 0);
}

/// What the program runs under, again.
void Vm::put_back_intercepts() {
    if (quirk(Quirk::forced_dropped_with_others)) oversight_.wanted.words[2] &= ~oversight_.forced.mask();
    set_intercepts(oversight_.wanted);
}

/// IRETQ, in the stub's stead. False: no frame can be where the stack is.
bool Vm::return_from_stub() {
    const std::uint64_t frame = vmcb().rsp;
    if (frame > layout::ram_size - 5 * sizeof(std::uint64_t)) return false;
    if (oversight_.stubs > 0 && --oversight_.stubs == 0) put_back_intercepts();
    // A case may have begun with a selector that names nothing: then nothing is loaded.
    const auto segment = [&](std::uint64_t word) {
        const auto selector = static_cast<std::uint16_t>(word);
        if (descriptor_of(image_.stage->mode, selector).kind == Descriptor::Kind::None)
            return svm::VmcbSegment{.selector = selector};
        return svm::vmcb_segment(segment_of(image_.stage->mode, selector));
    };
    set(&Vmcb::rip, word_at(frame));
    set(&Vmcb::cs, segment(word_at(frame + 8)));
    set(&Vmcb::rflags, word_at(frame + 16));
    set(&Vmcb::rsp, word_at(frame + 24));
    set(&Vmcb::ss, segment(word_at(frame + 32)));
    set(&Vmcb::cpl, static_cast<std::uint8_t>(word_at(frame + 8) & 3));
    set(&Vmcb::interrupt_shadow, 0);
    return true;
}

}  // namespace faultline::reference
