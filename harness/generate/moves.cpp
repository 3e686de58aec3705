#include <utility>

#include "harness/generate/draft.hpp"
#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/op_fields.hpp"

namespace faultline::harness {

using namespace guest;

// --- fields, by type ---------------------------------------------------------------------------------------------

/// Destinations are scratch registers, so that roles survive; `to` names one wherever an op has it.
void Draft::draw(std::string_view key, Gpr& field) {
    if (key == "to")
        field = random_.percent(50) ? Gpr::Rax : Gpr::R15;
    else
        field = random_.one_of({Gpr::Rax, Gpr::R15, Gpr::Rax, Gpr::R9, Gpr::R11, Gpr::Rsp});
}

void Draft::draw(std::string_view, DrNumber& field) {
    const unsigned lot = random_.below(100);
    if (lot < 35)
        field.number = 7;
    else if (lot < 55)
        field.number = 6;
    else if (lot < 88)
        field.number = static_cast<std::uint8_t>(random_.below(4));
    else
        field.number = static_cast<std::uint8_t>(lot < 97 ? 4 + random_.below(2) : 8 + random_.below(8));
}

void Draft::draw(std::string_view, Width& field) { field.bytes = static_cast<std::uint8_t>(width_); }

void Draft::draw(std::string_view, Port& field) { field.number = port(width_); }

void Draft::draw(std::string_view key, Word& field) {
    if (key == "selector")
        field.number = program_cs(case_.mode, case_.cpl);
    else
        field.number = static_cast<std::uint16_t>(8 * random_.below(4));
}

void Draft::draw(std::string_view, Vector& field) {
    const unsigned lot = random_.below(100);
    field.number = lot < 15   ? 1
                   : lot < 30 ? 3
                              : static_cast<std::uint8_t>(layout::first_int_vector + random_.below(16));
}

void Draft::draw(std::string_view, BitIndex& field) { field.number = static_cast<std::uint8_t>(random_.below(32)); }

void Draft::draw(std::string_view, OpRef& field) { field = *forward(1).op; }

void Draft::draw(std::string_view, Value& field) { field = {std::nullopt, random_.next() >> random_.below(64)}; }

void Draft::draw(std::string_view, Mem& field) {
    const std::uint64_t address = access_address(width_);
    field = {std::nullopt, static_cast<std::int32_t>(address)};
    if (random_.percent(60)) return;
    const Gpr base = random_.percent(70) ? Gpr::Rbx : Gpr::Rbp;
    if (!known(base)) return;
    field = {base, static_cast<std::int32_t>(address - role_[static_cast<std::size_t>(base)])};
}

void Draft::draw(std::string_view, std::int32_t& field) { field = static_cast<std::int32_t>(flags()); }

// --- preparations ------------------------------------------------------------------------------------------------

void Draft::prepare(Gpr gpr, Value value) {
    add(ops::SetReg{gpr, value});
    role_[static_cast<std::size_t>(gpr)] = value.literal;
}

void Draft::reaim(Gpr gpr) {
    if (!shadow_ && !drop_ && random_.percent(weights_.reaim)) prepare(gpr, role_value(gpr));
}

void Draft::need(Gpr gpr) {
    if (!known(gpr)) drop_ = true;
}

void Draft::forget(std::initializer_list<Gpr> registers) {
    for (const Gpr gpr : registers) known_ &= static_cast<std::uint16_t>(~(1u << static_cast<unsigned>(gpr)));
}

void Draft::provide(Value value) {
    constexpr std::size_t most_planned = 10;  // of 32: the rest is for the anchors and the room below them
    if (depth_ == 0 && case_.environment.stack.size() < most_planned) {
        case_.environment.stack.push_back(value);
        return;
    }
    if (shadow_) {
        drop_ = true;
        return;
    }
    if (!value.op && value.literal <= 0x7FFF'FFFF) {
        add(ops::PushImm{static_cast<std::int32_t>(value.literal)});
    } else {
        prepare(Gpr::R14, value);
        add(ops::Push{Gpr::R14});
    }
    ++pushes_;
}

// --- ops that need more than well-typed fields ---------------------------------------------------------------------

void Draft::aim(ops::SetReg& op) {
    op.reg = random_.one_of(
        {Gpr::Rbx, Gpr::Rbp, Gpr::Rsi, Gpr::Rdi, Gpr::Rcx, Gpr::Rdx, Gpr::R8, Gpr::R9, Gpr::R10, Gpr::R11});
    op.value = role_value(op.reg);
    role_[static_cast<std::size_t>(op.reg)] = op.value.literal;
}

void Draft::aim(ops::MovToDr& op) {
    switch (op.dr.number) {
        case 5:
        case 7: op.from = Gpr::R9; break;
        case 4:
        case 6: op.from = Gpr::R10; break;
        default: op.from = Gpr::R11;
    }
    if (random_.percent(7)) op.from = Gpr::R12;
    need(op.from);
    if (drop_) return;
    reaim(op.from);
    general_detect_ |= (role_[static_cast<std::size_t>(op.from)] & dr::dr7_gd) != 0;
}

void Draft::aim(ops::Lea& op) { op.to = Gpr::R15; }
void Draft::aim(ops::XchgMem& op) { op.reg = random_.percent(50) ? Gpr::Rax : Gpr::R15; }

void Draft::aim(ops::MovSs& op) {
    op.from = random_.percent(3) && known(Gpr::R15) ? Gpr::R15 : Gpr::R8;
    if (random_.percent(20)) reaim(op.from);
}

/// An unknown RAX may have been stored anywhere.
void Draft::aim(ops::MovSsMem& op) {
    need(Gpr::Rax);
    if (random_.percent(8)) return;
    op.at = {std::nullopt, static_cast<std::int32_t>(anchor_selector)};
    needs_anchors_ = true;
}

void Draft::aim(ops::MovToCr4& op) {
    op.from = Gpr::R13;
    reaim(op.from);
}

void Draft::aim(ops::JmpReg& op) {
    op.reg = Gpr::R14;
    if (shadow_)
        drop_ = true;
    else
        prepare(op.reg, forward(2));
}

void Draft::aim(ops::Jrcxz& op) {
    need(Gpr::Rcx);
    op.to = *forward(1).op;
}

void Draft::aim(ops::Pushf&) { pushed(); }
void Draft::aim(ops::Push&) { pushed(); }
void Draft::aim(ops::PushImm&) { pushed(); }
void Draft::aim(ops::PushMem&) { pushed(); }
void Draft::aim(ops::Call&) { pushed(); }

void Draft::aim(ops::Pop& op) {
    op.reg = Gpr::R15;
    if (depth_ > 0)
        --depth_;
    else
        provide({std::nullopt, random_.next()});
}

void Draft::aim(ops::PopMem&) {
    if (depth_ > 0)
        --depth_;
    else
        provide({std::nullopt, random_.next()});
}

void Draft::aim(ops::PopFs&) {
    provide({std::nullopt, random_.one_of<std::uint64_t>({0, layout::user_ss, layout::user_ss, 0x58})});
}

void Draft::aim(ops::Popf&) { provide({std::nullopt, flags()}); }

void Draft::aim(ops::Ret&) { provide(forward(3)); }

void Draft::aim(ops::Iret&) {
    auto& stack = case_.environment.stack;
    if (depth_ > 0 || stack.size() > 5 || iret_frames_ == iret_frame_.size()) {
        drop_ = true;
        return;
    }
    iret_frame_[iret_frames_++] = static_cast<std::uint8_t>(stack.size());
    const bool outward = cpl_ == 0 && random_.percent(20);
    if (outward) cpl_ = 3;
    const bool user = cpl_ == 3;
    stack.push_back(forward(1));
    stack.push_back({std::nullopt, user ? layout::user_cs : layout::kernel_cs});
    stack.push_back({std::nullopt, flags()});
    stack.push_back({});  // RSP: the quadword above the frame, known at the end
    stack.push_back({std::nullopt, user ? layout::user_ss : layout::kernel_ss});
}

void Draft::aim(ops::Cpuid&) { forget({Gpr::Rax, Gpr::Rbx, Gpr::Rcx, Gpr::Rdx}); }
void Draft::aim(ops::Rdtsc&) { forget({Gpr::Rax, Gpr::Rdx}); }
void Draft::aim(ops::In&) { forget({Gpr::Rax}); }
void Draft::aim(ops::Jc&) { drop_ = !flags_known_; }

/// The stub of vector 1 reads DR6, which general detect stops unless delivery was that of a #DB.
void Draft::aim(ops::Int& op) {
    if (op.vector.number == 1 && general_detect_) op.vector.number = 3;
}

void Draft::aim(ops::InDx&) {
    need(Gpr::Rdx);
    reaim(Gpr::Rdx);
    if (!drop_) forget({Gpr::Rax});
}

void Draft::aim(ops::OutDx&) {
    need(Gpr::Rdx);
    reaim(Gpr::Rdx);
}

/// Half of them divide by what RCX holds with a high half of zero, so that they complete unless RCX is zero.
void Draft::aim(ops::Div& op) {
    op.reg = Gpr::Rcx;
    need(Gpr::Rcx);
    need(Gpr::Rax);
    need(Gpr::Rdx);
    if (drop_) return;
    if (!shadow_ && random_.percent(50)) prepare(Gpr::Rdx, {});
    flags_known_ = false;
    forget({Gpr::Rdx});
}

void Draft::aim(ops::Hlt&) {
    Environment& e = case_.environment;
    if (cpl_ == 0 && e.wake == Wake::None && !random_.percent(weights_.wake_none))
        e.wake = random_.percent(weights_.wake_nmi) ? Wake::Nmi : Wake::Interrupt;
    if (!shadow_ && random_.percent(70)) add(ops::Sti{});
}

void Draft::aim(ops::Syscall&) {
    if (watches_live_stack_) drop_ = true;  // exceptions at CPL 0 would push onto the watched stack
    if (drop_) return;
    cpl_ = 0;
    forget({Gpr::Rcx, Gpr::R11});
}

void Draft::aim(ops::Sysret&) {
    if (cpl_ != 0) return;  // #GP(0)
    if (shadow_) {
        drop_ = true;
        return;
    }
    prepare(Gpr::R11, {std::nullopt, flags()});
    prepare(Gpr::Rcx, forward(2));
    forget({Gpr::Rcx, Gpr::R11});
    cpl_ = 3;
}

/// Other MSRs than DEBUGCTL, and DEBUGCTL where it may not exist, cannot be judged.
void Draft::aim(ops::Rdmsr&) {
    if (shadow_ || (cpl_ == 0 && !case_.environment.btf)) {
        drop_ = true;
        return;
    }
    prepare(Gpr::Rcx, {std::nullopt, debugctl::msr});
    forget({Gpr::Rcx, Gpr::Rdx});
}

void Draft::aim(ops::Wrmsr&) {
    if (shadow_ || (cpl_ == 0 && !case_.environment.btf)) {
        drop_ = true;
        return;
    }
    prepare(Gpr::Rcx, {std::nullopt, debugctl::msr});
    prepare(Gpr::Rax, {std::nullopt, random_.percent(60) ? debugctl::btf : 0});
    prepare(Gpr::Rdx, {});
    forget({Gpr::Rcx, Gpr::Rdx});
}

/// A repeated one starts up to three elements before what it aims at.
void Draft::aim_string(bool repeated, std::initializer_list<Gpr> pointers, bool dx) {
    if (repeated) need(Gpr::Rcx);
    if (dx) need(Gpr::Rdx);
    if (shadow_ || drop_) return;
    for (const Gpr pointer : pointers) {
        if (!random_.percent(weights_.reaim)) continue;
        const std::uint64_t back = repeated ? width_ * random_.below(4) : 0;
        prepare(pointer, {std::nullopt, access_address(width_) - back});
    }
    if (repeated) reaim(Gpr::Rcx);
}

void Draft::aim(ops::Movs&) { aim_string(false, {Gpr::Rsi, Gpr::Rdi}); }
void Draft::aim(ops::Stos&) { aim_string(false, {Gpr::Rdi}); }
void Draft::aim(ops::Lods&) { aim_string(false, {Gpr::Rsi}); }
/// Memory it wrote may come back into any register.
void Draft::aim(ops::Ins&) {
    aim_string(false, {Gpr::Rdi}, true);
    forget({Gpr::Rax, Gpr::R15});
}
void Draft::aim(ops::Outs&) { aim_string(false, {Gpr::Rsi}, true); }
void Draft::aim(ops::RepMovs&) { aim_string(true, {Gpr::Rsi, Gpr::Rdi}); }
void Draft::aim(ops::RepStos&) { aim_string(true, {Gpr::Rdi}); }
void Draft::aim(ops::RepLods&) { aim_string(true, {Gpr::Rsi}); }
void Draft::aim(ops::RepIns&) {
    aim_string(true, {Gpr::Rdi}, true);
    forget({Gpr::Rax, Gpr::R15});
}
void Draft::aim(ops::RepOuts&) { aim_string(true, {Gpr::Rsi}, true); }

// --- one op ------------------------------------------------------------------------------------------------------

template <class OpStruct>
void Draft::emit() {
    // Only ops about ports restrict their fields: the widths of port accesses.
    constexpr bool is_io = requires(const OpStruct& op) { op.valid(); };
    width_ = is_io ? random_.one_of({1u, 2u, 4u}) : random_.one_of({1u, 2u, 4u, 8u});
    drop_ = false;
    OpStruct op{};
    for_each_op_field(op, [this](std::string_view key, auto& field) { draw(key, field); });
    aim(op);
    if (drop_ || !valid(op, case_.mode)) return;
    add(op);
    shadow_ = std::is_same_v<OpStruct, ops::MovSs> || std::is_same_v<OpStruct, ops::MovSsMem>;
}

void Draft::move(std::size_t index) {
    constexpr auto table = []<std::size_t... I>(std::index_sequence<I...>) {
        return std::array{&Draft::emit<std::variant_alternative_t<I, Op>>...};
    }
    (std::make_index_sequence<std::variant_size_v<Op>>());
    (this->*table[index])();
}

}  // namespace faultline::harness
