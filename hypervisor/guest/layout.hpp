// Where everything lives in guest memory. Linear addresses equal guest-physical ones; the guest has
// one megabyte of RAM. All of it is below 2 GiB, so an absolute [disp32] reaches it in every mode.
#pragma once

#include <cstddef>
#include <cstdint>

namespace faultline::guest::layout {

inline constexpr std::uint64_t page = 0x1000, ram_size = 0x100000;

// Stage: supervisor pages, never written by a program, never watched by a generated breakpoint.
inline constexpr std::uint64_t page_tables = 0x1000;  ///< PML4, PDPT, PD, PT: four pages
inline constexpr std::uint64_t gdt = 0x5000;
inline constexpr std::uint64_t tss = 0x6000;        ///< TSS and 8 KiB I/O bitmap: three pages
inline constexpr std::uint64_t idt_dpl0 = 0x9000;   ///< every gate DPL 0
inline constexpr std::uint64_t idt_dpl3 = 0xA000;   ///< gates 1, 3, 4 and 20h–2Fh DPL 3, the others DPL 0
inline constexpr std::uint64_t text = 0xB000;       ///< stubs, prologue, epilogue: four pages
inline constexpr std::uint64_t params = 0xF000;     ///< struct Params, then the skip table
inline constexpr std::uint64_t tape = 0x10000;      ///< struct RawTape: four pages
inline constexpr std::uint64_t rsp0_top = 0x16000;  ///< stack for exceptions taken at CPL3: two pages below
inline constexpr std::uint64_t df_top = 0x18000;    ///< IST1, #DF only: two pages below
inline constexpr std::uint64_t ist2_top = 0x19000;  ///< one page below; free for gates that ask for IST 2
inline constexpr std::uint64_t stage_end = ist2_top;

// Program: user pages.
inline constexpr std::uint64_t code = 0x20000;          ///< the assembled ops, then UD2 (the end)
inline constexpr std::size_t code_limit = 0x400;        ///< bytes of program at most, the end included
inline constexpr std::uint64_t stack_bottom = 0x30000;  ///< two pages, present, writable
inline constexpr std::uint64_t stack_top = 0x31F00;     ///< RSP at program start, before Environment::stack is laid
inline constexpr std::uint64_t hole_below = 0x3F000;    ///< not present
inline constexpr std::uint64_t data = 0x40000;          ///< two pages, writable; byte at a holds initial_data(a)
inline constexpr std::uint64_t data_size = 0x2000;
inline constexpr std::uint64_t hole = 0x42000;        ///< not present: data's last byte borders it
inline constexpr std::uint64_t readonly = 0x44000;    ///< one page, user, not writable (CR0.WP = 1)
inline constexpr std::uint64_t supervisor = 0x46000;  ///< one page, U/S=0, writable; not part of the stage

// World svm: the hypervisor's pages. The guest's page tables do not map them.
inline constexpr std::uint64_t vmcb = 0x80000, host_save = 0x81000;
inline constexpr std::uint64_t iopm = 0x82000, msrpm = 0x85000;  ///< three and two pages
inline constexpr std::uint64_t exits = 0x88000;                  ///< struct RawExits: three pages
inline constexpr std::uint64_t monitor = 0x8C000;                ///< the monitor's text: one page
inline constexpr std::uint64_t monitor_data = 0x8D000;           ///< what it remembers: one page
inline constexpr std::uint64_t monitor_idt = 0x8E000;            ///< one page, its GDT in the second half
inline constexpr std::uint64_t monitor_gdt = 0x8E800;
inline constexpr std::uint64_t monitor_stack_top = 0x90000;      ///< one page below
inline constexpr std::uint64_t monitor_page_tables = 0x90000;    ///< maps all RAM: three pages

/// What a data, read-only or supervisor byte holds when a program starts. Stack bytes are zero.
constexpr std::uint8_t initial_data(std::uint64_t address) {
    return static_cast<std::uint8_t>(0x11 * (address & 0xF) ^ (address >> 4 & 0xFF));
}

/// Selectors of the stage's GDT. SYSCALL loads CS=kernel_cs, SS=kernel_ss; SYSRET (64-bit) loads
/// CS=user_cs, SS=user_ss: STAR[47:32]=08h, STAR[63:48]=13h.
inline constexpr std::uint16_t kernel_cs = 0x08, kernel_ss = 0x10, user_ss = 0x18 | 3, user_cs = 0x20 | 3, tr = 0x28;
/// Long mode only: code segments of compatibility mode.
inline constexpr std::uint16_t kernel_cs32 = 0x38, user_cs32 = 0x40 | 3;
/// Descriptors that exist to be refused, or to differ in one attribute; `descriptor_of` (descriptors.hpp) has each.
inline constexpr std::uint16_t absent_code = 0x48, conforming_code = 0x50, absent_data = 0x58,
                               absent_user_data = 0x60 | 3, readonly_data = 0x68, readonly_user_data = 0x70 | 3,
                               unreadable_user_code = 0x78 | 3;
/// Prot32 only: two more tasks (DPL 3, available) and task gates of DPL 0 and 3 for the first.
inline constexpr std::uint16_t task_a = 0x80, task_b = 0x88, task_gate = 0x90, task_gate_dpl3 = 0x98;
inline constexpr std::uint16_t gdt_bytes = 0xA0;     ///< the GDT's limit is one less
inline constexpr std::uint16_t outside_gdt = 0x100;  ///< a selector beyond the limit
/// TSSs of task_a and task_b, 104 bytes each, in the page that holds the end of the main TSS's bitmap.
inline constexpr std::uint64_t tss_a = 0x8800, tss_b = 0x8900;
inline constexpr std::uint64_t task_stack = 0x31B00;  ///< their ESP: below the main task's
/// Limit of every segment of compat32 and prot32, stage's own included: an access above it is a limit violation.
inline constexpr std::uint32_t segment_limit = 0x7FFFF;

/// Real16: base = selector << 4, limit FFFFh. A literal address of the program, cut to 16 bits, is its offset.
inline constexpr std::uint16_t real_cs = code >> 4, real_ss = stack_bottom >> 4, real_ds = data >> 4;
static_assert(code % 0x10000 == 0 && stack_bottom % 0x10000 == 0 && data % 0x10000 == 0);

/// Writing AL to this port ends a run (struct ExitCode in tape.hpp). No generated op uses it.
inline constexpr std::uint16_t exit_port = 0xF4;
/// World svm: the stage tells the hypervisor that a stub begins (the case's intercepts stop), and that it ends where IRET
/// would stand (they go on, and the hypervisor returns to the frame in its stead).
inline constexpr std::uint16_t enter_port = 0xF5, leave_port = 0xF6;
/// Ports a CPL3 program with IOPL 0 may use; the bitmap denies every other. Generators stay in
/// [first_port, last_port], half of which is denied.
inline constexpr std::uint16_t first_port = 0x80, last_allowed_port = 0x87, last_port = 0x8F;

/// The only vectors that INT n is generated for besides 1 and 3 (their handlers see no error code).
inline constexpr std::uint8_t first_int_vector = 0x20, last_int_vector = 0x2F;

/// Gates of DPL 3 in idt_dpl3: the ones INT n and INT3 may use at CPL3.
constexpr bool callable_from_cpl3(unsigned vector) {
    return vector == 1 || vector == 3 || vector == 4 || (vector >= first_int_vector && vector <= last_int_vector);
}

}  // namespace faultline::guest::layout
