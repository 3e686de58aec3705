#include "oracle/chapters/svm/stimulus.hpp"

#include <cstring>
#include <type_traits>

#include "oracle/chapters/svm/situation.hpp"

namespace faultline::oracle::svm {
namespace {

using guest::canonical;
using guest::Cause;
using guest::Gpr;
using guest::svm::Intercept;
namespace ops = guest::ops;

std::uint64_t raises_of(const guest::Effect& effect) {
    if (!effect.faults) return 0;
    switch (effect.fault.cause) {
        case Cause::InvalidOpcode: return raises::undefined;
        case Cause::Privilege:
        case Cause::IoPermission:
        case Cause::GateDpl: return raises::privilege;
        case Cause::Divide:
        case Cause::Bound:
        case Cause::ReservedBits:
        case Cause::BranchTarget:
        case Cause::NestedTask:
        case Cause::NullSelector: return raises::operand;
        case Cause::Access:
        case Cause::Fetch:
        case Cause::Selector:
        case Cause::AbsentSelector:
        case Cause::TaskSelector: return raises::memory;
    }
    return 0;
}

template <class Op, class... Ops>
constexpr bool is = (std::is_same_v<Op, Ops> || ...);

/// Fills in which intercept an op checks, and what belongs to it.
class Gatherer {
public:
    Gatherer(Stimulus<Judging>& s, const guest::State& state, const Control& control)
        : s_(s), state_(state), control_(control) {}

    /// False: the op checks none, or not known which.
    template <class Op>
    bool look_at(const Op& op) {
        if constexpr (is<Op, ops::Cpuid>) return checks(Intercept::Cpuid);
        if constexpr (is<Op, ops::Rdtsc>) return checks(Intercept::Rdtsc);
        if constexpr (is<Op, ops::Pause>) {
            s_.filtered = control_.vmcb().pause_filter_count != 0;
            return checks(Intercept::Pause);
        }
        if constexpr (is<Op, ops::Pushf>) return checks(Intercept::Pushf);
        if constexpr (is<Op, ops::Popf>) return checks(Intercept::Popf);
        if constexpr (is<Op, ops::Iret>) return checks(Intercept::Iret);
        if constexpr (is<Op, ops::Hlt>) return checks(Intercept::Hlt) && !control_.interrupts_may_be_pending();
        if constexpr (is<Op, ops::Wbinvd>) return checks(Intercept::Wbinvd);
        if constexpr (is<Op, ops::Icebp>) return checks(Intercept::Icebp);
        if constexpr (is<Op, ops::Int>) {
            s_.vector = op.vector.number;
            return checks(Intercept::SoftwareInterrupt);
        }
        if constexpr (is<Op, ops::MovToDr>) return moves(Intercept::WriteDr0 + op.dr.number, op.from);
        if constexpr (is<Op, ops::MovFromDr>) return moves(Intercept::ReadDr0 + op.dr.number, op.to);
        if constexpr (is<Op, ops::MovToCr4>) return moves(Intercept::WriteCr0 + 4, op.from);
        if constexpr (is<Op, ops::MovFromCr4>) return moves(Intercept::ReadCr0 + 4, op.to);
        if constexpr (is<Op, ops::MovToCr0>) {
            s_.cr0_changes = value(op.from) ^ state_.cr0;
            return known(op.from) && moves(Intercept::WriteCr0, op.from);
        }
        if constexpr (is<Op, ops::MovFromCr0>) return moves(Intercept::ReadCr0, op.to);
        if constexpr (is<Op, ops::MovToCr2>) return moves(Intercept::WriteCr0 + 2, op.from);
        if constexpr (is<Op, ops::MovFromCr2>) return moves(Intercept::ReadCr0 + 2, op.to);
        if constexpr (is<Op, ops::MovToCr3>) return moves(Intercept::WriteCr0 + 3, op.from);
        if constexpr (is<Op, ops::MovFromCr3>) return moves(Intercept::ReadCr0 + 3, op.to);
        if constexpr (is<Op, ops::MovToCr8>) return moves(Intercept::WriteCr0 + 8, op.from);
        if constexpr (is<Op, ops::MovFromCr8>) return moves(Intercept::ReadCr0 + 8, op.to);
        if constexpr (is<Op, ops::Lmsw>) {
            s_.form = form::lmsw;
            return checks(Intercept::WriteCr0);
        }
        if constexpr (is<Op, ops::Smsw>) {
            s_.form = form::smsw;
            return checks(Intercept::ReadCr0);
        }
        if constexpr (is<Op, ops::Sidt>) return checks(Intercept::StoreIdtr);
        if constexpr (is<Op, ops::Sgdt>) return checks(Intercept::StoreGdtr);
        if constexpr (is<Op, ops::Sldt>) return checks(Intercept::StoreLdtr);
        if constexpr (is<Op, ops::Str>) return checks(Intercept::StoreTr);
        if constexpr (is<Op, ops::Lidt>) return checks(Intercept::LoadIdtr);
        if constexpr (is<Op, ops::Lgdt>) return checks(Intercept::LoadGdtr);
        if constexpr (is<Op, ops::Lldt>) return checks(Intercept::LoadLdtr);
        if constexpr (is<Op, ops::Ltr>) return checks(Intercept::LoadTr);
        if constexpr (is<Op, ops::Vmrun>) return checks(Intercept::Vmrun);
        if constexpr (is<Op, ops::Vmload>) return checks(Intercept::Vmload);
        if constexpr (is<Op, ops::Vmsave>) return checks(Intercept::Vmsave);
        if constexpr (is<Op, ops::Vmmcall>) return checks(Intercept::Vmmcall);
        if constexpr (is<Op, ops::Stgi>) return checks(Intercept::Stgi);
        if constexpr (is<Op, ops::Clgi>) return checks(Intercept::Clgi);
        if constexpr (is<Op, ops::Skinit>) return checks(Intercept::Skinit);
        if constexpr (is<Op, ops::Invlpga>) return checks(Intercept::Invlpga);
        if constexpr (is<Op, ops::Invlpg>) {
            s_.address = linear(op.at);
            return (!op.at.base || known(*op.at.base)) && checks(Intercept::Invlpg);
        }
        if constexpr (is<Op, ops::Rsm>) return checks(Intercept::Rsm);
        if constexpr (is<Op, ops::Invd>) return checks(Intercept::Invd);
        if constexpr (is<Op, ops::Rdtscp>) return checks(Intercept::Rdtscp);
        if constexpr (is<Op, ops::Rdpmc>) return checks(Intercept::Rdpmc);
        if constexpr (is<Op, ops::Rdpru>) return checks(Intercept::Rdpru);
        if constexpr (is<Op, ops::Monitor>) return checks(Intercept::Monitor);
        if constexpr (is<Op, ops::Mwait>) return checks(Intercept::Mwait);
        if constexpr (is<Op, ops::Xsetbv>) return checks(Intercept::Xsetbv);
        if constexpr (is<Op, ops::Invpcid>) return checks(Intercept::Invpcid);
        if constexpr (is<Op, ops::Tlbsync>) return checks(Intercept::Tlbsync);
        if constexpr (is<Op, ops::Clts>) {
            s_.form = form::clts;
            return checks(Intercept::WriteCr0);
        }
        if constexpr (is<Op, ops::Rdmsr, ops::Wrmsr>) return accesses_msr(is<Op, ops::Wrmsr>);
        if constexpr (is<Op, ops::In, ops::Out>) return accesses(op.port.number, op.width.bytes, is<Op, ops::Out>);
        if constexpr (is<Op, ops::InDx, ops::OutDx>) return accesses_dx(op.width.bytes, is<Op, ops::OutDx>);
        if constexpr (is<Op, ops::Ins, ops::Outs>) return moves_string(op.width.bytes, is<Op, ops::Outs>, false);
        if constexpr (is<Op, ops::RepIns, ops::RepOuts>)
            return moves_string(op.width.bytes, is<Op, ops::RepOuts>, true);
        return false;
    }

private:
    bool checks(Intercept what) {
        s_.intercept = guest::svm::exit_code::of(what);
        return true;
    }
    bool moves(Intercept what, Gpr gpr) {
        s_.gpr = static_cast<std::uint64_t>(gpr);
        return checks(what);
    }
    bool known(Gpr gpr) const { return state_.gpr_known >> static_cast<unsigned>(gpr) & 1; }
    std::uint64_t value(Gpr gpr) const { return state_.gpr[static_cast<std::size_t>(gpr)]; }

    /// After the segment's base, which is zero but in real mode, and the address size.
    std::uint64_t linear(const guest::Mem& at) const {
        const auto offset = (at.base ? value(*at.base) : 0) + static_cast<std::uint64_t>(std::int64_t{at.disp});
        const bool stack = at.base == Gpr::Rsp || at.base == Gpr::Rbp;
        const auto base = stack ? state_.ss_base() : state_.ds_base();
        const unsigned unused = 64 - 8u * guest::address_bytes(state_.mode);
        return base + (offset << unused >> unused);
    }
    bool accesses_msr(bool write) {
        if (!known(Gpr::Rcx)) return false;
        s_.number = value(Gpr::Rcx) & 0xFFFFFFFF;
        s_.write = write;
        s_.map = control_.msr(static_cast<std::uint32_t>(s_.number), write);
        return checks(Intercept::Msr);
    }
    bool accesses(std::uint64_t port, unsigned width, bool write) {
        s_.number = port & 0xFFFF;
        s_.width = width;
        s_.write = write;
        s_.map = control_.ports(static_cast<std::uint16_t>(port));
        return checks(Intercept::Io);
    }
    bool accesses_dx(unsigned width, bool write) { return known(Gpr::Rdx) && accesses(value(Gpr::Rdx), width, write); }
    bool moves_string(unsigned width, bool write, bool rep) {
        constexpr std::uint64_t ds = 3;
        s_.address_size = guest::address_bytes(state_.mode);
        if (rep && !known(Gpr::Rcx)) return false;
        s_.string = true;
        s_.rep = rep;
        s_.count_zero = rep && value(Gpr::Rcx) << (64 - 8 * s_.address_size) == 0;
        s_.segment = write ? ds : 0;
        return accesses_dx(width, write);
    }

    Stimulus<Judging>& s_;
    const guest::State& state_;
    const Control& control_;
};

/// Whether it may depend on what else the op raises that the intercept comes. The privilege that ports and MSRs ask
/// for every effect looks at first.
bool exceptions_matter(const Stimulus<Judging>& s) {
    const bool first = intercept_first(s) || checks(s, Intercept::SoftwareInterrupt, Intercept::Vmmcall) ||
                       checks(s, Intercept::Cpuid, Intercept::Pause, Intercept::Icebp);
    return !first && !checks(s, Intercept::Io, Intercept::Msr);
}

void stand(Stimulus<Judging>& s, const Standing& standing) {
    s.rip = standing.rip, s.next_rip = standing.next_rip;
    s.rf = standing.rf, s.shadow = standing.shadow;
    s.cr2 = standing.cr2, s.dr6 = standing.dr6, s.dr7 = standing.dr7;
}

}  // namespace

Control::Control(const guest::Image& image) : image_(image) {
    std::uint8_t bytes[sizeof vmcb_];
    std::memcpy(bytes, image.stage->memory.data() + image.stage->vmcb, sizeof bytes);
    for (const auto& [address, value] : image.all_patches())
        if (address - image.stage->vmcb < sizeof bytes) std::memcpy(bytes + (address - image.stage->vmcb), &value, 8);
    std::memcpy(&vmcb_, bytes, sizeof bytes);
}

bool Control::interrupts_may_be_pending() const {
    const bool idle = intercepts_of(vmcb_).has(Intercept::IdleHlt);
    return idle && vmcb_.virtual_interrupts & (guest::svm::vintr::irq | guest::svm::vintr::nmi);
}

guest::svm::Intercepts Control::intercepts() const { return intercepts_of(vmcb_); }

std::uint8_t Control::byte(std::uint64_t address) const {
    for (const auto& [at, value] : image_.all_patches())
        if (address - at < 8) return static_cast<std::uint8_t>(value >> 8 * (address - at));
    return address < image_.stage->memory.size() ? image_.stage->memory[address] : 0;
}
bool Control::bit(std::uint64_t map, std::uint64_t index) const {
    return byte((map & ~0xFFFull) + index / 8) >> index % 8 & 1;
}

bool Control::bad_page_directory_pointers() const {
    // AMD APM vol 2, "Page-Directory-Pointer Entry", PAE: 63:52, 8:5 and 2:1 must be zero.
    constexpr std::uint64_t present = 1, reserved = 0xFFFull << 52 | 0x1E6;
    const std::uint64_t first = vmcb_.cr3 & 0xFFFF'FFE0;
    for (unsigned i = 0; i < 4; ++i) {
        std::uint64_t entry = 0;
        for (unsigned b = 0; b < 8; ++b) entry |= std::uint64_t{byte(first + 8 * i + b)} << 8 * b;
        if (entry & present && entry & reserved) return true;
    }
    return false;
}

std::uint64_t Control::ports(std::uint16_t port) const {
    std::uint64_t bits = 0;
    for (unsigned i = 0; i < 4; ++i) bits |= std::uint64_t{bit(vmcb_.iopm_base, port + i)} << i;
    return bits;
}

bool Control::msr(std::uint32_t number, bool write) const {
    constexpr std::uint64_t ranges[] = {0, 0xC0000000, 0xC0010000};
    for (std::uint64_t range = 0; range < std::size(ranges); ++range)
        if (number - ranges[range] < 0x2000)
            return bit(vmcb_.msrpm_base, range * 0x4000 + 2 * (number - ranges[range]) + (write ? 1 : 0));
    return false;
}

Stimulus<Judging> enter_of(const guest::svm::Vmcb& vmcb) {
    Stimulus<Judging> s{};
    s.kind = kind::enter;
    s.efer = vmcb.efer, s.cr0 = vmcb.cr0, s.cr3 = vmcb.cr3, s.cr4 = vmcb.cr4, s.dr6 = vmcb.dr6, s.dr7 = vmcb.dr7;
    s.cs_attributes = vmcb.cs.attributes & 0xFFF;
    s.s_cet = vmcb.s_cet;
    s.bad_rip = guest_in_64_bit_mode(s) ? !canonical(vmcb.rip) : vmcb.rip > vmcb.cs.limit;
    for (const auto* segment :
         {&vmcb.es, &vmcb.cs, &vmcb.ss, &vmcb.ds, &vmcb.fs, &vmcb.gs, &vmcb.gdtr, &vmcb.ldtr, &vmcb.idtr, &vmcb.tr})
        if (!canonical(segment->base)) s.standing |= standing::bad_base;
    s.asid = vmcb.asid, s.iopm = vmcb.iopm_base, s.msrpm = vmcb.msrpm_base;
    s.intercepts_3 = vmcb.intercept_3, s.intercepts_4 = vmcb.intercept_4;
    s.virtual_interrupts = vmcb.virtual_interrupts, s.injection = vmcb.event_injection;
    s.nested_cr3 = vmcb.nested_cr3, s.g_pat = vmcb.g_pat;
    s.standing |= standing::host_paging | (vmcb.nested_control & 1 ? standing::nested_paging : 0);
    return s;
}

std::optional<Stimulus<Judging>> instruction_of(const guest::Op& op, const guest::Effect& effect,
                                                const guest::State& state, const Standing& standing,
                                                const Control& control, const guest::svm::Intercepts& intercepts) {
    if (effect.faults && effect.fault.cause == Cause::Fetch) return std::nullopt;
    Stimulus<Judging> s{};
    s.kind = kind::instruction;
    if (!std::visit([&](const auto& one) { return Gatherer(s, state, control).look_at(one); }, op)) return std::nullopt;
    if (effect.unmodelled && !effect.raises_nothing && exceptions_matter(s)) return std::nullopt;
    s.intercepted = intercepts.has(static_cast<Intercept>(s.intercept));
    const auto both = [&](Intercept one, Intercept other) { return checks(s, one) && intercepts.has(other); };
    s.selective = both(Intercept::WriteCr0, Intercept::Cr0Selective) || both(Intercept::Hlt, Intercept::IdleHlt) ||
                  both(Intercept::Mwait, Intercept::MwaitArmed);
    s.raises = raises_of(effect);
    stand(s, standing);
    return s;
}

Stimulus<Judging> exception_of(const Event& event, const Prior& prior, const Standing& standing,
                               const guest::svm::Intercepts& intercepts) {
    Stimulus<Judging> s{};
    s.kind = kind::exception;
    s.source = event.source, s.vector = event.vector;
    s.intercepted = event.source == source::shutdown ? intercepts.has(Intercept::Shutdown)
                    : event.vector < 32              ? intercepts.has(Intercept::Exception + event.vector)
                                                     : false;
    s.has_error = event.error.has_value(), s.error = event.error.value_or(0);
    s.address = event.address, s.interrupt_op = event.interrupt_op;
    s.incoming_rip = event.incoming_rip.value_or(standing.rip);
    s.prior_source = prior.source, s.prior_vector = prior.vector;
    s.prior_has_error = prior.error.has_value(), s.prior_error = prior.error.value_or(0);
    stand(s, standing);
    return s;
}

Response<Judging> response_of(const guest::VmExit& exit, std::uint64_t kind) {
    Response<Judging> r{};
    r.exits = true;
    r.code = exit.code;
    if (kind == kind::enter) return r;
    r.info1 = exit.info_1, r.info2 = exit.info_2, r.int_info = exit.int_info, r.next_rip = exit.next_rip;
    r.rip = exit.rip, r.cr2 = exit.cr2, r.dr6 = exit.dr6, r.dr7 = exit.dr7;
    r.rf = exit.rflags & guest::rflags::rf;
    r.shadow = exit.interrupt_shadow & 1;
    return r;
}

}  // namespace faultline::oracle::svm
