#include "oracle/hypervisor.hpp"

#include <algorithm>
#include <cstring>

#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/vmm.hpp"

namespace faultline::oracle {
namespace {

using namespace guest;

/// The seed's facility refuses vectors whose exits nobody can answer: 2 and 9, whose intercepts have undefined effect
/// (AMD APM vol 2 (24593), "Exception Intercepts"), 18, which is the host's own, 28, which is only ever injected, and
/// those that no exception has. Patch "KVM: SVM: implement force_intercept_exceptions_mask", review of 2 September
/// 2021.
constexpr std::uint32_t takes_by_force() {
    std::uint32_t set = 0;
    for (const unsigned vector : {0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 16, 17, 19, 21, 29, 30})
        set |= 1u << vector;
    return set;
}

/// Fields of the VMCB that a case may set without making another machine of it than the one that the oracle follows.
constexpr std::string_view followed[] = {"intercepts-4",
                                         "asid",
                                         "tlb-control",
                                         "interrupt-shadow",
                                         "event-injection",
                                         "nested-cr3",
                                         "next-rip",
                                         "clean-bits",
                                         "dr7",
                                         "dr6",
                                         "rflags",
                                         "rip",
                                         "rsp",
                                         "rax",
                                         "cr2",
                                         "g-pat",
                                         "debugctl",
                                         "iopm-base",
                                         "msrpm-base",
                                         "virtual-interrupts"};

const char* why_unmodelled(const Case& subject_case, const Image& image, const guest::svm::Vmcb& vmcb) {
    for (const VmcbValue& set : subject_case.vmm.vmcb)
        if (std::ranges::find(followed, vmcb_fields()[set.field].name) == std::end(followed))
            return "the VMCB asks for another machine than the program's";
    const auto in_memory = [&](std::uint64_t base, std::uint64_t bytes) {
        return (base & ~0xFFFull) + bytes <= image.stage->memory.size();
    };
    if (!in_memory(vmcb.iopm_base, 3 * layout::page) || !in_memory(vmcb.msrpm_base, 2 * layout::page))
        return "a permissions map lies outside memory";
    // Priority of TPR and mask: nothing raises an interrupt that they could hold back.
    constexpr std::uint64_t quiet = 0xF | guest::svm::vintr::masking;
    if (vmcb.virtual_interrupts & ~quiet) return "the VMCB has virtual interrupts";
    if (image.wake != Wake::None) return "nothing wakes a guest's HLT yet";
    return nullptr;
}

}  // namespace

svm::Pre<Judging> pre_of(const Features::Svm& f) {
    using Svm = Features::Svm;
    svm::Pre<Judging> pre{};
    pre.long_mode = f.long_mode;
    pre.physical_limit = 1ull << std::min<unsigned>(f.physical_bits, 63);
    pre.asid_count = f.asids;
    // AMD APM vol 2, "S_CET MSR": bits 0 and 1 have a meaning.
    pre.s_cet_reserved = f.shadow_stacks ? ~3ull : 0;
    pre.cr4_absent = f.cr4_absent, pre.efer_absent = f.efer_absent;
    pre.nrips = f.has(Svm::nrips), pre.decode_assists = f.has(Svm::decode_assists), pre.v_nmi = f.has(Svm::v_nmi);
    pre.v_gif = f.has(Svm::vgif), pre.nested_paging = f.has(Svm::nested_paging), pre.idle_hlt = f.has(Svm::idle_hlt);
    return pre;
}

Hypervisor::Hypervisor(const Case& subject_case, const Image& image, const Features& features)
    : image_(image),
      control_(image),
      pre_(pre_of(features.svm)),
      intercepts_(control_.intercepts()),
      forced_(static_cast<std::uint32_t>(image.params.forced_exceptions) & takes_by_force()),
      known_machine_(features.svm.asids != 0),
      unmodelled_(why_unmodelled(subject_case, image, control_.vmcb())) {
    intercepts_.words[2] |= forced_;
}

bool Hypervisor::stops_at(std::uint64_t vector, std::uint64_t rip) const {
    const bool by_force = vector < 32 && forced_ >> vector & 1;
    return image_.params.stop_at_exceptions != 0 && !by_force && rip != image_.end_address();
}

bool Hypervisor::stops_at_instructions() const { return image_.params.stop_at_instructions != 0; }

}  // namespace faultline::oracle
