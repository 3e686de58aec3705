// One candidate's way through a program: what an exception must look like on the tape, and how the stage answers it.
// Knows the stage (stubs, syscall_entry, epilogue, reaction policy); knows of debugging only what the chapter says.
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/effect.hpp"
#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/state.hpp"
#include "hypervisor/guest/tape.hpp"
#include "oracle/chapters/debug/outcomes.hpp"
#include "oracle/chapters/debug/stimulus.hpp"
#include "oracle/delivery.hpp"
#include "oracle/hypervisor.hpp"

namespace faultline::oracle {

/// A machine state that fits everything the tape has shown so far.
struct Candidate {
    guest::State state;
    debug::Carried carried;
    std::uint32_t record = 0;  ///< records of the tape accounted for
    std::uint32_t steps = 0;
    /// The case's wake-up event at this boundary: HLT waits for it; or, when HLT under TF was left by its step trap,
    /// it may or may not have been raised.
    enum class Wakes : std::uint8_t { No, Must, May } wakes = Wakes::No;
    /// An event has entered a task through a gate of the IDT: the boundary before the task's first instruction.
    bool entered_task = false;
    /// Stack bytes that exception frames have overwritten, save by overlay writes from number `since` on.
    struct Clobbered {
        std::uint64_t begin, end;
        std::size_t since;
    };
    /// World svm: where it stands with its hypervisor, and what an exit would show besides `state`.
    struct Guest {
        bool entering = false;                     ///< before VMRUN
        bool injecting = false;                    ///< EVENTINJ of the first VMRUN is still to come
        bool shadow = false, shadow_open = false;  ///< interrupt shadow, that of STI too; open: either
        bool cr2_known = true;
        std::uint64_t cr2 = 0;
        std::uint32_t exits = 0;     ///< exits of the tape accounted for
        std::uint32_t question = 0;  ///< the last one put to chapter svm, by its number; 0: none
    } guest;
    std::uint32_t clobbered_count = 0;
    std::array<Clobbered, 8> clobbered;
    /// Which outcome of the op before led here, and how many ops lie behind: for explanations only.
    std::uint32_t chosen = 0, trail = 0;
    std::uint8_t way = 0;  ///< and by which arrival
    bool exited = false;   ///< the op before was intercepted
};

/// What a record must show. Fields of a candidate that are not known are not compared.
struct Expected {
    std::uint64_t vector = 0, error = 0, rip = 0, cs = 0, ss = 0, rsp = 0, rflags = 0, cr2 = 0, rcx = 0;
    std::uint64_t dr6 = guest::not_recorded, dr7 = guest::not_recorded;
    std::uint64_t handler_flags = 0, handler_ss = 0, frame = 0;
    std::uint64_t error_any = 0, rflags_any = 0, dr6_any = 0;  ///< bits not compared
    std::uint64_t handler_flags_mask = 0;                      ///< bits compared
    std::uint64_t cr2_span = 0;                                ///< CR2 may be up to this many bytes higher
    bool rsp_known = true, rcx_known = true, rip_known = true;
    bool only_vector = false;  ///< #DF: the frame is undefined

    void show_cr2(const exceptions::Outcome& writer) {
        cr2 = writer.cr2_low;
        cr2_span = writer.cr2_high - writer.cr2_low;
    }

    /// One field of the record: right when it agrees in the bits of `mask`, or lies up to `span` above `value`.
    struct Field {
        const char* name;
        std::uint64_t guest::Record::*member;
        std::uint64_t value, mask, span = 0;
        bool fits(const guest::Record& r) const {
            return span ? r.*member - value <= span : ((r.*member ^ value) & mask) == 0;
        }
    };
    static constexpr std::size_t field_count = 15;
    std::array<Field, field_count> fields() const;
};
bool fits(const Expected& expected, const guest::Record& record);
/// The tape's record with what the subject does not show of it (guest::Unseen) taken from `expected`.
guest::Record fill_in(const guest::Tape& tape, std::uint32_t index, const Expected& expected);

class Walk {
public:
    Walk(const guest::Case& subject_case, const guest::Image& image, const guest::Features& features)
        : environment_(subject_case.environment), image_(image), features_(features) {}

    const guest::Image& image() const { return image_; }
    const guest::Features& features() const { return features_; }

    /// An op in `state` that ends before `fallthrough`.
    guest::EffectContext context(const guest::State& state, std::uint64_t fallthrough) const {
        return {state, image_, fallthrough, environment_.gates, &environment_.surroundings};
    }
    /// All ways `event` may go from `state`. False: more of them than anyone can follow.
    bool deliver(const guest::State& state, const exceptions::Event& event, Arrivals& out) const {
        return oracle::deliver(context(state, state.rip), features_, event, out);
    }

    /// Why the case cannot be judged at all, or null. `hypervisor`: of world svm.
    const char* start(Candidate& candidate, const Hypervisor* hypervisor) const;

    /// The hypervisor goes on behind an instruction that it intercepted.
    void skip(Candidate& candidate) const;
    /// The op's effects on the state; `response` decides about debug registers. Null, or why not modelled.
    const char* complete_op(Candidate& candidate, const guest::Effect& effect,
                            const debug::Response<Judging>& response) const;

    /// The record of an event that interrupts `candidate` in its present state (an op that completes first has), and
    /// goes the way of `arrival`.
    Expected expected(const Candidate& candidate, const debug::Outcome& outcome, const Arrival& arrival) const;

    /// Why the oracle cannot speak about what follows an event in this state, or null.
    const char* cannot_deliver(const Candidate& candidate) const;
    /// The same of the way it goes.
    const char* cannot_follow(const Candidate& candidate, const Arrival& arrival) const;

    /// Through the task gate that `arrival` ends in. Null, or why not modelled.
    const char* enter_task(Candidate& candidate, const Arrival& arrival) const;
    /// What happens at the boundary before the first instruction of the task just entered: nothing but the switch.
    guest::Effect task_entry(const guest::State& state) const;

    /// State at the first instruction of the handler that `arrival` ends in.
    guest::State at_handler(const Candidate& candidate, const Arrival& arrival) const;

    /// The stub has written `record`, and returned. False: it ended the run instead (a RIP outside the program).
    bool react(Candidate& candidate, const guest::Record& record) const;

    /// Marks what exception frames and the stub overwrite below RSP.
    void clobber(Candidate& candidate) const;
    /// Whether the op reads stack bytes that a frame has overwritten.
    bool reads_clobbered(const Candidate& candidate, const guest::Effect& effect) const;

    /// Linear addresses.
    bool in_program(std::uint64_t rip) const;
    bool in_stage_text(std::uint64_t rip) const;
    std::uint64_t linear_rip(const guest::Record& record) const;
    /// What an address or general purpose register can hold in the case's mode.
    std::uint64_t register_mask() const { return image_.mode == guest::Mode::Long64 ? ~0ull : 0xFFFF'FFFFull; }

private:
    const char* load_debug_registers(guest::State& state, std::uint64_t dr6, std::uint64_t dr7) const;
    const char* start_guest(Candidate& candidate, const guest::svm::Vmcb& vmcb) const;

    const guest::Environment& environment_;
    const guest::Image& image_;
    const guest::Features& features_;
};

}  // namespace faultline::oracle
