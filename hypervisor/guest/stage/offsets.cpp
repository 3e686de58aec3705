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
#include "hypervisor/guest/vmcb.hpp"

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
    define("EXIT_STOPPED", static_cast<std::uint64_t>(ExitCode::Stopped));
    define("EXIT_SHUTDOWN", static_cast<std::uint64_t>(ExitCode::Shutdown));
    define("EXIT_INTERNAL_ERROR", static_cast<std::uint64_t>(ExitCode::InternalError));

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
    PARAMS_FIELD("FORCED", forced_exceptions);
    PARAMS_FIELD("STOP_AT_EXCEPTIONS", stop_at_exceptions);
    PARAMS_FIELD("STOP_AT_INSTRUCTIONS", stop_at_instructions);

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

    // The monitor's.
    define("RAM_SIZE", layout::ram_size);
    define("GDT", layout::gdt);
    define("GDT_BYTES", layout::gdt_bytes);
    define("STAGE_TEXT_SIZE", layout::params - layout::text);
    define("RFLAGS_RF", rflags::rf);
    define("MONITOR_DATA", layout::monitor_data);
    define("MONITOR_STACK_TOP", layout::monitor_stack_top);
    define("HOST_SAVE", layout::host_save);
    define("VMCB", layout::vmcb);
    define("INTERCEPT_WORDS", svm::intercept_words);
    define("STAGE_INTERCEPTS_3", stage_intercepts.words[3]);
    define("STAGE_INTERCEPTS_4", stage_intercepts.words[4]);
    define("EXIT_CODE_EXCEPTION", svm::exit_code::of(svm::Intercept::Exception));
    define("EXIT_CODE_IO", svm::exit_code::of(svm::Intercept::Io));
    define("EXIT_CODE_SHUTDOWN", svm::exit_code::of(svm::Intercept::Shutdown));
    define("EXIT_CODE_INTR", svm::exit_code::of(svm::Intercept::Intr));
    define("EXIT_CODE_VIRTUAL_INTERRUPT", svm::exit_code::of(svm::Intercept::VirtualInterrupt));
    define("V_IRQ", svm::vintr::irq);
    define("EXIT_CODE_NMI", svm::exit_code::of(svm::Intercept::Nmi));
    define("EXIT_CODE_NESTED_PAGE_FAULT", svm::exit_code::nested_page_fault);
    define("EVENT_VALID", svm::event_info::valid);
    define("EVENT_TYPE", 7 << 8);
    define("EVENT_EXCEPTION", svm::event_info::Exception << 8);
    define("EVENT_HAS_ERROR", svm::event_info::has_error);
    define("VMCB_SEGMENT_ATTRIBUTES", offsetof(svm::VmcbSegment, attributes));
    define("VMCB_SEGMENT_LIMIT", offsetof(svm::VmcbSegment, limit));
    define("VMCB_SEGMENT_BASE", offsetof(svm::VmcbSegment, base));
#define VMCB_FIELD(name, field) define("VMCB_" name, layout::vmcb + offsetof(svm::Vmcb, field))
    VMCB_FIELD("INTERCEPTS", intercept_cr);
    VMCB_FIELD("TLB_CONTROL", tlb_control);
    VMCB_FIELD("EXIT_CODE", exit_code);
    VMCB_FIELD("EXIT_INFO_1", exit_info_1);
    VMCB_FIELD("EXIT_INFO_2", exit_info_2);
    VMCB_FIELD("EXIT_INT_INFO", exit_int_info);
    VMCB_FIELD("EVENT_INJECTION", event_injection);
    VMCB_FIELD("INTERRUPT_SHADOW", interrupt_shadow);
    VMCB_FIELD("VIRTUAL_INTERRUPTS", virtual_interrupts);
    VMCB_FIELD("NEXT_RIP", next_rip);
    VMCB_FIELD("CS", cs);
    VMCB_FIELD("SS", ss);
    VMCB_FIELD("CPL", cpl);
    VMCB_FIELD("DR6", dr6);
    VMCB_FIELD("DR7", dr7);
    VMCB_FIELD("RFLAGS", rflags);
    VMCB_FIELD("RIP", rip);
    VMCB_FIELD("RSP", rsp);
    VMCB_FIELD("RAX", rax);
    VMCB_FIELD("CR2", cr2);

    define("EXITS_COUNT", layout::exits + offsetof(RawExits, count));
    define("EXITS_REFUSED", layout::exits + offsetof(RawExits, refused));
    define("EXITS_FAULT_RIP", layout::exits + offsetof(RawExits, fault_rip));
    define("EXITS_FAULT_VECTOR", layout::exits + offsetof(RawExits, fault_vector));
    define("VM_EXIT_SIZE", sizeof(VmExit));
    constexpr std::uint64_t exits = layout::exits + offsetof(RawExits, exits);
#define VM_EXIT_FIELD(name, field) define("VM_EXIT_" name, exits + offsetof(VmExit, field))
    VM_EXIT_FIELD("CODE", code);
    VM_EXIT_FIELD("INFO_1", info_1);
    VM_EXIT_FIELD("INFO_2", info_2);
    VM_EXIT_FIELD("INT_INFO", int_info);
    VM_EXIT_FIELD("NEXT_RIP", next_rip);
    VM_EXIT_FIELD("RIP", rip);
    VM_EXIT_FIELD("RFLAGS", rflags);
    VM_EXIT_FIELD("RSP", rsp);
    VM_EXIT_FIELD("RAX", rax);
    VM_EXIT_FIELD("CS", cs);
    VM_EXIT_FIELD("DR6", dr6);
    VM_EXIT_FIELD("DR7", dr7);
    VM_EXIT_FIELD("CR2", cr2);
    VM_EXIT_FIELD("INTERRUPT_SHADOW", interrupt_shadow);
    VM_EXIT_FIELD("EVENT_INJECTION", event_injection);
    VM_EXIT_FIELD("RECORDS", records);

    define("IDENTITY_CPUID", identity_address + offsetof(Identity, cpuid));
    define("IDENTITY_DEBUGCTL", identity_address + offsetof(Identity, debugctl));
}
