// Prints the C++ constants that the stage's assembler text needs, as preprocessor definitions: the layout
// and the structs stay defined once, in the headers.
#include <cstddef>
#include <cstdio>

#include "hypervisor/guest/image.hpp"
#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/stage/identify.hpp"
#include "hypervisor/guest/stage/stage.hpp"
#include "hypervisor/guest/stage/tables.hpp"
#include "hypervisor/guest/tape.hpp"

namespace {
void define(const char* name, std::uint64_t value) {
    std::printf("#define %s 0x%llx\n", name, static_cast<unsigned long long>(value));
}
}  // namespace

int main() {
    using namespace faultline::guest;
    define("STAGE_TEXT", layout::text);
    define("STUB_STRIDE", stub_stride);
    define("RSP0_TOP", layout::rsp0_top);
    define("EXIT_PORT", layout::exit_port);
    define("ENTER_PORT", layout::enter_port);
    define("LEAVE_PORT", layout::leave_port);
    define("CODE", layout::code);
    define("SKIP_TABLE", skip_table);
    define("CR4_PAE", stage_cr4);
    define("STAGE_CR0", stage_cr0);
    define("TR", layout::tr);
    define("GDT_TR", layout::gdt + layout::tr);
    define("TR_AVAILABLE_LOW", descriptor_bits(available_tr(tss::limit)) & 0xFFFF'FFFF);
    define("TR_AVAILABLE_HIGH", descriptor_bits(available_tr(tss::limit)) >> 32);
    define("DR6_RESET", dr::dr6_reset);
    define("DR7_RESET", dr::dr7_reset);
    define("DEBUGCTL_MSR", debugctl::msr);
    define("DEBUGCTL_BTF", debugctl::btf);

    define("TAPE_SEGMENT", layout::tape >> 4);
    define("REAL_DS", layout::real_ds);

    define("EXIT_COMPLETED", static_cast<std::uint64_t>(ExitCode::Completed));
    define("EXIT_WILD_RIP", static_cast<std::uint64_t>(ExitCode::WildRip));
    define("EXIT_TAPE_OVERFLOW", static_cast<std::uint64_t>(ExitCode::TapeOverflow));
    define("EXIT_DOUBLE_FAULT", static_cast<std::uint64_t>(ExitCode::DoubleFault));
    define("EXIT_IDENTIFIED", static_cast<std::uint64_t>(ExitCode::Identified));

#define PARAMS_FIELD(name, field) define("PARAMS_" name, layout::params + offsetof(Params, field))
    PARAMS_FIELD("CR4", cr4);
    PARAMS_FIELD("USE_DEBUGCTL", use_debugctl);
    PARAMS_FIELD("DEBUGCTL", debugctl);
    PARAMS_FIELD("DR", dr);
    PARAMS_FIELD("DR6", dr6);
    PARAMS_FIELD("DR7", dr7);
    PARAMS_FIELD("GPR", gpr);
    PARAMS_FIELD("ENTRY_FRAME", entry_frame);
    PARAMS_FIELD("IDT", idt_limit_and_base);
    PARAMS_FIELD("CODE_SIZE", code_size);
    PARAMS_FIELD("DB_SKIP", db_skip);
    PARAMS_FIELD("DB_RF_SET", db_rf_set);
    PARAMS_FIELD("DB_CLEAR_DR6", db_clear_dr6);
    PARAMS_FIELD("FAULT_FLAGS_AND", fault_flags_and);
    PARAMS_FIELD("GPRS_BY_BACKEND", gprs_by_backend);
    PARAMS_FIELD("RELOAD", reload);
    PARAMS_FIELD("CR0", cr0);

    constexpr std::uint64_t final_state = layout::tape + offsetof(RawTape, final);
#define FINAL_FIELD(name, field) define("FINAL_" name, final_state + offsetof(Final, field))
    FINAL_FIELD("GPR", gpr);
    FINAL_FIELD("RFLAGS", rflags);
    FINAL_FIELD("CS", cs);
    FINAL_FIELD("SS", ss);
    FINAL_FIELD("DR6", dr6);
    FINAL_FIELD("DR7", dr7);
    FINAL_FIELD("DR", dr);
    FINAL_FIELD("DEBUGCTL", debugctl);
    FINAL_FIELD("CR4", cr4);

    define("TAPE_COUNT", layout::tape + offsetof(RawTape, count));
    define("TAPE_CAPACITY", tape_capacity);
    define("RECORD_SIZE", sizeof(Record));
    constexpr std::uint64_t records = layout::tape + offsetof(RawTape, records);
#define RECORD_FIELD(name, field) define("RECORD_" name, records + offsetof(Record, field))
    RECORD_FIELD("VECTOR", vector);
    RECORD_FIELD("ERROR", error);
    RECORD_FIELD("RIP", rip);
    RECORD_FIELD("CS", cs);
    RECORD_FIELD("RFLAGS", rflags);
    RECORD_FIELD("RSP", rsp);
    RECORD_FIELD("SS", ss);
    RECORD_FIELD("CR2", cr2);
    RECORD_FIELD("RCX", rcx);
    RECORD_FIELD("DR6", dr6);
    RECORD_FIELD("DR7", dr7);
    RECORD_FIELD("HANDLER_FLAGS", handler_flags);
    RECORD_FIELD("HANDLER_SS", handler_ss);
    RECORD_FIELD("FRAME", frame);
    RECORD_FIELD("COMPLETE", complete);

    define("IDENTITY_CPUID", identity_address + offsetof(Identity, cpuid));
    define("IDENTITY_DEBUGCTL", identity_address + offsetof(Identity, debugctl));
}
