// The chapter's rules in catalogue order: of two violated rules about the same aspect, the earlier one is primary.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/debug/rules/access.hpp"
#include "oracle/chapters/debug/rules/access_breakpoints.hpp"
#include "oracle/chapters/debug/rules/code_breakpoints.hpp"
#include "oracle/chapters/debug/rules/db_delivery.hpp"
#include "oracle/chapters/debug/rules/events.hpp"
#include "oracle/chapters/debug/rules/registers.hpp"
#include "oracle/chapters/debug/rules/shadow.hpp"
#include "oracle/chapters/debug/rules/single_step.hpp"
#include "oracle/chapters/debug/rules/task_switch.hpp"

namespace faultline::oracle::debug {

inline constexpr auto rules = boost::hana::tuple_t<
    // registers
    Dbg005, Dbg006, Dbg007, Dbg008, Dbg009, Dbg010, Dbg011, Dbg020, Exe024, Exe025, Exe026, Exe027,
    // access
    Dbg012, Dbg013, Dbg014, Dbg016, Dbg021, Dbg003, Dbg004, Dbg022, Dbg023, Dbg024, Dbg025, Dbg071, Dbg015, Dbg017,
    Xcp170,
    // instruction breakpoints
    Dbg037, Dbg038, Dbg046, Dbg040, Dbg049, Exe003, Dbg036, Exe010,
    // data and I/O breakpoints
    Dbg047, Dbg031, Dbg048, Dbg088, Dbg028, Dbg029, Dbg030, Dbg033, Dbg034, Dbg039, Dbg057, Dbg092, Exe015, Dbg032,
    Exe039, Exe040, Dbg087,
    // SS shadow, before the plain step rules that it modifies
    Dbg065, Dbg066, Dbg067, Dbg068, Dbg069, Dbg070, Exe034, Exe035, Exe036, Exe047, Exe049, Exe032, Exe033,
    // single step
    Dbg051, Dbg060, Dbg061, Dbg064, Dbg090, Exe041, Dbg058, Dbg059, Dbg081, Xcp102, Dbg052, Exe048, Dbg089, Exe013,
    Exe014, Exe029, Exe030, Exe031,
    // task switch
    Dbg078, Dbg080, Exe051, Exe052, Exe053, Exe054,
    // #DB delivery
    Dbg054, Dbg050, Dbg073, Dbg074, Dbg053, Exe016, Exe017, Exe018, Exe019, Exe020, Exe021, Dbg077, Dbg027, Exe022,
    Exe023, Dbg082, Exe043, Dbg055, Dbg056, Dbg095, Dbg084, Exe038,
    // events
    Dbg041, Dbg026, Dbg042, Dbg043, Dbg044, Dbg045, Exe028, Exe044, Exe045, Xcp006, Xcp001, Xcp002, Dbg072, Exe012,
    Exe011, Exe005, Exe007, Dbg075, Exe008, Exe037, Exe004, Exe009, Exe050, Xcp025, Dbg062, Xcp048, Exe046>;

}  // namespace faultline::oracle::debug
