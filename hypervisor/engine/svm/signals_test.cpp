// INIT and SMI, and what GIF holds back. AMD APM vol 2, Tables "INIT Handling in Different Operating Modes" and "SMI
// Handling in Different Operating Modes".
#include <gtest/gtest.h>

#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

struct Signals : testing::Test, SvmMachine {
    Signals() { guest_code({0x90, 0xF4}); }
    bool pending(Machine::Attention line) const { return m.attention & line; }
};

TEST_F(Signals, AnInterceptedInitExitsAndStaysPending) {
    intercept(Intercept::Init);
    m.inject_init();
    EXPECT_EQ(run(), code_of(Intercept::Init));
    EXPECT_EQ(vmcb.rip, place::guest);
    EXPECT_EQ(vmcb.next_rip, 0u);
    EXPECT_TRUE(pending(Machine::init_line));
    code({0x90, 0xF4});
    m.cpu.rip = place::code;
    EXPECT_EQ(m.run(10), Exit::Hlt) << "the host has GIF clear";
}

TEST_F(Signals, ARedirectedInitIsSxInTheGuest) {
    m.svm.vm_cr |= vm_cr::r_init;
    m.inject_init();
    EXPECT_EQ(run(), code_of(Intercept::Hlt));
    EXPECT_EQ(handler_at(vmcb.rip), vector::sx);
    EXPECT_EQ(read(vmcb.rsp), 1u) << "its error code";
    EXPECT_EQ(read(vmcb.rsp + 8), place::guest);
    EXPECT_FALSE(pending(Machine::init_line));

    vmcb.rip = place::guest;
    intercept_exception(vector::sx);
    m.inject_init();
    EXPECT_EQ(run(), exception(vector::sx));
    EXPECT_EQ(vmcb.exit_info_1, 1u);

    vmcb.rip = place::guest;
    intercept(Intercept::Init);
    m.inject_init();
    EXPECT_EQ(run(), code_of(Intercept::Init)) << "the intercept comes first";
}

TEST_F(Signals, AnInterceptedSmiTellsItsSourceAndStaysPending) {
    intercept(Intercept::Smi);
    m.inject_smi();
    EXPECT_EQ(run(), code_of(Intercept::Smi));
    EXPECT_EQ(vmcb.exit_info_1, 1u) << "external";
    EXPECT_TRUE(pending(Machine::smi_line));
}

TEST_F(Signals, InitComesBeforeSmiAndBothBeforeATrap) {
    intercept(Intercept::Smi);
    intercept(Intercept::Init);
    intercept_exception(vector::db);
    vmcb.rflags |= rflags::tf;
    m.svm.gif = false;
    m.inject_smi();
    m.inject_init();
    EXPECT_EQ(run(), code_of(Intercept::Init));
    m.drop(Machine::init_line);
    EXPECT_EQ(run(), code_of(Intercept::Smi));
    m.drop(Machine::smi_line);
    EXPECT_EQ(run(), exception(vector::db));
}

TEST_F(Signals, WhatNobodyInterceptsTheMachineDoesNotHave) {
    m.inject_smi();
    run();
    EXPECT_EQ(last_exit, Exit::Unimplemented);
    m.reset();
    m.inject_init();
    EXPECT_EQ(m.run(1), Exit::Unimplemented);
}

}  // namespace
}  // namespace faultline::engine
