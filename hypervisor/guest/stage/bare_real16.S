// The stage of world bare, mode real16: exception stubs, prologue and epilogue. The same shape as bare_flat.inc, whose
// comments hold here too; what differs is said below.
//
// CS is 0 and reaches text, parameters and skip table; GS, which no op loads, is the tape's segment. DS, ES, FS and the
// upper half of ESP are the program's and not used. The stack is the program's too, whatever SS is.
//
// A record's fields are stored as words, or doublewords where a register is what is recorded.
#include "stage_offsets.h"

#define T(field) field - TAPE_SEGMENT * 16

.intel_syntax noprefix
.code16
.section .rodata

.macro place name
    .globl faultline_bare_real16_\name
    faultline_bare_real16_\name:
.endm

.balign 16
place text_begin
text_begin:

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

// Claims a record and copies the exception frame into it. Afterwards BP is at the frame: IP, CS and FLAGS are at BP,
// BP+2 and BP+4; the six bytes below are free for a 32-bit frame, then come the saved EBX and BP. BX is the record's
// offset. Real mode pushes no error codes.
.macro record_frame vector
    .ifc \vector, pushed
        sub sp, 4
    .else
        sub sp, 6
    .endif
    push ebx
    push bp
    mov bp, sp
    add bp, 12
    mov bx, 1
    xadd gs:[T(TAPE_COUNT)], bx
    cmp bx, TAPE_CAPACITY
    jae tape_overflow
    imul bx, bx, RECORD_SIZE
    .ifc \vector, pushed
        push word ptr [bp - 2]
        pop word ptr gs:[bx + T(RECORD_VECTOR)]
    .else
        mov word ptr gs:[bx + T(RECORD_VECTOR)], \vector
    .endif
    mov word ptr gs:[bx + T(RECORD_ERROR)], 0
    push word ptr [bp]
    pop word ptr gs:[bx + T(RECORD_RIP)]
    push word ptr [bp + 2]
    pop word ptr gs:[bx + T(RECORD_CS)]
    push word ptr [bp + 4]
    pop word ptr gs:[bx + T(RECORD_RFLAGS)]
    mov gs:[bx + T(RECORD_FRAME)], bp
    add bp, 6
    mov gs:[bx + T(RECORD_RSP)], bp
    sub bp, 6
    mov gs:[bx + T(RECORD_SS)], ss
    mov gs:[bx + T(RECORD_HANDLER_SS)], ss
    mov gs:[bx + T(RECORD_RCX)], ecx
    pushf
    pop word ptr gs:[bx + T(RECORD_HANDLER_FLAGS)]
.endm

.macro complete
    mov word ptr gs:[bx + T(RECORD_COMPLETE)], 1
.endm

// EBX := offset of the pushed CS:IP in the program, by linear address; to `outside` when it is above the end.
.macro program_offset outside
    push eax
    movzx ebx, word ptr [bp + 2]
    shl ebx, 4
    movzx eax, word ptr [bp]
    add ebx, eax
    pop eax
    sub ebx, CODE
    cmp ebx, cs:[PARAMS_CODE_SIZE]
    ja \outside
.endm

.macro second_byte_of_end to
    dec ebx
    cmp ebx, cs:[PARAMS_CODE_SIZE]
    lea ebx, [ebx + 1]
    je \to
.endm

.macro skip_op
    movzx bx, byte ptr cs:[bx + SKIP_TABLE]
    add [bp], bx
.endm

.macro return
    pop bp
    pop ebx
    add sp, 6
    iret
.endm

// Resumes at the next op. A frame of words has no RF, so there is none to keep or to clear.
.macro fault_path vector
    record_frame \vector
    complete
    program_offset 2f
1:  skip_op
    return
2:  second_byte_of_end 1b
    jmp wild_rip
.endm

.macro trap_path vector
    record_frame \vector
    complete
    program_offset 2f
1:  return
2:  second_byte_of_end 1b
    jmp wild_rip
.endm

.macro end_or_invalid_opcode_path
    mov gs:[T(FINAL_GPR)], eax
    mov gs:[T(FINAL_GPR) + 8 * 5], ebp
    mov bp, sp
    movzx eax, word ptr [bp + 2]
    shl eax, 4
    movzx ebp, word ptr [bp]
    add eax, ebp
    sub eax, CODE
    cmp eax, cs:[PARAMS_CODE_SIZE]
    mov ebp, gs:[T(FINAL_GPR) + 8 * 5]
    je epilogue
    mov eax, gs:[T(FINAL_GPR)]
    fault_path 6
.endm

// Only IRETD loads RF: its frame takes the six bytes below the frame too.
.macro debug_path
    record_frame 1
    push eax
    mov eax, dr6
    mov gs:[bx + T(RECORD_DR6)], eax
    mov eax, dr7
    mov gs:[bx + T(RECORD_DR7)], eax
    pop eax
    complete
    program_offset 4f
1:  cmp dword ptr cs:[PARAMS_DB_SKIP], 0
    je 2f
    skip_op
2:  movzx ebx, word ptr [bp]
    mov [bp - 6], ebx
    movzx ebx, word ptr [bp + 2]
    mov [bp - 2], ebx
    movzx ebx, word ptr [bp + 4]
    or ebx, cs:[PARAMS_DB_RF_SET]
    mov [bp + 2], ebx
3:  cmp dword ptr cs:[PARAMS_DB_CLEAR_DR6], 0
    je 5f
    mov ebx, DR6_RESET
    mov dr6, ebx
5:  pop bp
    pop ebx
    iretd
4:  second_byte_of_end 1b
    add ebx, CODE - STAGE_TEXT
    cmp ebx, offset text_size
    jae wild_rip
    movzx ebx, word ptr [bp]
    mov [bp - 6], ebx
    movzx ebx, word ptr [bp + 2]
    mov [bp - 2], ebx
    movzx ebx, word ptr [bp + 4]
    mov [bp + 2], ebx
    jmp 3b
.endm

.macro double_fault_path
    record_frame 8
    complete
    mov al, EXIT_DOUBLE_FAULT
    out EXIT_PORT, al
.endm

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
    .else
        fault_path \number
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

// ---- Prologue -----------------------------------------------------------------------------------------------
place prologue
    lidtd cs:[PARAMS_IDT]
    mov ax, TAPE_SEGMENT
    mov gs, ax
    mov eax, cs:[PARAMS_CR4]
    mov cr4, eax
    cmp dword ptr cs:[PARAMS_USE_DEBUGCTL], 0
    je 1f
    mov ecx, DEBUGCTL_MSR
    mov eax, cs:[PARAMS_DEBUGCTL]
    mov edx, cs:[PARAMS_DEBUGCTL + 4]
    wrmsr
1:
.irp n, 0, 1, 2, 3
    mov eax, cs:[PARAMS_DR + 8 * \n]
    mov dr\n, eax
.endr
    mov ax, REAL_DS
    mov ds, ax
    mov es, ax
    mov ss, word ptr cs:[PARAMS_ENTRY_FRAME + 8 * 4]
    mov esp, cs:[PARAMS_ENTRY_FRAME + 8 * 3]
    push dword ptr cs:[PARAMS_ENTRY_FRAME + 8 * 2]
    push dword ptr cs:[PARAMS_ENTRY_FRAME + 8 * 1]
    push dword ptr cs:[PARAMS_ENTRY_FRAME + 8 * 0]
    mov eax, cs:[PARAMS_DR6]
    mov dr6, eax
    mov eax, cs:[PARAMS_DR7]
    mov dr7, eax
    cmp dword ptr cs:[PARAMS_GPRS_BY_BACKEND], 0
    jne 1f
    mov ebx, cs:[PARAMS_GPR + 8 * 3]
    mov ebp, cs:[PARAMS_GPR + 8 * 5]
    mov esi, cs:[PARAMS_GPR + 8 * 6]
    mov edi, cs:[PARAMS_GPR + 8 * 7]
1:  mov eax, cs:[PARAMS_GPR + 8 * 0]
    mov ecx, cs:[PARAMS_GPR + 8 * 1]
    mov edx, cs:[PARAMS_GPR + 8 * 2]
    iretd

// ---- Epilogue -----------------------------------------------------------------------------------------------
// Entered from the #UD stub, SP at the exception frame, EAX and EBP saved.
place epilogue_begin
epilogue:
place epilogue_read_dr7
    mov eax, dr7
    mov gs:[T(FINAL_DR7)], eax
    mov eax, dr6
    mov gs:[T(FINAL_DR6)], eax
    mov eax, DR7_RESET
    mov dr7, eax
    mov eax, DR6_RESET
    mov dr6, eax
.irp n, 0, 1, 2, 3
    mov eax, dr\n
    mov gs:[T(FINAL_DR) + 8 * \n], eax
.endr
    mov eax, cr4
    mov gs:[T(FINAL_CR4)], eax
    xor eax, eax
    mov cr4, eax
    mov gs:[T(FINAL_GPR) + 8 * 1], ecx
    mov gs:[T(FINAL_GPR) + 8 * 2], edx
    cmp dword ptr cs:[PARAMS_GPRS_BY_BACKEND], 0
    jne 1f
    mov gs:[T(FINAL_GPR) + 8 * 3], ebx
    mov gs:[T(FINAL_GPR) + 8 * 6], esi
    mov gs:[T(FINAL_GPR) + 8 * 7], edi
1:  pop ax
    pop word ptr gs:[T(FINAL_CS)]
    pop word ptr gs:[T(FINAL_RFLAGS)]
    mov gs:[T(FINAL_GPR) + 8 * 4], sp
    mov gs:[T(FINAL_SS)], ss
    cmp dword ptr cs:[PARAMS_USE_DEBUGCTL], 0
    je 1f
    mov ecx, DEBUGCTL_MSR
    rdmsr
    mov gs:[T(FINAL_DEBUGCTL)], eax
    mov gs:[T(FINAL_DEBUGCTL) + 4], edx
    xor eax, eax
    xor edx, edx
    wrmsr
1:  mov al, EXIT_COMPLETED
    out EXIT_PORT, al
place epilogue_end
place text_end
.set text_size, . - text_begin

.section .note.GNU-stack, "", @progbits
