// What quirks do to the debug registers: MOV DR, what matches, what a #DB leaves in DR6.
#include "hypervisor/engine/machine.hpp"
#include "hypervisor/engine/quirk_hooks.hpp"

namespace faultline::engine {

namespace dr = guest::dr;

namespace {

enum Type : unsigned { execute = 0, write = 1, io = 2, read_write = 3 };  // R/W field of DR7

struct Breakpoint {
    bool enabled;
    unsigned type;
    std::uint64_t address, first, size;
};

/// Breakpoint `n` as this machine understands it.
Breakpoint breakpoint(const Machine& m, unsigned n) {
    const std::uint64_t dr7 =
        m.quirk(Quirk::breakpoints_not_refreshed_by_vmrun) ? m.quirk_state.armed_dr7 : m.debug.dr7();
    std::uint64_t enables = dr7 >> 2 * n & 3;
    if (m.quirk(Quirk::local_enable_ignored)) enables &= 2;
    if (m.quirk(Quirk::global_enable_ignored)) enables &= 1;
    if (m.quirk(Quirk::dr3_never_matches) && n == 3) enables = 0;
    const std::uint64_t ten = m.quirk(Quirk::len_10_is_four_bytes) ? 4 : 8;
    const std::uint64_t eleven = m.quirk(Quirk::len_11_is_two_bytes) ? 2 : 4;
    const std::uint64_t bytes[] = {1, 2, ten, eleven};

    Breakpoint b;
    b.enabled = enables != 0;
    b.type = dr7 >> (16 + 4 * n) & 3;
    b.size = bytes[dr7 >> (18 + 4 * n) & 3];
    b.address = m.quirk(Quirk::dr_address_needs_dr7) ? m.quirk_state.armed_address[n] : m.debug.address[n];
    b.first = m.quirk(Quirk::len_does_not_mask) ? b.address : b.address & ~(b.size - 1);
    if (m.quirk(Quirk::range_too_long)) ++b.size;
    if (m.quirk(Quirk::range_too_short) && b.size > 1) --b.size;
    return b;
}

template <class T>
bool overlap(T a, T size_a, T b, T size_b) {
    return static_cast<T>(a - b) < size_b || static_cast<T>(b - a) < size_a;
}

bool overlaps(const Breakpoint& b, std::uint64_t first, std::size_t length, bool in_32_bits) {
    if (!in_32_bits) return overlap<std::uint64_t>(b.first, b.size, first, length);
    return overlap(static_cast<std::uint32_t>(b.first), static_cast<std::uint32_t>(b.size),
                   static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(length));
}

bool sees_data(const Machine& m, const Breakpoint& b, bool writes) {
    switch (b.type) {
        case Type::execute: return m.quirk(Quirk::code_breakpoint_sees_accesses);
        case Type::write: return writes || m.quirk(Quirk::write_breakpoint_sees_reads);
        case Type::io: return m.quirk(Quirk::io_breakpoint_sees_memory);
        default:
            return writes ? !m.quirk(Quirk::access_breakpoint_misses_writes)
                          : !m.quirk(Quirk::access_breakpoint_misses_reads);
    }
}

/// Hits of every breakpoint for which `matches` holds; what is not enabled is only remembered.
template <class SameKind, class Matches>
std::uint64_t hits_of(Machine& m, SameKind same_kind, Matches matches) {
    std::uint64_t hits = 0, enabled = 0;
    for (unsigned n = 0; n < 4; ++n) {
        const Breakpoint b = breakpoint(m, n);
        if (!same_kind(b)) continue;
        if (b.enabled) enabled |= 1ull << n;
        if (!matches(b)) continue;
        (b.enabled ? hits : m.quirk_state.disabled_hits) |= 1ull << n;
    }
    return hits && m.quirk(Quirk::all_enabled_reported) ? enabled : hits;
}

/// Adds `hits` to those of the instruction, in place of what the debug unit has seen.
void see(Machine& m, std::uint64_t hits, std::uint64_t& of_kind) {
    of_kind |= hits;
    m.debug.seen = 0;
    m.saw(m.quirk_state.data_hits | m.quirk_state.io_hits);
}

}  // namespace

void QuirkHooks::match_data(Machine& m, std::uint64_t linear, std::size_t length, bool writes, Via via) {
    const bool unseen = (m.quirk(Quirk::stack_unwatched) && via == Via::Stack) ||
                        (m.quirk(Quirk::read_modify_write_unseen) && writes && m.quirk_state.modified == linear);
    if (m.quirk(Quirk::only_first_byte_matches)) length = 1;
    if (m.quirk(Quirk::second_page_unwatched))
        length = std::min<std::size_t>(length, Memory::page_size - linear % Memory::page_size);
    const std::uint64_t hits =
        unseen ? 0
               : hits_of(
                     m, [&](const Breakpoint& b) { return sees_data(m, b, writes); },
                     [&](const Breakpoint& b) {
                         return overlaps(b, linear, length, m.quirk(Quirk::data_breakpoint_compares_32_bits));
                     });
    see(m, hits, m.quirk_state.data_hits);
}

void QuirkHooks::match_io(Machine& m, std::uint16_t port, std::size_t length, bool in) {
    const bool de = m.quirk(Quirk::de_needs_dr7) ? m.quirk_state.armed_de : (m.cpu.cr4 & cr4::de) != 0;
    const bool unseen = (!de && !m.quirk(Quirk::io_type_without_de)) ||
                        m.quirk(in ? Quirk::io_breakpoint_misses_in : Quirk::io_breakpoint_misses_out);
    if (m.quirk(Quirk::io_breakpoint_one_port)) length = 1;
    const std::uint64_t hits = unseen ? 0
                                      : hits_of(
                                            m, [](const Breakpoint& b) { return b.type == Type::io; },
                                            [&](Breakpoint b) {
                                                if (m.quirk(Quirk::io_breakpoint_compares_16_bits)) b.first &= 0xFFFF;
                                                return overlaps(b, port, length, false);
                                            });
    see(m, hits, m.quirk_state.io_hits);
}

std::uint64_t QuirkHooks::match_code(Machine& m, bool inside_rep) {
    QuirkState& s = m.quirk_state;
    const std::uint64_t rip = m.code_address(m.cpu.rip);
    s.disabled_hits = 0;
    s.trapping = false;
    if (m.quirk(Quirk::intercept_before_code_breakpoint) && intercepted_at_rip(m)) return 0;
    if (inside_rep || (s.rf && !m.quirk(Quirk::rf_ignored))) return 0;
    if (m.shadow == Shadow::MovSs && m.quirk(Quirk::mov_ss_shadow_hides_code_breakpoint)) return 0;
    if (m.quirk(Quirk::code_breakpoint_after_undefined) && kind_at_rip(m) == QuirkState::Kind::Ud2) return 0;
    const std::uint64_t hits = hits_of(
        m, [](const Breakpoint& b) { return b.type == Type::execute; },
        [&](const Breakpoint& b) {
            if (m.quirk(Quirk::code_breakpoint_compares_32_bits))
                return static_cast<std::uint32_t>(b.address) == static_cast<std::uint32_t>(rip);
            return b.address == rip || (m.quirk(Quirk::code_breakpoint_one_byte_late) && b.address == rip + 1);
        });
    s.at_code_breakpoint = hits != 0;
    if (!hits) s.disabled_hits = 0;  // they are for this #DB or none
    return hits;
}

bool QuirkHooks::refuses_dr(Machine& m, unsigned number, const std::uint64_t* written, bool& undefined, bool& allowed,
                            bool& detected) {
    QuirkState& s = m.quirk_state;
    const bool reserved = number == 4 || number == 5;
    const bool exits_first =
        (m.quirk(Quirk::dr_intercept_before_undefined) && undefined && allowed) ||
        (m.quirk(Quirk::dr_intercept_before_privilege) && !allowed && !undefined) ||
        (m.quirk(Quirk::dr_intercept_before_general_detect) && detected && allowed && !undefined) ||
        (m.quirk(Quirk::dr_intercept_before_upper_half) && allowed && !undefined && !detected && written &&
         number >= 4 && *written >> 32);
    if (exits_first) {
        const Instruction& i = *m.fetch();
        if (m.exits_on((written ? Intercept::WriteDr0 : Intercept::ReadDr0) + number, (written ? i.src : i.dst) / 8))
            return true;
    }
    if (m.quirk(Quirk::lazy_load_clobbers_dr6) && s.reload_dr6) {
        m.debug.dr6 = s.dr6_before_db;
        s.reload_dr6 = false;
    }
    if (m.quirk(Quirk::dr4_dr5_alias_with_de)) undefined = false;
    if (m.quirk(Quirk::mov_dr_at_cpl3)) allowed = true;
    if (m.quirk(Quirk::general_detect_missing) || (m.quirk(Quirk::general_detect_ignores_reads) && !written) ||
        (m.quirk(Quirk::general_detect_ignores_writes) && written) ||
        (m.quirk(Quirk::general_detect_ignores_aliases) && reserved) ||
        (m.quirk(Quirk::general_detect_ignores_addresses) && number < 4) ||
        (m.quirk(Quirk::general_detect_hidden_by_rf) && s.rf) ||
        (m.quirk(Quirk::general_detect_hidden_by_mov_ss) && m.in_mov_ss_shadow))
        detected = false;
    if (detected && ((m.quirk(Quirk::general_detect_before_undefined) && undefined && allowed) ||
                     (m.quirk(Quirk::general_detect_before_cpl) && !undefined))) {
        m.fault = {vector::db, 0, dr::dr6_bd};
        return true;
    }
    if (m.quirk(Quirk::high_bits_before_general_detect) && detected && written && number > 3 && *written >> 32 &&
        allowed && !undefined) {
        m.raise_gp();
        return true;
    }
    return false;
}

std::optional<bool> QuirkHooks::write_dr(Machine& m, unsigned number, std::uint64_t value) {
    QuirkState& s = m.quirk_state;
    const bool reserved = number == 4 || number == 5;
    if (number < 4) {
        if (!m.quirk(Quirk::dr_address_keeps_32_bits)) return std::nullopt;
        m.debug.address[number] = static_cast<std::uint32_t>(value);
        m.breakpoints_changed();
        return true;
    }
    if (m.quirk(Quirk::dr4_dr5_not_aliased) && reserved) {
        s.spare[number - 4] = value;
        return true;
    }
    const bool is_dr6 = number == 4 || number == 6;
    if (value >> 32) {
        if (m.quirk(Quirk::dr4_dr5_high_bits_ignored) && reserved) return true;
        if (m.quirk(Quirk::high_dr_bits_fail_entry)) return fails_entry(m);
        if (!m.quirk(is_dr6 ? Quirk::dr6_high_bits_ignored : Quirk::dr7_high_bits_ignored)) return std::nullopt;
        value = static_cast<std::uint32_t>(value);
    }
    // `stored` with the bits of `mask` as `from` has them.
    std::uint64_t stored = is_dr6 ? DebugUnit::writable_dr6(value) : DebugUnit::writable_dr7(value);
    const auto take = [&](Quirk quirk, std::uint64_t mask, std::uint64_t from) {
        if (m.quirk(quirk)) stored = (stored & ~mask) | (from & mask);
    };
    if (is_dr6) {
        take(Quirk::dr6_bit_12_sticks, 1 << 12, value);
        take(Quirk::dr6_bit_16_writable, 1 << 16, value);
        take(Quirk::dr6_reserved_ones_clear, 0x7F0, value);
        take(Quirk::dr6_causes_read_only, dr::dr6_b | dr::dr6_bd | dr::dr6_bs | dr::dr6_bt, m.debug.dr6);
        s.dr6_before_write = m.debug.dr6;
        s.dr6_written = true;
        m.debug.dr6 = stored;
        return true;
    }
    take(Quirk::dr7_reserved_bits_stick, 0xD800, value);
    take(Quirk::dr7_bit_11_sticks, 0x800, value);
    take(Quirk::dr7_bit_10_clears, 0x400, value);
    take(Quirk::dr7_exact_enables_lost, 0x300, 0);
    for (unsigned n = 0; n < 4; ++n)
        if (!(m.cpu.cr4 & cr4::de) && stored >> 2 * n & 3 && (stored >> (16 + 4 * n) & 3) == Type::io)
            take(Quirk::io_breakpoint_without_de_drops_dr7, ~0ull, dr::dr7_reset);
    m.debug.set_dr7(stored);
    s.armed_address = m.debug.address;
    s.armed_dr7 = m.debug.dr7();
    s.armed_de = (m.cpu.cr4 & cr4::de) != 0;
    m.breakpoints_changed();
    return true;
}

void QuirkHooks::recorded(Machine& m, DebugEvent event, std::uint64_t causes, std::uint64_t before) {
    QuirkState& s = m.quirk_state;
    std::uint64_t& dr6 = m.debug.dr6;
    const std::uint64_t hits = causes & dr::dr6_b, sticky = dr::dr6_bd | dr::dr6_bs | dr::dr6_bt;
    const bool icebp = event == DebugEvent::Icebp, tf = (m.cpu.rflags & rflags::tf) != 0;
    const bool stepped = (causes & dr::dr6_bs) != 0, detected = (causes & dr::dr6_bd) != 0;
    const auto clear_if = [&](Quirk quirk, bool condition, std::uint64_t bits) {
        if (m.quirk(quirk) && condition) dr6 &= ~bits;
    };
    const auto set_if = [&](Quirk quirk, bool condition, std::uint64_t bits) {
        if (m.quirk(quirk) && condition) dr6 |= bits;
    };
    clear_if(Quirk::dr6_overwritten, true, sticky & ~causes);
    clear_if(Quirk::db_clears_bt, true, dr::dr6_bt);
    clear_if(Quirk::bus_lock_bit_lost, true, dr::dr6_bld);
    clear_if(Quirk::icebp_rewrites_b, icebp, dr::dr6_b & ~hits);
    clear_if(Quirk::stale_bs_cleared, !stepped, dr::dr6_bs);
    clear_if(Quirk::stale_bd_cleared, !detected, dr::dr6_bd);
    clear_if(Quirk::step_sets_no_bs, stepped && !(before & dr::dr6_bs), dr::dr6_bs);
    clear_if(Quirk::general_detect_sets_no_bd, detected && !(before & dr::dr6_bd), dr::dr6_bd);
    clear_if(Quirk::step_hides_breakpoints, stepped, dr::dr6_b);
    clear_if(Quirk::one_breakpoint_at_a_time, true, hits & (hits - 1));
    set_if(Quirk::general_detect_keeps_stale_b, detected, before & dr::dr6_b);
    set_if(Quirk::stale_b_kept, true, before & dr::dr6_b);
    set_if(Quirk::tf_always_sets_bs, tf, dr::dr6_bs);
    set_if(Quirk::icebp_sets_bs, icebp, dr::dr6_bs);
    set_if(Quirk::code_breakpoint_sets_bs, s.at_code_breakpoint && tf, dr::dr6_bs);
    set_if(Quirk::disabled_match_reported, !icebp, s.disabled_hits);
    s.disabled_hits = 0;
    s.dr6_before_db = before;
    s.reload_dr6 = true;
    s.dr6_written = false;
}

}  // namespace faultline::engine
