#include "oracle/chapters/consistency.hpp"

#include "oracle/chapters/svm/chapter.hpp"
#include "oracle/chapters/svm/formal.hpp"

namespace faultline::oracle::svm {
namespace {

using P = Pre<Judging>;
using S = Stimulus<Judging>;
using R = Response<Judging>;

/// Draws VMCBs with few things wrong, instructions that meet few exceptions, and exceptions of every kind.
class Draw : public Drawing {
public:
    using Drawing::Drawing;

    std::pair<P, S> situation() {
        P p{};
        S s{};
        p.long_mode = chance(90);
        p.physical_limit = 1ull << of(36, 40, 48, 52);
        p.asid_count = 0x8000;
        p.s_cet_reserved = chance(80) ? ~3ull : 0;
        p.cr4_absent = of(0, 1 << 12, 1 << 22), p.efer_absent = of(0, 1 << 15, 1 << 20);
        p.nrips = chance(80), p.decode_assists = chance(80), p.v_nmi = chance(70), p.v_gif = chance(70),
        p.nested_paging = chance(80), p.idle_hlt = chance(80);
        s.kind = below(kind::last + 1);
        if (s.kind == kind::enter)
            enter(p, s);
        else if (s.kind == kind::instruction)
            instruction(s);
        else if (s.kind == kind::exception)
            exception(s);
        else if (s.kind == kind::boundary)
            boundary(s);
        else
            translate(s);
        if (s.kind != kind::enter) {
            s.rip = 0x20000 + below(4), s.next_rip = s.rip + 1 + below(3);
            s.incoming_rip = s.vector == vec::ts && chance(40) ? 0x50000 : s.rip;
            s.rf = chance(40), s.shadow = chance(40);
            s.cr2 = of(0, 0x42000), s.dr6 = of(0xFFFF0FF0, 0xFFFF4FF1, 0xFFFF2FF0), s.dr7 = of(0x400, 0x701);
            s.address = of(0x42000, 0x43FFF, 0xFFFF8000'00000000);
        }
        return {p, s};
    }

    /// A response near what is right: one outcome, with what it leaves open drawn and up to two fields disturbed.
    R response(const P& p, const S& s, const Outcomes& right) {
        const Outcome& o = right[below(right.size())];
        R r = o.response;
        if (r.exits && s.kind != kind::enter) {
            if (chance(70)) r.info1 ^= bits() & ~o.info1_known;
            if (chance(70)) r.info2 ^= bits() & ~o.info2_known;
            if (chance(70)) r.int_info ^= bits() & ~o.int_info_known;
            if (o.next_rip_any && chance(50)) r.next_rip = bits();
            if (chance(30)) r.next_rip = o.other_next_rip;
            if (o.rip_any && chance(50)) r.rip = bits();
            if (chance(30)) r.rip = o.other_rip;
            if (o.rf_any && chance(50)) r.rf = !r.rf;
            if (o.shadow_any && chance(50)) r.shadow = !r.shadow;
            if (o.registers_any && chance(50)) r.cr2 = bits(), r.dr6 = bits(), r.dr7 = bits();
        }
        for (auto changes = below(3); changes > 0; --changes) disturb(p, s, r);
        return r;
    }

private:
    void enter(const P& p, S& s) {
        s.efer = efer::svme | (p.long_mode && chance(70) ? efer::lme | efer::lma : 0);
        s.cr0 = cr0::pe | cr0::pg | cr0::wp;
        s.cr3 = 0x1000, s.cr4 = cr4::pae;
        s.cs_attributes = 0x9B | (chance(50) ? attribute::l : attribute::d);
        s.dr6 = 0xFFFF0FF0, s.dr7 = 0x400, s.asid = 1;
        s.iopm = 0x100000, s.msrpm = 0x103000;
        s.intercepts_4 = 1, s.intercepts_3 = of(0, 2, 1 << 27, 1 << 28, 3 << 27);
        s.standing = (chance(50) ? standing::nested_paging : 0) | (chance(90) ? standing::host_paging : 0);
        s.nested_cr3 = 0x92000, s.g_pat = 0x0007'0406'0007'0406;
        if (chance(40)) inject(s);
        for (auto changes = below(4); changes > 0; --changes) distort(p, s);
    }
    void distort(const P& p, S& s) {
        switch (below(29)) {
            case 0: s.efer ^= efer::svme; break;
            case 1: s.efer ^= of(1, 2, 1 << 7, 1 << 9, 1 << 15, 1 << 16, 1 << 19, 1 << 20, 1 << 22, 1ull << 63); break;
            case 2: s.efer ^= efer::lme; break;
            case 3: s.efer ^= efer::lma; break;
            case 4: s.cr0 ^= cr0::nw; break;
            case 5: s.cr0 ^= cr0::cd; break;
            case 6: s.cr0 ^= of(1ull << 32, 1ull << 63); break;
            case 7: s.cr0 ^= cr0::pe; break;
            case 8: s.cr0 ^= cr0::pg; break;
            case 9: s.cr0 ^= cr0::wp; break;
            case 10:
                s.cr3 ^= of(8, 1ull << 32, p.physical_limit, p.physical_limit >> 1, 1ull << 51, 1ull << 52, 1ull << 63);
                break;
            case 11: s.cr4 ^= of(cr4::pae, cr4::cet); break;
            case 12: s.cr4 ^= of(1, 1 << 12, 1 << 13, 1 << 15, 1 << 19, 1 << 22, 1 << 24, 1ull << 63); break;
            case 13: s.dr6 ^= of(1ull << 32, 1ull << 63, 1 << 12, 1 << 4, 1, 1 << 16); break;
            case 14: s.dr7 ^= of(1ull << 32, 1ull << 63, 1 << 10, 1 << 11, 1 << 14, 1); break;
            case 15: s.cs_attributes ^= of(attribute::l, attribute::d); break;
            case 16: s.asid = of(0, 2, 0x7FFF, 0x8000, 0xFFFFFFFF); break;
            case 17: s.intercepts_4 ^= 1; break;
            case 18: s.intercepts_3 ^= of(2, 1 << 27, 1 << 28); break;
            case 19: s.iopm = p.physical_limit - of(0x4000, 0x3000, 0x2FFF, 0x2000, 0) + below(2); break;
            case 20: s.msrpm = p.physical_limit - of(0x4000, 0x3000, 0x2000, 0x1FFF, 0x1000, 0) + below(2); break;
            case 21: s.s_cet ^= of(1, 4, 1ull << 63); break;
            case 22: s.bad_rip = true; break;
            case 23: s.standing |= standing::bad_base; break;
            case 24: s.standing |= standing::pdpte_reserved; break;
            case 25: s.virtual_interrupts ^= of(guest::svm::vintr::nmi_enable, guest::svm::vintr::gif); break;
            case 27:
                s.nested_cr3 ^= of(p.physical_limit, p.physical_limit >> 1, 1ull << 51, 1ull << 52, 1ull << 63);
                break;
            case 28: s.g_pat ^= 1ull << below(64); break;
            case 26: (chance(50) ? s.iopm : s.msrpm) = of(~0ull, ~0xFFFull, ~0x1FFFull); break;
        }
    }
    void inject(S& s) {
        using namespace guest::svm;
        const auto vector = chance(70) ? below(32) : of(32, 0x80, 0xFF);
        s.injection = (chance(60) ? 3 : below(8)) << 8 | vector | (chance(90) ? event_info::valid : 0);
        if (pushes_error<Judging>(vector) != chance(10)) s.injection |= event_info::has_error | bits() << 32;
        if (chance(5)) s.injection |= 1ull << (12 + below(19));
    }

    void instruction(S& s) {
        static constexpr std::uint64_t numbers[] = {
            0,    3,    4,    0x10, 0x10, 0x10, 0x12, 0x13, 0x18, 0x20, 0x27, 0x30, 0x36, 0x37, 0x3F, 0x66, 0x69,
            0x6A, 0x6D, 0x6E, 0x6F, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x75, 0x76, 0x77, 0x77, 0x78, 0x79, 0x79,
            0x7A, 0x7B, 0x7B, 0x7B, 0x7B, 0x7B, 0x7C, 0x7C, 0x7C, 0x80, 0x81, 0x82, 0x83, 0x84, 0x7D, 0x7D, 0x85,
            0x86, 0x87, 0x8B, 0x8B, 0x78, 0x88, 0x88, 0x89, 0x8A, 0x8B, 0x8D, 0x8E, 0xA0, 0xA2, 0xA4};
        do {
            s = {};
            s.kind = kind::instruction;
            s.intercept = numbers[below(std::size(numbers))];
            s.intercepted = chance(80);
            s.selective = chance(60);
            if (s.intercept == 0) s.form = of(form::mov, form::smsw);
            if (s.intercept == 0x10)
                s.form = of(form::mov, form::mov, form::lmsw, form::clts), s.intercepted = chance(40);
            if (s.intercept == 0x7D) s.form = of(form::call, form::jump, form::iret);
            s.cr0_changes = of(0, 2, 8, 10, 1, 1ull << 30, 1 << 16 | 2);
            for (auto n = below(3); n > 0; --n) s.raises |= 1ull << below(7);
            s.gpr = below(16), s.vector = of(3, 0x80, 0xFF);
            s.number = of(0x3F8, 0x80, 0xFFFF, 0), s.map = below(16), s.write = chance(50), s.width = of(1, 2, 4);
            s.string = s.intercept == 0x7B && chance(60), s.rep = s.string && chance(50),
            s.count_zero = s.rep && chance(40);
            s.address_size = of(2, 4, 8), s.segment = below(6);
            if (s.intercept == 0x7D) s.number = of(0x28, 0x80);
            if (s.intercept == 0x7C)
                s.number = of(0, 0x1D9, 0x1FFF, 0x2000, 0xBFFFFFFF, 0xC0000000, 0xC0001FFF, 0xC0002000, 0xC000FFFF,
                              0xC0010000, 0xC0011FFF, 0xC0012000);
            s.filtered = chance(50);
        } while (!possible_instruction<Judging>(s));
    }

    void exception(S& s) {
        s.kind = kind::exception;
        s.source = chance(65) ? source::fault : 1 + below(source::last);
        s.intercepted = chance(75);
        switch (s.source) {
            case source::fault:
                s.vector = of(0, 1, 3, 4, 5, 6, 8, 10, 10, 11, 12, 13, 14, 14, 16, 17, 18, 19, 21, 30);
                break;
            case source::trap:
            case source::icebp: s.vector = 1; break;
            case source::nmi: s.vector = 2; break;
            case source::shutdown: break;
            default: s.vector = of(1, 3, 13, 0x20, 0x80); break;
        }
        s.has_error = chance(80), s.error = of(0, 7, 0x28, 0xFFFF);
        s.interrupt_op = (s.vector >= 3 && s.vector <= 5) || chance(25);
        prior(s);
        if (s.source == source::fault && s.vector == 8 && s.prior_source == prior::none)
            s.prior_source = prior::exception;
    }
    void prior(S& s) {
        s.prior_source = chance(45) ? prior::none : 1 + below(prior::last);
        s.prior_vector = of(1, 3, 8, 11, 13, 14, 0x80), s.prior_has_error = chance(50),
        s.prior_error = of(0, 0x28, 0xFFFF);
    }

    void boundary(S& s) {
        using namespace guest::svm;
        for (const auto& [bit, likely] : {std::pair{vintr::irq, 50u},
                                          {vintr::gif, 70u},
                                          {vintr::nmi, 60u},
                                          {vintr::nmi_mask, 30u},
                                          {vintr::ignore_tpr, 50u},
                                          {vintr::masking, 50u},
                                          {vintr::gif_enable, 50u},
                                          {vintr::nmi_enable, 70u}})
            if (chance(likely)) s.virtual_interrupts |= bit;
        s.virtual_interrupts |= of(0, 1, 8) | of(0, 1, 2, 9) << 16 | of(0x30, 0xFF) << 32;
        s.vector = of(0x20, 0x31);
        s.intercepts_3 = below(32);
        for (const auto& [bit, likely] : {std::pair{standing::intr, 30u},
                                          {standing::nmi, 20u},
                                          {standing::nmi_blocked, 40u},
                                          {standing::gif, 85u},
                                          {standing::guest_if, 70u},
                                          {standing::host_if, 70u}})
            if (chance(likely)) s.standing |= bit;
    }
    void translate(S& s) {
        s.standing = of(0, standing::write, standing::fetch);
        for (const auto bit : {standing::tables, standing::present, standing::user, standing::writable})
            if (chance(80)) s.standing |= bit;
        for (const auto bit : {standing::no_execute, standing::host_nxe})
            if (chance(50)) s.standing |= bit;
        if (chance(50)) s.standing &= ~standing::tables;
        if (s.standing & standing::present && chance(20)) s.standing |= standing::reserved;
        prior(s);
    }
    void disturb_boundary(const S& s, R& r) {
        constexpr std::uint64_t codes[] = {0, 0x60, 0x61, 0x64, 0x64};
        switch (below(4)) {
            case 0: r.pending ^= of(1 << 8, 1 << 11, 1 << 12, 1); break;
            case 1:
                if (!r.exits && r.event != event::none) r.vector = of(2, s.vector, s.virtual_interrupts >> 32 & 0xFF);
                break;
            case 2:  // another event, or the same in another way
                r.event = chance(60) ? below(event::last + 1) : r.event;
                r.exits = r.event != event::none && chance(50);
                r.vector = 0;
                if (r.exits) {
                    r.code = codes[r.event], r.pending = s.virtual_interrupts & pending_bits;
                    if (r.event == event::virtual_nmi)
                        r.pending = (r.pending & ~guest::svm::vintr::nmi) | guest::svm::vintr::nmi_mask;
                    r.rip = s.rip, r.rf = s.rf, r.shadow = s.shadow, r.cr2 = s.cr2, r.dr6 = s.dr6, r.dr7 = s.dr7;
                } else {
                    r = {.event = r.event, .pending = s.virtual_interrupts & pending_bits};
                    if (r.event == event::virtual_intr) r.pending &= ~guest::svm::vintr::irq;
                    if (r.event == event::virtual_nmi)
                        r.pending = (r.pending & ~guest::svm::vintr::nmi) | guest::svm::vintr::nmi_mask;
                    r.vector = r.event == event::none           ? 0
                               : r.event == event::intr         ? s.vector
                               : r.event == event::virtual_intr ? s.virtual_interrupts >> 32 & 0xFF
                                                                : 2;
                }
                break;
            default: r.event = below(event::last + 2); break;
        }
    }

    void disturb(const P&, const S& s, R& r) {
        if (s.kind == kind::boundary && (!r.exits || chance(50))) return disturb_boundary(s, r);
        switch (below(14)) {
            case 0:
                if (r.exits) {
                    r = {};
                } else {
                    r.exits = true;
                    r.code = s.kind == kind::enter          ? ~0ull
                             : s.kind == kind::instruction  ? (s.intercepted         ? s.intercept
                                                               : s.intercept == 0x78 ? 0xA6
                                                               : s.intercept == 0x8B ? 0x8C
                                                                                     : 0x65)
                             : s.kind == kind::nested       ? 0x400
                             : s.source == source::shutdown ? 0x7F
                                                            : 0x40 + s.vector;
                    if (s.kind == kind::enter) break;
                    r.rip = s.rip, r.next_rip = s.kind == kind::instruction || s.interrupt_op ? s.next_rip : 0;
                    r.rf = s.rf, r.shadow = s.shadow, r.cr2 = s.cr2, r.dr6 = s.dr6, r.dr7 = s.dr7;
                    as_reported(s, r);
                }
                break;
            case 1:
                r.code = of(0x10, 0x65, 0x7F, 0x8B, 0x8C, 0x78, 0xA6, 0x41, 0x4D, 0x48, s.intercept, 0x40 + s.vector,
                            ~0ull, r.code ^ 1);
                break;
            case 2: r.info1 ^= 1ull << below(64); break;
            case 3: r.info1 = of(0, s.gpr, s.gpr | 1ull << 63, s.vector, s.address, s.error); break;
            case 4: r.info2 = of(0, 1ull << 36, 1ull << 38, 1ull << 44, s.next_rip, s.address, s.rip); break;
            case 5: r.int_info ^= 1ull << (chance(50) ? below(12) : of(31, 32, 33, 35, 63)); break;
            case 6: r.next_rip = of(0, s.next_rip, s.rip); break;
            case 7: r.rip = of(s.rip, s.next_rip, s.incoming_rip); break;
            case 8: r.rf = !r.rf; break;
            case 9: r.shadow = !r.shadow; break;
            case 10: r.cr2 = of(s.cr2, s.address, 1); break;
            case 11: r.dr6 ^= 1ull << below(16); break;
            case 12: r.dr7 ^= 1ull << below(16); break;
            case 13: r.info1 ^= of(1, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x1C00, 0x10000); break;
        }
    }
    /// An exit where none should be, with all else in order.
    void as_reported(const S& s, R& r) {
        if (s.kind == kind::exception || s.kind == kind::nested) {
            r.info1 = s.kind == kind::exception ? s.error : (chance(50) ? 0x1'0000'0004 : 0x2'0000'0007),
            r.info2 = s.address;
            const std::uint64_t type[] = {0, 3, 3, 4, 0, 2};
            if (s.prior_source != prior::none)
                r.int_info = 1ull << 31 | s.prior_vector | type[s.prior_source] << 8 |
                             (s.prior_has_error ? 1ull << 11 | s.prior_error << 32 : 0);
        } else if (s.intercept == 0x7B) {
            r.info1 = s.number << 16 | s.width << 4 | (s.write ? 0 : 1);
            if (s.string) r.info1 |= 4 | (s.rep ? 8 : 0) | s.address_size << 6 | (s.write ? s.segment << 10 : 0);
            r.info2 = s.next_rip;
        } else if (s.intercept == 0x7D) {
            r.info1 = s.number, r.next_rip = 0;
            r.info2 = s.form == form::iret ? 1ull << 36 : s.form == form::jump ? 1ull << 38 : 0;
        } else if (s.intercept == 0x7C) {
            r.info1 = s.write;
        } else if (s.intercept < 0x20) {
            r.info1 = s.form == form::mov ? s.gpr | 1ull << 63 : 0;
        } else if (s.intercept < 0x40) {
            r.info1 = s.gpr;
        } else {
            r.info1 = s.intercept == 0x75 ? s.vector : s.address;
        }
    }
};

struct Subject {
    using Formal = svm::Formal;
    using Alternative = svm::Alternative;
    using Draw = svm::Draw;
    static auto rules() { return rule_table(); }
    static constexpr int draws_per_alternative = 4000;
};
INSTANTIATE_TYPED_TEST_SUITE_P(Svm, ChapterConsistency, Subject);

}  // namespace
}  // namespace faultline::oracle::svm
