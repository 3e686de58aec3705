#include "oracle/wording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "oracle/chapters/debug/situation.hpp"

namespace faultline::oracle {
namespace {

using namespace guest::dr;
namespace event = debug::event;
namespace kind = debug::kind;
using debug::Pre;
using debug::Response;
using debug::Stimulus;

constexpr std::array<std::string_view, 32> mnemonics = {
    "de", "db", "nmi", "bp", "of", "br", "ud",  "nm",  "df",  "v9",  "ts",  "np",  "ss", "gp", "pf", "v15",
    "mf", "ac", "mc",  "xm", "ve", "cp", "v22", "v23", "v24", "v25", "v26", "v27", "hv", "vc", "sx", "v31"};

unsigned rw_of(const Pre<Judging>& pre, unsigned n) { return static_cast<unsigned>(pre.dr7 >> (16 + 4 * n) & 3); }
bool enabled(const Pre<Judging>& pre, unsigned n) { return pre.dr7 >> 2 * n & 3; }

/// Types of breakpoints that an op meets, as the chapter's own outcome list shows them: bit t for R/W = t.
struct Hits {
    unsigned enabled = 0;
    bool disabled = false, code = false;
};
Hits hits_of(const Pre<Judging>& pre, const Stimulus<Judging>& stim) {
    Hits result;
    // Asked as if nothing else happened: no RF, no step, nothing held, no shadow, no fault.
    Pre<Judging> p = pre;
    p.rf = p.tf = p.shadow = false;
    p.held = 0;
    Stimulus<Judging> s = stim;
    s.faults = s.continues = false;
    for (unsigned n = 0; n < 4; ++n) {
        if (rw_of(pre, n) != 0 || debug::address_of(pre, n) != stim.rip) continue;
        (enabled(pre, n) ? result.code : result.disabled) = true;
    }
    for (unsigned n = 0; n < 4; ++n)
        if (rw_of(p, n) == 0) p.dr7 &= ~(3ull << 2 * n);
    if (s.kind == kind::load_ss || s.kind == kind::rep) s.kind = kind::ordinary;
    debug::Outcomes out;
    debug::outcomes(p, s, out);
    for (const auto& o : out) {
        if (o.response.event != event::trap) continue;
        for (unsigned n = 0; n < 4; ++n)
            if (o.response.dr6 >> n & 1) result.enabled |= 1u << rw_of(p, n);
    }
    return result;
}

std::string hit_class(const Stimulus<Judging>& stim, const Hits& hits) {
    std::string name = hits.enabled & 1u << 1   ? "data-write-hit"
                       : hits.enabled & 1u << 3 ? "data-access-hit"
                                                : "io-hit";
    if (stim.kind == kind::rep) name = "rep-" + name;
    if (stim.kind == kind::load_ss) name += "-by-mov-ss";
    return name;
}

std::string move_dr_class(const Pre<Judging>& pre, const Stimulus<Judging>& stim) {
    const auto n = stim.dr_number;
    const std::string_view direction = stim.dr_write ? "write" : "read";
    if (n > 7) return "dr8-15";
    if ((n == 4 || n == 5) && pre.de) return "dr4-5-under-de";
    if (pre.cpl != 0) return pre.dr7 & dr7_gd ? "dr-at-cpl3-under-gd" : "dr-at-cpl3";
    if (pre.dr7 & dr7_gd) return fmt::format("gd-{}{}", direction, pre.shadow ? "-in-shadow" : "");
    const bool status = n == 4 || n == 6, control = n == 5 || n == 7;
    if (stim.dr_write && (status || control) && stim.dr_value >> 32) return status ? "dr6-high-bits" : "dr7-high-bits";
    return fmt::format("{}-{}",
                       n == 4    ? "dr4"
                       : n == 5  ? "dr5"
                       : status  ? "dr6"
                       : control ? "dr7"
                                 : "dr0-3",
                       direction);
}

std::string step_class(const Pre<Judging>& pre, const Stimulus<Judging>& stim) {
    if (pre.debugctl & guest::debugctl::btf) return stim.branch ? "branch-step" : "step-under-btf";
    std::string_view what;
    switch (stim.kind) {
        case kind::rep: what = "-rep"; break;
        case kind::load_ss: what = "-mov-ss"; break;
        case kind::sti: what = "-sti"; break;
        case kind::popf: what = stim.tf_after ? "-popf" : "-popf-clears-tf"; break;
        case kind::iret: what = stim.tf_after ? "-iret" : "-iret-clears-tf"; break;
        case kind::sysret: what = "-sysret"; break;
        case kind::syscall: what = "-syscall"; break;
        case kind::hlt: what = "-hlt"; break;
        default: what = stim.io ? "-io" : ""; break;
    }
    return fmt::format("step{}{}", what, pre.shadow ? "-in-shadow" : "");
}

template <std::size_t count>
bool one_of(std::string_view rule, const char* const (&ids)[count]) {
    return std::find(std::begin(ids), std::end(ids), rule) != std::end(ids);
}
bool about_stepping(std::string_view rule) {
    return one_of(rule, {"DBG-051", "DBG-052", "DBG-058", "DBG-059", "DBG-060", "DBG-061", "DBG-064", "DBG-065",
                         "DBG-081", "DBG-090", "XCP-102", "EXE-041", "EXE-048", "EXE-050"});
}
bool about_code_breakpoints(std::string_view rule) {
    return one_of(rule, {"DBG-037", "DBG-038", "DBG-040", "DBG-046", "DBG-049", "EXE-003"});
}
/// A breakpoint met by an access must be reported.
bool about_hits(std::string_view rule) {
    return one_of(rule, {"DBG-028", "DBG-031", "DBG-047", "DBG-048", "DBG-066", "DBG-070", "DBG-088"});
}

}  // namespace

std::string vector_name(std::uint64_t vector) {
    if (vector < 32) return std::string(mnemonics[vector]);
    return vector < 256 ? "interrupt" : "nothing";
}
std::string exception_name(std::uint64_t vector) {
    if (vector == 2) return "NMI";
    if (vector < 32 && mnemonics[vector][0] != 'v') {
        std::string name = "#" + std::string(mnemonics[vector]);
        for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        return name;
    }
    return fmt::format("vector {:X}h", vector);
}

std::string stimulus_class(const Pre<Judging>& pre, const Stimulus<Judging>& stim, std::string_view rule) {
    if (stim.kind == kind::boundary) return "held-trap";
    if (stim.kind == kind::wake) return stim.vector == 2 ? "nmi" : "interrupt";
    const Hits hits = hits_of(pre, stim);
    const bool looked_for = hits.code && !stim.continues && !pre.rf;
    if (about_code_breakpoints(rule) && hits.code && pre.rf) return "code-hit-under-rf";
    if (looked_for && about_code_breakpoints(rule)) return pre.shadow ? "code-hit-in-shadow" : "code-hit";
    if (looked_for && !pre.shadow && rule != "EXE-001") return "code-hit";
    if (about_hits(rule) && hits.enabled) return hit_class(stim, hits);
    if (stim.kind == kind::mov_dr) {
        const std::string own = move_dr_class(pre, stim);
        const bool stopped = own.find("-read") == std::string::npos && own.find("-write") == std::string::npos;
        if (stopped || pre.dr7 & dr7_gd || !about_stepping(rule)) return own;
    }
    if (stim.faults) return "fault-" + vector_name(stim.vector);
    const std::string held = pre.held ? "held-" : "";
    switch (stim.kind) {
        case kind::icebp: return held + (pre.cpl != 0 ? "icebp-cpl3" : "icebp");
        case kind::int3: return held + "int3";
        case kind::int_n: return held + (stim.vector == 1 ? "int-1" : "int-n");
        default: break;
    }
    const bool steps = stim.kind == kind::syscall || stim.kind == kind::sysret ? stim.tf_after || pre.tf : pre.tf;
    if (steps && about_stepping(rule)) return step_class(pre, stim);
    if (!pre.tf && stim.tf_after && about_stepping(rule))
        return stim.kind == kind::iret ? "iret-sets-tf" : "popf-sets-tf";
    if (hits.enabled) return hit_class(stim, hits);
    if (pre.held) return "held-hit";
    if (steps) return step_class(pre, stim);
    if (hits.disabled) return "disabled-hit";
    switch (stim.kind) {
        case kind::hlt: return "hlt";
        case kind::load_ss: return "mov-ss";
        case kind::rep: return "rep";
        case kind::iret: return "iret";
        case kind::sysret: return "sysret";
        case kind::syscall: return "syscall";
        default: return "plain";
    }
}

std::string shape_of(const Step& step, std::string_view rule, const Response<Judging>& allowed,
                     const Response<Judging>& seen) {
    const auto name = [](const Response<Judging>& r) { return vector_name(r.vector); };
    // An instruction breakpoint comes before all the op does, so what the op does is not part of the shape.
    if ((seen.event == event::code_db) != (allowed.event == event::code_db))
        return seen.event == event::code_db ? "unexpected-db" : "missing-db";
    if (seen.event == event::none && allowed.event != event::none) return "missing-" + name(allowed);
    if (seen.event != event::none && allowed.event == event::none) return "unexpected-" + name(seen);
    // Not reported is not reported, whether for another cause there is a #DB or not.
    if (about_hits(rule) && seen.event == event::trap && allowed.event == event::trap && seen.rip == allowed.rip &&
        dr6_b & allowed.dr6 & ~seen.dr6)
        return "missing-db";
    if (seen.vector != allowed.vector) return fmt::format("{}-instead-of-{}", name(seen), name(allowed));
    if (seen.event != allowed.event) {
        const bool fault = seen.event != event::trap && seen.event != event::icebp && seen.event != event::delivered;
        const bool should =
            allowed.event != event::trap && allowed.event != event::icebp && allowed.event != event::delivered;
        if (fault != should) return fault ? "fault-instead-of-trap" : "trap-instead-of-fault";
        return "cause";
    }
    if (seen.rip != allowed.rip) return "rip";
    if (seen.rf != allowed.rf) return fmt::format("rf={}", int{seen.rf});
    const std::uint64_t wrong = seen.dr6 ^ allowed.dr6;
    const auto bit = [&](std::string_view field, std::uint64_t mask) {
        return fmt::format("dr6.{}={}", field, int{(seen.dr6 & mask) != 0});
    };
    if (wrong & dr6_bs) return bit("bs", dr6_bs);
    if (wrong & dr6_bd) return bit("bd", dr6_bd);
    if (const std::uint64_t b = wrong & dr6_b) {
        if (b & allowed.dr6) return "dr6.b=missing";
        return b & step.pre.dr6 ? "dr6.b=stale" : "dr6.b=extra";
    }
    if (wrong & dr6_bt) return bit("bt", dr6_bt);
    if (wrong & dr6_bld) return bit("bld", dr6_bld);
    if (wrong & dr6_rtm) return bit("rtm", dr6_rtm);
    if (wrong) return "dr6.reserved";
    const std::uint64_t wrong7 = seen.dr7 ^ allowed.dr7;
    if (wrong7 & dr7_gd) return fmt::format("dr7.gd={}", int{(seen.dr7 & dr7_gd) != 0});
    if (wrong7 & 0xFFFFFFFF'0000DC00) return "dr7.reserved";
    if (wrong7) return "dr7";
    if (seen.error != allowed.error) return "error";
    if (seen.tf != allowed.tf) return fmt::format("tf={}", int{seen.tf});
    if (seen.dr_value != allowed.dr_value) return "value";
    if (seen.debugctl != allowed.debugctl) return "debugctl";
    return "other";
}

std::string flags_shape(std::uint64_t allowed, std::uint64_t seen, std::uint64_t mask) {
    using namespace guest::rflags;
    constexpr std::pair<std::uint64_t, std::string_view> names[] = {
        {tf, "tf"}, {rf, "rf"},   {if_, "if"},  {iopl, "iopl"}, {nt, "nt"}, {ac, "ac"},
        {df, "df"}, {vif, "vif"}, {vip, "vip"}, {id, "id"},     {vm, "vm"}, {arithmetic, "arithmetic"}};
    const std::uint64_t wrong = (allowed ^ seen) & mask;
    for (const auto& [bits, name] : names)
        if (wrong & bits)
            return bits == arithmetic ? "rflags.arithmetic"
                                      : fmt::format("rflags.{}={}", name, int{(seen & bits) != 0});
    return "rflags.reserved";
}

std::string describe(const debug::Outcome& outcome) {
    const auto& r = outcome.response;
    if (r.event == event::none) return "no exception";
    std::string text = exception_name(r.vector);
    switch (r.event) {
        case event::code_db: text += " fault (instruction breakpoint)"; break;
        case event::gd_db: text += " fault (general detect)"; break;
        case event::trap: text += " trap"; break;
        case event::icebp: text += " (ICEBP)"; break;
        default: break;
    }
    if (r.event == event::fault) text += fmt::format("({:X}h)", r.error);
    text += fmt::format(", RIP {:X}h, RF {}, TF {}", r.rip, outcome.rf_any ? "0 or 1" : r.rf ? "1" : "0", r.tf ? 1 : 0);
    if (r.vector == 1) {
        text += fmt::format(", DR6 {:X}h", r.dr6);
        if (outcome.dr6_any) text += fmt::format(" (bits {:X}h either way)", outcome.dr6_any);
        text += fmt::format(", DR7 {:X}h", r.dr7);
    }
    return text;
}

std::string describe(const guest::Record& r) {
    std::string text = exception_name(r.vector);
    if (r.error) text += fmt::format("({:X}h)", r.error);
    text += fmt::format(", RIP {:X}h, RF {}, TF {}", r.rip, r.rflags >> 16 & 1, r.rflags >> 8 & 1);
    if (r.vector == 1) text += fmt::format(", DR6 {:X}h, DR7 {:X}h", r.dr6, r.dr7);
    if (r.complete != 1) text += " (record incomplete)";
    return text;
}

std::string place_of(const guest::Case& c, std::uint64_t cpl) {
    constexpr std::string_view worlds[] = {"bare", "svm", "vmx", "sev-es", "snp"};
    constexpr std::string_view modes[] = {"long64", "compat32", "prot32", "real16"};
    return fmt::format("{}-{}-cpl{}", worlds[static_cast<std::size_t>(c.world)],
                       modes[static_cast<std::size_t>(c.mode)], cpl);
}

}  // namespace faultline::oracle
