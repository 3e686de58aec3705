// CLC STC CMC CLD STD CLI STI LAHF SAHF.
#include "hypervisor/engine/exec.hpp"
#include "hypervisor/engine/operand.hpp"

namespace faultline::engine {
namespace {

template <std::uint64_t mask, bool value>
bool put_flag(Machine& m, const Instruction&) {
    set_flags(m, mask, value ? mask : 0);
    return true;
}

bool cmc(Machine& m, const Instruction&) {
    m.cpu.rflags ^= rflags::cf;
    return true;
}

bool may_change_if(Machine& m) {
    return m.cpu.cpl <= (m.cpu.rflags >> 12 & 3) || m.quirk(Quirk::cli_at_cpl3) || m.raise_gp();
}

bool cli(Machine& m, const Instruction&) {
    if (!may_change_if(m)) return false;
    set_flags(m, rflags::if_, 0);
    return true;
}

/// "External interrupts are enabled after the instruction following STI", if IF was 0. AMD APM vol 3, "STI".
bool sti(Machine& m, const Instruction&) {
    if (!may_change_if(m)) return false;
    if (!flag(m, rflags::if_)) {
        m.shadow = Shadow::Sti;
        m.pend(Machine::shadowed);
    }
    set_flags(m, rflags::if_, rflags::if_);
    return true;
}

constexpr std::uint64_t in_ah = rflags::arithmetic & ~rflags::of;

bool lahf(Machine& m, const Instruction&) {
    set_reg<std::uint8_t>(m, 1, static_cast<std::uint8_t>((m.cpu.rflags & in_ah) | rflags::fixed1));
    return true;
}

bool sahf(Machine& m, const Instruction&) {
    set_flags(m, in_ah, reg<std::uint8_t>(m, 1) & in_ah);
    return true;
}

}  // namespace

std::span<const Entry> flag_family() {
    static constexpr Entry entries[] = {
        {ZYDIS_MNEMONIC_CLC, any_form(put_flag<rflags::cf, false>)},
        {ZYDIS_MNEMONIC_STC, any_form(put_flag<rflags::cf, true>)},
        {ZYDIS_MNEMONIC_CMC, any_form(cmc)},
        {ZYDIS_MNEMONIC_CLD, any_form(put_flag<rflags::df, false>)},
        {ZYDIS_MNEMONIC_STD, any_form(put_flag<rflags::df, true>)},
        {ZYDIS_MNEMONIC_CLI, any_form(cli)},
        {ZYDIS_MNEMONIC_STI, any_form(sti)},
        {ZYDIS_MNEMONIC_LAHF, any_form(lahf)},
        {ZYDIS_MNEMONIC_SAHF, any_form(sahf)},
    };
    return entries;
}

}  // namespace faultline::engine
