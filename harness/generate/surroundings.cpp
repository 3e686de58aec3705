// What delivery and task switches find: gates, tables and stacks, mostly the stage's own, each pushed over one edge.
#include "hypervisor/guest/surroundings.hpp"

#include "harness/generate/draft.hpp"

namespace faultline::harness {

using namespace guest;

void Draft::gate() {
    Surroundings& s = case_.environment.surroundings;
    Gate g;
    // Vectors that programs raise; #UD is also the end of every program.
    g.vector.number = random_.one_of<std::uint8_t>({0, 1, 1, 3, 3, 4, 5, 6, 13, 13, 14, 14, 17});
    if (random_.percent(35)) g.vector.number = static_cast<std::uint8_t>(layout::first_int_vector + random_.below(16));
    // A handler that stays at CPL 3 is none of ours: what is met is that its frame cannot be pushed.
    const bool outer = case_.cpl == 3 && !outer_vector_ && random_.percent(weights_.outer_handler);
    if (outer) g.vector.number = static_cast<std::uint8_t>(layout::first_int_vector + random_.below(16));
    for (const Gate& other : s.gates)
        if (other.vector == g.vector) return;
    if (outer) {
        g.dpl = 3, g.selector = layout::user_cs;
        outer_vector_ = g.vector;
        s.gates.push_back(g);
        return;
    }
    g.dpl = random_.percent(70) ? 3 : static_cast<std::uint8_t>(random_.below(4));
    switch (random_.below(8)) {
        case 0: g.present = false; break;
        case 1: g.type = Gate::Type::Reserved; break;
        case 2: g.type = random_.percent(50) ? Gate::Type::Task : Gate::Type::Trap; break;
        case 3:
            g.selector = random_.one_of<std::uint16_t>({0, layout::kernel_ss, layout::user_cs, layout::absent_code,
                                                        layout::kernel_cs32, layout::outside_gdt, layout::tr});
            break;
        case 4:
            if (long_mode(case_.mode)) g.ist = 2;
            break;
        case 5: g.target = random_.percent(60) ? Gate::Target::OutOfRange : Gate::Target::Stub; break;
        case 6: g.type = Gate::Type::Trap; break;
        default: break;  // its DPL
    }
    // Its checks are met; those that pass are task_gate's.
    if (g.type == Gate::Type::Task && !long_mode(case_.mode))
        g.selector = random_.one_of<std::uint16_t>({layout::kernel_ss, layout::tr});
    if (random_.percent(15)) g.present = false;
    s.gates.push_back(g);
}

void Draft::task_gate() {
    Surroundings& s = case_.environment.surroundings;
    Gate g;
    // Not #UD: every program ends with it.
    g.vector.number = random_.one_of<std::uint8_t>({0, 1, 1, 3, 4, 13, 14});
    if (random_.percent(40)) g.vector.number = static_cast<std::uint8_t>(layout::first_int_vector + random_.below(16));
    g.type = Gate::Type::Task;
    g.dpl = 3;
    g.selector = random_.one_of<std::uint16_t>({layout::task_a, layout::task_b});
    std::erase_if(s.gates, [&](const Gate& other) { return other.vector == g.vector; });
    if (s.gates.size() < max_gates) s.gates.push_back(g);
}

void Draft::inner_stack() {
    Surroundings& s = case_.environment.surroundings;
    const bool wide_gates = long_mode(case_.mode);
    switch (random_.below(5)) {
        case 0:
            // The bytes of RSP0, or of ESP0 and SS0, and what lies behind.
            s.tss_limit = static_cast<std::uint16_t>(random_.below(0x30));
            break;
        case 1: s.inner_stack.literal -= random_.below(16); break;
        case 2:
            s.inner_stack.literal = random_.one_of<std::uint64_t>(
                {1ull << 47, 0xFFFF'7FFF'FFFF'FFF8, layout::hole + 0x100, layout::hole_below + 0x100, 0, 8});
            if (!wide_gates) s.inner_stack.literal &= 0xFFFF'FFFF;
            break;
        default:
            if (!wide_gates)
                s.inner_ss = random_.one_of<std::uint16_t>(
                    {0, layout::user_ss, layout::user_ss & ~3, layout::kernel_ss | 3, layout::kernel_cs,
                     layout::absent_data, layout::readonly_data, layout::outside_gdt});
            else
                s.ist2.literal =
                    random_.one_of<std::uint64_t>({1ull << 47, layout::ist2_top - 5, layout::hole + 0x100});
    }
}

void Draft::surroundings() {
    Surroundings& s = case_.environment.surroundings;
    if (real()) {
        constexpr unsigned entry = 4;
        s.idt_limit = static_cast<std::uint16_t>(random_.below(64) * entry + random_.below(entry));
        return;
    }
    const bool wide_gates = long_mode(case_.mode);
    if (random_.percent(13)) {
        const unsigned entry = wide_gates ? 16 : 8;
        s.idt_limit = static_cast<std::uint16_t>((6 + random_.below(50)) * entry + random_.below(entry));
    }
    if (random_.percent(weights_.inner_stack)) inner_stack();
    const unsigned gates = random_.below(4);
    for (unsigned i = 0; i < gates; ++i) gate();
}

}  // namespace faultline::harness
