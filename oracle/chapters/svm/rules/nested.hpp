// Nested paging: which translation of a guest-physical address exits, and what the exit reports. AMD APM vol 2, "Nested
// Table Walk", "Nested versus Guest Page Faults, Fault Ordering", "Combining Nested and Guest Attributes". EXITINTINFO:
// reflection.hpp.
#pragma once

#include "oracle/chapters/svm/rules/rules.hpp"

#define SVM_NESTED_WALK APM2 "Nested Table Walk"
#define SVM_NESTED_FAULT APM2 "Nested versus Guest Page Faults, Fault Ordering"
#define SVM_NESTED_RIGHTS APM2 "Combining Nested and Guest Attributes"

namespace faultline::oracle::svm {

// --- Whether it exits

struct Npf100 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-100", "A translation exits where a nested table entry is not present or has a reserved bit set",
             SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return translating(stim) && !nested_page(stim); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Npf101 : RuleBase {
    static constexpr RuleInfo info = arch(
        "NPF-101", "Every access of a guest is a user's: a page that is the supervisor's in the nested tables exits",
        SVM_NESTED_WALK "; Combining Nested and Guest Attributes");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES { return nested_page(stim) && !stands(stim, standing::user); }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Npf102 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-102",
             "A write to a page that is read-only in the nested tables exits, whatever CR0.WP is in host or guest",
             SVM_NESTED_RIGHTS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return nested_page(stim) && stands(stim, standing::write) && !stands(stim, standing::writable);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Npf106 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-106", "Guest page tables in a page that is read-only in the nested tables exit, even if only read",
             SVM_NESTED_WALK " (\"always treated as user writes\")");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return nested_page(stim) && stands(stim, standing::tables) && !stands(stim, standing::writable);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Npf107 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-107", "A fetch from a page that is NX in the nested tables exits under the host's EFER.NXE",
             SVM_NESTED_RIGHTS);
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return nested_page(stim) && nested_fetch(stim) && stands(stim, standing::no_execute) &&
               stands(stim, standing::host_nxe);
    }
    FAULTLINE_ALLOWS { return r.exits; }
};

struct Npf108 : RuleBase {
    static constexpr RuleInfo info = arch("NPF-108", "What the nested tables allow does not exit",
                                          SVM_NESTED_FAULT "; Combining Nested and Guest Attributes");
    static constexpr Aspect aspect = Aspect::Presence;
    FAULTLINE_APPLIES {
        return nested_page(stim) && stands(stim, standing::user) &&
               (!nested_write(stim) || stands(stim, standing::writable)) &&
               !(nested_fetch(stim) && stands(stim, standing::no_execute) && stands(stim, standing::host_nxe));
    }
    FAULTLINE_ALLOWS { return !r.exits; }
};

// --- What it reports

struct Npf109 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-109", "A nested page fault exits with 400h", APM2 "Appendix C, SVM Intercept Exit Codes");
    static constexpr Aspect aspect = Aspect::Vector;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return exits_with<D>(r, guest::svm::exit_code::nested_page_fault); }
};

/// Rules about one bit of EXITINFO1.
template <class D>
typename D::Bool reports(const Response<D>& r, std::uint64_t bit, const typename D::Bool& set) {
    using Bits = typename D::Bits;
    return info1_is<D>(r, bit, ite(set, Bits(bit), Bits(0)));
}

struct Npf110 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-110", "EXITINFO1.P is clear where the nested page is not present, else set", SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return reports<D>(r, 1, stands(stim, standing::present)); }
};

struct Npf111 : RuleBase {
    static constexpr RuleInfo info = arch(
        "NPF-111", "EXITINFO1.RW is set for writes, and for every access to the guest's page tables", SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return reports<D>(r, 2, nested_write(stim)); }
};

struct Npf112 : RuleBase {
    static constexpr RuleInfo info = arch("NPF-112", "EXITINFO1.US is set, whatever the guest's CPL", SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return info1_is<D>(r, 4, 4); }
};

struct Npf113 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-113", "EXITINFO1.RSV is set for reserved bits in a nested table entry alone", SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return reports<D>(r, 8, stands(stim, standing::reserved)); }
};

struct Npf114 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-114", "EXITINFO1.ID is set for a fetch, and clear for the walk of the guest's tables on its way",
             SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return reports<D>(r, 0x10, nested_fetch(stim)); }
};

struct Npf103 : RuleBase {
    static constexpr RuleInfo info = free(
        "NPF-103", "Without the host's EFER.NXE, EXITINFO1.ID of a fetch may be clear, as in the error code of #PF",
        APM2 "#PF—Page-Fault Exception (Vector 14)");
    using excepts = Excepts<Npf114>;
    FAULTLINE_APPLIES { return nested_fetch(stim) && !stands(stim, standing::host_nxe); }
    FAULTLINE_ALLOWS { return !has(r.info1, 0x10); }
};

struct Npf115 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-115", "EXITINFO1 bit 32 is set for the final address, bit 33 for the guest's page tables",
             SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS {
        return reports<D>(r, 1ull << 32, !stands(stim, standing::tables)) &&
               reports<D>(r, 1ull << 33, stands(stim, standing::tables));
    }
};

struct Npf116 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-116", "EXITINFO2 is the guest-physical address that could not be translated", SVM_NESTED_FAULT);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.info2 == stim.address; }
};

struct Npf117 : RuleBase {
    static constexpr RuleInfo info = arch(
        "NPF-117", "A nested page fault has done nothing: RIP, CR2, DR6 and DR7 are as before the access", SVM_SAVED);
    static constexpr Aspect aspect = Aspect::Class;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS {
        return !r.exits || (r.rip == stim.rip && r.cr2 == stim.cr2 && r.dr6 == stim.dr6 && r.dr7 == stim.dr7);
    }
};

struct Npf118 : RuleBase {
    static constexpr RuleInfo info = arch("NPF-118", "nRIP of a nested page fault is zero", SVM_SAVED);
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim) && pre.nrips; }
    FAULTLINE_ALLOWS { return !r.exits || r.next_rip == 0; }
};

struct Npf119 : RuleBase {
    static constexpr RuleInfo info = arch("NPF-119", "RF is the guest's where a nested page fault exits", SVM_SAVED);
    static constexpr Aspect aspect = Aspect::Rf;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.rf == stim.rf; }
};

struct Npf104 : RuleBase {
    static constexpr RuleInfo info =
        free("NPF-104", "RF may be set where a nested page fault exits, as a fault's frame would have it", SVM_SAVED);
    using excepts = Excepts<Npf119>;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return r.rf; }
};

struct Npf120 : RuleBase {
    static constexpr RuleInfo info =
        arch("NPF-120", "A nested page fault leaves the interrupt shadow", SVM_SAVED "; Interrupt Shadows");
    static constexpr Aspect aspect = Aspect::Rest;
    FAULTLINE_APPLIES { return translating(stim); }
    FAULTLINE_ALLOWS { return !r.exits || r.shadow == stim.shadow; }
};

struct Npf105 : RuleBase {
    static constexpr RuleInfo info =
        free("NPF-105", "A nested page fault met in a delivery may find the interrupt shadow gone",
             APM2 "Interrupt Shadows (silent about deliveries)");
    using excepts = Excepts<Npf120>;
    FAULTLINE_APPLIES { return translating(stim) && delivering(stim); }
    FAULTLINE_ALLOWS { return !r.shadow; }
};

inline constexpr auto nested_rules =
    boost::hana::tuple_t<Npf100, Npf101, Npf102, Npf106, Npf107, Npf108, Npf109, Npf110, Npf111, Npf112, Npf113, Npf114,
                         Npf103, Npf115, Npf116, Npf117, Npf118, Npf119, Npf104, Npf120, Npf105>;

}  // namespace faultline::oracle::svm
