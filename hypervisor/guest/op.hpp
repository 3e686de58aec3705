// Op: exactly one guest instruction. The structs are in ops/, one family per file; this is the list of them.
#pragma once

#include <boost/mp11/list.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <variant>

#include "hypervisor/guest/ops/branches.hpp"
#include "hypervisor/guest/ops/control_registers.hpp"
#include "hypervisor/guest/ops/debug_registers.hpp"
#include "hypervisor/guest/ops/far.hpp"
#include "hypervisor/guest/ops/flags.hpp"
#include "hypervisor/guest/ops/hypervised.hpp"
#include "hypervisor/guest/ops/interrupts.hpp"
#include "hypervisor/guest/ops/io.hpp"
#include "hypervisor/guest/ops/memory.hpp"
#include "hypervisor/guest/ops/registers.hpp"
#include "hypervisor/guest/ops/shadow.hpp"
#include "hypervisor/guest/ops/stack.hpp"
#include "hypervisor/guest/ops/strings.hpp"
#include "hypervisor/guest/ops/system.hpp"
#include "hypervisor/guest/ops/tables.hpp"

namespace faultline::guest {

/// Each family lists its ops at the end of its file.
using Op = boost::mp11::mp_append<ops::RegisterOps, ops::DebugRegisterOps, ops::FlagOps, ops::MemoryOps, ops::StackOps,
                                  ops::BranchOps, ops::StringOps, ops::IoOps, ops::ShadowOps, ops::InterruptOps,
                                  ops::SystemOps, ops::FarOps, ops::ControlRegisterOps, ops::TableOps,
                                  ops::HypervisedOps>;

/// Text form, `mnemonic key=value …`; README "Ops".
std::string to_text(const Op& op);
/// The inverse. The error says what was expected and what was found.
tl::expected<Op, std::string> parse_op(std::string_view text);

/// Whether any op of the kind at `index` of the variant exists in a mode, for programs of a world: some are for those
/// under a hypervisor alone.
bool op_exists(std::size_t index, Mode mode, World world = World::Bare);
/// Whether programs of this world may have the op.
bool belongs_to(const Op& op, World world);
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
