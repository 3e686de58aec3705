// Virtual interrupts and virtual NMIs, VGIF; where no case of the corpus reaches: physical ones beside them, exits in
// the middle of a delivery, and what the VMCB holds afterwards.
#include <gtest/gtest.h>

#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint64_t control(std::uint8_t vector, unsigned priority = 1) {
    return std::uint64_t{vector} << 32 | std::uint64_t{priority} << 16 | vintr::irq;
}

struct VirtualInterrupts : testing::Test, SvmMachine {
    VirtualInterrupts() {
        vmcb.rflags |= rflags::if_;
        guest_code({0x90, 0x90, 0xF4});
    }
    void make_absent(unsigned gate) {
        constexpr std::uint64_t present = 1ull << 47;
        write(place::idt + 16 * gate, read(place::idt + 16 * gate) & ~present);
    }
    /// The guest's handlers are a HLT each, which is intercepted: the vector of the one that was reached; -1: none.
    int handler_reached() {
        if (vmcb.exit_code != code_of(Intercept::Hlt)) return -1;
        return vmcb.rip == place::guest + 2 ? -1 : handler_at(vmcb.rip);
    }
};

TEST_F(VirtualInterrupts, TheVmcbLosesVIrqWhenItIsTakenAndKeepsItWhenItExits) {
    vmcb.virtual_interrupts = control(0x30);
    run();
    EXPECT_EQ(handler_reached(), 0x30);
    EXPECT_EQ(vmcb.virtual_interrupts, control(0x30) & ~vintr::irq);

    vmcb.rip = place::guest;
    vmcb.rflags |= rflags::if_;
    vmcb.virtual_interrupts = control(0x30);
    intercept(Intercept::VirtualInterrupt);
    EXPECT_EQ(run(), code_of(Intercept::VirtualInterrupt));
    EXPECT_EQ(vmcb.virtual_interrupts, control(0x30));
    EXPECT_EQ(vmcb.next_rip, 0u);
}

TEST_F(VirtualInterrupts, AnInjectedEventComesBeforeAVirtualInterrupt) {
    vmcb.event_injection = event_info::make(event_info::External, 0x40);
    vmcb.virtual_interrupts = control(0x30);
    run();
    EXPECT_EQ(handler_reached(), 0x40) << "whose gate clears IF";
    EXPECT_TRUE(vmcb.virtual_interrupts & vintr::irq);
}

TEST_F(VirtualInterrupts, APhysicalInterruptIsTakenFirst) {
    vmcb.virtual_interrupts = control(0x30);
    m.inject_interrupt(0x50);
    run();
    EXPECT_EQ(handler_reached(), 0x50);
    EXPECT_TRUE(vmcb.virtual_interrupts & vintr::irq);
}

TEST_F(VirtualInterrupts, AFaultInTheDeliveryTellsOfAnExternalInterrupt) {
    make_absent(0x30);
    intercept_exception(vector::np);
    vmcb.virtual_interrupts = control(0x30);
    EXPECT_EQ(run(), exception(vector::np));
    EXPECT_EQ(vmcb.exit_int_info, event_info::make(event_info::External, 0x30));
    EXPECT_FALSE(vmcb.virtual_interrupts & vintr::irq);
}

TEST_F(VirtualInterrupts, NothingOfThemStaysInTheHost) {
    vmcb.virtual_interrupts = control(0x30) | 15;  // masked by V_TPR
    set_rflags(rflags::if_);
    EXPECT_EQ(run(), code_of(Intercept::Hlt));
    m.svm.gif = true;
    code({0x90, 0xF4});
    m.cpu.rip = place::code;
    EXPECT_EQ(m.run(10), Exit::Hlt);
    EXPECT_EQ(m.cpu.rip, place::code + 2) << "and not a handler";
}

struct VirtualNmis : VirtualInterrupts {
    VirtualNmis() {
        intercept(Intercept::Nmi);
        vmcb.virtual_interrupts = vintr::nmi_enable | vintr::nmi;
    }
};

TEST_F(VirtualNmis, OneIsTakenAndMasksTheNextUntilIret) {
    write(place::handlers + 32, 0xCF48);  // IRETQ
    EXPECT_EQ(run(), code_of(Intercept::Hlt));
    EXPECT_EQ(vmcb.rip, place::guest + 2);
    EXPECT_EQ(vmcb.virtual_interrupts, vintr::nmi_enable) << "taken, and IRET has cleared the mask";

    vmcb.rip = place::guest;
    vmcb.virtual_interrupts |= vintr::nmi | vintr::nmi_mask;
    run();
    EXPECT_EQ(handler_reached(), -1);
    EXPECT_EQ(vmcb.virtual_interrupts, vintr::nmi_enable | vintr::nmi | vintr::nmi_mask);
}

TEST_F(VirtualNmis, AnExitInTheDeliverySavesTheMaskClear) {
    make_absent(vector::nmi);
    intercept_exception(vector::np);
    EXPECT_EQ(run(), exception(vector::np));
    EXPECT_EQ(vmcb.exit_int_info, event_info::make(event_info::Nmi, 2));
    EXPECT_EQ(vmcb.virtual_interrupts, vintr::nmi_enable);
}

TEST_F(VirtualNmis, AnInjectedNmiSetsTheMask) {
    vmcb.virtual_interrupts = vintr::nmi_enable;
    vmcb.event_injection = event_info::make(event_info::Nmi, 2);
    run();
    EXPECT_EQ(handler_reached(), 2);
    EXPECT_EQ(vmcb.virtual_interrupts, vintr::nmi_enable | vintr::nmi_mask);
}

TEST_F(VirtualNmis, APhysicalNmiExitsFirst) {
    m.inject_nmi();
    EXPECT_EQ(run(), code_of(Intercept::Nmi));
    EXPECT_TRUE(vmcb.virtual_interrupts & vintr::nmi);
}

TEST_F(VirtualNmis, WithoutTheEnableBitTheyAreNotThere) {
    vmcb.virtual_interrupts = vintr::nmi;
    run();
    EXPECT_EQ(handler_reached(), -1);
}

TEST_F(VirtualNmis, TheEnableBitNeedsTheNmiIntercept) {
    intercept(Intercept::Nmi, false);
    EXPECT_EQ(run(), exit_code::invalid);
}

TEST_F(VirtualInterrupts, AGuestsStgiAndClgiSetItsOwnGifAndNoOther) {
    vmcb.virtual_interrupts = control(0x30) | vintr::gif_enable | vintr::gif;
    vmcb.rflags &= ~rflags::if_;
    guest_code({0x0F, 0x01, 0xDD, 0xFB, 0x90, 0xF4});  // CLGI STI NOP HLT
    EXPECT_EQ(run(), code_of(Intercept::Hlt));
    EXPECT_EQ(vmcb.rip, place::guest + 5);
    EXPECT_EQ(vmcb.virtual_interrupts, control(0x30) | vintr::gif_enable);

    vmcb.rip = place::guest;
    guest_code({0x0F, 0x01, 0xDC, 0x90, 0xF4});  // STGI
    run();
    EXPECT_EQ(handler_reached(), 0x30);
    EXPECT_TRUE(vmcb.virtual_interrupts & vintr::gif);
}

TEST_F(VirtualInterrupts, AClearVirtualGifHoldsBackNoPhysicalInterrupt) {
    vmcb.virtual_interrupts = vintr::gif_enable;
    m.inject_interrupt(0x50);
    run();
    EXPECT_EQ(handler_reached(), 0x50);
}

}  // namespace
}  // namespace faultline::engine
