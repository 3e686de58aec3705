#include <utility>

#include "harness/generate/draft.hpp"
#include "harness/generate/hypervised.hpp"
#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/op_fields.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::harness {

using namespace guest;

// --- fields, by type ---------------------------------------------------------------------------------------------

/// Destinations are scratch registers, so that roles survive; `to` names one wherever an op has it.
void Draft::draw(std::string_view key, Gpr& field) {
    if (!wide())
        field = key == "to" ? Gpr::Rax : random_.one_of({Gpr::Rax, Gpr::Rax, Gpr::Rbx, Gpr::Rcx, Gpr::Rsp});
    else if (key == "to")
        field = random_.percent(50) ? Gpr::Rax : Gpr::R15;
    else
        field = random_.one_of({Gpr::Rax, Gpr::R15, Gpr::Rax, Gpr::R9, Gpr::R11, Gpr::Rsp});
}

void Draft::draw(std::string_view, DrNumber& field) {
    const unsigned lot = random_.below(100);
    if (random_.percent(weights_.dr_alias))
        field.number = static_cast<std::uint8_t>(4 + random_.below(2));
    else if (lot < 38)
        field.number = 7;
    else if (lot < 60)
        field.number = 6;
    else if (lot < 97)
        field.number = static_cast<std::uint8_t>(random_.below(4));
    else
        field.number = static_cast<std::uint8_t>(8 + random_.below(8));
}

void Draft::draw(std::string_view, Width& field) { field.bytes = static_cast<std::uint8_t>(width_); }

void Draft::draw(std::string_view, Port& field) { field.number = port(width_); }

void Draft::draw(std::string_view, Word& field) { field.number = static_cast<std::uint16_t>(random_.below(4)); }

void Draft::draw(std::string_view, Vector& field) {
    const unsigned lot = random_.below(100);
    field.number = lot < (shadow_ ? 30 : 15) ? 1
                   : lot < (shadow_ ? 40 : 30)
                       ? 3
                       : static_cast<std::uint8_t>(layout::first_int_vector + random_.below(16));
}

void Draft::draw(std::string_view, BitIndex& field) { field.number = static_cast<std::uint8_t>(random_.below(32)); }

void Draft::draw(std::string_view, OpRef& field) { field = *forward(1).op; }

void Draft::draw(std::string_view, Value& field) { field = {std::nullopt, random_.next() >> random_.below(64)}; }

void Draft::draw(std::string_view, Mem& field) {
    const std::uint64_t address = access_address(width_);
    field = {std::nullopt, static_cast<std::int32_t>(address)};
    if (random_.percent(60)) return;
    // In real mode RBP's segment is SS, which has another base.
    const Gpr base = real() || random_.percent(70) ? Gpr::Rbx : Gpr::Rbp;
    if (!known(base)) return;
    field = {base, static_cast<std::int32_t>(address - role_[static_cast<std::size_t>(base)])};
}

void Draft::draw(std::string_view, std::int32_t& field) { field = static_cast<std::int32_t>(flags()); }

// --- preparations ------------------------------------------------------------------------------------------------

void Draft::prepare(Gpr gpr, Value value) {
    value = fitted(value);
    add(ops::SetReg{gpr, value});
    role_[static_cast<std::size_t>(gpr)] = value.literal;
}

Gpr Draft::holder(Gpr role) {
    if (wide()) return role;
    if (shadow_) {
        drop_ = true;  // a load of RAX would take the shadow
    } else {
        prepare(Gpr::Rax, role_value(role));
    }
    return Gpr::Rax;
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
        const Gpr through = wide() ? Gpr::R14 : Gpr::Rax;
        prepare(through, value);
        add(ops::Push{through});
    }
    ++pushes_;
}

// --- ops that need more than well-typed fields ---------------------------------------------------------------------

void Draft::aim(ops::SetReg& op) {
    if (wide())
        op.reg = random_.one_of(
            {Gpr::Rbx, Gpr::Rbp, Gpr::Rsi, Gpr::Rdi, Gpr::Rcx, Gpr::Rdx, Gpr::R8, Gpr::R9, Gpr::R10, Gpr::R11});
    else
        op.reg = random_.one_of({Gpr::Rbx, Gpr::Rbp, Gpr::Rsi, Gpr::Rdi, Gpr::Rcx, Gpr::Rdx});
    const bool outer = outer_vector_ && cpl_ == 3;
    if (profile_.machine && random_.percent(outer ? 60 : weights_.lost_stack)) {
        op.reg = Gpr::Rsp;
        op.value = lost_stack();
        return;
    }
    op.value = fitted(role_value(op.reg));
    role_[static_cast<std::size_t>(op.reg)] = op.value.literal;
}

/// Where a frame does not fit: outside what is mapped or writable, or beyond an end; in real mode only the ends are
/// left.
Value Draft::lost_stack() {
    if (real()) return {std::nullopt, 1 + random_.below(6)};
    const std::uint64_t odd = random_.percent(60) ? random_.below(4) : 0;  // at CPL 3, alignment is checked too
    return fitted({std::nullopt, odd + random_.one_of<std::uint64_t>({1ull << 47, layout::hole + 0x100, 8,
                                                                      layout::readonly + 0x80, layout::hole + 8})});
}

void Draft::aim(ops::MovToDr& op) {
    switch (op.dr.number) {
        case 5:
        case 7: op.from = Gpr::R9; break;
        case 4:
        case 6: op.from = Gpr::R10; break;
        default: op.from = Gpr::R11;
    }
    if (random_.percent(9)) op.from = Gpr::R12;
    op.from = holder(op.from);
    need(op.from);
    if (drop_) return;
    if (wide()) reaim(op.from);
    general_detect_ |= (role_[static_cast<std::size_t>(op.from)] & dr::dr7_gd) != 0;
}

void Draft::aim(ops::Lea& op) { op.to = scratch(); }
void Draft::aim(ops::XchgMem& op) { op.reg = random_.percent(50) ? Gpr::Rax : scratch(); }

void Draft::aim(ops::MovSs& op) {
    if (!wide()) {
        if (!profile_.machine) {
            drop_ = true;  // a process has other selectors than the stage, and RAX goes on holding one
            return;
        }
        // Behind another load of SS, RAX still holds a selector.
        if (shadow_ && known(Gpr::Rax))
            op.from = Gpr::Rax;
        else
            op.from = holder(Gpr::R8);
        return;
    }
    // In a shadow, rather one that is refused: what the first load holds back must survive that.
    op.from = random_.percent(shadow_ ? 40 : 3) && known(Gpr::R15) ? Gpr::R15 : Gpr::R8;
    if (random_.percent(20)) reaim(op.from);
}

/// An unknown RAX may have been stored anywhere.
void Draft::aim(ops::MovSsMem& op) {
    need(Gpr::Rax);
    if (real()) {
        drop_ = true;  // DS does not reach the stack, and another selector moves it
        return;
    }
    if (random_.percent(shadow_ ? 30 : 8)) return;
    op.at = {std::nullopt, static_cast<std::int32_t>(anchor_selector())};
    needs_anchors_ = true;
}

/// Flips bits that change little, TS and MP alone or with NE.
void Draft::aim(ops::MovToCr0& op) {
    constexpr std::uint64_t mp = 1 << 1, ts = 1 << 3, ne = 1 << 5;
    if (random_.percent(40)) prepare(op.from, {std::nullopt, stage_cr0 ^ (random_.next() & (mp | ts | ne))});
}

void Draft::aim(ops::MovToCr4& op) {
    op.from = holder(Gpr::R13);
    if (wide()) reaim(op.from);
}

void Draft::aim(ops::JmpReg& op) {
    op.reg = wide() ? Gpr::R14 : Gpr::Rax;
    if (shadow_)
        drop_ = true;
    else
        prepare(op.reg, target(2));
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
    op.reg = scratch();
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

void Draft::aim(ops::Ret&) { provide(target(3)); }

void Draft::aim(ops::Iret&) {
    auto& stack = case_.environment.stack;
    if (depth_ > 0 || stack.size() > 5 || iret_frames_ == iret_frame_.size()) {
        drop_ = true;
        return;
    }
    iret_frame_[iret_frames_++] = static_cast<std::uint8_t>(stack.size());
    const bool outward = cpl_ == 0 && !real() && profile_.cpl3 && random_.percent(20);
    if (outward) cpl_ = 3;
    const bool switches = wide() || outward;
    stack.push_back(forward(1));
    stack.push_back({std::nullopt, program_cs(case_.mode, cpl_)});
    stack.push_back({std::nullopt, flags()});
    if (!switches) {
        --iret_frames_;
        return;
    }
    stack.push_back({});  // RSP: the slot above the frame, known at the end
    stack.push_back({std::nullopt, stack_selector()});
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
    if (cpl_ == 0 && case_.world == World::Bare && e.wake == Wake::None && !random_.percent(weights_.wake_none))
        e.wake = random_.percent(weights_.wake_nmi) ? Wake::Nmi : Wake::Interrupt;
    if (!shadow_ && random_.percent(70)) add(ops::Sti{});
}

void Draft::aim(ops::Syscall&) {
    if (!profile_.machine || watches_live_stack_)
        drop_ = true;  // exceptions at CPL 0 would push onto the watched stack
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
    if (shadow_ || (cpl_ == 0 && !case_.environment.btf && !case_.vmm.intercepts.has(Intercept::Msr))) {
        drop_ = true;
        return;
    }
    prepare(Gpr::Rcx, {std::nullopt, debugctl::msr});
    forget({Gpr::Rcx, Gpr::Rdx});
}

void Draft::aim(ops::Wrmsr&) {
    if (shadow_ || (cpl_ == 0 && !case_.environment.btf && !case_.vmm.intercepts.has(Intercept::Msr))) {
        drop_ = true;
        return;
    }
    prepare(Gpr::Rcx, {std::nullopt, debugctl::msr});
    prepare(Gpr::Rax, {std::nullopt, random_.percent(60) ? debugctl::btf : 0});
    prepare(Gpr::Rdx, {std::nullopt, random_.percent(weights_.reserved_msr) ? 1ull << random_.below(32) : 0});
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

/// The selector that SS gets, and the address above it.
void Draft::aim(ops::PopSs&) { provide({std::nullopt, stack_selector()}); }

/// The bounds lie where the program's data is, so that most indices are outside and some inside.
void Draft::aim(ops::Bound& op) {
    op.reg = Gpr::Rcx;
    need(Gpr::Rcx);
}

void Draft::aim(ops::Enter& op) {
    op.size.number = static_cast<std::uint16_t>(slot() * random_.below(4));
    op.level.number = static_cast<std::uint8_t>(random_.below(3));
    frame_depth_ = depth_;
    pushes_ += 4, ++depth_;
    forget({Gpr::Rbp});
}
/// Ends what ENTER began; elsewhere RBP leads to data.
void Draft::aim(ops::Leave&) {
    if (!frame_depth_) drop_ = true;
    if (drop_) return;
    depth_ = *frame_depth_;
    frame_depth_.reset();
}

/// Mostly the code segment that there is.
std::uint16_t Draft::code_selector() {
    if (case_.environment.surroundings.task && random_.percent(60))
        return random_.one_of<std::uint16_t>({layout::task_a, layout::task_b, layout::task_gate, layout::task_gate_dpl3,
                                              layout::task_a | 3, layout::task_gate_dpl3 | 3});
    if (!real() && random_.percent(30))
        return random_.one_of<std::uint16_t>({0, layout::kernel_cs, layout::user_cs, layout::kernel_ss,
                                              layout::absent_code, layout::conforming_code, layout::outside_gdt,
                                              layout::kernel_cs32, layout::user_cs32, layout::tr});
    return program_cs(case_.mode, cpl_);
}
void Draft::aim(ops::FarJmp& op) { op.selector.number = code_selector(); }
void Draft::aim(ops::FarCall& op) {
    op.selector.number = code_selector();
    depth_ += 2, pushes_ += 2;
}
void Draft::aim(ops::FarRet&) {
    auto& stack = case_.environment.stack;
    if (depth_ > 0 || stack.size() > 8) {
        drop_ = true;
        return;
    }
    stack.push_back(forward(1));
    stack.push_back({std::nullopt, code_selector()});
}
/// From the anchors: the upper half of one slot as the offset, the selector behind it.
void Draft::aim(ops::Lss& op) {
    op.to = scratch();
    if (real() || random_.percent(25)) return;
    op.at = {std::nullopt, static_cast<std::int32_t>(anchor_selector() - 4)};
    needs_anchors_ = true;
}
void Draft::aim(ops::Aam& op) {
    op.base.number = static_cast<std::uint16_t>(random_.below(3));
    flags_known_ = false;
}

// --- one op ------------------------------------------------------------------------------------------------------

template <class OpStruct>
void Draft::emit() {
    // Only ops about ports restrict their fields: the widths of port accesses.
    constexpr bool is_io = requires(const OpStruct& op) { op.valid(); };
    width_ = is_io || !wide() ? random_.one_of({1u, 2u, 4u}) : random_.one_of({1u, 2u, 4u, 8u});
    drop_ = false;
    OpStruct op{};
    for_each_op_field(op, [this](std::string_view key, auto& field) { draw(key, field); });
    const bool behind = shadow_;
    aim(op);
    if (drop_ || !valid(Op{op}, case_.mode)) return;
    if (behind) shadowed_ = static_cast<std::uint16_t>(size());
    add(op);
    shadow_ = std::is_same_v<OpStruct, ops::MovSs> || std::is_same_v<OpStruct, ops::MovSsMem> ||
              std::is_same_v<OpStruct, ops::PopSs>;
    // What stands in memory shows once it is in a register.
    if constexpr (std::is_same_v<OpStruct, ops::Store>) {
        revisits_ = random_.percent(weights_.read_back);
        if (revisits_) emit<ops::Load>();
        revisits_ = false;
    }
    if constexpr (std::is_same_v<OpStruct, ops::SetReg>)
        if (outer_vector_ && cpl_ == 3 && op.reg == Gpr::Rsp) add(ops::Int{*outer_vector_});
    if constexpr (std::is_same_v<OpStruct, ops::Pushf>)
        if (random_.percent(weights_.read_back)) emit<ops::Pop>();
}

void Draft::move(std::size_t index) {
    // What is there to be intercepted mostly is.
    if (const Intercept* own = intercept_of(op_catalogue()[index].mnemonic); own && random_.percent(95))
        case_.vmm.intercepts.set(*own);
    constexpr auto table = []<std::size_t... I>(std::index_sequence<I...>) {
        return std::array{&Draft::emit<std::variant_alternative_t<I, Op>>...};
    }
    (std::make_index_sequence<std::variant_size_v<Op>>());
    (this->*table[index])();
}

}  // namespace faultline::harness
