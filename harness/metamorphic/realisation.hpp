// A metamorphic check: both realisations of world svm give the same tape. The same image runs under the reference
// hypervisor, C++ above the engine's vCPU, and on the engine under the stage's monitor, which executes VMRUN itself;
// the two share no policy code.
#pragma once

#include "harness/metamorphic/twins.hpp"

namespace faultline::harness {

class Realisation final : public Twins {
public:
    Realisation();

private:
    const char* no_twin(const guest::Case& kase) const override;
};

}  // namespace faultline::harness
