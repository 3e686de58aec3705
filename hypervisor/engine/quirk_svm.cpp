// What quirks do to a guest's machine: VMRUN, the intercepts and their order, what #VMEXIT reports and saves.
#include "hypervisor/engine/machine.hpp"
#include "hypervisor/engine/operand.hpp"
#include "hypervisor/engine/quirk_hooks.hpp"
#include "hypervisor/engine/svm/svm.hpp"

namespace faultline::engine {

namespace dr = guest::dr;
namespace info = guest::svm::event_info;
namespace vintr = guest::svm::vintr;

namespace {

constexpr std::uint64_t by_mov_cr = 1ull << 63;  // EXITINFO1 of MOV CR

/// `what` is one of `count` intercepts from `first` on.
constexpr bool among(Intercept what, Intercept first, unsigned count = 1) {
    return static_cast<unsigned>(what) - static_cast<unsigned>(first) < count;
}
constexpr bool is_exception(Intercept what) { return among(what, Intercept::Exception, 32); }
constexpr bool is_exception(Intercept what, std::uint8_t vector) { return what == Intercept::Exception + vector; }
constexpr bool is_cr(Intercept what) { return among(what, Intercept::ReadCr0, 32); }
constexpr bool is_dr(Intercept what) { return among(what, Intercept::ReadDr0, 32); }
constexpr bool is_dr_alias(Intercept what) { return is_dr(what) && (static_cast<unsigned>(what) & 0xE) == 4; }
constexpr bool is_table_load(Intercept what) { return among(what, Intercept::LoadIdtr, 4); }
constexpr bool is_table_store(Intercept what) { return among(what, Intercept::StoreIdtr, 4); }
constexpr bool is_svm(Intercept what) {
    return what != Intercept::Vmmcall && (among(what, Intercept::Vmrun, 7) || what == Intercept::Invlpga);
}
constexpr bool is_instruction(Intercept what) {
    return is_cr(what) || is_dr(what) ||
           (what >= Intercept::Cr0Selective && what != Intercept::TaskSwitch && what != Intercept::Shutdown);
}
/// Traps, and what comes with a frame of its own to return to.
constexpr bool is_software(std::uint8_t vector) { return vector == vector::bp || vector == vector::of; }

bool bit_set(const Machine& m, std::uint64_t map, std::uint64_t bit) {
    std::uint8_t byte;
    m.memory.read(map + bit / 8, &byte, 1);
    return byte >> bit % 8 & 1;
}

}  // namespace

// ---- VMRUN ------------------------------------------------------------------------------------------------------

bool QuirkHooks::refuses_entry(const Machine& m, const Vmcb& v) {
    constexpr unsigned long_and_big = attribute::long_mode | attribute::big;
    return (m.quirk(Quirk::cs_l_and_d_refused_outside_long_mode) && (v.cs.attributes & long_and_big) == long_and_big) ||
           (m.quirk(Quirk::vmrun_refuses_nw_with_cd) && v.cr0 & cr0::nw) ||
           (m.quirk(Quirk::vmrun_refuses_dr6_low_bits) && ~v.dr6 & 0xFFFF'0FF0) ||
           (m.quirk(Quirk::vmrun_refuses_dr7_low_bits) && ~v.dr7 & dr::dr7_reset) ||
           (m.quirk(Quirk::vmrun_refuses_large_asid) && v.asid > 0xFF) ||
           (m.quirk(Quirk::vmrun_refuses_v_intr_masking) && v.virtual_interrupts & vintr::masking);
}

void QuirkHooks::entered(Machine& m, const Vmcb& v, std::uint64_t cr2, std::uint64_t dr6) {
    m.quirk_state.entry_rax = v.rax;
    if (m.quirk(Quirk::vmrun_drops_rf)) m.set_rflags(m.cpu.rflags & ~rflags::rf);
    if (m.quirk(Quirk::vmrun_drops_tf)) m.set_rflags(m.cpu.rflags & ~rflags::tf);
    if (m.quirk(Quirk::vmrun_keeps_cr2)) m.cpu.cr2 = cr2;
    if (m.quirk(Quirk::vmrun_keeps_dr6)) m.debug.dr6 = dr6;
    if (m.quirk(Quirk::vmrun_loads_dr6_as_it_is)) m.debug.dr6 = v.dr6;
    if (m.quirk(Quirk::vmrun_loads_dr7_as_it_is)) m.debug.set_dr7(v.dr7);
    if (m.quirk(Quirk::vmrun_drops_interrupt_shadow)) {
        m.shadow = Shadow::None;
        m.drop(Machine::shadowed);
    }
    if (m.quirk(Quirk::vmrun_traps_before_first_instruction) && m.cpu.rflags & rflags::tf) {
        m.debug.pending = dr::dr6_bs;
        m.pend(Machine::causes);
    }
}

bool QuirkHooks::loses_injection(Machine& m, std::uint64_t event) {
    m.quirk_state.injecting = true;
    const bool external = (event >> 8 & 7) == info::External;
    return (m.quirk(Quirk::injected_interrupt_needs_if) && external && !(m.cpu.rflags & rflags::if_)) ||
           (m.quirk(Quirk::injection_lost_in_shadow) && m.shadow != Shadow::None);
}

// ---- Instructions -----------------------------------------------------------------------------------------------

std::optional<Intercept> QuirkHooks::intercept_at_rip(Machine& m) {
    std::array<std::uint8_t, max_instruction_length> bytes{};
    m.fetch_bytes(bytes);
    std::size_t i = 0;
    std::uint8_t rex = 0;
    bool repeated = false;
    for (; i + 4 < bytes.size(); ++i) {
        const std::uint8_t byte = bytes[i];
        repeated |= byte == 0xF3;
        if (m.long64() && byte >> 4 == 4)
            rex = byte;
        else if (byte != 0x66 && byte != 0x67 && byte != 0xF2 && byte != 0xF3 && byte != 0xF0 && byte != 0x2E &&
                 byte != 0x36 && byte != 0x3E && byte != 0x26 && byte != 0x64 && byte != 0x65)
            break;
    }
    switch (bytes[i]) {
        case 0x90: return repeated ? std::optional(Intercept::Pause) : std::nullopt;
        case 0x9C: return Intercept::Pushf;
        case 0x9D: return Intercept::Popf;
        case 0xCD: return Intercept::SoftwareInterrupt;
        case 0xCF: return Intercept::Iret;
        case 0xF1: return Intercept::Icebp;
        case 0xF4: return Intercept::Hlt;
        case 0x0F: break;
        default: {
            const std::uint8_t op = bytes[i];
            const bool port = (op >= 0xE4 && op <= 0xE7) || (op >= 0xEC && op <= 0xEF);  // no strings: they store
            return port ? std::optional(Intercept::Io) : std::nullopt;
        }
    }
    const std::uint8_t modrm = bytes[i + 2];
    const unsigned number = (modrm >> 3 & 7) | (rex & 4u) << 1;
    switch (bytes[i + 1]) {
        case 0x00: {
            constexpr std::array of{Intercept::StoreLdtr, Intercept::StoreTr, Intercept::LoadLdtr, Intercept::LoadTr};
            return number < of.size() ? std::optional(of[number]) : std::nullopt;
        }
        case 0x01: {
            if (modrm >= 0xD8 && modrm <= 0xDF) {
                constexpr std::array of{Intercept::Vmrun, Intercept::Vmmcall, Intercept::Vmload, Intercept::Vmsave,
                                        Intercept::Stgi,  Intercept::Clgi,    Intercept::Skinit, Intercept::Invlpga};
                return of[modrm & 7];
            }
            if (modrm == 0xF9) return Intercept::Rdtscp;
            switch (number) {
                case 4: return Intercept::ReadCr0;
                case 6: return Intercept::WriteCr0;
                default: break;
            }
            if (modrm >= 0xC0) return std::nullopt;
            constexpr std::array of{Intercept::StoreGdtr, Intercept::StoreIdtr, Intercept::LoadGdtr,
                                    Intercept::LoadIdtr};
            if (number == 7) return Intercept::Invlpg;
            return number < of.size() ? std::optional(of[number]) : std::nullopt;
        }
        case 0x06: return Intercept::WriteCr0;
        case 0x08: return Intercept::Invd;
        case 0x09: return Intercept::Wbinvd;
        case 0x20: return Intercept::ReadCr0 + number;
        case 0x21: return Intercept::ReadDr0 + number;
        case 0x22: return Intercept::WriteCr0 + number;
        case 0x23: return Intercept::WriteDr0 + number;
        case 0x30:
        case 0x32: return Intercept::Msr;
        case 0x31: return Intercept::Rdtsc;
        case 0x33: return Intercept::Rdpmc;
        case 0xA2: return Intercept::Cpuid;
        default: return std::nullopt;
    }
}

/// One that no permission map has a say in.
bool QuirkHooks::intercepted_at_rip(Machine& m) {
    const auto what = intercept_at_rip(m);
    return what && *what != Intercept::Io && *what != Intercept::Msr && m.svm.intercepts.has(*what);
}

bool QuirkHooks::comes_before_privilege(const Machine& m, Intercept what) {
    return (m.quirk(Quirk::cr_intercept_before_privilege) && is_cr(what)) ||
           (m.quirk(Quirk::hlt_intercept_before_privilege) && what == Intercept::Hlt) ||
           (m.quirk(Quirk::msr_intercept_before_privilege) && what == Intercept::Msr) ||
           (m.quirk(Quirk::cache_intercept_before_privilege) &&
            (what == Intercept::Wbinvd || what == Intercept::Invd || what == Intercept::Invlpg)) ||
           (m.quirk(Quirk::table_intercept_before_privilege) && is_table_load(what)) ||
           (m.quirk(Quirk::svm_intercept_before_privilege) && is_svm(what)) ||
           (m.quirk(Quirk::io_intercept_before_permission) && what == Intercept::Io);
}

bool QuirkHooks::comes_after_exceptions(const Machine& m, Intercept what) {
    return (m.quirk(Quirk::int_n_intercept_after_gate) && what == Intercept::SoftwareInterrupt) ||
           (m.quirk(Quirk::iret_intercept_after_exceptions) && what == Intercept::Iret) ||
           (m.quirk(Quirk::flags_intercept_after_exceptions) &&
            (what == Intercept::Pushf || what == Intercept::Popf)) ||
           (m.quirk(Quirk::msr_intercept_after_exceptions) && what == Intercept::Msr) ||
           (m.quirk(Quirk::table_intercept_after_exceptions) && is_table_store(what));
}

/// Tries the instruction out, with another privilege or without its intercept, and goes back to where it began. What
/// it has stored stays: of those that come here only PUSHF, INT n and the stores of table registers do.
bool QuirkHooks::execute(Machine& m, const Instruction& i) {
    const auto plainly = [&] { return i.run(m, i); };
    const auto what = m.svm.in_guest ? intercept_at_rip(m) : std::nullopt;
    if (!what || !m.svm.intercepts.has(*what)) return plainly();
    const bool early = m.cpu.cpl != 0 && comes_before_privilege(m, *what), late = comes_after_exceptions(m, *what);
    if (!early && !late) return plainly();

    const Cpu cpu = m.cpu;
    const DebugUnit debug = m.debug;
    const std::uint32_t attention = m.attention;
    const std::uint64_t delivering = m.svm.delivering;
    const Intercepts intercepts = m.svm.intercepts;
    const auto go_back = [&] {
        m.cpu = cpu;
        m.debug = debug;
        m.registers_changed();
        m.attention = attention;
        m.svm.delivering = delivering;
        m.branched = m.step_settled = false;
        m.shadow = Shadow::None;
    };
    if (early) {
        m.cpu.cpl = 0;
        const bool exits = !plainly() && m.attention & Machine::exiting;
        const std::uint32_t exiting = m.attention & Machine::exiting;
        go_back();
        m.attention |= exiting;
        return exits ? false : plainly();
    }
    m.svm.intercepts.set(*what, false);
    const bool completed = plainly();
    m.svm.intercepts = intercepts;
    if (!completed) return false;
    go_back();
    return plainly();
}

// ---- Intercepts -------------------------------------------------------------------------------------------------

bool QuirkHooks::overlooks(const Machine& m, Intercept what, std::uint64_t info_1) {
    const bool compatible = m.long_mode() && !m.long64(), exception = is_exception(what);
    const bool in_delivery = (m.svm.delivering & info::valid) != 0, by_mov = (info_1 & by_mov_cr) != 0;
    const bool in = info_1 & 1, write = info_1 & 1;
    return (m.quirk(Quirk::divide_error_not_intercepted) && is_exception(what, vector::de)) ||
           (m.quirk(Quirk::exceptions_at_cpl3_not_intercepted) && exception && m.cpu.cpl == 3) ||
           (m.quirk(Quirk::exceptions_of_compat_mode_not_intercepted) && exception && compatible) ||
           (m.quirk(Quirk::instructions_of_compat_mode_not_intercepted) && is_instruction(what) && compatible) ||
           (m.quirk(Quirk::nested_fault_not_intercepted) && exception && in_delivery &&
            !is_exception(what, vector::df)) ||
           (m.quirk(Quirk::double_fault_not_intercepted) && is_exception(what, vector::df)) ||
           (m.quirk(Quirk::fault_of_injection_not_intercepted) && exception && m.quirk_state.injecting) ||
           (m.quirk(Quirk::shutdown_not_intercepted) && what == Intercept::Shutdown) ||
           (m.quirk(Quirk::dr_alias_not_intercepted) && is_dr_alias(what)) ||
           (m.quirk(Quirk::lmsw_and_clts_not_intercepted) && what == Intercept::WriteCr0 && !by_mov) ||
           (m.quirk(Quirk::smsw_not_intercepted) && what == Intercept::ReadCr0 && !by_mov) ||
           (m.quirk(Quirk::selective_ignores_lmsw) && what == Intercept::Cr0Selective && !by_mov) ||
           (m.quirk(Quirk::icebp_not_intercepted) && what == Intercept::Icebp) ||
           (m.quirk(Quirk::int_n_below_32_not_intercepted) && what == Intercept::SoftwareInterrupt && info_1 < 32) ||
           (m.quirk(Quirk::pause_needs_filter) && what == Intercept::Pause) ||
           (m.quirk(Quirk::io_in_not_intercepted) && what == Intercept::Io && in) ||
           (m.quirk(Quirk::io_out_not_intercepted) && what == Intercept::Io && !in && !(info_1 >> 16 >= 0xF4)) ||
           (m.quirk(Quirk::msr_reads_not_intercepted) && what == Intercept::Msr && !write) ||
           (m.quirk(Quirk::msr_writes_not_intercepted) && what == Intercept::Msr && write);
}

void QuirkHooks::reported(Machine& m, Intercept what) {
    ExitReport& r = m.svm.report;
    const bool of_cr = is_cr(what) || what == Intercept::Cr0Selective, by_mov = (r.info_1 & by_mov_cr) != 0;
    const auto clear_if = [&](Quirk quirk, bool condition, std::uint64_t& field, std::uint64_t bits = ~0ull) {
        if (m.quirk(quirk) && condition) field &= ~bits;
    };
    const auto set_if = [&](Quirk quirk, bool condition, std::uint64_t& field, std::uint64_t bits) {
        if (m.quirk(quirk) && condition) field |= bits;
    };
    const std::uint64_t next = m.cpu.r[next_rip_slot];
    const bool io = what == Intercept::Io, msr = what == Intercept::Msr;
    if (m.quirk(Quirk::nrip_on_every_exit)) r.next_rip = next;
    clear_if(Quirk::nrip_missing_for_instructions, is_instruction(what) && !io && !msr, r.next_rip);
    clear_if(Quirk::nrip_missing_for_io_and_msr, io || msr, r.next_rip);
    if (m.quirk(Quirk::nrip_is_rip) && r.next_rip != 0) r.next_rip = m.cpu.rip;

    clear_if(Quirk::dr_info_missing, is_dr(what), r.info_1);
    set_if(Quirk::dr_info_has_bit_63, is_dr(what), r.info_1, by_mov_cr);
    if (m.quirk(Quirk::dr_info_names_dr) && is_dr(what)) r.info_1 = static_cast<unsigned>(what) & 0xF;
    clear_if(Quirk::cr_info_lacks_bit_63, of_cr, r.info_1, by_mov_cr);
    set_if(Quirk::lmsw_info_has_bit_63, of_cr && !by_mov, r.info_1, by_mov_cr);
    clear_if(Quirk::int_n_info_missing, what == Intercept::SoftwareInterrupt, r.info_1);
    clear_if(Quirk::invlpg_info_missing, what == Intercept::Invlpg, r.info_1);
    if (m.quirk(Quirk::msr_info_inverted) && msr) r.info_1 ^= 1;
    if (!io || r.info_1 >> 16 >= 0xF4) return;  // the stage's own ports tell its hypervisor what is going on
    constexpr std::uint64_t type = 1, string = 1 << 2, rep = 1 << 3, size = 7 << 4, size_8 = 1 << 4, address = 7 << 7,
                            address_32 = 1 << 8, segment = 7 << 10;
    if (m.quirk(Quirk::io_info_direction_inverted)) r.info_1 ^= type;
    clear_if(Quirk::io_info_lacks_string, true, r.info_1, string);
    clear_if(Quirk::io_info_lacks_rep, true, r.info_1, rep);
    if (m.quirk(Quirk::io_info_always_byte)) r.info_1 = (r.info_1 & ~size) | size_8;
    if (m.quirk(Quirk::io_info_address_size_32)) r.info_1 = (r.info_1 & ~address) | address_32;
    clear_if(Quirk::io_info_lacks_segment, true, r.info_1, segment);
    clear_if(Quirk::io_info_lacks_port, true, r.info_1, 0xFFFF'0000);
    if (m.quirk(Quirk::io_info_2_own_rip)) r.info_2 = m.cpu.rip;
}

bool QuirkHooks::io_map_asks(const Machine& m, std::uint16_t port, std::size_t width) {
    bool asked = false;
    if (m.quirk(Quirk::io_map_first_port_only)) width = 1;
    if (m.quirk(Quirk::io_map_always_four)) width = 4;
    const bool stage = port >= 0xF4 && port <= 0xF6;
    for (std::size_t n = 0; n < width; ++n) {
        std::uint64_t bit = port + n;
        if (m.quirk(Quirk::io_map_one_port_late) && !stage) ++bit;
        asked |= bit_set(m, m.svm.iopm, bit);
    }
    return asked;
}

bool QuirkHooks::msr_map_asks(const Machine& m, std::uint32_t index, bool write, bool asked) {
    constexpr std::uint32_t covered = 0x2000, high = 0xC000'0000;
    const bool low = index < covered, in_map = low || index - high < covered || index - high - 0x1'0000 < covered;
    if (m.quirk(Quirk::msr_outside_map_free) && !in_map) return false;
    if (m.quirk(Quirk::msr_directions_swapped) && low) return bit_set(m, m.svm.msrpm, 2 * index + !write);
    if (m.quirk(Quirk::msr_one_bit_each) && low) return bit_set(m, m.svm.msrpm, index);
    if (m.quirk(Quirk::msr_vectors_aliased) && in_map && !low)
        return bit_set(m, m.svm.msrpm, 2 * (index & (covered - 1)) + write);
    return asked;
}

// ---- #VMEXIT ----------------------------------------------------------------------------------------------------

void QuirkHooks::left(Machine& m, std::uint64_t event) {
    const ExitReport& r = m.svm.report;
    QuirkState& s = m.quirk_state;
    const Vmcb v = read_vmcb(m, m.svm.vmcb);
    VmcbWriter vmcb(m, m.svm.vmcb);
    const bool instruction = r.code <= 0xFFF && is_instruction(static_cast<Intercept>(r.code));
    const bool stage = r.code == guest::svm::exit_code::of(Intercept::Io) && r.info_1 >> 16 >= 0xF4;
    const std::uint64_t number = r.code - guest::svm::exit_code::of(Intercept::Exception);
    const bool exception = number < 32;
    const auto vector = static_cast<std::uint8_t>(number);
    const bool in_delivery = (v.exit_int_info & info::valid) != 0;
    const bool fault = exception && !is_software(vector) && vector != vector::df && vector != vector::db;
    const auto behind = [&] { return s.last_rip + s.last_length; };
    const auto also = [&](Quirk quirk, bool condition) { return m.quirk(quirk) && condition; };

    // EXITINFO of exceptions.
    const bool pf = exception && vector == vector::pf;
    if (also(Quirk::page_fault_infos_swapped, pf)) {
        vmcb.set(&Vmcb::exit_info_1, v.exit_info_2);
        vmcb.set(&Vmcb::exit_info_2, v.exit_info_1);
    }
    if (also(Quirk::page_fault_info_page_address, pf))
        vmcb.set(&Vmcb::exit_info_2, v.exit_info_2 & ~(Memory::page_size - 1));
    if (also(Quirk::page_fault_exit_writes_cr2, pf)) vmcb.set(&Vmcb::cr2, v.exit_info_2);
    if (also(Quirk::page_fault_exit_lacks_user, pf))
        vmcb.set(&Vmcb::exit_info_1, v.exit_info_1 & ~std::uint64_t{pf::user});
    if (also(Quirk::gp_info_missing, exception && vector == vector::gp)) vmcb.set(&Vmcb::exit_info_1, 0);
    if (also(Quirk::np_and_ss_info_missing, exception && (vector == vector::np || vector == vector::ss)))
        vmcb.set(&Vmcb::exit_info_1, 0);
    // Undefined of a #DF: here it is what the last exit left there.
    if (also(Quirk::double_fault_given_stale_error, exception && vector == vector::df))
        vmcb.set(&Vmcb::exit_info_1, s.last_info_1);
    s.last_info_1 = r.info_1;

    // EXITINTINFO.
    constexpr std::uint64_t type = 7 << 8, error = info::has_error | 0xFFFF'FFFFull << 32;
    const auto of_type = [&](info::Type t) { return (v.exit_int_info & ~type) | std::uint64_t{t} << 8; };
    const bool by_int_n = in_delivery && (v.exit_int_info & type) == std::uint64_t{info::Software} << 8;
    const bool by_int3 = in_delivery && (v.exit_int_info & type) == std::uint64_t{info::Exception} << 8 &&
                         is_software(static_cast<std::uint8_t>(v.exit_int_info));
    if (also(Quirk::int_info_missing, in_delivery)) vmcb.set(&Vmcb::exit_int_info, 0);
    if (also(Quirk::int_info_lacks_error, in_delivery)) vmcb.set(&Vmcb::exit_int_info, v.exit_int_info & ~error);
    if (also(Quirk::int_info_calls_int_n_exception, by_int_n)) vmcb.set(&Vmcb::exit_int_info, of_type(info::Exception));
    if (also(Quirk::int_info_calls_int3_int_n, by_int3)) vmcb.set(&Vmcb::exit_int_info, of_type(info::Software));
    if (also(Quirk::int_info_calls_all_external, in_delivery)) vmcb.set(&Vmcb::exit_int_info, of_type(info::External));
    if (also(Quirk::int_info_names_second, in_delivery && exception))
        vmcb.set(&Vmcb::exit_int_info, (v.exit_int_info & ~0xFFull) | vector);

    // The guest's state.
    if (m.quirk(Quirk::injection_stays_valid)) vmcb.set(&Vmcb::event_injection, event);
    if (stage) return;
    if (m.quirk(Quirk::exit_shadow_lost)) vmcb.set(&Vmcb::interrupt_shadow, 0);
    if (m.quirk(Quirk::exit_rf_lost)) vmcb.set(&Vmcb::rflags, v.rflags & ~rflags::rf);
    if (m.quirk(Quirk::exit_tf_lost)) vmcb.set(&Vmcb::rflags, v.rflags & ~rflags::tf);
    if (m.quirk(Quirk::exit_cpl_zero)) vmcb.set(&Vmcb::cpl, 0);
    if (m.quirk(Quirk::exit_dr7_lacks_enables)) vmcb.set(&Vmcb::dr7, v.dr7 & ~std::uint64_t{dr::dr7_enables});
    if (m.quirk(Quirk::exit_rax_lost)) vmcb.set(&Vmcb::rax, s.entry_rax);
    if (also(Quirk::fault_exit_sets_rf, fault)) vmcb.set(&Vmcb::rflags, v.rflags | rflags::rf);
    if (also(Quirk::exit_rip_behind_instruction, instruction)) vmcb.set(&Vmcb::rip, m.cpu.r[next_rip_slot]);
    if (also(Quirk::fault_exits_behind_instruction, fault && !in_delivery)) vmcb.set(&Vmcb::rip, behind());
    if (exception && is_software(vector) && !in_delivery && m.quirk(Quirk::int3_exits_behind_itself))
        vmcb.set(&Vmcb::rip, behind());
    if (exception && vector == vector::db && !in_delivery) {
        if (also(Quirk::trap_exits_at_instruction, s.trapping)) vmcb.set(&Vmcb::rip, s.last_rip);
        if (also(Quirk::general_detect_exits_as_trap, s.detected)) vmcb.set(&Vmcb::rip, behind());
    }
}

}  // namespace faultline::engine
