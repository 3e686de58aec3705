// Loads, stores and read-modify-writes.
#pragma once

#include <variant>

#include "hypervisor/guest/ops/op_struct.hpp"

namespace faultline::guest::ops {

struct Load {
    FAULTLINE_OP(Load, "load", "MOV r, m", (Gpr, to), (Mem, at), (Width, width));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_MOV, {with.reg(to, width), with.mem(at, width)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.set(to, e.load(at, width), width);
        return e.done();
    }
};

struct Store {
    FAULTLINE_OP(Store, "store", "MOV m, r", (Mem, at), (Gpr, from), (Width, width));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_MOV, {with.mem(at, width), with.reg(from, width)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        e.store(at, width, e.reg(from, width));
        return e.done();
    }
};

struct AddMem {
    FAULTLINE_OP(AddMem, "add-mem", "ADD m, r", (Mem, at), (Gpr, from), (Width, width));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_ADD, {with.mem(at, width), with.reg(from, width)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto old = e.load_for_write(at, width), addend = e.reg(from, width);
        e.store(at, width, {old.value + addend.value, old.known && addend.known});
        e.flags_of_add(old, addend, width);
        return e.done();
    }
};

struct XchgMem {
    FAULTLINE_OP(XchgMem, "xchg-mem", "XCHG m, r", (Mem, at), (Gpr, reg), (Width, width));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_XCHG, {with.mem(at, width), with.reg(reg, width)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto old = e.load_for_write(at, width);
        e.store(at, width, e.reg(reg, width));
        e.set(reg, old, width);
        return e.done();
    }
};

/// Writes the destination even when the comparison fails. AMD APM vol 3 and SDM vol 2, "CMPXCHG".
struct Cmpxchg {
    FAULTLINE_OP(Cmpxchg, "cmpxchg", "CMPXCHG m, r", (Mem, at), (Gpr, from), (Width, width));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_CMPXCHG, {with.mem(at, width), with.reg(from, width)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto accumulator = e.reg(Gpr::Rax, width), old = e.load_for_write(at, width);
        e.flags_of_subtract(accumulator, old, width);
        if (accumulator.known && old.known) {
            const bool equal = accumulator.value == old.value;
            e.store(at, width, equal ? e.reg(from, width) : old);
            if (!equal) e.set(Gpr::Rax, old, width);
        } else {
            e.store(at, width, {0, false});
            e.set(Gpr::Rax, {0, false}, width);
        }
        return e.done();
    }
};

/// The immediate form takes the bit modulo the operand size, so it touches this doubleword only. SDM vol 2, "BTS".
struct BtsMem {
    FAULTLINE_OP(BtsMem, "bts-mem", "BTS m32, imm8", (Mem, at), (BitIndex, bit));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_BTS, {with.mem(at, {4}), with.imm(bit.number)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto old = e.load_for_write(at, {4});
        e.store(at, {4}, {old.value | 1ull << bit.number, old.known});
        e.forget_flags(rflags::arithmetic);  // OF, SF, AF, PF undefined; AMD lists ZF with them
        e.set_flags(rflags::cf, {old.value >> bit.number & 1, old.known});
        return e.done();
    }
};

struct Lea {
    FAULTLINE_OP(Lea, "lea", "LEA r, m", (Gpr, to), (Mem, at));
    Encoding encode(const Encoder& with) const {
        return with.instruction(ZYDIS_MNEMONIC_LEA, {with.reg(to), with.mem(at)});
    }
    Effect effect(const EffectContext& context) const {
        EffectBuilder e(context);
        const auto base = at.base ? e.reg(*at.base) : Known{0};
        e.set(to, {base.value + static_cast<std::uint64_t>(std::int64_t{at.disp}), base.known}, e.slot());
        return e.done();
    }
};

using MemoryOps = std::variant<Load, Store, AddMem, XchgMem, Cmpxchg, BtsMem, Lea>;

}  // namespace faultline::guest::ops
