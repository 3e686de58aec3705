#include "hypervisor/guest/surroundings.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/stage/tables.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::guest {
namespace {

using Checked = tl::expected<void, std::string>;
tl::unexpected<std::string> failure(std::string why) { return tl::unexpected("surroundings: " + std::move(why)); }

Checked check_gate(const Gate& gate, Mode mode) {
    const auto wrong = [&](std::string_view why) {
        return failure(fmt::format("gate {}: {}", vector_name(gate.vector.number), why));
    };
    if (gate.dpl > 3) return wrong("expected a DPL of 0 to 3");
    if (gate.ist > 2) return wrong("expected an IST of 0, 1 or 2");
    if (gate.ist != 0 && !long_mode(mode)) return wrong("IST exists in long mode only");
    return {};
}

/// Where events push, the stage may lie only if it is a stack made for it.
bool may_hold_a_stack(std::uint64_t top) {
    constexpr std::uint64_t room = 0x80;
    const auto within = [top](std::uint64_t stack) { return top > stack - room && top <= stack; };
    return top <= layout::page_tables || top > layout::stage_end || within(layout::rsp0_top) ||
           within(layout::ist2_top);
}

void patch(Image& image, std::uint64_t address, std::uint64_t value) {
    image.patches[image.patch_count++] = {address, value};
}

void patch_tasks(const Task& task, unsigned cpl, Image& image) {
    for (const bool b : {false, true}) {
        const auto bits = task_bits(task, image.resolve(task.eip), cpl, b || task.trap);
        for (std::size_t i = 0; i < bits.size(); ++i)
            patch(image, (b ? layout::tss_b : layout::tss_a) + 8 * i, bits[i]);
    }
    if (!task.busy) return;
    Segment descriptor = segment_of(Mode::Prot32, layout::task_a);
    descriptor.attributes |= busy;
    patch(image, layout::gdt + layout::task_a, descriptor_bits(descriptor));
}

}  // namespace

Checked check_surroundings(const Case& subject_case) {
    const Mode mode = subject_case.mode;
    const Surroundings otherwise, &s = subject_case.environment.surroundings;
    if (s.gates.size() > max_gates) return failure(fmt::format("more than {} gates", max_gates));
    for (std::size_t i = 0; i < s.gates.size(); ++i) {
        if (auto checked = check_gate(s.gates[i], mode); !checked) return checked;
        for (std::size_t j = 0; j < i; ++j)
            if (s.gates[i].vector == s.gates[j].vector)
                return failure(fmt::format("gate {} is there twice", vector_name(s.gates[i].vector.number)));
    }
    const auto only = [&](bool has, bool differs, std::string_view key, std::string_view modes) -> Checked {
        if (has || !differs) return {};
        return failure(fmt::format("{} exists in {} only", key, modes));
    };
    const bool wide = long_mode(mode), prot32 = mode == Mode::Prot32, real16 = mode == Mode::Real16;
    constexpr std::string_view protected_modes = "long64, compat32 and prot32", long_modes = "long64 and compat32";
    for (const auto& checked :
         {only(!real16, !s.gates.empty(), "gates", protected_modes),
          only(!real16, s.tss_limit != otherwise.tss_limit, "tss-limit", protected_modes),
          only(!real16, s.inner_stack != otherwise.inner_stack, "inner-stack", protected_modes),
          only(!real16, s.alignment_check, "alignment-check", protected_modes),
          only(prot32, s.inner_ss != otherwise.inner_ss, "inner-ss", "prot32"),
          only(prot32, s.task.has_value(), "task", "prot32"), only(wide, s.ist2 != otherwise.ist2, "ist2", long_modes)})
        if (!checked) return checked;
    return {};
}

Checked lay_surroundings(const Case& subject_case, Image& image) {
    const auto& environment = subject_case.environment;
    const auto& s = environment.surroundings;
    const Surroundings otherwise;
    const Mode mode = image.stage->mode;
    auto& params = image.params;
    image.patch_count = 0;

    // LIDT's operand: limit in bytes 1:0, base in 9:2.
    const std::uint64_t idt =
        mode == Mode::Real16 || environment.gates == Gates::Dpl0 ? layout::idt_dpl0 : layout::idt_dpl3;
    const auto whole = static_cast<std::uint16_t>(256 * gate_size(mode) - 1);
    params.idt_limit_and_base[0] = std::min(s.idt_limit, whole) | idt << 16;
    params.idt_limit_and_base[1] = idt >> 48;
    for (const Gate& gate : s.gates) {
        const auto bits = gate_bits(mode, gate);
        for (unsigned i = 0; i < gate_size(mode) / 8; ++i)
            patch(image, idt + gate_size(mode) * gate.vector.number + 8 * i, bits[i]);
    }

    const std::uint64_t sp = image.resolve(s.inner_stack), ist2 = image.resolve(s.ist2);
    if (!may_hold_a_stack(long_mode(mode) ? sp : sp & 0xFFFF'FFFF))
        return failure("inner-stack: expected an address outside the stage, found one within");
    if (!may_hold_a_stack(ist2)) return failure("ist2: expected an address outside the stage, found one within");
    if (s.inner_stack != otherwise.inner_stack || s.inner_ss != otherwise.inner_ss)
        patch(image, layout::tss + tss::stack0, stack0_bits(mode, sp, s.inner_ss));
    if (s.ist2 != otherwise.ist2) patch(image, layout::tss + tss::ist2, ist2);
    if (s.task) patch_tasks(*s.task, subject_case.cpl, image);

    // A program of prot32 may leave in another task, with CR0.TS set.
    params.reload = mode == Mode::Prot32 || s.alignment_check || s.tss_limit < tss::limit;
    params.cr0 = image.stage->cr0 | (s.alignment_check ? cr0_am : 0);
    if (params.reload != 0)
        patch(image, layout::gdt + layout::tr, descriptor_bits(available_tr(std::min(s.tss_limit, tss::limit))));
    return {};
}

}  // namespace faultline::guest
