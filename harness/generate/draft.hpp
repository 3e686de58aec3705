// A case under construction. Only the generator includes this.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "harness/generate/profile.hpp"
#include "harness/generate/stream.hpp"
#include "harness/generate/weights.hpp"
#include "hypervisor/guest/case.hpp"

namespace faultline::harness {

/// What one breakpoint looks at. `first` and `size` are the effective range: LEN masks low address bits.
struct Watch {
    enum class Type : std::uint8_t { Execute = 0, Write = 1, Io = 2, ReadWrite = 3 };  // as in DR7.R/W
    bool used = false;
    Type type = Type::Execute;
    std::uint64_t first = 0;
    std::uint8_t size = 1;
    bool on_memory = false;  ///< Io: `first` is no port
    bool on_stack = false;   ///< CPL3 only: `first` counts from the RSP that the program starts with
    bool execute() const { return used && type == Type::Execute; }
    bool data() const { return used && (type == Type::Write || type == Type::ReadWrite); }
    bool io() const { return used && type == Type::Io; }
};

class Draft {
public:
    Draft(const Weights& weights, const Profile& profile, Stream random, guest::Case& kase)
        : weights_(weights), profile_(profile), random_(random), case_(kase) {}

    /// Everything that stands before op 0, except what must know the ops.
    void environment();
    /// One op of the variant's kind `index`, with what prepares it.
    void move(std::size_t index);
    /// World svm: mostly an op that an intercept stops, where the program begins.
    void bait();
    /// References, the stack's tail, breakpoints on ops.
    void finish();

    Stream& random() { return random_; }
    /// The last op loads SS.
    bool in_shadow() const { return shadow_; }
    std::size_t size() const { return case_.ops.size(); }
    /// Of interest is whether VMRUN takes the VMCB; what comes then may be more than the oracle follows.
    bool at_edge() const { return at_edge_; }

private:
    // environment.cpp
    void mode_and_privilege();
    void watches();
    std::uint64_t dr7_of_watches();
    std::uint64_t dr7_value();
    /// A bit that takes an address or a port out of reach of every access.
    std::uint64_t far_bit(bool of_port);
    std::uint64_t data_address();
    std::uint64_t aimed(std::uint64_t first, std::uint64_t size, std::uint64_t width);
    std::uint64_t access_address(unsigned width);
    std::uint16_t port(unsigned width);
    std::uint64_t flags();
    /// An op behind the one that is `ahead` ops from here.
    guest::Value forward(unsigned ahead);
    /// The same for a branch through a register or the stack, which may also lead where nothing can be fetched.
    guest::Value target(unsigned ahead);
    guest::Value role_value(guest::Gpr gpr);
    /// For MOV SS, mostly one that loads.
    std::uint16_t stack_selector();

    // guests.cpp
    void hypervisor();
    void intercepts();
    void injection();
    void no_double_fault();
    void set_vmcb(std::string_view name, std::uint64_t value);

    // surroundings.cpp
    void surroundings();
    void inner_stack();
    void gate();
    void task_gate();

    bool wide() const { return case_.mode == guest::Mode::Long64; }
    bool real() const { return case_.mode == guest::Mode::Real16; }
    /// Bytes of a stack slot.
    unsigned slot() const { return guest::address_bytes(case_.mode); }
    guest::Value fitted(guest::Value value) const {
        if (!wide()) value.literal &= 0xFFFF'FFFF;
        return value;
    }
    /// The last two slots of Environment::stack: above every stack pointer a program has, so that exception frames
    /// never reach them, and safe to watch. The upper one holds a selector for SS.
    std::uint64_t anchor_selector() const { return guest::layout::stack_top - slot(); }
    std::uint64_t anchor_data() const { return guest::layout::stack_top - 2 * slot(); }

    // moves.cpp
    template <class OpStruct>
    void emit();
    /// The register that holds `role`'s kind of value for the op being drawn: outside long64 there are eight registers,
    /// and RAX is loaded for it just before.
    guest::Gpr holder(guest::Gpr role);
    /// Holds nothing that anyone relies on.
    guest::Gpr scratch() const { return wide() ? guest::Gpr::R15 : guest::Gpr::Rax; }
    std::uint16_t code_selector();
    guest::Value lost_stack();
    void add(guest::Op op) { case_.ops.push_back(op); }
    void prepare(guest::Gpr gpr, guest::Value value);
    void reaim(guest::Gpr gpr);
    bool known(guest::Gpr gpr) const { return known_ >> static_cast<unsigned>(gpr) & 1; }
    /// Drops the op being drawn unless the register holds what its role says.
    void need(guest::Gpr gpr);
    void pushed() { ++depth_, ++pushes_; }
    /// What the pop being drawn finds: planned in Environment::stack where RSP points there, else pushed just before.
    void provide(guest::Value value);
    /// For good: the op that would set the register again may be skipped by a policy.
    void forget(std::initializer_list<guest::Gpr> registers);

    void draw(std::string_view key, guest::Gpr& field);
    void draw(std::string_view key, guest::DrNumber& field);
    void draw(std::string_view key, guest::Width& field);
    void draw(std::string_view key, guest::Port& field);
    void draw(std::string_view key, guest::Word& field);
    void draw(std::string_view key, guest::Vector& field);
    void draw(std::string_view key, guest::BitIndex& field);
    void draw(std::string_view key, guest::OpRef& field);
    void draw(std::string_view key, guest::Value& field);
    void draw(std::string_view key, guest::Mem& field);
    void draw(std::string_view key, std::int32_t& field);

    /// What an op needs beyond well-typed fields. The general answer is: nothing.
    template <class OpStruct>
    void aim(OpStruct&) {}
    void aim(guest::ops::SetReg& op);
    void aim(guest::ops::MovToDr& op);
    void aim(guest::ops::Lea& op);
    void aim(guest::ops::XchgMem& op);
    void aim(guest::ops::Cpuid& op);
    void aim(guest::ops::Rdtsc& op);
    void aim(guest::ops::In& op);
    void aim(guest::ops::InDx& op);
    void aim(guest::ops::OutDx& op);
    void aim(guest::ops::Jrcxz& op);
    void aim(guest::ops::Jc& op);
    void aim(guest::ops::Int& op);
    void aim(guest::ops::MovSs& op);
    void aim(guest::ops::MovSsMem& op);
    void aim(guest::ops::MovToCr0& op);
    void aim(guest::ops::MovToCr4& op);
    void aim(guest::ops::JmpReg& op);
    void aim(guest::ops::Pop& op);
    void aim(guest::ops::PopMem& op);
    void aim(guest::ops::PopFs& op);
    void aim(guest::ops::Popf& op);
    void aim(guest::ops::Ret& op);
    void aim(guest::ops::Iret& op);
    void aim(guest::ops::Push& op);
    void aim(guest::ops::PushImm& op);
    void aim(guest::ops::PushMem& op);
    void aim(guest::ops::Pushf& op);
    void aim(guest::ops::Call& op);
    void aim(guest::ops::Div& op);
    void aim(guest::ops::Hlt& op);
    void aim(guest::ops::Syscall& op);
    void aim(guest::ops::Sysret& op);
    void aim(guest::ops::Rdmsr& op);
    void aim(guest::ops::Wrmsr& op);
    void aim_string(bool repeated, std::initializer_list<guest::Gpr> pointers, bool dx = false);
    void aim(guest::ops::Movs& op);
    void aim(guest::ops::Stos& op);
    void aim(guest::ops::Lods& op);
    void aim(guest::ops::Ins& op);
    void aim(guest::ops::Outs& op);
    void aim(guest::ops::RepMovs& op);
    void aim(guest::ops::RepStos& op);
    void aim(guest::ops::RepLods& op);
    void aim(guest::ops::RepIns& op);
    void aim(guest::ops::RepOuts& op);
    void aim(guest::ops::PopSs& op);
    void aim(guest::ops::Bound& op);
    void aim(guest::ops::Enter& op);
    void aim(guest::ops::Leave& op);
    void aim(guest::ops::FarJmp& op);
    void aim(guest::ops::FarCall& op);
    void aim(guest::ops::FarRet& op);
    void aim(guest::ops::Lss& op);
    void aim(guest::ops::Aam& op);

    const Weights& weights_;
    const Profile& profile_;
    Stream random_;
    guest::Case& case_;
    std::array<Watch, 4> watches_{};
    bool watches_live_stack_ = false;  ///< a breakpoint looks at quadwords that are pushed and popped
    bool needs_anchors_ = false;
    bool at_edge_ = false;
    bool flags_known_ = true;
    bool general_detect_ = false;  ///< DR7.GD may be set
    unsigned highest_ref_ = 0;     ///< of all op references drawn, before they are cut to the program
    std::array<std::uint64_t, guest::gpr_count> role_{};  ///< what address registers were last loaded with
    std::uint16_t known_ = 0xFFFF;                        ///< registers that hold what their role says
    std::optional<guest::Vector> outer_vector_;           ///< its handler stays at CPL 3
    std::uint64_t last_access_ = 0;                       ///< where the last access was aimed
    bool revisits_ = false;                               ///< the next one goes there too
    std::optional<std::uint16_t> shadowed_;               ///< an op behind a load of SS
    std::uint8_t cpl_ = 0;                                ///< privilege of the next op if nothing unusual happens
    unsigned width_ = 8;                                  ///< of the op being drawn
    bool shadow_ = false;  ///< the last op loaded SS: nothing may come between it and the next
    unsigned depth_ = 0;   ///< quadwords pushed and not popped yet
    unsigned pushes_ = 0;
    std::optional<unsigned> frame_depth_;  ///< depth_ before ENTER, until LEAVE
    bool drop_ = false;                    ///< the op being drawn cannot be made safe here
    unsigned iret_frames_ = 0;             ///< planned ones, by the position of their RIP in Environment::stack
    std::array<std::uint8_t, 4> iret_frame_{};
};

}  // namespace faultline::harness
