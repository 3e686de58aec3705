#include "hypervisor/native/selectors.hpp"

#include <cstring>

#include "hypervisor/native/suitability.hpp"

namespace faultline::native {
namespace {

namespace layout = guest::layout;

/// The immediate of a MOV to a whole register: its offset in the code, or 0.
unsigned immediate(const guest::Image& image, unsigned op) {
    const Opcode opcode = opcode_at(image, image.op_offset[op]);
    const bool whole = image.mode == guest::Mode::Long64 ? (opcode.rex & 8) != 0 : !opcode.operand_size;
    return opcode.code >= 0xB8 && opcode.code <= 0xBF && whole ? opcode.offset : 0;
}

bool may_be_misread(std::uint64_t value) {
    if (value == layout::user_ss || value == layout::user_cs || value == layout::user_cs32) return false;
    const auto selector = value & 0xFFFF;
    return selector == layout::user_ss || selector == layout::user_cs || selector == linux_ss || selector == linux_cs ||
           selector == linux_cs32 || (selector >= layout::user_cs32 - 3u && selector < layout::task_a);
}

std::uint64_t read(const guest::Image& image, unsigned offset) {
    std::uint64_t value = 0;
    std::memcpy(&value, &image.code[offset], image.stack_slot_bytes());
    return value;
}

}  // namespace

SelectorUse selector_use(const guest::Image& image) {
    bool loads = false, returns = false;
    for (unsigned i = 0; i < image.op_count; ++i) {
        const auto code = opcode_at(image, image.op_offset[i]).code;
        const bool pop_ss = code == 0x17 && image.mode != guest::Mode::Long64;
        returns |= code == 0xCF;                     // IRET
        loads |= code == 0x8E || returns || pop_ss;  // MOV SS
    }
    if (!loads) return SelectorUse::None;
    bool unclear = false;
    const auto number = [&](std::uint64_t value) {
        unclear |= may_be_misread(value) || (returns && (value == layout::user_cs || value == layout::user_cs32));
    };
    for (const auto value : image.params.gpr) number(value);
    for (unsigned i = 0; i < image.op_count; ++i)
        if (const unsigned at = immediate(image, i)) number(read(image, at));
    for (unsigned i = 0; i < image.stack_count; ++i) unclear |= may_be_misread(image.stack[i]);
    if (unclear) return SelectorUse::Unclear;
    return returns ? SelectorUse::StackCode : SelectorUse::Stack;
}

bool computes(const guest::Image& image) {
    bool on_stack = false;
    for (unsigned i = 0; i < image.stack_count; ++i)
        on_stack |= image.stack[i] == layout::user_ss || image.stack[i] == layout::user_cs ||
                    image.stack[i] == layout::user_cs32;
    for (unsigned i = 0; i < image.op_count; ++i) {
        const Opcode op = opcode_at(image, image.op_offset[i]);
        const bool two_operands = (op.code < 0x40 && (op.code & 7) < 4) || (op.code & 0xFFFE) == 0x0FB0;
        const bool one_operand =
            (op.code >= 0x80 && op.code <= 0x83) || op.code == 0x0FBA || op.code == 0xF6 || op.code == 0xF7;
        if ((two_operands || one_operand) && op.next < 0xC0 && on_stack) return true;
        const unsigned reg = (op.next >> 3 & 7) | (op.rex & 4) << 1;
        if (two_operands && image.params.gpr[reg] == layout::user_ss) return true;
    }
    return false;
}

bool translate_memory(const guest::Image& image, const Selectors& selectors, std::span<std::uint8_t> memory) {
    bool any = false;
    const auto put = [&](std::uint64_t address, std::uint64_t value, std::uint64_t translated) {
        if (translated == value || address > memory.size() - sizeof value) return;
        std::memcpy(memory.data() + address, &translated, image.stack_slot_bytes());
        any = true;
    };
    for (unsigned i = 0; i < image.stack_count; ++i)
        put(image.initial_stack() + std::uint64_t{image.stack_slot_bytes()} * i, image.stack[i],
            selectors.on_stack_to_linux(image.stack[i]));
    for (unsigned i = 0; i < image.op_count; ++i)
        if (const unsigned at = immediate(image, i))
            put(layout::code + at, read(image, at), selectors.to_linux(read(image, at)));
    return any;
}

}  // namespace faultline::native
