// The stage of world bare, mode long64: exception stubs, prologue, epilogue and `identify`. Guest code, linked
// into the library as data and copied to layout::text; hence no absolute reference to a label of its own.
//
// The oracle knows every instruction here, so nothing may take part in what is tested: no debug register is
// read except by the #DB stub and the epilogue (DR7.GD would stop it), no stack but the one that delivery
// chose is used, and a nested exception is answered wherever it can legitimately occur: on a stub's or
// syscall_entry's first instruction (a #DB held over the delivery), and on a debug register access under GD.
//
// A vendor module may emulate each of these instructions at a cost of about 0.3 µs, so the paths are straight
// lines, and POP to memory moves the exception frame.
#include "stage_offsets.h"

.intel_syntax noprefix
.section .rodata

.macro place name
    .globl faultline_bare_long64_\name
    faultline_bare_long64_\name:
.endm

.balign 16
place text_begin

// ---- Stubs --------------------------------------------------------------------------------------------------
#define EXCEPTIONS 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
                   16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31

place stubs
.irp vector, EXCEPTIONS
    .balign STUB_STRIDE
    jmp path_\vector
.endr
.set vector, 32
.rept 256 - 32
    .balign STUB_STRIDE
    push vector
    jmp interrupt
    .set vector, vector + 1
.endr
.balign STUB_STRIDE

// Claims a record and moves the exception frame into it, then steps back below it: RCX is the record's offset
// (and so its field is the first to be written), the saved RCX is on top of the stack, RIP_AT and RFLAGS_AT say
// where the frame is. `vector` is a number, or `pushed` by the stub. Fields that a vector does not have keep what
// memory held before the run.
.macro record_frame vector, error
    push rcx
    mov ecx, 1
    xadd [TAPE_COUNT], rcx
    cmp rcx, TAPE_CAPACITY
    jae tape_overflow
    imul ecx, ecx, RECORD_SIZE
    pop qword ptr [rcx + RECORD_RCX]
    .set RIP_AT, 8
    .ifc \vector, pushed
        pop qword ptr [rcx + RECORD_VECTOR]
        mov [rcx + RECORD_FRAME], rsp
        .set RIP_AT, 16
    .else
        mov [rcx + RECORD_FRAME], rsp
        mov qword ptr [rcx + RECORD_VECTOR], \vector
    .endif
    .if \error
        pop qword ptr [rcx + RECORD_ERROR]
        .set RIP_AT, 16
    .else
        mov qword ptr [rcx + RECORD_ERROR], 0
    .endif
    pop qword ptr [rcx + RECORD_RIP]
    pop qword ptr [rcx + RECORD_CS]
    pop qword ptr [rcx + RECORD_RFLAGS]
    pop qword ptr [rcx + RECORD_RSP]
    pop qword ptr [rcx + RECORD_SS]
    sub rsp, RIP_AT + 40
    pushfq
    pop qword ptr [rcx + RECORD_HANDLER_FLAGS]
    mov [rcx + RECORD_HANDLER_SS], ss
    .set RFLAGS_AT, RIP_AT + 16
.endm

.macro complete
    mov qword ptr [rcx + RECORD_COMPLETE], 1
.endm

// RCX := offset of the pushed RIP in the program; to `outside` when it is above the end.
.macro program_offset outside
    mov rcx, [rsp + RIP_AT]
    sub rcx, CODE
    cmp rcx, [PARAMS_CODE_SIZE]
    ja \outside
.endm

// The second byte of the end's UD2 belongs to the program too; nothing above it does.
.macro second_byte_of_end to
    dec rcx
    cmp rcx, [PARAMS_CODE_SIZE]
    lea rcx, [rcx + 1]
    je \to
.endm

.macro skip_op
    movzx ecx, byte ptr [rcx + SKIP_TABLE]
    add [rsp + RIP_AT], rcx
.endm

.macro return
    pop rcx
    .if RIP_AT > 8
        add rsp, RIP_AT - 8
    .endif
    iretq
.endm

// Faults, and every other vector without a policy of its own: resume at the next op.
.macro fault_path vector, error
    record_frame \vector, \error
    .if \vector == 14
        push rax
        mov rax, cr2
        mov [rcx + RECORD_CR2], rax
        pop rax
    .endif
    complete
    program_offset 2f
1:  skip_op
    mov rcx, [PARAMS_FAULT_FLAGS_AND]
    and [rsp + RFLAGS_AT], rcx
    return
2:  second_byte_of_end 1b
    jmp wild_rip
.endm

// #BP, #OF, INT n and interrupts: resume at the pushed RIP.
.macro trap_path vector
    record_frame \vector, 0
    complete
    program_offset 2f
1:  return
2:  second_byte_of_end 1b
    jmp wild_rip
.endm

// #UD at exactly the end is no event but the program's end. RAX is kept where the epilogue wants it.
.macro end_or_invalid_opcode_path
    mov [FINAL_GPR], rax
    mov rax, [rsp]
    sub rax, CODE
    cmp rax, [PARAMS_CODE_SIZE]
    je epilogue
    mov rax, [FINAL_GPR]
    fault_path 6, 0
.endm

// #DB. Delivery clears DR7.GD, unless the vector came from INT n: then reading DR6 is stopped by a nested #DB.
.macro debug_path
    record_frame 1, 0
    push rax
    mov rax, dr6
    mov [rcx + RECORD_DR6], rax
    mov rax, dr7
    mov [rcx + RECORD_DR7], rax
    pop rax
    complete
    program_offset 4f
1:  cmp qword ptr [PARAMS_DB_SKIP], 0
    je 2f
    skip_op
2:  mov rcx, [PARAMS_DB_RF_SET]
    or [rsp + RFLAGS_AT], rcx
3:  cmp qword ptr [PARAMS_DB_CLEAR_DR6], 0
    je 5f
    mov ecx, DR6_RESET
    mov dr6, rcx
5:  return
4:  second_byte_of_end 1b
    add rcx, CODE - STAGE_TEXT
    cmp rcx, offset text_size
    jb 3b
    jmp wild_rip
.endm

.macro double_fault_path
    record_frame 8, 1
    complete
    mov al, EXIT_DOUBLE_FAULT
    out EXIT_PORT, al
.endm

// ---- Paths: one per exception, so that the vector is an immediate -----------------------------------------
.irp number, EXCEPTIONS
path_\number:
    .if \number == 1
        debug_path
    .elseif (\number == 3) || (\number == 4)
        trap_path \number
    .elseif \number == 6
        end_or_invalid_opcode_path
    .elseif \number == 8
        double_fault_path
    .elseif ((\number >= 10) && (\number <= 14)) || (\number == 17) || (\number == 21) || (\number == 29) || (\number == 30)
        fault_path \number, 1
    .else
        fault_path \number, 0
    .endif
.endr

interrupt:
    trap_path pushed

wild_rip:
    mov al, EXIT_WILD_RIP
    out EXIT_PORT, al

tape_overflow:
    mov al, EXIT_TAPE_OVERFLOW
    out EXIT_PORT, al

// ---- SYSCALL lands here (LSTAR) -----------------------------------------------------------------------------
place syscall_entry
    jmp rcx

// ---- Prologue -----------------------------------------------------------------------------------------------
// Needs no stack and no segment but CS. DR7 comes last of the debug registers: GD would stop the others, and
// an enabled breakpoint could match the stage. IRETQ loads RIP, CS, RFLAGS, RSP and SS from the parameters.
place prologue
    lidt [PARAMS_IDT]
    mov rax, [PARAMS_CR4]
    mov cr4, rax
    cmp qword ptr [PARAMS_USE_DEBUGCTL], 0
    je 1f
    mov ecx, DEBUGCTL_MSR
    mov eax, [PARAMS_DEBUGCTL]
    mov edx, [PARAMS_DEBUGCTL + 4]
    wrmsr
1:
.irp n, 0, 1, 2, 3
    mov rax, [PARAMS_DR + 8 * \n]
    mov dr\n, rax
.endr
    mov rax, [PARAMS_DR6]
    mov dr6, rax
    mov rax, [PARAMS_DR7]
    mov dr7, rax
    cmp qword ptr [PARAMS_GPRS_BY_BACKEND], 0
    jne 1f
    mov rbx, [PARAMS_GPR + 8 * 3]
    mov rbp, [PARAMS_GPR + 8 * 5]
    mov rsi, [PARAMS_GPR + 8 * 6]
    mov rdi, [PARAMS_GPR + 8 * 7]
.irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov r\n, [PARAMS_GPR + 8 * \n]
.endr
1:  mov rax, [PARAMS_GPR + 8 * 0]
    mov rcx, [PARAMS_GPR + 8 * 1]
    mov rdx, [PARAMS_GPR + 8 * 2]
    mov esp, PARAMS_ENTRY_FRAME
    iretq

// ---- Epilogue -----------------------------------------------------------------------------------------------
// Entered from the #UD stub, RSP at the exception frame, RAX saved. The debug registers come before the
// program's stack is touched again, so that no breakpoint of the program can match the rest.
place epilogue_begin
epilogue:
place epilogue_read_dr7
    mov rax, dr7
    mov [FINAL_DR7], rax
    mov rax, dr6
    mov [FINAL_DR6], rax
    mov eax, DR7_RESET
    mov dr7, rax
    mov eax, DR6_RESET
    mov dr6, rax
.irp n, 0, 1, 2, 3
    mov rax, dr\n
    mov [FINAL_DR + 8 * \n], rax
.endr
    mov rax, cr4
    mov [FINAL_CR4], rax
    mov eax, STAGE_CR4
    mov cr4, rax
    mov [FINAL_GPR + 8 * 1], rcx
    mov [FINAL_GPR + 8 * 2], rdx
    cmp qword ptr [PARAMS_GPRS_BY_BACKEND], 0
    jne 1f
    mov [FINAL_GPR + 8 * 3], rbx
    mov [FINAL_GPR + 8 * 5], rbp
    mov [FINAL_GPR + 8 * 6], rsi
    mov [FINAL_GPR + 8 * 7], rdi
.irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov [FINAL_GPR + 8 * \n], r\n
.endr
1:
    add rsp, 8
    pop qword ptr [FINAL_CS]
    pop qword ptr [FINAL_RFLAGS]
    pop qword ptr [FINAL_GPR + 8 * 4]
    pop qword ptr [FINAL_SS]
    cmp qword ptr [PARAMS_USE_DEBUGCTL], 0
    je 1f
    mov ecx, DEBUGCTL_MSR
    rdmsr
    mov [FINAL_DEBUGCTL], eax
    mov [FINAL_DEBUGCTL + 4], edx
    xor eax, eax
    xor edx, edx
    wrmsr
1:  mov al, EXIT_COMPLETED
    out EXIT_PORT, al
place epilogue_end

// ---- Identify -----------------------------------------------------------------------------------------------
// CPUID first: where the DEBUGCTL probe faults, the #GP stub ends the run and the answers stand.
place identify
.set leaf, 0
.irp number, 0, 1, 7, 0x80000000, 0x80000001, 0x80000002, 0x80000003, 0x80000004
    mov eax, \number
    xor ecx, ecx
    cpuid
    mov [IDENTITY_CPUID + 16 * leaf], eax
    mov [IDENTITY_CPUID + 16 * leaf + 4], ebx
    mov [IDENTITY_CPUID + 16 * leaf + 8], ecx
    mov [IDENTITY_CPUID + 16 * leaf + 12], edx
    .set leaf, leaf + 1
.endr
    mov ecx, DEBUGCTL_MSR
    mov eax, DEBUGCTL_BTF
    xor edx, edx
    wrmsr
    rdmsr
    mov [IDENTITY_DEBUGCTL], eax
    mov [IDENTITY_DEBUGCTL + 4], edx
    xor eax, eax
    xor edx, edx
    wrmsr
    mov al, EXIT_IDENTIFIED
    out EXIT_PORT, al
place text_end
.set text_size, . - faultline_bare_long64_text_begin

.section .note.GNU-stack, "", @progbits
