// Op: exactly one guest instruction. The structs are in ops/, one family per file; this is the list of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>

#include "hypervisor/guest/ops/branches.hpp"
#include "hypervisor/guest/ops/debug_registers.hpp"
#include "hypervisor/guest/ops/far.hpp"
#include "hypervisor/guest/ops/flags.hpp"
#include "hypervisor/guest/ops/interrupts.hpp"
#include "hypervisor/guest/ops/io.hpp"
#include "hypervisor/guest/ops/memory.hpp"
#include "hypervisor/guest/ops/registers.hpp"
#include "hypervisor/guest/ops/shadow.hpp"
#include "hypervisor/guest/ops/stack.hpp"
#include "hypervisor/guest/ops/strings.hpp"
#include "hypervisor/guest/ops/system.hpp"

namespace faultline::guest {

using Op = std::variant<ops::Nop, ops::SetReg, ops::MovToDr, ops::MovFromDr, ops::Pushf, ops::Popf, ops::Push, ops::Pop,
                        ops::PushImm, ops::PushMem, ops::PopMem, ops::Load, ops::Store, ops::AddMem, ops::XchgMem,
                        ops::Cmpxchg, ops::BtsMem, ops::Lea, ops::Call, ops::Ret, ops::Jmp, ops::Jrcxz, ops::Jc,
                        ops::JmpReg, ops::Stc, ops::Clc, ops::Movs, ops::Stos, ops::Lods, ops::RepMovs, ops::RepStos,
                        ops::RepLods, ops::In, ops::Out, ops::InDx, ops::OutDx, ops::Ins, ops::Outs, ops::RepIns,
                        ops::RepOuts, ops::MovSs, ops::MovSsMem, ops::PopFs, ops::Sti, ops::Cli, ops::Cld, ops::Std,
                        ops::Int3, ops::Int, ops::Icebp, ops::Ud2, ops::Div, ops::Cpuid, ops::Rdtsc, ops::Pause,
                        ops::Wbinvd, ops::Rdmsr, ops::Wrmsr, ops::MovToCr4, ops::MovFromCr4, ops::Clts, ops::Hlt,
                        ops::Syscall, ops::Sysret, ops::Iret, ops::Into, ops::Bound, ops::PopSs, ops::Lss, ops::Enter,
                        ops::Leave, ops::FarJmp, ops::FarCall, ops::FarRet, ops::Ud1, ops::LockMov, ops::Aam>;

/// Text form, `mnemonic key=value …`; README "Ops".
std::string to_text(const Op& op);
/// The inverse. The error says what was expected and what was found.
tl::expected<Op, std::string> parse_op(std::string_view text);

/// Whether any op of the kind at `index` of the variant exists in a mode.
bool op_exists(std::size_t index, Mode mode);
/// Whether the op exists in a mode with these field values: registers and widths of the mode, widths of I/O, …
bool valid(const Op& op, Mode mode);

/// What the op does in this state; effect.hpp.
Effect effect_of(const Op& op, const EffectContext& context);

/// The instruction, position independent. Length 0 iff !valid(op, mode).
Encoding encode_op(const Op& op, Mode mode);

/// Everything but the symbolic field (Value or OpRef) that decides an encoding, the mode included, packed without loss.
struct EncodingKey {
    std::uint64_t bits;
    Value symbol;  ///< the op's Value or OpRef field; literal 0 where it has none
};
EncodingKey encoding_key(const Op& op, Mode mode);

struct OpInfo {
    std::string_view mnemonic, summary;
    std::span<const std::string_view> fields;  ///< keys of the text form, in order
};
/// All ops, in the order of the variant.
std::span<const OpInfo> op_catalogue();

}  // namespace faultline::guest
