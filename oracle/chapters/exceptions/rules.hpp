// The chapter's rules in catalogue order: of two violated rules about the same aspect, the earlier one is primary.
#pragma once

#include <boost/hana/tuple.hpp>

#include "oracle/chapters/exceptions/rules/combine.hpp"
#include "oracle/chapters/exceptions/rules/flags.hpp"
#include "oracle/chapters/exceptions/rules/frame.hpp"
#include "oracle/chapters/exceptions/rules/gate.hpp"
#include "oracle/chapters/exceptions/rules/raise.hpp"
#include "oracle/chapters/exceptions/rules/stack.hpp"
#include "oracle/chapters/exceptions/rules/task.hpp"
#include "oracle/chapters/exceptions/rules/watch.hpp"

namespace faultline::oracle::exceptions {

inline constexpr auto rules = boost::hana::tuple_t<
    // raise
    Xcp171, Xcp132, Xcp172, Xcp140, Xcp141, Xcp088, Xcp146, Xcp148, Xcp147, Xcp173, Xcp184, Xcp159, Xcp145, Xcp161,
    Xcp003, Xcp178, Xcp179, Xcp130, Xcp131, Xcp180, Xcp117, Xcp182, Xcp111, Xcp066, Xcp067, Xcp181, Xcp183, Xcp150,
    Xcp174, Xcp152, Xcp151, Xcp175, Xcp185, Xcp021, Xcp176, Xcp158,
    // gate
    Xcp030, Xcp087, Xcp031, Xcp032, Xcp034, Xcp035, Xcp036, Xcp026, Xcp037, Xcp038, Xcp188, Xcp189, Xcp040, Xcp041,
    Xcp039, Xcp027, Xcp190, Xcp042, Xcp043, Xcp191, Xcp192,
    // task
    Xcp246, Xcp247, Xcp068, Xcp248, Xcp249, Xcp081, Xcp250,
    // stack
    Xcp049, Xcp193, Xcp050, Xcp051, Xcp194, Xcp195, Xcp196, Xcp052, Xcp197, Xcp053, Xcp198, Xcp054, Xcp061, Xcp062,
    Xcp200, Xcp199, Xcp241, Xcp242, Xcp251, Xcp044, Xcp202, Xcp058, Xcp201, Xcp203, Xcp059, Xcp057, Xcp060, Xcp204,
    Xcp205, Xcp206, Xcp210,
    // frame
    Xcp207, Xcp208, Xcp028, Xcp085, Xcp029, Xcp056, Xcp055, Xcp209, Xcp211, Xcp212, Xcp213, Xcp214, Xcp215,
    // flags
    Xcp045, Xcp216, Xcp046, Xcp217, Xcp007, Xcp047, Xcp086, Xcp218, Xcp219, Xcp221,
    // combine
    Xcp187, Xcp186, Xcp019, Xcp011, Xcp012, Xcp013, Xcp014, Xcp229, Xcp015, Xcp230, Xcp223, Xcp009, Xcp022, Xcp023,
    Xcp024, Xcp236, Xcp063, Xcp233, Xcp237, Xcp238, Xcp232, Xcp020, Xcp231, Xcp239, Xcp240, Xcp243, Xcp244, Xcp220,
    Xcp234, Xcp235, Xcp222, Xcp008, Xcp010, Xcp245,
    // watch
    Xcp227, Xcp228>;

}  // namespace faultline::oracle::exceptions
