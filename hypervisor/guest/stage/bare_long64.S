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
place stubs
.set vector, 0
.rept 256
    .balign STUB_STRIDE
    .if vector == 6
        jmp end_or_invalid_opcode
    .else
        push vector
        .if vector == 1
            jmp debug
        .elseif vector == 8
            jmp double_fault
        .elseif (vector == 3) || (vector == 4) || (vector >= 0x20)
            jmp resume
        .elseif vector == 14
            jmp page_fault
        .elseif ((vector >= 10) && (vector <= 13)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
            jmp fault_with_error
        .else
            jmp fault_without_error
        .endif
    .endif
    .set vector, vector + 1
.endr
.balign STUB_STRIDE

// Claims a record and moves the pushed vector and the exception frame into it. RCX becomes the record's offset
// (and so is the first field to be written), RAX is saved below the frame and free. Fields that a vector does
// not have keep what memory held before the run.
.macro record_frame error
    push rcx
    mov ecx, 1
    xadd [TAPE_COUNT], rcx
    cmp rcx, TAPE_CAPACITY
    jae tape_overflow
    imul ecx, ecx, RECORD_SIZE
    pop qword ptr [rcx + RECORD_RCX]
    pop qword ptr [rcx + RECORD_VECTOR]
    .if \error
        pop qword ptr [rcx + RECORD_ERROR]
    .else
        mov qword ptr [rcx + RECORD_ERROR], 0
    .endif
    pop qword ptr [rcx + RECORD_RIP]
    pop qword ptr [rcx + RECORD_CS]
    pop qword ptr [rcx + RECORD_RFLAGS]
    pop qword ptr [rcx + RECORD_RSP]
    pop qword ptr [rcx + RECORD_SS]
    sub rsp, 40
    push rax
.endm

// The frame while RAX is saved below it.
#define FRAME_RIP 8
#define FRAME_RFLAGS 24

// RAX := offset of the pushed RIP in the program; to `outside` when it is not in [code, end + 2).
.macro program_offset outside
    mov rax, [rsp + FRAME_RIP]
    sub rax, CODE
    cmp rax, [PARAMS_CODE_SIZE]
    ja \outside
.endm

.macro return
    pop rax
    mov rcx, [rcx + RECORD_RCX]
    iretq
.endm

// The second byte of the end's UD2 belongs to the program too; nothing above it does.
.macro second_byte_of_end to
    dec rax
    cmp rax, [PARAMS_CODE_SIZE]
    lea rax, [rax + 1]
    je \to
.endm

// Faults and every other vector without a policy of its own: resume at the next op.
.macro fault_path error, page_fault=0
    record_frame \error
    .if \page_fault
        mov rax, cr2
        mov [rcx + RECORD_CR2], rax
    .endif
    mov qword ptr [rcx + RECORD_COMPLETE], 1
    program_offset 2f
1:  movzx eax, byte ptr [rax + SKIP_TABLE]
    add [rsp + FRAME_RIP], rax
    mov rax, [PARAMS_FAULT_FLAGS_AND]
    and [rsp + FRAME_RFLAGS], rax
    return
2:  second_byte_of_end 1b
    jmp wild_rip
.endm

// #UD at exactly the end is no event but the program's end. RAX is kept where the epilogue wants it.
end_or_invalid_opcode:
    mov [FINAL_GPR], rax
    mov rax, [rsp]
    sub rax, CODE
    cmp rax, [PARAMS_CODE_SIZE]
    je epilogue
    mov rax, [FINAL_GPR]
    push 6
fault_without_error:
    fault_path 0

fault_with_error:
    fault_path 1

page_fault:
    fault_path 1, page_fault=1

// #BP, #OF, INT n and interrupts: resume at the pushed RIP.
resume:
    record_frame 0
    mov qword ptr [rcx + RECORD_COMPLETE], 1
    program_offset 2f
1:  return
2:  second_byte_of_end 1b
    jmp wild_rip

// #DB. Delivery clears DR7.GD, unless the vector came from INT n: then reading DR6 is stopped by a nested #DB.
debug:
    record_frame 0
    mov rax, dr6
    mov [rcx + RECORD_DR6], rax
    mov rax, dr7
    mov [rcx + RECORD_DR7], rax
    mov qword ptr [rcx + RECORD_COMPLETE], 1
    program_offset 4f
1:  cmp qword ptr [PARAMS_DB_SKIP], 0
    je 2f
    movzx eax, byte ptr [rax + SKIP_TABLE]
    add [rsp + FRAME_RIP], rax
2:  mov rax, [PARAMS_DB_RF_SET]
    or [rsp + FRAME_RFLAGS], rax
3:  cmp qword ptr [PARAMS_DB_CLEAR_DR6], 0
    je 5f
    mov eax, DR6_RESET
    mov dr6, rax
5:  return
4:  second_byte_of_end 1b
    add rax, CODE - STAGE_TEXT
    cmp rax, offset text_size
    jb 3b

wild_rip:
    mov al, EXIT_WILD_RIP
    out EXIT_PORT, al

tape_overflow:
    mov al, EXIT_TAPE_OVERFLOW
    out EXIT_PORT, al

double_fault:
    record_frame 1
    mov qword ptr [rcx + RECORD_COMPLETE], 1
    mov al, EXIT_DOUBLE_FAULT
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
    mov rax, [PARAMS_GPR + 8 * 0]
    mov rcx, [PARAMS_GPR + 8 * 1]
    mov rdx, [PARAMS_GPR + 8 * 2]
    mov rbx, [PARAMS_GPR + 8 * 3]
    mov rbp, [PARAMS_GPR + 8 * 5]
    mov rsi, [PARAMS_GPR + 8 * 6]
    mov rdi, [PARAMS_GPR + 8 * 7]
.irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov r\n, [PARAMS_GPR + 8 * \n]
.endr
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
    mov [FINAL_GPR + 8 * 3], rbx
    mov [FINAL_GPR + 8 * 5], rbp
    mov [FINAL_GPR + 8 * 6], rsi
    mov [FINAL_GPR + 8 * 7], rdi
.irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov [FINAL_GPR + 8 * \n], r\n
.endr
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
