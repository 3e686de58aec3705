// What VMRUN refuses, in both readings of the manual: the engine's checks and the oracle's chapter svm, over VMCBs one
// to three fields away from a good one.
#include <gtest/gtest.h>

#include <cstring>

#include "harness/generate/stream.hpp"
#include "hypervisor/engine/cpuid.hpp"
#include "hypervisor/engine/machine.hpp"
#include "hypervisor/engine/svm/svm.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/vmm.hpp"
#include "oracle/chapters/svm/outcomes.hpp"
#include "oracle/chapters/svm/situation.hpp"
#include "oracle/chapters/svm/stimulus.hpp"

namespace faultline::harness {
namespace {

using guest::svm::Vmcb;
namespace svm = oracle::svm;

/// The engine as the chapter sees it.
svm::Pre<oracle::Judging> engine_features() {
    svm::Pre<oracle::Judging> pre{};
    pre.long_mode = pre.nrips = pre.decode_assists = pre.v_nmi = pre.v_gif = true;
    pre.physical_limit = 1ull << engine::physical_address_bits;
    pre.nested_paging = true;
    pre.asid_count = 16;
    pre.cr4_absent = ~svm::cr4::mbz & ~engine::cr4::defined;
    pre.efer_absent = ~(svm::efer::mbz | svm::efer::raz) & ~engine::efer::defined;
    return pre;
}

/// Another value for a field: nothing, everything, one bit more or less, or any.
std::uint64_t another(Stream& random, std::uint64_t value, unsigned bytes) {
    const std::uint64_t all = ~0ull >> (64 - 8 * bytes);
    switch (random.below(4)) {
        case 0: return 0;
        case 1: return all;
        case 2: return random.next() & all;
        default: return value ^ 1ull << random.below(8 * bytes);
    }
}

TEST(VmrunReadings, EngineAndOracleRefuseTheSameVmcbs) {
    const guest::Stage& stage = *guest::stage_of(guest::World::Svm, guest::Mode::Long64);
    engine::Machine machine(stage.memory);
    machine.cpu.cr0 = stage.cr0;  // the host pages
    const auto pre = engine_features();
    const auto fields = guest::vmcb_fields();
    Vmcb good;
    std::memcpy(&good, stage.memory.data() + stage.vmcb, sizeof good);
    unsigned refused = 0, entered = 0;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
        Stream random(i);
        Vmcb block = good;
        std::string changes;
        for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
            const guest::VmcbField& field = fields[random.below(static_cast<std::uint32_t>(fields.size()))];
            auto* at = reinterpret_cast<std::uint8_t*>(&block) + field.offset;
            std::uint64_t value = 0;
            std::memcpy(&value, at, field.bytes);
            value = another(random, value, field.bytes);
            if (field.name == "event-injection" && random.below(2) != 0)
                value = (value & 0xFFFF'FFFF'0000'0F3F) | guest::svm::event_info::valid;
            std::memcpy(at, &value, field.bytes);
            changes += std::string(field.name) + "=" + std::to_string(value) + " ";
        }
        // The chapter takes page directory pointers to be in order, and the engine has no virtual-8086 mode.
        const bool pae = block.cr0 >> 31 & 1 && block.cr4 >> 5 & 1 && !(block.efer >> 8 & 1);
        if (pae || block.rflags >> 17 & 1) continue;
        svm::Outcomes right;
        svm::outcomes(pre, svm::enter_of(block), right);
        const bool refuses = engine::is_illegal(machine, block);
        (refuses ? refused : entered) += 1;
        bool allowed = false;
        for (const auto& outcome : right) allowed |= outcome.response.exits == refuses;
        ASSERT_TRUE(allowed) << "the engine " << (refuses ? "refuses " : "enters ") << changes;
    }
    EXPECT_GT(refused, 10'000u);
    EXPECT_GT(entered, 10'000u);
}

}  // namespace
}  // namespace faultline::harness
