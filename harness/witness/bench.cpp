#include "harness/witness/bench.hpp"

#include "hypervisor/engine/engine_backend.hpp"
#include "oracle/catalogue.hpp"

namespace faultline::harness::witness {

Bench::Bench() : impl_(std::make_unique<Impl>()) {}
Bench::~Bench() = default;

Bench::Impl::Impl() : engine(engine::make_engine_backend()) {}

bool Bench::Impl::run(const guest::Case& kase) {
    if (!assembler.assemble(kase, *image)) return false;
    if (image->params.use_debugctl && !engine->features().btf) return false;
    engine->run(*image, *tape);
    return tape->unsuitable.empty() && observer.observe(kase, *image, *tape, moments);
}

std::optional<Decision> Bench::decide(const guest::Case& kase, std::string_view rule, bool thorough) {
    const oracle::RuleInfo* info = oracle::find_rule(rule);
    if (!info || !impl_->run(kase)) return {};
    return info->chapter == oracle::debug::Formal::name ? impl_->decide<oracle::debug::Formal>(rule, thorough)
                                                        : impl_->decide<oracle::exceptions::Formal>(rule, thorough);
}

}  // namespace faultline::harness::witness
