// Enabling SVM, and the instructions outside a guest. AMD APM vol 2 (24593, ~2024): section titles stand at the tests.
#include <gtest/gtest.h>

#include "hypervisor/engine/cpuid.hpp"
#include "hypervisor/engine/msr.hpp"
#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

constexpr std::uint32_t efer_msr = 0xC000'0080, vm_cr_msr = 0xC001'0114, hsave_msr = 0xC001'0117, key_msr = 0xC001'0118;

struct Code {
    const char* name;
    std::initializer_list<int> bytes;
};

std::uint64_t read(Machine& m, std::uint32_t index) {
    std::uint64_t value = ~0ull;
    EXPECT_TRUE(read_msr(m, index, value));
    return value;
}

TEST(EnablingSvm, CpuidAnnouncesSvmAndItsLeaf) {
    EXPECT_TRUE(cpuid_leaf(0x8000'0001).ecx & 4);
    EXPECT_GE(cpuid_leaf(0x8000'0000).eax, 0x8000'000Au);
    EXPECT_EQ(cpuid_leaf(0x8000'000A).eax & 0xFF, 1u);
    EXPECT_GT(cpuid_leaf(0x8000'000A).ebx, 1u);
}

// "VM_CR MSR (C001_0114h)"
TEST(EnablingSvm, SvmeCanBeWrittenUnlessSvmdis) {
    TestMachine t;
    const std::uint64_t efer = t.m.cpu.efer;
    EXPECT_TRUE(write_msr(t.m, efer_msr, efer | efer::svme));
    EXPECT_FALSE(write_msr(t.m, vm_cr_msr, vm_cr::svmdis)) << "EFER.SVME is 1";
    EXPECT_TRUE(write_msr(t.m, efer_msr, efer));
    EXPECT_TRUE(write_msr(t.m, vm_cr_msr, vm_cr::svmdis));
    EXPECT_FALSE(write_msr(t.m, efer_msr, efer | efer::svme));
    EXPECT_TRUE(cpuid_leaf(0x8000'0001).ecx & 4);
}

TEST(EnablingSvm, LockKeepsSvmdisAndItself) {
    TestMachine t;
    EXPECT_FALSE(write_msr(t.m, vm_cr_msr, 1 << 5)) << "63:5 must be zero";
    EXPECT_TRUE(write_msr(t.m, vm_cr_msr, vm_cr::lock | vm_cr::svmdis));
    EXPECT_TRUE(write_msr(t.m, vm_cr_msr, 1)) << "silently ignored";
    EXPECT_EQ(read(t.m, vm_cr_msr), vm_cr::lock | vm_cr::svmdis | 1);
}

// "SVM_KEY MSR (C001_0118h)"
TEST(EnablingSvm, TheKeySetBeforeTheLockOpensIt) {
    TestMachine t;
    EXPECT_TRUE(write_msr(t.m, key_msr, 7));
    EXPECT_EQ(read(t.m, key_msr), 0u);
    EXPECT_TRUE(write_msr(t.m, vm_cr_msr, vm_cr::lock));
    EXPECT_TRUE(write_msr(t.m, key_msr, 8));
    EXPECT_EQ(read(t.m, vm_cr_msr), vm_cr::lock);
    EXPECT_TRUE(write_msr(t.m, key_msr, 7));
    EXPECT_EQ(read(t.m, vm_cr_msr), 0u);
}

TEST(EnablingSvm, AKeyOfZeroOpensNothing) {
    TestMachine t;
    EXPECT_TRUE(write_msr(t.m, vm_cr_msr, vm_cr::lock));
    EXPECT_TRUE(write_msr(t.m, key_msr, 0));
    EXPECT_EQ(read(t.m, vm_cr_msr), vm_cr::lock);
}

// "VM_HSAVE_PA MSR (C001_0117h)"
TEST(EnablingSvm, TheHostSaveAreaIsAnAlignedPhysicalPage) {
    TestMachine t;
    EXPECT_TRUE(write_msr(t.m, hsave_msr, 0x7000));
    EXPECT_EQ(read(t.m, hsave_msr), 0x7000u);
    EXPECT_FALSE(write_msr(t.m, hsave_msr, 0x7001));
    EXPECT_FALSE(write_msr(t.m, hsave_msr, 0x7800));
    EXPECT_FALSE(write_msr(t.m, hsave_msr, 1ull << physical_address_bits));
}

// "Enabling SVM", "VMSAVE and VMLOAD Instructions", "Basic Operation"
const Code all_of_them[] = {{"VMRUN", {0x0F, 0x01, 0xD8}},
                            {"VMLOAD", {0x0F, 0x01, 0xDA}},
                            {"VMSAVE", {0x0F, 0x01, 0xDB}},
                            {"CLGI", {0x0F, 0x01, 0xDD}},
                            {"INVLPGA", {0x0F, 0x01, 0xDF}}};
const Code with_lock[] = {{"STGI", {0x0F, 0x01, 0xDC}}, {"SKINIT", {0x0F, 0x01, 0xDE}}};

TEST(SvmInstructions, AreUndefinedWithoutSvme) {
    for (const Code& instruction : all_of_them) {
        TestMachine t;
        t.code(instruction.bytes);
        EXPECT_EQ(t.run_to_handler(), vector::ud) << instruction.name;
    }
}

// "SVM-Lock": "SKINIT and STGI can be executed even if EFER.SVME=0".
TEST(SvmInstructions, StgiNeedsNoSvmeWhereThereIsSvmLock) {
    TestMachine t;
    ASSERT_TRUE(cpuid_leaf(0x8000'000A).edx & 4);
    t.m.svm.gif = false;
    t.code({0x0F, 0x01, 0xDC});
    t.step();
    EXPECT_EQ(t.m.cpu.rip, place::code + 3);
    EXPECT_TRUE(t.m.svm.gif);
}

TEST(SvmInstructions, ArePrivileged) {
    for (const auto& list : {std::span<const Code>(all_of_them), std::span<const Code>(with_lock)}) {
        for (const Code& instruction : list) {
            TestMachine t;
            t.m.cpu.efer |= efer::svme;
            t.at_cpl3();
            t.code(instruction.bytes);
            EXPECT_EQ(t.run_to_handler(), vector::gp) << instruction.name;
            EXPECT_EQ(t.frame(true).error, 0u) << instruction.name;
        }
    }
}

TEST(SvmInstructions, UndefinedComesBeforePrivilege) {
    TestMachine t;
    t.at_cpl3();
    t.code({0x0F, 0x01, 0xD8});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
}

TEST(SvmInstructions, TheVmcbIsAPageInPhysicalAddressSpace) {
    for (const Code& instruction : std::span(all_of_them).first(3)) {
        for (const std::uint64_t address :
             {place::vmcb + 1, place::vmcb + 0x800, std::uint64_t{1} << physical_address_bits}) {
            SvmMachine t;
            t.m.cpu.r[rax] = address;
            t.code(instruction.bytes);
            EXPECT_EQ(t.run_to_handler(), vector::gp) << instruction.name << ' ' << address;
        }
    }
}

TEST(SvmInstructions, TheAddressSizeCutsRax) {
    SvmMachine t;
    t.m.cpu.r[rax] = 1ull << 60 | place::vmcb;
    t.code({0x67, 0x0F, 0x01, 0xDB});
    t.m.cpu.star = 0x1234;
    t.step();
    EXPECT_EQ(t.m.cpu.rip, place::code + 4);
    EXPECT_EQ(read_vmcb(t.m, place::vmcb).star, 0x1234u);
}

// "VMMCALL Instruction": "If VMMCALL instruction is not intercepted, the instruction raises a #UD exception."
TEST(SvmInstructions, NobodyAnswersAVmmcallOfAHost) {
    SvmMachine t;
    t.code({0x0F, 0x01, 0xD9});
    EXPECT_EQ(t.run_to_handler(), vector::ud);
}

// "VMSAVE and VMLOAD Instructions"
TEST(SvmInstructions, VmsaveAndVmloadCarryTheListedRegisters) {
    SvmMachine t;
    Cpu& cpu = t.m.cpu;
    cpu.segment[fs] = {0x11, 0x1000, 0x2000, 0xC93};
    cpu.segment[gs] = {0x12, 0x3000, 0x4000, 0xC92};
    cpu.ldtr = {0x14, 0x5000, 0x60, 0x82};
    cpu.kernel_gs_base = 1;
    cpu.star = 2, cpu.lstar = 3, cpu.cstar = 4, cpu.sfmask = 5;
    cpu.sysenter_cs = 6, cpu.sysenter_esp = 7, cpu.sysenter_eip = 8;
    const Cpu before = cpu;
    cpu.r[rax] = place::vmcb;
    t.code({0x0F, 0x01, 0xDB, 0x0F, 0x01, 0xDA});
    t.step();
    cpu.segment[fs] = cpu.segment[gs] = cpu.ldtr = cpu.tr = {};
    cpu.kernel_gs_base = cpu.star = cpu.lstar = cpu.cstar = cpu.sfmask = 0;
    cpu.sysenter_cs = cpu.sysenter_esp = cpu.sysenter_eip = 0;
    t.step();
    for (const auto& [now, then] : {std::pair{cpu.segment[fs], before.segment[fs]},
                                    {cpu.segment[gs], before.segment[gs]},
                                    {cpu.ldtr, before.ldtr},
                                    {cpu.tr, before.tr}}) {
        EXPECT_EQ(now.selector, then.selector);
        EXPECT_EQ(now.base, then.base);
        EXPECT_EQ(now.limit, then.limit);
        EXPECT_EQ(now.attributes, then.attributes);
    }
    EXPECT_EQ(cpu.kernel_gs_base, 1u);
    EXPECT_EQ(cpu.star, 2u);
    EXPECT_EQ(cpu.lstar, 3u);
    EXPECT_EQ(cpu.cstar, 4u);
    EXPECT_EQ(cpu.sfmask, 5u);
    EXPECT_EQ(cpu.sysenter_cs, 6u);
    EXPECT_EQ(cpu.sysenter_esp, 7u);
    EXPECT_EQ(cpu.sysenter_eip, 8u);
}

TEST(SvmInstructions, VmloadCanonicalisesBases) {
    SvmMachine t;
    t.vmcb.fs.base = 0x0000'8000'0000'0000;
    t.m.write_physical(place::vmcb, &t.vmcb, sizeof t.vmcb);
    t.m.cpu.r[rax] = place::vmcb;
    t.code({0x0F, 0x01, 0xDA});
    t.step();
    EXPECT_EQ(t.m.cpu.segment[fs].base, 0xFFFF'8000'0000'0000);
}

TEST(SvmInstructions, AbsentMemoryIsAVmcbOfAllOnes) {
    SvmMachine t;
    t.m.cpu.r[rax] = Memory::size;
    t.code({0x0F, 0x01, 0xDA, 0x0F, 0x01, 0xD8, 0xF4});
    t.step();
    EXPECT_EQ(t.m.cpu.star, ~0ull);
    EXPECT_EQ(t.m.run(10), Exit::Hlt) << "VMRUN finds it invalid";
    EXPECT_EQ(t.m.cpu.rip, place::code + 7);
}

}  // namespace
}  // namespace faultline::engine
