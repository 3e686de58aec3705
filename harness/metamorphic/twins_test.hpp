// Programs of world svm for the checks that hold two runs of one against each other.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "harness/generate/generator.hpp"
#include "harness/metamorphic/twins.hpp"
#include "hypervisor/guest/case_file.hpp"
#include "hypervisor/guest/case_text.hpp"

namespace faultline::harness {

/// What a hypervisor might do: any intercepts, few or many, any forced vectors, any policy; now and then an event to
/// inject and an interrupt shadow.
inline guest::Vmm any_vmm(Stream& random) {
    using namespace guest;
    Vmm vmm;
    const unsigned chance = random.one_of({0u, 3u, 20u, 60u});
    for (unsigned n = 0; n < 32 * svm::intercept_words; ++n)
        if (random.percent(chance)) vmm.intercepts.set(static_cast<svm::Intercept>(n));
    if (random.percent(60)) vmm.forced = static_cast<std::uint32_t>(random.next() & random.next());
    if (random.percent(15)) vmm.exceptions = Vmm::OnException::Stop;
    if (random.percent(15)) vmm.instructions = Vmm::OnInstruction::Stop;
    const bool nested = random.percent(20);
    const auto fields = vmcb_fields();
    for (std::uint8_t field = 0; field < fields.size(); ++field) {
        const std::string_view name = fields[field].name;
        if (name == "event-injection" && random.percent(20)) {
            const auto type = random.one_of({svm::event_info::External, svm::event_info::Nmi,
                                             svm::event_info::Exception, svm::event_info::Software});
            const auto vector = static_cast<std::uint8_t>(random.percent(80) ? random.below(0x30) : random.next());
            vmm.vmcb.push_back({field,
                                {{},
                                 svm::event_info::make(type, vector, random.below(8)) ^
                                     (random.percent(50) ? svm::event_info::has_error : 0)}});
        }
        if (name == "next-rip" && random.percent(20)) vmm.vmcb.push_back({field, {OpRef{0}, 0}});
        if (name == "interrupt-shadow" && random.percent(10)) vmm.vmcb.push_back({field, {{}, 1}});
        if (name == "virtual-interrupts" && random.percent(20)) {
            using namespace svm::vintr;
            std::uint64_t bits = std::uint64_t{random.below(256)} << 32 | std::uint64_t{random.below(16)} << 16;
            for (const std::uint64_t bit : {irq, gif, nmi, nmi_mask, ignore_tpr, masking, gif_enable, nmi_enable})
                if (random.percent(40)) bits |= bit;
            vmm.vmcb.push_back({field, {{}, bits}});
        }
        if (name == "nested-control" && nested) vmm.vmcb.push_back({field, {{}, 1}});
        if (name == "nested-cr3" && nested) vmm.vmcb.push_back({field, {{}, layout::monitor_page_tables}});
        if (name == "virtualisation" && random.percent(10)) vmm.vmcb.push_back({field, {{}, 1}});
        if (name == "debugctl" && random.percent(10)) vmm.vmcb.push_back({field, {{}, random.below(4)}});
        if (random.percent(1)) vmm.vmcb.push_back({field, {{}, random.percent(50) ? random.next() : random.below(8)}});
        if (name == "cr2" && random.percent(10)) vmm.vmcb.push_back({field, {{}, random.next()}});
    }
    return vmm;
}

/// Puts instructions that only a hypervisor is interested in, in the place of some that were drawn.
inline void hypervise(Stream& random, guest::Case& kase) {
    using namespace guest;
    static const std::vector<Op> interesting = [] {
        std::vector<Op> ops;
        for (const char* text : {"vmrun",         "vmload",
                                 "vmsave",        "vmmcall",
                                 "stgi",          "clgi",
                                 "invlpga",       "skinit",
                                 "rsm",           "invd",
                                 "rdpmc",         "xsetbv",
                                 "monitor",       "mwait",
                                 "cpuid",         "pause",
                                 "hlt",           "rdmsr",
                                 "wrmsr",         "wbinvd",
                                 "clts",          "lmsw from=rcx",
                                 "smsw to=rcx",   "mov-to-cr0 from=rbx",
                                 "str to=rbx",    "mov-from-cr0 to=rbx",
                                 "ltr from=r13",  "mov-to-cr2 from=rbp",
                                 "sldt to=rbx",   "mov-to-cr3 from=rsi",
                                 "lldt from=rcx", "mov-from-cr3 to=rsi",
                                 "rdtscp",        "mov-to-cr8 from=rcx",
                                 "rdpru",         "mov-from-cr8 to=rcx",
                                 "tlbsync",       "invlpg at=[0x40000]",
                                 "mcommit",       "sgdt at=[0x40010]",
                                 "pushf",         "sidt at=[0x40020]",
                                 "popf",          "lgdt at=[0x40030]",
                                 "iret",          "lidt at=[0x40040]"})
            ops.push_back(parse_op(text).value());
        return ops;
    }();
    if (kase.ops.empty()) return;
    for (auto n = random.below(4); n > 0; --n) {
        const Op& op = interesting[random.below(static_cast<std::uint32_t>(interesting.size()))];
        if (valid(op, kase.mode)) kase.ops[random.below(static_cast<std::uint32_t>(kase.ops.size()))] = op;
    }
}

/// Deliveries that fail, one in another.
inline void break_deliveries(Stream& random, guest::Case& kase) {
    using namespace guest;
    Surroundings& s = kase.environment.surroundings;
    if (random.percent(50)) {
        s.gates.clear();
        for (const std::uint8_t vector : std::initializer_list<std::uint8_t>{1, 3, 6, 8, 10, 11, 12, 13, 14, 0x21})
            if (s.gates.size() < max_gates && random.percent(25)) {
                Gate& gate = s.gates.emplace_back(Gate{.vector = {vector}, .dpl = 3});
                gate.present = random.percent(50);
                gate.ist = random.percent(30) ? 2 : 0;
                if (random.percent(30)) gate.selector = random.one_of<std::uint16_t>({0, layout::absent_code, 0x10});
                if (random.percent(20)) gate.target = Gate::Target::OutOfRange;
            }
    }
    // Up to RSP0, IST1, IST2 or nothing.
    if (random.percent(30)) s.tss_limit = random.one_of<std::uint16_t>({0x67, 0x30, 0x28, 0x08, 0});
    if (random.percent(10)) s.idt_limit = static_cast<std::uint16_t>(random.below(16 * 16));
}

/// FAULTLINE_PROGRAMS and FAULTLINE_SEED make it a longer run.
inline std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// `programs` drawn ones, each with any hypervisor around it.
inline void expect_same_tapes_of_drawn_programs(Twins& twins, std::uint64_t programs) {
    using namespace guest;
    programs = number_from_environment("FAULTLINE_PROGRAMS", programs);
    const std::uint64_t seed = number_from_environment("FAULTLINE_SEED", 1);
    Profile profile;
    profile.modes = {true, true, false, false};
    const Generator generator({}, profile);
    Case kase;
    std::uint64_t same = 0, exits = 0;
    std::map<std::string, unsigned> why_not;
    for (std::uint64_t i = 0; i < programs; ++i) {
        generator.draw(seed, i, kase);
        Stream random(seed, i, 0x5F37);  // not the one that drew the program
        kase.world = World::Svm;
        kase.environment.btf = false;
        kase.vmm = any_vmm(random);
        hypervise(random, kase);
        if (random.percent(30)) break_deliveries(random, kase);
        const auto answer = twins.check(kase);
        if (answer == Twins::Answer::NotComparable) ++why_not[twins.why()];
        same += answer == Twins::Answer::Same;
        exits += twins.first().exit_count;
        ASSERT_NE(answer, Twins::Answer::Differs) << twins.why() << " in program " << i << "\n"
                                                  << to_toml(kase) << twins.tapes();
    }
    for (const auto& [why, count] : why_not) std::cout << count << " not compared: " << why << "\n";
    std::cout << same << " the same, " << exits << " exits\n";
    EXPECT_GT(same, programs * 9 / 10);
    EXPECT_GT(exits, programs);
}

inline void expect_same_tapes_of_the_corpus(Twins& twins) {
    unsigned compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(FAULTLINE_SOURCE_DIR "/corpora/conformance/svm")) {
        std::ostringstream text;
        text << std::ifstream(entry.path()).rdbuf();
        const auto file = guest::parse_case_file(text.str(), entry.path().filename().string());
        ASSERT_TRUE(file) << file.error().text();
        EXPECT_EQ(twins.check(file->subject_case), Twins::Answer::Same) << entry.path() << ": " << twins.why() << "\n"
                                                                        << twins.tapes();
        ++compared;
    }
    EXPECT_GT(compared, 30u);
}

}  // namespace faultline::harness
