#include <algorithm>

#include "harness/generate/draft.hpp"
#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/op_fields.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::harness {

using namespace guest;

namespace {

constexpr std::uint64_t align_down(std::uint64_t address, std::uint64_t size) { return address & ~(size - 1); }

constexpr std::uint64_t len_bits(std::uint8_t size) { return size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 3 : 2; }

}  // namespace

void Draft::environment() {
    Environment& e = case_.environment;
    case_.world = profile_.world;
    const bool guest = profile_.world == World::Svm;
    mode_and_privilege();
    e.gates = random_.percent(weights_.gates_dpl0) ? Gates::Dpl0 : Gates::Dpl3;
    // A process shares CR4, DEBUGCTL, IOPL and the I/O ports with its kernel, and has no DR7.GD.
    const bool machine = profile_.machine;
    e.de = machine && random_.percent(weights_.de);
    e.btf = machine && random_.percent(weights_.btf) && !guest;
    e.wake = Wake::None;
    e.surroundings = {};
    e.stack.clear();
    const unsigned policy = random_.below(100);
    e.policy.db = policy < weights_.policy_resume                          ? Policy::Db::Resume
                  : policy < weights_.policy_resume + weights_.policy_skip ? Policy::Db::Skip
                                                                           : Policy::Db::ResumeRf;
    e.policy.dr6 = random_.percent(weights_.policy_keep_dr6) ? Policy::Dr6::Keep : Policy::Dr6::Clear;
    e.policy.fault_rf =
        random_.percent(weights_.policy_clear_fault_rf) ? Policy::FaultRf::Clear : Policy::FaultRf::Keep;

    e.rflags = rflags::fixed1;
    if (random_.percent(weights_.start_tf)) e.rflags |= rflags::tf;
    if (random_.percent(weights_.start_rf)) e.rflags |= rflags::rf;
    if (random_.percent(weights_.start_if)) e.rflags |= rflags::if_;
    if (machine && random_.percent(weights_.start_iopl3)) e.rflags |= rflags::iopl;
    if (random_.percent(weights_.start_df)) e.rflags |= rflags::df;
    if (random_.percent(weights_.start_nt)) e.rflags |= rflags::nt;
    if (random_.percent(weights_.start_ac)) e.rflags |= rflags::ac;
    if (random_.percent(50)) e.rflags |= random_.next() & rflags::arithmetic;

    watches();
    // A code breakpoint that is never passed fills the tape: worth a look, not a tenth of all programs.
    const bool executes = std::any_of(watches_.begin(), watches_.end(), [](const Watch& w) { return w.execute(); });
    if (executes && e.policy.db == Policy::Db::Resume && !random_.percent(weights_.endless))
        e.policy.db = Policy::Db::ResumeRf;
    e.dr6 = {std::nullopt, dr::dr6_reset};
    if (random_.percent(weights_.stale_dr6))
        e.dr6.literal |= random_.next() & (dr::dr6_b | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt);
    e.dr7 = {std::nullopt, dr7_of_watches()};
    general_detect_ = machine && random_.percent(weights_.start_gd);
    if (general_detect_) e.dr7.literal |= dr::dr7_gd;

    for (std::size_t r = 0; r < gpr_count; ++r) {
        const auto gpr = static_cast<Gpr>(r);
        const bool exists = wide() || gpr < Gpr::R8;
        e.gpr[r] = gpr == Gpr::Rsp || !exists ? Value{} : fitted(role_value(gpr));
        role_[r] = e.gpr[r].literal;
    }
    if (profile_.machine && random_.percent(weights_.surroundings)) surroundings();
    if (profile_.machine && cpl_ == 3 && random_.percent(weights_.alignment_check)) {
        e.surroundings.alignment_check = true;
        e.rflags |= rflags::ac;
    }
    if (case_.mode == Mode::Prot32 && profile_.machine && random_.percent(weights_.task)) {
        Task task;
        task.eip = forward(2 + random_.below(4));
        task.eflags = flags() & ~(rflags::nt | rflags::vm);
        task.trap = random_.percent(40), task.busy = random_.percent(10);
        e.surroundings.task = task;
        if (random_.percent(weights_.task_gate)) task_gate();
    }
    case_.vmm = {};
    if (guest) hypervisor();
}

void Draft::mode_and_privilege() {
    unsigned total = 0;
    for (std::size_t i = 0; i < weights_.modes.size(); ++i) total += profile_.modes[i] ? weights_.modes[i] : 0;
    unsigned lot = random_.below(std::max(total, 1u));
    for (std::size_t i = 0; i < weights_.modes.size(); ++i) {
        if (!profile_.modes[i]) continue;
        case_.mode = static_cast<Mode>(i);
        if (lot < weights_.modes[i]) break;
        lot -= weights_.modes[i];
    }
    const bool user = profile_.cpl3 && (!profile_.cpl0 || random_.percent(weights_.cpl3));
    case_.cpl = cpl_ = user && !real() ? 3 : 0;
}

void Draft::watches() {
    const Watch* earlier = nullptr;
    for (std::size_t i = 0; i < 4; ++i) {
        Watch& w = watches_[i];
        Value& dr = case_.environment.dr[i];
        dr = {};
        const unsigned kind = random_.below(100);
        unsigned bound = weights_.watch_unused;
        if (kind < bound) continue;
        w.used = true;
        if (kind < (bound += weights_.watch_execute)) {
            w.type = Watch::Type::Execute;  // its op is chosen when there are ops
            continue;
        }
        w.size = random_.one_of<std::uint8_t>({1, 2, 4, 8});
        // LEN = 10 is undefined outside long mode. AMD APM vol 2, "Debug-Control Register (DR7)".
        if (w.size == 8 && !long_mode(case_.mode) && !random_.percent(10)) w.size = 4;
        if (profile_.machine && kind < bound + weights_.watch_io &&
            (case_.environment.de || random_.percent(weights_.io_without_de))) {
            w.type = Watch::Type::Io;
            if (w.size == 8 && !random_.percent(weights_.io_eight)) w.size = 4;
            w.on_memory = random_.percent(weights_.io_on_memory);
            w.first =
                align_down(w.on_memory ? data_address()
                                       : layout::first_port + random_.below(layout::last_port - layout::first_port + 1),
                           w.size);
        } else {
            w.type = random_.percent(50) ? Watch::Type::Write : Watch::Type::ReadWrite;
            if (random_.percent(weights_.watch_stack)) {
                if (case_.cpl == 3 && random_.percent(50)) {
                    w.on_stack = watches_live_stack_ = true;
                    w.first = slot() * (random_.below(4) - 1ull);
                } else {
                    needs_anchors_ = true;
                    w.first = random_.percent(85) ? anchor_selector() : anchor_data();
                }
                if (w.size > slot()) w.size = static_cast<std::uint8_t>(slot());
                if (w.size < slot()) w.first += align_down(random_.below(slot()), w.size);
            } else if (earlier && random_.percent(45)) {
                w.first = align_down(
                    earlier->first + random_.one_of<std::uint64_t>({0, earlier->size, std::uint64_t(-w.size)}), w.size);
            } else {
                w.first = align_down(data_address(), w.size);
                earlier = &w;
            }
        }
        dr.literal = w.first;
        if (profile_.machine && random_.percent(weights_.watch_unaligned)) dr.literal += random_.below(w.size);
        if (profile_.machine && random_.percent(weights_.watch_far)) dr.literal |= far_bit(w.io());
        dr = fitted(dr);
    }
}

std::uint64_t Draft::dr7_of_watches() {
    std::uint64_t dr7 = dr::dr7_reset;
    for (unsigned i = 0; i < 4; ++i) {
        const Watch& w = watches_[i];
        if (!w.used) continue;
        std::uint64_t len = len_bits(w.execute() ? 1 : w.size);
        if (w.execute() && profile_.machine && random_.percent(weights_.watch_len)) len = 1 + random_.below(3);
        dr7 |= (static_cast<std::uint64_t>(w.type) | len << 2) << (16 + 4 * i);
        if (!random_.percent(weights_.watch_disabled)) dr7 |= (1 + random_.below(3)) << 2 * i;  // L, G or both
    }
    return dr7 | random_.below(4) << 8;  // LE, GE
}

std::uint64_t Draft::dr7_value() {
    std::uint64_t dr7 = dr7_of_watches();
    if (random_.percent(15)) {
        const unsigned shift = 16 + 4 * random_.below(4);
        dr7 &= ~(0xFull << shift);
        dr7 |= (random_.one_of<std::uint64_t>({1, 3}) | random_.below(4) << 2) << shift;
    }
    if (random_.percent(weights_.dr7_gd)) dr7 |= dr::dr7_gd;
    if (random_.percent(weights_.dr_reserved)) dr7 ^= random_.next() & 0xDC00;  // bits 15, 14, 12, 11, 10
    if (random_.percent(weights_.dr_high)) dr7 |= 1ull << (32 + random_.below(32));
    return dr7;
}

std::uint64_t Draft::data_address() {
    unsigned place = random_.below(100);
    if (real()) {
        // No paging: nothing is forbidden but what crosses the end of the segment.
        if (place > 92) return layout::data + 0x1'0000 - 1 - random_.below(3);
        place = place * 3 / 4;
    } else if (!wide() && place > 94) {
        return layout::segment_limit - random_.below(8);
    }
    if (place < 60) return layout::data + 0x100 + random_.below(0x200);
    if (place < 75) return layout::data + layout::page - 8 + random_.below(16);
    if (place < 86) return layout::hole - 8 + random_.below(10);
    if (place < 90) return layout::data - 2 + random_.below(10);
    if (place < 96) return layout::readonly + 0x80 + random_.below(16);
    return layout::supervisor + 0x80 + random_.below(16);
}

std::uint64_t Draft::aimed(std::uint64_t first, std::uint64_t size, std::uint64_t width) {
    switch (random_.below(8)) {
        case 0: return first - width;      // ends just below
        case 1: return first - width + 1;  // its last byte is the first one watched
        case 2: return first + size - 1;   // its first byte is the last one watched
        case 3: return first + size;       // starts just above
        case 4: return first + random_.below(static_cast<std::uint32_t>(size));
        default: return first;
    }
}

std::uint64_t Draft::access_address(unsigned width) {
    const unsigned lot = random_.below(100);
    // What an access that faulted should not have changed shows where another reads it.
    if ((revisits_ || lot >= 100 - weights_.revisit) && last_access_ != 0)
        return last_access_ - random_.below(2) * random_.below(8);
    if (lot < weights_.aim) {
        const unsigned start = random_.below(4);
        for (unsigned i = 0; i < 4; ++i) {
            const Watch& w = watches_[(start + i) % 4];
            if (w.on_memory || (w.data() && !w.on_stack)) return last_access_ = aimed(w.first, w.size, width);
        }
    }
    return last_access_ = data_address();
}

std::uint16_t Draft::port(unsigned width) {
    if (!profile_.machine) return layout::last_allowed_port + 1;
    std::uint64_t port = layout::first_port + random_.below(layout::last_port - layout::first_port + 1);
    for (const Watch& w : watches_)
        if (w.io() && !w.on_memory && random_.percent(weights_.aim)) port = aimed(w.first, w.size, width);
    if (case_.vmm.intercepts.has(guest::svm::Intercept::Io) && cpl_ == 0 && random_.percent(weights_.other_ports))
        return static_cast<std::uint16_t>(layout::first_port - 1 - random_.below(3));
    return static_cast<std::uint16_t>(std::clamp<std::uint64_t>(port, layout::first_port, layout::last_port));
}

std::uint64_t Draft::flags() {
    std::uint64_t flags = rflags::fixed1;
    if (random_.percent(weights_.popped_tf)) flags |= rflags::tf;
    if (random_.percent(weights_.popped_rf)) flags |= rflags::rf;
    if (random_.percent(weights_.start_if)) flags |= rflags::if_;
    if (random_.percent(weights_.start_iopl3)) flags |= rflags::iopl;
    if (random_.percent(5)) flags |= rflags::df;
    if (random_.percent(weights_.start_ac)) flags |= rflags::ac;
    if (random_.percent(weights_.start_nt)) flags |= rflags::nt;
    if (random_.percent(50)) flags |= random_.next() & rflags::arithmetic;
    return flags;
}

std::uint64_t Draft::far_bit(bool of_port) {
    const unsigned lowest = of_port ? 20 : 32;  // where memory is none, either
    return 1ull << (lowest + random_.below(64 - lowest));
}

Value Draft::forward(unsigned ahead) {
    const unsigned index = static_cast<unsigned>(size()) + ahead + random_.below(2) * random_.below(3);
    highest_ref_ = std::max(highest_ref_, index);
    return {OpRef{static_cast<std::uint16_t>(index)}, 0};
}

Value Draft::target(unsigned ahead) {
    if (!profile_.machine || real() || !random_.percent(weights_.wild_target)) return forward(ahead);
    if (!wide() && random_.percent(50)) return {std::nullopt, layout::segment_limit + 1ull + random_.below(2)};
    return {std::nullopt, layout::hole + random_.below(16)};
}

Value Draft::role_value(Gpr gpr) {
    const auto literal = [](std::uint64_t value) { return Value{std::nullopt, value}; };
    switch (gpr) {
        case Gpr::Rcx: return literal(random_.below(9));
        case Gpr::Rdx: return literal(port(width_));
        case Gpr::Rbp:
            if (random_.percent(weights_.far_base)) return literal(1ull << (48 + random_.below(15)));
            [[fallthrough]];
        case Gpr::Rbx:
        case Gpr::Rsi:
        case Gpr::Rdi: return literal(access_address(width_));
        case Gpr::R8: return literal(stack_selector());
        case Gpr::R9: return literal(dr7_value());
        case Gpr::R10: {
            std::uint64_t dr6 = dr::dr6_reset ^ (random_.next() & (dr::dr6_b | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt));
            if (random_.percent(weights_.dr_reserved)) dr6 ^= random_.next() & 0xFFFF'FFFF;
            if (random_.percent(weights_.dr_high)) dr6 |= 1ull << (32 + random_.below(32));
            return literal(dr6);
        }
        case Gpr::R11:
            if (random_.percent(35)) return forward(1);
            if (random_.percent(10)) return literal(port(width_));
            return literal(access_address(width_));
        case Gpr::R12:
            return literal(random_.one_of<std::uint64_t>(
                {1ull << 32, 1ull << 63, ~0ull, 1ull << 47, 0xFFFF'8000'0000'0000, random_.next()}));
        case Gpr::R13: return literal(stage_cr4 | (random_.percent(case_.environment.de ? 40 : 75) ? cr4_de : 0));
        case Gpr::R14: return {};  // see finish
        default: return literal(random_.next() >> random_.below(64));
    }
}

std::uint16_t Draft::stack_selector() {
    if (!real() && profile_.machine && random_.percent(weights_.odd_selector))
        return random_.one_of<std::uint16_t>({0, layout::kernel_ss, layout::user_ss, layout::user_ss & ~3,
                                              layout::kernel_cs, layout::absent_data, layout::absent_user_data,
                                              layout::readonly_data, layout::readonly_user_data, layout::outside_gdt});
    return program_ss(case_.mode, cpl_);
}

void Draft::finish() {
    Environment& e = case_.environment;
    if (case_.ops.empty()) case_.ops.emplace_back(ops::Nop{});
    const auto end = static_cast<std::uint16_t>(case_.ops.size());

    if (needs_anchors_) {
        // However many pushes a policy skips, RSP stays below the anchors, and so far that a string that runs up
        // to them starts above it.
        constexpr std::size_t string_run = 5;
        e.stack.resize(e.stack.size() + pushes_ + string_run);
        e.stack.push_back({std::nullopt, random_.next()});
        e.stack.push_back({std::nullopt, program_ss(case_.mode, case_.cpl)});
    }
    // R14 is loaded before it is jumped through, but a policy may skip that.
    if (wide()) e.gpr[static_cast<std::size_t>(Gpr::R14)] = {OpRef{end}, 0};
    const std::uint64_t rsp = layout::stack_top - slot() * e.stack.size();
    for (unsigned i = 0; i < iret_frames_; ++i)
        e.stack[iret_frame_[i] + 3].literal = rsp + slot() * (iret_frame_[i] + 5u);

    for (std::size_t i = 0; i < 4; ++i) {
        const Watch& w = watches_[i];
        if (!w.used) continue;
        if (w.execute()) {
            // Nor can the end be skipped.
            const bool not_the_end = e.policy.db == Policy::Db::Skip && !random_.percent(weights_.endless);
            const bool shadowed = shadowed_ && random_.percent(weights_.watch_shadowed);
            const std::uint32_t op = shadowed ? *shadowed_ : random_.below(end + (not_the_end ? 0u : 1u));
            e.dr[i] = {OpRef{static_cast<std::uint16_t>(op)}, random_.percent(4) ? 1ull : 0};
            if (profile_.machine && random_.percent(weights_.watch_far)) e.dr[i].literal += far_bit(false);
        }
        if (w.on_stack) e.dr[i].literal += rsp;
    }

    if (highest_ref_ <= end) return;
    const auto cut = [end](OpRef& ref) { ref.index = std::min(ref.index, end); };
    const auto cut_value = [&](Value& value) {
        if (value.op) cut(*value.op);
    };
    for (Value& value : e.gpr) cut_value(value);
    for (Value& value : e.stack) cut_value(value);
    if (e.surroundings.task) cut_value(e.surroundings.task->eip);
    for (Op& op : case_.ops)
        for_each_field(op, [&](std::string_view, auto& field) {
            if constexpr (std::is_same_v<decltype(field), OpRef&>) cut(field);
            if constexpr (std::is_same_v<decltype(field), Value&>) cut_value(field);
        });
}

}  // namespace faultline::harness
