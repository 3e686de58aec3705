// A metamorphic check: a guest that is saved after an exit and goes on in another machine does not notice. Under the
// reference hypervisor, after every exit: memory with the VMCB, and the registers that #VMEXIT leaves in the processor.
#pragma once

#include "harness/metamorphic/twins.hpp"

namespace faultline::harness {

class SaveRestore final : public Twins {
public:
    SaveRestore();
};

}  // namespace faultline::harness
