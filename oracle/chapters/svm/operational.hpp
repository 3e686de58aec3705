// The chapter's operational form, over a domain: see outcomes.hpp. It goes through VMRUN, an instruction and the
// delivery of an event in the order in which the manual tells them (AMD APM vol 2, chapter Secure Virtual Machine) and
// uses none of the words of situation.hpp. It branches on values only through its list of outcomes (outcome_list.hpp).
#pragma once

#include <utility>

#include "oracle/chapters/svm/outcomes.hpp"

namespace faultline::oracle::svm {

template <class D>
class Finder {
    using Bits = typename D::Bits;
    using Bool = typename D::Bool;
    using Outcome = OutcomeIn<D>;
    static constexpr std::uint64_t high = ~0xFFFFFFFFull;

public:
    /// `without`: an Alternative to leave out; Alternative::Count: none.
    Finder(const Pre<D>& pre, const Stimulus<D>& stim, OutcomesIn<D>& out, const Bits& without)
        : pre_(pre), stim_(stim), out_(out), without_(without) {}

    void find() {
        switch (out_.pick(stim_.kind, kind::last)) {
            case kind::enter: return vmrun();
            case kind::instruction: return instruction();
            case kind::exception: return event();
            case kind::boundary: return boundary();
            default: return translate();
        }
    }

private:
    Bool may(Alternative a) const { return without_ != static_cast<std::uint64_t>(a); }
    static Bool bit(const Bits& value, unsigned n) { return (value >> n & 1) == 1; }
    static Bits flag(const Bool& set, std::uint64_t value) { return ite(set, Bits(value), Bits(0)); }

    void goes_on() { out_.add(Outcome{}); }

    // --- "VMRUN Instruction"

    void vmrun() {
        refuse(!bit(stim_.efer, 12));
        refuse((stim_.cr0 & 0x60000000) == 0x20000000);
        refuse((stim_.cr0 & high) != 0);
        control_registers();
        refuse(((stim_.dr6 | stim_.dr7) & high) != 0);
        long_mode();
        refuse(!bit(stim_.intercepts_4, 0));
        permission_maps();
        inject();
        refuse(stim_.asid == 0);
        doubt(pre_.asid_count < stim_.asid || pre_.asid_count == stim_.asid, Alternative::Vmr118);
        refuse((stim_.s_cet & pre_.s_cet_reserved) != 0);
        refuse(bit(stim_.cr4, 23) && !bit(stim_.cr0, 16));
        const Bool nmi = bit(stim_.virtual_interrupts, 26) && !bit(stim_.intercepts_3, 1);
        refuse(nmi && pre_.v_nmi);
        doubt(nmi && !pre_.v_nmi, Alternative::Vmr119);
        nested_paging();

        Outcome invalid{};
        invalid.response.exits = true;
        invalid.response.code = ~0ull;
        out_.when(must_ || refused_ || may_, [&] { out_.add(invalid); });
        out_.when(!must_, [&] { goes_on(); });
    }
    void refuse(const Bool& condition) { must_ = must_ || condition; }
    /// Illegal by the text, but a FREE rule lets it pass.
    void refuse(const Bool& condition, Alternative excuse) {
        refused_ = refused_ || condition;
        refuse(condition && !may(excuse));
    }
    void doubt(const Bool& condition, Alternative a) { may_ = may_ || (condition && may(a)); }

    /// "Enabling Nested Paging", "Nested Paging and VMRUN/#VMEXIT"; "PAT Register" for what is no memory type.
    void nested_paging() {
        Bool types = false;
        for (unsigned field = 0; field < 8; ++field) {
            const Bits type = stim_.g_pat >> 8 * field & 0xFF;
            types = types || (type >> 3) != 0 || (type >> 1) == 1;
        }
        const Bool asked = pre_.nested_paging && stands(standing::nested_paging);
        refuse(asked && (!stands(standing::host_paging) || (stim_.nested_cr3 >> 52) != 0 || types));
        doubt(asked && ule(pre_.physical_limit, stim_.nested_cr3), Alternative::Vmr123);
        doubt(!pre_.nested_paging && stands(standing::nested_paging), Alternative::Vmr124);
    }

    /// "CR2 and CR3 Registers", "CR4 Register", "Extended Feature Enable Register (EFER)".
    void control_registers() {
        const Bool long_paging = bit(stim_.efer, 8) && bit(stim_.cr0, 31);
        refuse(long_paging && (stim_.cr3 >> 52) != 0);
        doubt(long_paging && ule(pre_.physical_limit, stim_.cr3 & 0xFFFFFFFFFFFFF), Alternative::Vmr114);
        doubt(!long_paging && (stim_.cr3 >> 32) != 0, Alternative::Vmr115);
        // Bits 12:0, 18:16 and 23:20 have meanings.
        refuse((stim_.cr4 & ~0xF71FFFull) != 0);
        doubt((stim_.cr4 & pre_.cr4_absent) != 0, Alternative::Vmr116);
        // Bits 0, 8, 15:10, 18:17 and 21:20 have meanings, 7:1 read as zero.
        refuse((stim_.efer & ~0x36FDFFull) != 0);
        doubt((stim_.efer & (pre_.efer_absent | 0xFE)) != 0, Alternative::Vmr117);
        refuse(bit(stim_.cr0, 31) && bit(stim_.cr4, 5) && !bit(stim_.efer, 8) && !stands(standing::nested_paging) &&
               stands(standing::pdpte_reserved));
    }
    void long_mode() {
        refuse((bit(stim_.efer, 8) || bit(stim_.efer, 10)) && !pre_.long_mode);
        const Bool pae = bit(stim_.cr4, 5), pe = bit(stim_.cr0, 0);
        const Bool l = bit(stim_.cs_attributes, 9), d = bit(stim_.cs_attributes, 10);
        const Bool long_paging = bit(stim_.efer, 8) && bit(stim_.cr0, 31);
        refuse(long_paging && (!pae || !pe || (l && d)));
        code64_ = long_paging && l;
    }
    void permission_maps() {
        // By pages: the maps take three and two, and the limit lies between pages.
        const auto past = [&](const Bits& base, unsigned pages) {
            return (pre_.physical_limit >> 12) < (base >> 12) + pages;
        };
        const Bool io = past(stim_.iopm, 3), msr = past(stim_.msrpm, 2);
        const Bool io_used = bit(stim_.intercepts_3, 27), msr_used = bit(stim_.intercepts_3, 28);
        refuse((io && io_used) || (msr && msr_used));
        refuse(io && !io_used, Alternative::Vmr112);
        refuse(msr && !msr_used, Alternative::Vmr113);
    }

    /// "Event Injection".
    void inject() {
        const Bits vector = stim_.injection & 0xFF, type = stim_.injection >> 8 & 7;
        const Bool valid = bit(stim_.injection, 31), exception = valid && type == 3;
        refuse(valid && (type == 1 || ule(Bits(5), type)));
        doubt(valid && type == 4 && !pre_.nrips, Alternative::Exc108);
        doubt(valid && (stim_.injection >> 12 & 0x7FFFF) != 0, Alternative::Exc109);
        const auto in = [&](std::uint64_t set) {
            Bool any = false;
            for (std::uint64_t v = 0; v < 32; ++v)
                if (set >> v & 1) any = any || vector == v;
            return any;
        };
        // "Vectors": 0, 1, 3–8, 10–14, 16–19, 21 and 28–30 are exceptions; 8, 10–14, 17, 21, 29 and 30 push a code.
        refuse(exception && (vector == 2 || ule(Bits(32), vector)));
        refuse(exception && in(0x8FD0'8200), Alternative::Exc035);
        doubt(exception && in(0x7020'0000), Alternative::Exc106);
        refuse(exception && code64_ && (vector == 4 || vector == 5));
        const Bool real = !bit(stim_.cr0, 0), paging = bit(stim_.cr0, 31);
        doubt(exception && real && in(0x0022'0C00), Alternative::Exc107);
        doubt(exception && !paging && vector == 14, Alternative::Exc107);
        const Bool code = exception && in(0x6022'7D00) && !real;
        doubt(valid && bit(stim_.injection, 11) != code, Alternative::Exc110);
    }

    // --- "Instruction Intercepts", Table 15-7

    struct Row {
        std::uint64_t first, last;  ///< intercepts
        std::uint64_t before;       ///< of `raises`: what comes before the intercept
    };
    static constexpr std::uint64_t simple = raises::undefined | raises::privilege, values = simple | raises::operand;
    static constexpr Row table[] = {
        {0x00, 0x00, values},              // CR0
        {0x01, 0x02, raises::exceptions},  // other CRs
        {0x03, 0x03, values},              // CR3
        {0x04, 0x0F, raises::exceptions},
        {0x10, 0x10, values},
        {0x11, 0x12, raises::exceptions},
        {0x13, 0x13, values},
        {0x14, 0x1F, raises::exceptions},
        {0x20, 0x3F, raises::exceptions},  // DRs
        {0x66, 0x6D, values},              // descriptor tables
        {0x6E, 0x6F, raises::exceptions},  // RDTSC, RDPMC
        {0x70, 0x75, 0},                   // PUSHF, POPF, CPUID, RSM, IRET, INT n
        {0x76, 0x76, raises::exceptions},  // INVD
        {0x77, 0x77, 0},                   // PAUSE
        {0x78, 0x7A, raises::exceptions},  // HLT, INVLPG, INVLPGA
        {0x7B, 0x7B, raises::privilege},   // I/O
        {0x7C, 0x7C, raises::privilege},   // MSRs
        {0x7D, 0x7D, raises::exceptions},  // task switches
        {0x80, 0x80, raises::exceptions},  // VMRUN
        {0x81, 0x81, 0},                   // VMMCALL
        {0x82, 0x87, raises::exceptions},  // VMLOAD … SKINIT, RDTSCP
        {0x88, 0x88, 0},                   // ICEBP
        {0x89, 0x8B, raises::exceptions},  // WBINVD, MONITOR, MWAIT
        {0x8D, 0x8D, raises::undefined},   // XSETBV
        {0x8E, 0x8E, raises::exceptions},  // RDPRU
        {0xA0, 0xA0, raises::privilege},   // INVLPGB
        {0xA2, 0xA2, raises::privilege},   // INVPCID
        {0xA4, 0xA4, raises::exceptions},  // TLBSYNC
    };
    Bool is(std::uint64_t first, std::uint64_t last) const {
        return ule(Bits(first), stim_.intercept) && ule(stim_.intercept, Bits(last));
    }
    Bool is(std::uint64_t intercept) const { return stim_.intercept == intercept; }

    void instruction() {
        Bits before = 0;
        for (const Row& row : table) before = before | flag(is(row.first, row.last), row.before);
        before = before | raises::code_breakpoint | raises::pending_trap;

        // "MOV TO CR0, LMSW" of the selective intercept: a bit but MP (1) and TS (3) changes; LMSW always.
        const Bool selective =
            is(0x10) && stim_.selective &&
            (stim_.form == form::lmsw || (stim_.form == form::mov && (stim_.cr0_changes & ~0xAull) != 0));
        // "IDLE HLT": the other intercept takes priority; "MWAIT": the conditional one does.
        const Bool idle = is(0x78) && pre_.idle_hlt && stim_.selective && !stim_.filtered;
        const Bool waits = is(0x8B) && stim_.selective && stim_.filtered;
        Bool here = stim_.intercepted || selective || idle || waits;
        const Bits ports = flag(stim_.width == 1, 1) | flag(stim_.width == 2, 3) | flag(stim_.width == 4, 15);
        here = here && (!is(0x7B) || (stim_.map & ports) != 0);
        const Bits window = stim_.number & ~0x1FFFull;
        const Bool in_map = window == 0 || window == 0xC0000000 || window == 0xC0010000;
        here = here && (!is(0x7C) || !in_map || bit(stim_.map, 0));

        const Bits met = stim_.raises & before;
        out_.when(here && met == 0, [&] { exit_of_instruction(); });
        // Exceptions for a value, if nothing else comes before.
        const Bool value_alone = here && met == raises::operand;
        out_.when(value_alone && is(0x20, 0x3F) && may(Alternative::Svm006), [&] { exit_of_instruction(); });
        out_.when(value_alone && is(0x66, 0x6D) && may(Alternative::Svm110), [&] { exit_of_instruction(); });
        out_.when(!here || met != 0 || (is(0x77) && stim_.filtered && may(Alternative::Svm123)) ||
                      (is(0x7B) && stim_.count_zero && may(Alternative::Svm127)),
                  [&] { goes_on(); });
    }
    void exit_of_instruction() {
        Outcome o{};
        Response<D>& r = o.response;
        r.exits = true;
        const Bool waits = is(0x8B) && stim_.selective && stim_.filtered;
        r.code = ite(waits, Bits(0x8C), ite(stim_.intercepted, stim_.intercept, ite(is(0x78), Bits(0xA6), Bits(0x65))));
        o.int_info_known = 1ull << 31;
        const Bool task = is(0x7D);
        r.next_rip = ite(task, Bits(0), stim_.next_rip);
        o.next_rip_any = !pre_.nrips;
        as_it_stands(o);

        const Bool io = is(0x7B);
        r.info2 = ite(task, flag(stim_.form == form::iret, 1ull << 36) | flag(stim_.form == form::jump, 1ull << 38),
                      stim_.next_rip);
        o.info2_known = flag(io, ~0ull) | flag(task, 0x1050'0000'0000);

        const auto says = [&](const Bool& what, const Bits& info, const Bits& known) {
            r.info1 = ite(what, info, r.info1);
            o.info1_known = ite(what, known, o.info1_known);
        };
        o.info1_known = 0;
        const Bool assisted = pre_.decode_assists, mov = stim_.form == form::mov;
        const Bool plain = assisted && stim_.intercepted;  // what the selective exit shows is not said
        says(plain && is(0x00, 0x1F), flag(mov, 1ull << 63) | ite(mov, stim_.gpr, Bits(0)),
             ite(mov, Bits(~0ull), Bits(1ull << 63)));
        says(plain && is(0x20, 0x3F), stim_.gpr, ~0ull);
        says(task, stim_.number, 0xFFFF);
        says(assisted && is(0x75), stim_.vector, ~0ull);
        says(assisted && is(0x79), stim_.address, ~0ull);
        says(is(0x7C), flag(stim_.write, 1), ~0ull);
        const Bits string = ite(stim_.write, stim_.segment << 10, Bits(0)) | flag(stim_.address_size == 2, 1 << 7) |
                            flag(stim_.address_size == 4, 1 << 8) | flag(stim_.address_size == 8, 1 << 9) | 4 |
                            flag(stim_.rep, 8);
        const Bits access = flag(!stim_.write, 1) | flag(stim_.width == 1, 1 << 4) | flag(stim_.width == 2, 1 << 5) |
                            flag(stim_.width == 4, 1 << 6) | stim_.number << 16;
        says(io, access | ite(stim_.string, string, Bits(0)), flag(stim_.string, 0x1F80) | 0xFFFF007D);
        out_.add(o);
    }
    /// The guest's state, as an exit finds it.
    void as_it_stands(Outcome& o) const {
        Response<D>& r = o.response;
        r.rip = o.other_rip = stim_.rip;
        o.other_next_rip = r.next_rip;
        r.rf = stim_.rf;
        r.shadow = stim_.shadow;
        r.cr2 = stim_.cr2;
        r.dr6 = stim_.dr6;
        r.dr7 = stim_.dr7;
    }

    // --- "Exception Intercepts", "EXITINTINFO Pseudo-Code"

    void event() {
        switch (out_.pick(stim_.source, source::last)) {
            case source::fault:
            case source::trap:
                if (out_.decide(stim_.intercepted)) return exit_of_exception();
                return goes_on();
            case source::nmi:
                goes_on();
                return out_.when(stim_.intercepted && may(Alternative::Exc001), [&] { undefined(0x42); });
            case source::shutdown:
                if (out_.decide(stim_.intercepted)) return undefined(0x7F);
                return goes_on();
            default: return goes_on();
        }
    }
    /// An exit of which only the code is known.
    void undefined(std::uint64_t code) {
        Outcome o{};
        o.response.exits = true;
        o.response.code = code;
        o.info1_known = o.info2_known = o.int_info_known = 0;
        o.next_rip_any = o.rip_any = o.rf_any = o.shadow_any = o.registers_any = true;
        out_.add(o);
    }
    void exit_of_exception() {
        const auto v = [&](std::uint64_t vector) { return stim_.vector == vector; };
        Outcome o{};
        Response<D>& r = o.response;
        r.exits = true;
        r.code = stim_.vector + 0x40;
        as_it_stands(o);
        // The interrupt-based instructions are the only ones with an nRIP.
        const Bool by_interrupt_op = v(3) || v(4) || v(5);
        r.next_rip = ite(by_interrupt_op, stim_.next_rip, Bits(0));
        o.next_rip_any = !pre_.nrips;
        o.other_next_rip = ite(stim_.interrupt_op && may(Alternative::Exc123), stim_.next_rip, r.next_rip);
        o.rip_any = v(8);
        o.other_rip = ite(v(10) && may(Alternative::Exc121), stim_.incoming_rip, stim_.rip);
        // In the frame of a fault RF is set, but for that of an instruction breakpoint.
        const Bool rf_in_frame = stim_.source == source::fault && !(v(1) && !bit(stim_.dr6, 13));
        o.rf_any = rf_in_frame && !stim_.rf && may(Alternative::Exc125);

        const Bool page = v(14);
        const Bool selector = v(11) || v(12) || v(13) || v(17) || v(21) || v(30);
        r.info1 = stim_.error;
        o.info1_known = flag(page || (selector && stim_.has_error), ~0ull);
        r.info2 = stim_.address;
        o.info2_known = flag(page, ~0ull);

        o.shadow_any = stim_.prior_source != prior::none && stim_.shadow && may(Alternative::Exc127);
        met_in_delivery(o);
        out_.add(o);
    }
    /// EXITINTINFO.
    void met_in_delivery(Outcome& o) const {
        const Bool delivering = stim_.prior_source != prior::none;
        const Bits type = flag(stim_.prior_source == prior::exception || stim_.prior_source == prior::one_byte, 3) |
                          flag(stim_.prior_source == prior::software, 4) | flag(stim_.prior_source == prior::nmi, 2);
        o.response.int_info = ite(delivering,
                                  1ull << 31 | stim_.prior_vector | type << 8 | flag(stim_.prior_has_error, 1 << 11) |
                                      stim_.prior_error << 32,
                                  Bits(0));
        o.int_info_known = ite(delivering, 0x80000FFF | flag(stim_.prior_has_error, high), Bits(1ull << 31));
    }

    // --- "Interrupt Intercepts", "Interrupt and Local APIC Support"

    Bool stands(std::uint64_t what) const { return (stim_.standing & what) != 0; }
    void boundary() {
        const Bits& v = stim_.virtual_interrupts;
        const Bool open = stands(standing::gif) && !stim_.shadow;
        const Bool nmi = stands(standing::nmi) && !stands(standing::nmi_blocked);
        const Bool intr = stands(standing::intr) &&
                          ((bit(v, 24) && stands(standing::host_if)) || (!bit(v, 24) && stands(standing::guest_if)));
        const Bool virtual_gif = !pre_.v_gif || !bit(v, 25) || bit(v, 9);
        const Bool v_nmi = pre_.v_nmi && bit(v, 26) && bit(v, 11) && !bit(v, 12) && virtual_gif;
        const Bool above = bit(v, 20) || (v & 0xF) < (v >> 16 & 0xF);
        const Bool v_intr = bit(v, 8) && stands(standing::guest_if) && above && virtual_gif;

        const Bool none = !open || !(nmi || intr || v_nmi || v_intr);
        const Bool early = stim_.shadow && may(Alternative::Svm162);
        out_.when(none, [&] { comes(event::none, 0, 0); });
        out_.when(nmi && stands(standing::gif) && (open || early), [&] { comes(event::nmi, 2, 0x61); });
        out_.when(open && !nmi && intr, [&] { comes(event::intr, stim_.vector, 0x60); });
        out_.when(open && !nmi && v_nmi && (!intr || may(Alternative::Svm165)),
                  [&] { comes(event::virtual_nmi, 2, 0); });
        out_.when(open && !nmi && !intr && !v_nmi && v_intr, [&] { comes(event::virtual_intr, v >> 32 & 0xFF, 0x64); });
    }
    /// `code`: of the exit that the intercept of the same number asks for; 0: there is none.
    void comes(std::uint64_t what, const Bits& vector, std::uint64_t code) {
        constexpr std::uint64_t irq = 1 << 8, nmi = 1 << 11, nmi_mask = 1 << 12;
        const Bits before = stim_.virtual_interrupts & (irq | nmi | nmi_mask);
        const Bool exits = code == 0 ? Bool(false) : bit(stim_.intercepts_3, code & 0x1F);
        const auto add = [&](bool leaves) {
            Outcome o{};
            Response<D>& r = o.response;
            r.event = what;
            r.pending = before;
            if (leaves) {
                r.exits = true;
                r.code = code;
                o.info1_known = o.info2_known = 0;
                o.int_info_known = 1ull << 31;
                o.next_rip_any = !pre_.nrips;
                as_it_stands(o);
            } else {
                r.vector = vector;
                if (what == event::virtual_intr) r.pending = before & ~irq;
                if (what == event::virtual_nmi) r.pending = (before & ~nmi) | nmi_mask;
            }
            out_.add(o);
        };
        out_.when(exits, [&] { add(true); });
        out_.when(!exits, [&] { add(false); });
    }

    // --- "Nested versus Guest Page Faults, Fault Ordering", "Combining Nested and Guest Attributes"

    void translate() {
        const Bool tables = stands(standing::tables);
        const Bool write = tables || stands(standing::write), fetch = !tables && stands(standing::fetch);
        const Bool there = stands(standing::present), reserved = stands(standing::reserved);
        const Bool allowed = stands(standing::user) && (!write || stands(standing::writable)) &&
                             (!fetch || !stands(standing::no_execute) || !stands(standing::host_nxe));
        const Bool through = there && !reserved && allowed;
        out_.when(through, [&] { goes_on(); });
        out_.when(!through, [&] {
            Outcome o{};
            Response<D>& r = o.response;
            r.exits = true;
            r.code = 0x400;
            r.info1 = 4 | flag(there, 1) | flag(write, 2) | flag(reserved, 8) | flag(fetch, 0x10) |
                      flag(!tables, 1ull << 32) | flag(tables, 1ull << 33);
            const Bool named = !fetch || stands(standing::host_nxe) || !may(Alternative::Npf103);
            o.info1_known = 0x3'0000'000F | flag(named, 0x10);
            r.info2 = stim_.address;
            o.next_rip_any = !pre_.nrips;
            met_in_delivery(o);
            as_it_stands(o);
            o.rf_any = !stim_.rf && may(Alternative::Npf104);
            o.shadow_any = stim_.prior_source != prior::none && stim_.shadow && may(Alternative::Npf105);
            out_.add(o);
        });
    }

    const Pre<D>& pre_;
    const Stimulus<D>& stim_;
    OutcomesIn<D>& out_;
    const Bits without_;
    Bool must_ = false, refused_ = false, may_ = false, code64_ = false;
};

/// The right responses, added to `out`.
template <class D>
void find_outcomes(const Pre<D>& pre, const Stimulus<D>& stim, OutcomesIn<D>& out, const typename D::Bits& without) {
    Finder<D>(pre, stim, out, without).find();
}

}  // namespace faultline::oracle::svm
