// Instruction intercepts: who checks them, what comes before them, what they report. AMD APM vol 2 (24593, ~2024),
// "Instruction Intercepts", "IOIO Intercepts", "MSR Intercepts", "Decode Assists".
#include <gtest/gtest.h>

#include "hypervisor/engine/svm/svm_machine.hpp"

namespace faultline::engine {
namespace {

struct Case {
    const char* name;
    Intercept intercept;
    std::initializer_list<int> bytes;
    std::uint64_t info_1 = 0;
};

constexpr std::uint64_t mov_cr = 1ull << 63;

const Case cases[] = {
    {"MOV RCX, CR0", Intercept::ReadCr0, {0x0F, 0x20, 0xC1}, mov_cr | rcx},
    {"MOV R11, CR2", Intercept::ReadCr0 + 2, {0x41, 0x0F, 0x20, 0xD3}, mov_cr | 11},
    {"MOV RAX, CR3", Intercept::ReadCr0 + 3, {0x0F, 0x20, 0xD8}, mov_cr},
    {"MOV RAX, CR4", Intercept::ReadCr0 + 4, {0x0F, 0x20, 0xE0}, mov_cr},
    {"MOV RAX, CR8", Intercept::ReadCr0 + 8, {0x44, 0x0F, 0x20, 0xC0}, mov_cr},
    {"SMSW EAX", Intercept::ReadCr0, {0x0F, 0x01, 0xE0}},
    {"MOV CR0, RDI", Intercept::WriteCr0, {0x0F, 0x22, 0xC7}, mov_cr | rdi},
    {"MOV CR2, RAX", Intercept::WriteCr0 + 2, {0x0F, 0x22, 0xD0}, mov_cr},
    {"MOV CR3, RSI", Intercept::WriteCr0 + 3, {0x0F, 0x22, 0xDE}, mov_cr | rsi},
    {"MOV CR4, RBP", Intercept::WriteCr0 + 4, {0x0F, 0x22, 0xE5}, mov_cr | rbp},
    {"MOV CR8, RAX", Intercept::WriteCr0 + 8, {0x44, 0x0F, 0x22, 0xC0}, mov_cr},
    {"LMSW AX", Intercept::WriteCr0, {0x0F, 0x01, 0xF0}},
    {"CLTS", Intercept::WriteCr0, {0x0F, 0x06}},
    {"MOV CR0, RAX", Intercept::Cr0Selective, {0x0F, 0x22, 0xC0}, mov_cr},
    {"LMSW AX", Intercept::Cr0Selective, {0x0F, 0x01, 0xF0}},
    {"MOV RBX, DR0", Intercept::ReadDr0, {0x0F, 0x21, 0xC3}, rbx},
    {"MOV RBX, DR4", Intercept::ReadDr0 + 4, {0x0F, 0x21, 0xE3}, rbx},
    {"MOV RBX, DR7", Intercept::ReadDr0 + 7, {0x0F, 0x21, 0xFB}, rbx},
    {"MOV DR3, R9", Intercept::WriteDr0 + 3, {0x41, 0x0F, 0x23, 0xD9}, 9},
    {"MOV DR5, RAX", Intercept::WriteDr0 + 5, {0x0F, 0x23, 0xE8}},
    {"MOV DR6, RAX", Intercept::WriteDr0 + 6, {0x0F, 0x23, 0xF0}},
    {"SIDT [RBX]", Intercept::StoreIdtr, {0x0F, 0x01, 0x0B}},
    {"SGDT [RBX]", Intercept::StoreGdtr, {0x0F, 0x01, 0x03}},
    {"SLDT EAX", Intercept::StoreLdtr, {0x0F, 0x00, 0xC0}},
    {"STR EAX", Intercept::StoreTr, {0x0F, 0x00, 0xC8}},
    {"LIDT [RBX]", Intercept::LoadIdtr, {0x0F, 0x01, 0x1B}},
    {"LGDT [RBX]", Intercept::LoadGdtr, {0x0F, 0x01, 0x13}},
    {"LLDT AX", Intercept::LoadLdtr, {0x0F, 0x00, 0xD0}},
    {"LTR AX", Intercept::LoadTr, {0x0F, 0x00, 0xD8}},
    {"RDTSC", Intercept::Rdtsc, {0x0F, 0x31}},
    {"RDPMC", Intercept::Rdpmc, {0x0F, 0x33}},
    {"PUSHFQ", Intercept::Pushf, {0x9C}},
    {"POPFQ", Intercept::Popf, {0x9D}},
    {"CPUID", Intercept::Cpuid, {0x0F, 0xA2}},
    {"RSM", Intercept::Rsm, {0x0F, 0xAA}},
    {"IRETQ", Intercept::Iret, {0x48, 0xCF}},
    {"INT 3", Intercept::SoftwareInterrupt, {0xCD, 0x03}, 3},
    {"INT 80h", Intercept::SoftwareInterrupt, {0xCD, 0x80}, 0x80},
    {"INVD", Intercept::Invd, {0x0F, 0x08}},
    {"PAUSE", Intercept::Pause, {0xF3, 0x90}},
    {"HLT", Intercept::Hlt, {0xF4}},
    {"INVLPG [RBX]", Intercept::Invlpg, {0x0F, 0x01, 0x3B}, place::data},
    {"INVLPGA", Intercept::Invlpga, {0x0F, 0x01, 0xDF}},
    {"VMRUN", Intercept::Vmrun, {0x0F, 0x01, 0xD8}},
    {"VMMCALL", Intercept::Vmmcall, {0x0F, 0x01, 0xD9}},
    {"VMLOAD", Intercept::Vmload, {0x0F, 0x01, 0xDA}},
    {"VMSAVE", Intercept::Vmsave, {0x0F, 0x01, 0xDB}},
    {"STGI", Intercept::Stgi, {0x0F, 0x01, 0xDC}},
    {"CLGI", Intercept::Clgi, {0x0F, 0x01, 0xDD}},
    {"SKINIT", Intercept::Skinit, {0x0F, 0x01, 0xDE}},
    {"RDTSCP", Intercept::Rdtscp, {0x0F, 0x01, 0xF9}},
    {"ICEBP", Intercept::Icebp, {0xF1}},
    {"WBINVD", Intercept::Wbinvd, {0x0F, 0x09}},
    {"MONITOR", Intercept::Monitor, {0x0F, 0x01, 0xC8}},
    {"MWAIT", Intercept::Mwait, {0x0F, 0x01, 0xC9}},
    {"INVPCID RAX, [RBX]", Intercept::Invpcid, {0x66, 0x0F, 0x38, 0x82, 0x03}},
};

SvmMachine prepared(const Case& one) {
    SvmMachine t;
    t.m.cpu.r[rbx] = place::data;
    t.m.cpu.r[rdi] = t.vmcb.cr0;
    t.m.cpu.r[rsi] = t.vmcb.cr3;
    t.m.cpu.r[rbp] = t.vmcb.cr4;
    if (one.intercept == Intercept::Cr0Selective) t.vmcb.rax = t.vmcb.cr0 ^ cr0::wp;
    t.guest_code(one.bytes);
    return t;
}

TEST(InstructionIntercepts, StopBeforeTheInstructionAndTellTheNext) {
    for (const Case& one : cases) {
        SvmMachine t = prepared(one);
        t.intercept(one.intercept);
        const std::uint64_t rax_before = t.vmcb.rax;
        EXPECT_EQ(t.run(), code_of(one.intercept)) << one.name;
        EXPECT_EQ(t.vmcb.rip, place::guest) << one.name;
        EXPECT_EQ(t.vmcb.next_rip, place::guest + one.bytes.size()) << one.name;
        EXPECT_EQ(t.vmcb.exit_info_1, one.info_1) << one.name;
        EXPECT_EQ(t.vmcb.exit_int_info, 0u) << one.name;
        EXPECT_EQ(t.vmcb.instruction_length, 0) << one.name;
        EXPECT_EQ(t.vmcb.rax, rax_before) << one.name;
        EXPECT_EQ(t.vmcb.rsp, place::guest_stack) << one.name;
    }
}

TEST(InstructionIntercepts, AreNotTakenUnlessAskedFor) {
    for (const Case& one : cases) {
        if (one.intercept == Intercept::Vmrun) continue;  // always intercepted
        SvmMachine t = prepared(one);
        Intercepts everything;
        for (auto& word : everything.words) word = ~0u;
        everything.words[2] = 0;
        everything.set(one.intercept, false);
        if (one.intercept == Intercept::Cr0Selective) everything.set(Intercept::WriteCr0, false);
        if (one.intercept == Intercept::Hlt) everything.set(Intercept::IdleHlt, false);
        if (one.intercept == Intercept::WriteCr0) everything.set(Intercept::Cr0Selective, false);
        for (unsigned word = 0; word < 6; ++word)
            for (unsigned bit = 0; bit < 32; ++bit) {
                const auto what = static_cast<Intercept>(word * 32 + bit);
                if (what != Intercept::Vmrun) t.intercept(what, everything.has(what));
            }
        t.run(1);
        EXPECT_NE(t.last_exit, Exit::VmExit) << one.name;
    }
}

// ---- Order -------------------------------------------------------------------------------------------------------

/// At CPL3 with exceptions intercepted: what comes first.
std::uint64_t first_at_cpl3(const Case& one) {
    SvmMachine t = prepared(one);
    t.guest_at_cpl3();
    t.intercept(one.intercept);
    t.intercept_exception(vector::gp);
    t.intercept_exception(vector::ud);
    return t.run();
}

TEST(InstructionIntercepts, PrivilegeComesFirstExceptForTheFewThatComeBeforeEverything) {
    for (const Case& one : cases) {
        switch (one.intercept) {
            case Intercept::Pushf:
            case Intercept::Popf:
            case Intercept::Cpuid:
            case Intercept::Rsm:
            case Intercept::Iret:
            case Intercept::SoftwareInterrupt:
            case Intercept::Pause:
            case Intercept::Vmmcall:
            case Intercept::Icebp:
            case Intercept::StoreIdtr:
            case Intercept::StoreGdtr:
            case Intercept::StoreLdtr:
            case Intercept::StoreTr:
            case Intercept::Rdtsc:
            case Intercept::Rdtscp: EXPECT_EQ(first_at_cpl3(one), code_of(one.intercept)) << one.name; break;
            case Intercept::Monitor:
            case Intercept::Mwait: EXPECT_EQ(first_at_cpl3(one), exception(vector::ud)) << one.name; break;
            default: {
                const bool free_for_all = std::string_view(one.name) == "SMSW EAX";
                EXPECT_EQ(first_at_cpl3(one), free_for_all ? code_of(one.intercept) : exception(vector::gp))
                    << one.name;
            }
        }
    }
}

TEST(InstructionIntercepts, MwaitKnowsWhetherTheMonitoredLineWasWritten) {
    const auto exit_of = [](std::initializer_list<int> bytes) {
        SvmMachine t;
        t.intercept(Intercept::MwaitArmed);
        t.m.cpu.r[rbx] = place::data + 0x3F;
        t.vmcb.rax = place::data;
        return t.run(bytes);
    };
    EXPECT_EQ(exit_of({0x0F, 0x01, 0xC8, 0x0F, 0x01, 0xC9, 0xF4}), code_of(Intercept::MwaitArmed));
    EXPECT_EQ(exit_of({0x0F, 0x01, 0xC9, 0xF4}), code_of(Intercept::Hlt)) << "no MONITOR";
    EXPECT_EQ(exit_of({0x0F, 0x01, 0xC8, 0x88, 0x03, 0x0F, 0x01, 0xC9, 0xF4}), code_of(Intercept::Hlt)) << "a store";
    EXPECT_EQ(exit_of({0x0F, 0x01, 0xC8, 0x88, 0x43, 0x01, 0x0F, 0x01, 0xC9, 0xF4}), code_of(Intercept::MwaitArmed))
        << "to the next line";
    SvmMachine t;
    t.intercept(Intercept::MwaitArmed);
    t.vmcb.rax = place::data;
    t.intercept(Intercept::Cpuid);
    EXPECT_EQ(t.run({0x0F, 0x01, 0xC8, 0x0F, 0xA2, 0x0F, 0x01, 0xC9, 0xF4}), code_of(Intercept::Cpuid));
    t.intercept(Intercept::Cpuid, false);
    EXPECT_EQ(t.run(), code_of(Intercept::Hlt)) << "an exit in between";
}

TEST(InstructionIntercepts, HltIsIdleWhileNoVirtualInterruptIsPending) {
    SvmMachine t;
    t.intercept(Intercept::Hlt, false);
    t.intercept(Intercept::IdleHlt);
    EXPECT_EQ(t.run({0xF4}), code_of(Intercept::IdleHlt));
    t.vmcb.virtual_interrupts = vintr::irq;
    t.run();
    EXPECT_EQ(t.last_exit, Exit::Hlt) << "although IF masks it";
}

TEST(InstructionIntercepts, InvpcidRaisesWhatItsOperandsAreOnlyWhereNobodyInterceptsIt) {
    const auto first = [](std::uint64_t type, std::uint64_t pcid, std::uint64_t address, bool intercepted) {
        SvmMachine t;
        t.intercept(Intercept::Invpcid, intercepted);
        t.intercept_exception(vector::gp);
        t.m.cpu.r[rbx] = place::data;
        t.write(place::data, pcid);
        t.write(place::data + 8, address);
        t.vmcb.rax = type;
        return t.run({0x66, 0x0F, 0x38, 0x82, 0x03, 0xF4});
    };
    constexpr std::uint64_t wild = 1ull << 47;
    EXPECT_EQ(first(4, 0, 0, true), code_of(Intercept::Invpcid));
    EXPECT_EQ(first(4, 0, 0, false), exception(vector::gp));
    EXPECT_EQ(first(1, 1, 0, false), exception(vector::gp));
    EXPECT_EQ(first(0, 0, wild, false), exception(vector::gp));
    EXPECT_EQ(first(1, 0, wild, false), code_of(Intercept::Hlt));
    EXPECT_EQ(first(2, 1, wild, false), code_of(Intercept::Hlt));
}

TEST(InstructionIntercepts, DebugRegistersAfterEveryException) {
    const auto first = [](std::initializer_list<int> bytes, Intercept what, auto prepare) {
        SvmMachine t;
        t.intercept(what);
        for (const std::uint8_t number : {vector::ud, vector::db, vector::gp}) t.intercept_exception(number);
        prepare(t);
        return t.run(bytes);
    };
    const auto nothing = [](SvmMachine&) {};
    const auto general_detect = [](SvmMachine& t) { t.vmcb.dr7 |= guest::dr::dr7_gd; };
    EXPECT_EQ(first({0x0F, 0x23, 0xF0}, Intercept::WriteDr0 + 6, nothing), code_of(Intercept::WriteDr0 + 6));
    EXPECT_EQ(first({0x0F, 0x23, 0xF0}, Intercept::WriteDr0 + 6, general_detect), exception(vector::db));
    EXPECT_EQ(first({0x0F, 0x21, 0xC0}, Intercept::ReadDr0, general_detect), exception(vector::db));
    EXPECT_EQ(first({0x0F, 0x23, 0xE0}, Intercept::WriteDr0 + 4, [](SvmMachine& t) { t.vmcb.cr4 |= cr4::de; }),
              exception(vector::ud));
    EXPECT_EQ(first({0x0F, 0x23, 0xF8}, Intercept::WriteDr0 + 7, [](SvmMachine& t) { t.vmcb.rax = 1ull << 32; }),
              exception(vector::gp));
    EXPECT_EQ(first({0x0F, 0x23, 0xC0}, Intercept::WriteDr0, [](SvmMachine& t) { t.vmcb.rax = 1ull << 32; }),
              code_of(Intercept::WriteDr0));
}

TEST(InstructionIntercepts, IllegalValuesOfControlRegistersComeFirst) {
    const auto first = [](std::initializer_list<int> bytes, unsigned number, std::uint64_t value) {
        SvmMachine t;
        t.intercept(Intercept::WriteCr0 + number);
        t.intercept_exception(vector::gp);
        t.vmcb.rax = value;
        return t.run(bytes);
    };
    EXPECT_EQ(first({0x0F, 0x22, 0xC0}, 0, cr0::pg), exception(vector::gp));
    EXPECT_EQ(first({0x0F, 0x22, 0xD8}, 3, 1ull << 60), exception(vector::gp));
    EXPECT_EQ(first({0x0F, 0x22, 0xE0}, 4, 1ull << 31), exception(vector::gp));
    EXPECT_EQ(first({0x44, 0x0F, 0x22, 0xC0}, 8, 16), exception(vector::gp));
}

TEST(InstructionIntercepts, ComeBeforeMemoryIsTouched) {
    for (const Case& one : std::initializer_list<Case>{{"SIDT", Intercept::StoreIdtr, {0x0F, 0x01, 0x0B}},
                                                       {"LGDT", Intercept::LoadGdtr, {0x0F, 0x01, 0x13}},
                                                       {"LLDT", Intercept::LoadLdtr, {0x0F, 0x00, 0x13}},
                                                       {"STR", Intercept::StoreTr, {0x0F, 0x00, 0x0B}},
                                                       {"LMSW", Intercept::Cr0Selective, {0x0F, 0x01, 0x33}},
                                                       {"SMSW", Intercept::ReadCr0, {0x0F, 0x01, 0x23}}}) {
        SvmMachine t;
        t.m.cpu.r[rbx] = Memory::size;  // not mapped
        t.intercept(one.intercept);
        t.intercept_exception(vector::pf);
        EXPECT_EQ(t.run(one.bytes), code_of(one.intercept)) << one.name;
    }
}

TEST(InstructionIntercepts, PushfPopfIretComeBeforeStackFaults) {
    for (const Case& one : std::initializer_list<Case>{{"PUSHF", Intercept::Pushf, {0x9C}},
                                                       {"POPF", Intercept::Popf, {0x9D}},
                                                       {"IRET", Intercept::Iret, {0x48, 0xCF}}}) {
        SvmMachine t;
        t.vmcb.rsp = Memory::size + 0x1000;
        t.intercept(one.intercept);
        t.intercept_exception(vector::pf);
        EXPECT_EQ(t.run(one.bytes), code_of(one.intercept)) << one.name;
    }
}

// "Instruction breakpoints for the current instruction and pending data breakpoint traps from the previous instruction
// are designed to be checked before instruction intercepts."
TEST(InstructionIntercepts, BreakpointsComeFirst) {
    SvmMachine t;
    t.m.debug.address[0] = place::guest;
    t.vmcb.dr7 = 0x402;
    t.intercept(Intercept::Cpuid);
    t.intercept_exception(vector::db);
    EXPECT_EQ(t.run({0x0F, 0xA2}), exception(vector::db));
    EXPECT_EQ(t.vmcb.rip, place::guest);

    SvmMachine u;
    u.m.debug.address[0] = place::data;
    u.vmcb.dr7 = 0x402 | 3 << 16;
    u.m.cpu.r[rbx] = place::data;
    u.intercept(Intercept::Cpuid);
    u.intercept_exception(vector::db);
    EXPECT_EQ(u.run({0x88, 0x03, 0x0F, 0xA2}), exception(vector::db));
    EXPECT_EQ(u.vmcb.rip, place::guest + 2);
}

// ---- Control registers -----------------------------------------------------------------------------------------

TEST(Cr0Intercepts, TheSelectiveOneIgnoresTsAndMpAndGivesWayToTheGeneralOne) {
    const auto first = [](std::uint64_t change, bool general) {
        SvmMachine t;
        t.intercept(Intercept::Cr0Selective);
        t.intercept(Intercept::WriteCr0, general);
        t.vmcb.rax = t.vmcb.cr0 ^ change;
        return t.run({0x0F, 0x22, 0xC0, 0xF4});
    };
    EXPECT_EQ(first(0, false), code_of(Intercept::Hlt));
    EXPECT_EQ(first(cr0::ts | cr0::mp, false), code_of(Intercept::Hlt));
    EXPECT_EQ(first(cr0::et, false), code_of(Intercept::Hlt)) << "a bit that cannot change";
    EXPECT_EQ(first(cr0::am, false), code_of(Intercept::Cr0Selective));
    EXPECT_EQ(first(cr0::am, true), code_of(Intercept::WriteCr0));
}

TEST(Cr0Intercepts, ClTsChecksNoSelectiveOneAndLmswAlways) {
    SvmMachine t;
    t.intercept(Intercept::Cr0Selective);
    EXPECT_EQ(t.run({0x0F, 0x06, 0xF4}), code_of(Intercept::Hlt));
    SvmMachine u;
    u.intercept(Intercept::Cr0Selective);
    u.vmcb.rax = u.vmcb.cr0;
    EXPECT_EQ(u.run({0x0F, 0x01, 0xF0}), code_of(Intercept::Cr0Selective)) << "nothing would change";
}

// ---- PAUSE. "Pause Intercept Filtering" ----------------------------------------------------------------------------

TEST(PauseIntercept, TheFilterCountsPausesBeforeItLetsOneExit) {
    for (const std::uint16_t count : std::initializer_list<std::uint16_t>{0, 1, 3}) {
        SvmMachine t;
        t.intercept(Intercept::Pause);
        t.vmcb.pause_filter_count = count;
        EXPECT_EQ(t.run({0xF3, 0x90, 0xF3, 0x90, 0xF3, 0x90, 0xF3, 0x90, 0xF4}), code_of(Intercept::Pause)) << count;
        EXPECT_EQ(t.vmcb.rip, place::guest + 2u * count);
        EXPECT_EQ(t.vmcb.pause_filter_count, count) << "not written by the processor";
    }
}

// ---- IN and OUT --------------------------------------------------------------------------------------------------

constexpr std::uint64_t a64 = 1 << 9, a32 = 1 << 8, sz8 = 1 << 4, sz16 = 1 << 5, sz32 = 1 << 6, rep = 1 << 3,
                        string = 1 << 2, in = 1;
constexpr std::uint64_t port_of(std::uint64_t port) { return port << 16; }

struct PortCase {
    const char* name;
    std::initializer_list<int> bytes;
    std::uint64_t info;
};

void ask_for_port(SvmMachine& t, unsigned port) {
    t.intercept(Intercept::Io);
    t.write(place::iopm + port / 64 * 8, 1ull << port % 64);
}

TEST(IoIntercept, ReportsPortSizesAndTheNextRip) {
    for (const PortCase& one : std::initializer_list<PortCase>{
             {"IN AL, DX", {0xEC}, sz8 | a64 | in},
             {"IN EAX, DX", {0xED}, sz32 | a64 | in},
             {"OUT DX, AX", {0x66, 0xEF}, sz16 | a64},
             {"OUT 55h, AL", {0xE6, 0x55}, sz8 | a64},
             {"OUTSB", {0x6E}, sz8 | a64 | string | 3 << 10},
             {"GS OUTSD", {0x65, 0x6F}, sz32 | a64 | string | 5 << 10},
             {"INSW", {0x66, 0x6D}, sz16 | a64 | string | in},
             {"REP INSB", {0xF3, 0x6C}, sz8 | a64 | string | in | rep},
             {"REP OUTSB, 32-bit address", {0xF3, 0x67, 0x6E}, sz8 | a32 | string | rep | 3 << 10}}) {
        SvmMachine t;
        ask_for_port(t, 0x55);
        t.m.cpu.r[rdx] = 0x55;
        t.m.cpu.r[rcx] = 2;
        t.m.cpu.r[rsi] = t.m.cpu.r[rdi] = place::data;
        EXPECT_EQ(t.run(one.bytes), code_of(Intercept::Io)) << one.name;
        EXPECT_EQ(t.vmcb.exit_info_1, one.info | port_of(0x55)) << one.name;
        EXPECT_EQ(t.vmcb.exit_info_2, place::guest + one.bytes.size()) << one.name;
        EXPECT_EQ(t.vmcb.next_rip, place::guest + one.bytes.size()) << one.name;
        EXPECT_EQ(t.m.cpu.r[rcx], 2u) << one.name;
    }
}

// "The permission bits for all bytes are checked; if any bit is set to 1, the I/O operation is intercepted."
TEST(IoIntercept, AnyByteOfTheAccessCounts) {
    for (unsigned asked = 0x54; asked < 0x5A; ++asked) {
        SvmMachine t;
        ask_for_port(t, asked);
        t.m.cpu.r[rdx] = 0x55;
        const bool within = asked >= 0x55 && asked < 0x59;
        EXPECT_EQ(t.run({0xED, 0xF4}), code_of(within ? Intercept::Io : Intercept::Hlt)) << asked;
    }
}

TEST(IoIntercept, TheMapHasThreeBitsBehindTheLastPort) {
    SvmMachine t;
    ask_for_port(t, 0x10002);
    t.m.cpu.r[rdx] = 0xFFFF;
    EXPECT_EQ(t.run({0xED}), code_of(Intercept::Io));
}

TEST(IoIntercept, TheTssBitmapComesBeforeAndMemoryAfter) {
    SvmMachine t;
    ask_for_port(t, 0x55);
    t.guest_at_cpl3();
    t.intercept_exception(vector::gp);
    t.m.cpu.tr.limit = 0x67;
    t.m.cpu.r[rdx] = 0x55;
    EXPECT_EQ(t.run({0xEC}), exception(vector::gp));

    SvmMachine u;
    ask_for_port(u, 0x55);
    u.m.cpu.r[rdx] = 0x55;
    u.m.cpu.r[rdi] = u.m.cpu.r[rsi] = Memory::size;
    u.intercept_exception(vector::pf);
    EXPECT_EQ(u.run({0x6C}), code_of(Intercept::Io));
}

TEST(IoIntercept, ARepeatedInstructionStopsAtTheIterationThatIsIntercepted) {
    SvmMachine t;
    ask_for_port(t, 0x55);
    t.m.cpu.r[rdx] = 0x54;
    t.m.cpu.r[rcx] = 3;
    t.m.cpu.r[rsi] = place::data;
    EXPECT_EQ(t.run({0xF3, 0x6E, 0xF4}), code_of(Intercept::Hlt)) << "port 54h is free";
    EXPECT_EQ(t.m.cpu.r[rsi], place::data + 3);
}

TEST(IoIntercept, AMapInAbsentMemoryAsksForEverything) {
    SvmMachine t;
    t.intercept(Intercept::Io);
    t.vmcb.iopm_base = Memory::size;
    EXPECT_EQ(t.run({0xEC}), code_of(Intercept::Io));
}

// ---- RDMSR and WRMSR ---------------------------------------------------------------------------------------------

std::uint64_t access(std::uint32_t index, bool write, std::uint64_t byte, unsigned value) {
    SvmMachine t;
    t.intercept(Intercept::Msr);
    t.intercept_exception(vector::gp);
    t.write(place::msrpm + byte, value);
    t.m.cpu.r[rcx] = index;
    const std::uint64_t code = t.run({0x0F, write ? 0x30 : 0x32, 0xF4});
    if (code == code_of(Intercept::Msr)) {
        EXPECT_EQ(t.vmcb.exit_info_1, write);
        EXPECT_EQ(t.vmcb.next_rip, place::guest + 2);
    }
    return code;
}

TEST(MsrIntercept, TwoBitsForEachMsrInThreeRanges) {
    constexpr auto exit = code_of(Intercept::Msr);
    EXPECT_EQ(access(0x10, false, 0x10 / 4, 1), exit);
    EXPECT_EQ(access(0x10, false, 0x10 / 4, 2), code_of(Intercept::Hlt)) << "the bit of writes";
    EXPECT_EQ(access(0x10, true, 0x10 / 4, 2), exit);
    EXPECT_EQ(access(0x277, false, 0x277 / 4, 1 << 6), exit);
    EXPECT_EQ(access(0xC000'0081, true, 0x800 + 0x81 / 4, 2 << 2), exit);
    EXPECT_EQ(access(0xC001'0114, false, 0x1000 + 0x114 / 4, 1), exit);
    EXPECT_EQ(access(0xC001'0114, false, 0x1000 + 0x114 / 4, 0), code_of(Intercept::Hlt));
}

TEST(MsrIntercept, AnMsrOutsideTheMapIsAlwaysIntercepted) {
    for (const std::uint32_t index : {0x2000u, 0x4000'0000u, 0xBFFF'FFFFu, 0xC000'2000u, 0xC001'2000u, ~0u})
        EXPECT_EQ(access(index, false, 0, 0), code_of(Intercept::Msr)) << index;
}

// "Exceptions specific to a given MSR (including … unimplemented MSRs, reserved bits, etc.)" come last.
TEST(MsrIntercept, ComesBeforeWhatIsSpecialToAnMsr) {
    EXPECT_EQ(access(0x1FFF, false, 0x7FF, 1 << 6), code_of(Intercept::Msr));
    EXPECT_EQ(access(0x1FFF, false, 0x7FF, 0), exception(vector::gp));
}

// ---- Shutdown ------------------------------------------------------------------------------------------------------

TEST(ShutdownIntercept, ATripleFaultExits) {
    SvmMachine t;
    t.vmcb.idtr.limit = 0;
    t.guest_code({0x0F, 0x0B});
    EXPECT_EQ(t.run(), SvmMachine::no_exit);
    EXPECT_EQ(t.last_exit, Exit::Shutdown);
    SvmMachine u;
    u.vmcb.idtr.limit = 0;
    u.intercept(Intercept::Shutdown);
    EXPECT_EQ(u.run({0x0F, 0x0B}), code_of(Intercept::Shutdown));
}

// ---- Interrupts. "INTR Intercept", "NMI Intercept", "Physical (INTR) Interrupt Masking in EFLAGS"
// ---------------------

TEST(InterruptIntercepts, LeaveTheInterruptPending) {
    for (const bool nmi : {false, true}) {
        SvmMachine t;
        t.intercept(nmi ? Intercept::Nmi : Intercept::Intr);
        t.vmcb.rflags |= rflags::if_;
        nmi ? t.m.inject_nmi() : t.m.inject_interrupt(0x40);
        EXPECT_EQ(t.run({0x90}), code_of(nmi ? Intercept::Nmi : Intercept::Intr));
        EXPECT_EQ(t.vmcb.rip, place::guest);
        EXPECT_EQ(t.vmcb.next_rip, 0u);
        EXPECT_EQ(t.vmcb.exit_int_info, 0u);
        EXPECT_TRUE(t.m.attention & (nmi ? Machine::nmi_line : Machine::interrupt_line));
    }
}

TEST(InterruptIntercepts, WithoutThemTheGuestTakesTheInterrupt) {
    SvmMachine t;
    t.vmcb.rflags |= rflags::if_;
    t.m.inject_interrupt(0x40);
    EXPECT_EQ(t.run({0x90}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(0x40));
}

TEST(InterruptIntercepts, ExceptionInterceptsDoNotApplyToInterrupts) {
    SvmMachine t;
    t.vmcb.rflags |= rflags::if_;
    t.vmcb.intercept_exceptions = ~0u;
    t.m.inject_interrupt(13);
    EXPECT_EQ(t.run({0x90}), code_of(Intercept::Hlt));
    EXPECT_EQ(t.vmcb.rip, SvmMachine::handler(13));
}

TEST(InterruptIntercepts, WithVirtualMaskingTheHostsFlagCounts) {
    for (const bool host_enables : {false, true}) {
        SvmMachine t;
        t.m.set_rflags(rflags::fixed1 | (host_enables ? rflags::if_ : 0));
        t.intercept(Intercept::Intr);
        t.vmcb.virtual_interrupts = vintr::masking;
        t.vmcb.rflags |= host_enables ? 0 : rflags::if_;
        t.m.inject_interrupt(0x40);
        EXPECT_EQ(t.run({0x90, 0xF4}), code_of(host_enables ? Intercept::Intr : Intercept::Hlt));
    }
}

}  // namespace
}  // namespace faultline::engine
