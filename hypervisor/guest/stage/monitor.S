// The monitor: the hypervisor of world svm as guest code, for any machine with SVM. Data in the library, copied to
// layout::monitor; hence no absolute reference to a label of its own. It stands for the policies of guest/vmm.hpp as
// the reference hypervisor does in C++, and shares nothing with that but the layout of what both read and write.
//
// Its machine: 64-bit mode, CPL0, page tables, GDT and IDT of its own, GIF = 0 from its first case on. #VMEXIT gives it
// back its segments and control registers; FS, GS, TR, LDTR, the MSRs of system calls, DR0-DR3 and all general purpose
// registers but RAX and RSP stay the guest's (AMD APM vol 2 (24593, ~2024), "VMRUN Instruction", "#VMEXIT"), so it saves
// those that it uses. It has no use for the others, and VMLOAD once is enough.
//
// RAX holds the exit code wherever an answer begins.
#include "stage_offsets.h"

.intel_syntax noprefix
.section .rodata

.macro place name
    .globl faultline_monitor_\name
    faultline_monitor_\name:
.endm

// Bits, as vectors number them. AMD APM vol 2, "Exceptions and Interrupts": the exceptions' own sections.
// 0, 1, 3-8, 10-14, 16, 17, 19, 21, 29, 30. Not: 2 and 9, whose intercepts have no defined effect ("NMI Interception",
// "Coprocessor-Segment-Overrun Exception"); 18, a machine check, the machine's own; 28, which only comes by injection;
// and those that are reserved.
.set CAN_BE_FORCED, 0x602B7DFB
// 8, 10-14, 17, 21, 29, 30: "Error Codes".
.set HAS_ERROR_CODE, 1 << 8 | 0x1F << 10 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30
// 0, 10-13, 21, 29, 30: "#DF—Double-Fault Exception (Vector 8)".
.set CONTRIBUTORY, 1 << 0 | 0xF << 10 | 1 << 21 | 1 << 29 | 1 << 30
// 3, 4: traps; 8, 18: aborts. Nothing to resume with RF: "Resume Flag (RF) Bit".
.set PUSHES_NO_RF, 1 << 3 | 1 << 4 | 1 << 8 | 1 << 18
.set DB, 1
.set DF, 8
.set TS, 10
.set PF, 14

.set EFER, 0xC0000080
.set EFER_SVME, 1 << 12
.set VM_HSAVE_PA, 0xC0010117

.set WANTED, MONITOR_DATA           // what the program runs under: six words of intercepts
.set FORCED, MONITOR_DATA + 0x18    // mask of vectors
.set STUBS, MONITOR_DATA + 0x20     // stubs of the stage that have begun and not returned
.set GUEST, MONITOR_DATA + 0x28     // the guest's registers that the monitor uses
#define GUEST_REGISTERS rbx, rcx, rdx, rsi, rdi
.set SHUTDOWN_BIT, 1 << (EXIT_CODE_SHUTDOWN - 0x60)
.set NMI_BIT, 1 << (EXIT_CODE_NMI - 0x60)

// ---- Entry: a new guest -----------------------------------------------------------------------------------------
.balign 16
place text_begin
place entry
    mov esp, MONITOR_STACK_TOP
    mov ecx, EFER
    rdmsr
    or eax, EFER_SVME
    wrmsr
    mov ecx, VM_HSAVE_PA
    mov eax, HOST_SAVE
    xor edx, edx
    wrmsr
    clgi

    // The forced vectors are sampled once.
    mov eax, [PARAMS_FORCED]
    mov edx, eax
    and eax, CAN_BE_FORCED
    mov [FORCED], eax
    xor edx, eax
    mov [EXITS_REFUSED], rdx
    or [VMCB_INTERCEPTS + 8], eax
.irp word, 0, 8, 16
    mov rax, [VMCB_INTERCEPTS + \word]
    mov [WANTED + \word], rax
.endr
    or dword ptr [VMCB_INTERCEPTS + 12], SHUTDOWN_BIT
    // Another guest had this ASID before, and other page tables: "TLB Control".
    cmp byte ptr [VMCB_TLB_CONTROL], 0
    jne 1f
    mov byte ptr [VMCB_TLB_CONTROL], 1
1:
.irp n, 0, 1, 2, 3
    mov rax, [PARAMS_DR + 8 * \n]
    mov dr\n, rax
.endr
    cmp qword ptr [PARAMS_GPRS_BY_BACKEND], 0
    jne 1f
    mov rbx, [PARAMS_GPR + 8 * 3]
    mov rbp, [PARAMS_GPR + 8 * 5]
    mov rsi, [PARAMS_GPR + 8 * 6]
    mov rdi, [PARAMS_GPR + 8 * 7]
.irp n, 8, 9, 10, 11, 12, 13, 14, 15
    mov r\n, [PARAMS_GPR + 8 * \n]
.endr
1:  mov rcx, [PARAMS_GPR + 8 * 1]
    mov rdx, [PARAMS_GPR + 8 * 2]
    mov eax, VMCB
    vmload rax
    jmp enter

// ---- Into the guest and out of it -------------------------------------------------------------------------------
resume:
.set slot, GUEST
.irp register, GUEST_REGISTERS
    mov \register, [slot]
    .set slot, slot + 8
.endr
enter:
    mov eax, VMCB
    vmrun rax
.set slot, GUEST
.irp register, GUEST_REGISTERS
    mov [slot], \register
    .set slot, slot + 8
.endr

    mov rax, [VMCB_EXIT_CODE]
    // The ports by which the stage's own text speaks to its hypervisor.
    cmp rax, EXIT_CODE_IO
    jne 1f
    mov rcx, [VMCB_RIP]
    sub rcx, STAGE_TEXT
    cmp rcx, STAGE_TEXT_SIZE
    jae 1f
    movzx ecx, word ptr [VMCB_EXIT_INFO_1 + 2]
    cmp ecx, ENTER_PORT
    je enter_stub
    cmp ecx, LEAVE_PORT
    je return_from_stub
    cmp ecx, EXIT_PORT
    je end
1:  // Nothing resumes after a shutdown, whose saved state is undefined ("Shutdown Intercept"): either the case asked for
    // its exit, or it is the guest's own end.
    cmp rax, EXIT_CODE_SHUTDOWN
    jne record
    cmp qword ptr [STUBS], 0
    jne shutdown
    test dword ptr [WANTED + 12], SHUTDOWN_BIT
    jz shutdown

record:
    mov ecx, [EXITS_COUNT]
    cmp ecx, TAPE_CAPACITY
    jae tape_overflow
    inc qword ptr [EXITS_COUNT]
    imul ecx, ecx, VM_EXIT_SIZE
.macro keep to, from
    mov rdx, [\from]
    mov [rcx + \to], rdx
.endm
    mov [rcx + VM_EXIT_CODE], rax
    keep VM_EXIT_INFO_1, VMCB_EXIT_INFO_1
    keep VM_EXIT_INFO_2, VMCB_EXIT_INFO_2
    keep VM_EXIT_INT_INFO, VMCB_EXIT_INT_INFO
    keep VM_EXIT_NEXT_RIP, VMCB_NEXT_RIP
    keep VM_EXIT_RIP, VMCB_RIP
    keep VM_EXIT_RFLAGS, VMCB_RFLAGS
    keep VM_EXIT_RSP, VMCB_RSP
    keep VM_EXIT_RAX, VMCB_RAX
    keep VM_EXIT_DR6, VMCB_DR6
    keep VM_EXIT_DR7, VMCB_DR7
    keep VM_EXIT_CR2, VMCB_CR2
    keep VM_EXIT_INTERRUPT_SHADOW, VMCB_INTERRUPT_SHADOW
    keep VM_EXIT_EVENT_INJECTION, VMCB_EVENT_INJECTION
    keep VM_EXIT_RECORDS, TAPE_COUNT
    movzx edx, byte ptr [VMCB_CPL]
    shl edx, 16
    mov dx, [VMCB_CS]
    mov [rcx + VM_EXIT_CS], rdx

    cmp rax, -1  // VMEXIT_INVALID
    je stopped
    cmp rax, EXIT_CODE_SHUTDOWN
    je stopped
    cmp rax, EXIT_CODE_NESTED_PAGE_FAULT  // nobody would mend the nested tables
    je stopped
    lea rcx, [rax - EXIT_CODE_EXCEPTION]
    cmp rcx, 32
    jb exception
    cmp rax, 32 * INTERCEPT_WORDS
    jae unexpected
    bt [WANTED], eax
    jnc unexpected

    cmp rax, EXIT_CODE_INTR
    jb instruction
    cmp rax, EXIT_CODE_VIRTUAL_INTERRUPT
    ja instruction

// ---- Interrupts stay pending through #VMEXIT ("INTR Intercept") until GIF = 1 -----------------------------------------
    cmp qword ptr [PARAMS_STOP_AT_INSTRUCTIONS], 0
    jne stopped
    cmp rax, EXIT_CODE_VIRTUAL_INTERRUPT
    je 2f
    stgi  // an NMI comes here
    cmp rax, EXIT_CODE_INTR
    jne 1f
    sti
    nop  // the interrupt, here
    cli
1:  clgi
    jmp resume
2:  and qword ptr [VMCB_VIRTUAL_INTERRUPTS], ~V_IRQ  // it was the hypervisor's own request
    jmp resume

// ---- Instructions: nothing of them happens ------------------------------------------------------------------------
instruction:
    cmp qword ptr [PARAMS_STOP_AT_INSTRUCTIONS], 0
    jne stopped
    mov rcx, [VMCB_RIP]
    sub rcx, CODE
    cmp rcx, [PARAMS_CODE_SIZE]
    jae unexpected
    movzx ecx, byte ptr [rcx + SKIP_TABLE]
    add [VMCB_RIP], rcx
    and qword ptr [VMCB_RFLAGS], ~RFLAGS_RF
    mov qword ptr [VMCB_INTERRUPT_SHADOW], 0
    jmp resume

// ---- Exceptions: ECX is the vector --------------------------------------------------------------------------------
exception:
    bt dword ptr [FORCED], ecx
    jc reflect
    bt [WANTED], eax
    jnc unexpected
    cmp qword ptr [PARAMS_STOP_AT_EXCEPTIONS], 0
    je reflect
    mov rdx, [VMCB_RIP]
    sub rdx, CODE
    cmp rdx, [PARAMS_CODE_SIZE]  // the program's end is reached whatever is intercepted there
    jne stopped

// As it would have come: AMD APM vol 2, "Exception Intercepts" says what each has left behind, "Event Injection" what
// becomes of what stands in EVENTINJ.
reflect:
    cmp ecx, TS
    je again_without_ts
    mov ebx, [VMCB_EXIT_INFO_1]  // the error code, but for #DF, whose is 0
    cmp ecx, PF
    jne 1f
    mov rdx, [VMCB_EXIT_INFO_2]  // "CR2 is not updated"
    mov [VMCB_CR2], rdx
1:
    // Another exception may have been on its way: "checked for intercepts before being combined with the prior one",
    // so combining is left to us.
    mov eax, [VMCB_EXIT_INT_INFO]
    movzx esi, al
    and eax, EVENT_VALID | EVENT_TYPE
    cmp eax, EVENT_VALID | EVENT_EXCEPTION
    jne inject
    mov edx, CONTRIBUTORY | 1 << PF
    cmp esi, PF
    je 2f
    cmp esi, DF
    je 2f
    mov edx, CONTRIBUTORY
    bt edx, esi
    jnc inject
2:  bt edx, ecx
    jnc inject
    cmp esi, DF
    je shutdown
    mov ecx, DF
inject:
    cmp ecx, DF
    jne 1f
    xor ebx, ebx
1:  mov rdx, [VMCB_RFLAGS]
    cmp ecx, DB  // has chosen its RF already
    je 3f
    mov eax, PUSHES_NO_RF
    and edx, ~RFLAGS_RF
    bt eax, ecx
    jc 2f
    or edx, RFLAGS_RF
2:  mov [VMCB_RFLAGS], rdx
3:  mov eax, HAS_ERROR_CODE
    mov edx, EVENT_VALID | EVENT_EXCEPTION | EVENT_HAS_ERROR
    bt eax, ecx
    jc 4f
    mov edx, EVENT_VALID | EVENT_EXCEPTION
    xor ebx, ebx
4:  or edx, ecx
    mov [VMCB_EVENT_INJECTION], edx
    mov [VMCB_EVENT_INJECTION + 4], ebx
    jmp resume

// #TS does not say its error code: "EXITINFO1 and EXITINFO2 are undefined". So it comes once more without the intercept,
// until its stub begins; what was on its way comes again, too.
again_without_ts:
    btr dword ptr [VMCB_INTERCEPTS + 8], TS
    mov rdx, [VMCB_EXIT_INT_INFO]
    bt edx, 31
    jc 1f
    xor edx, edx
1:  mov [VMCB_EVENT_INJECTION], rdx
    jmp resume

// ---- The stage's ports ----------------------------------------------------------------------------------------
// A stub begins: only the stage's own intercepts from here. Stubs nest, as a #DB may come inside one.
enter_stub:
    inc qword ptr [STUBS]
    cmp qword ptr [STUBS], 1
    jne 1f
    xor edx, edx
    mov [VMCB_INTERCEPTS], rdx
    mov dword ptr [VMCB_INTERCEPTS + 8], edx
    mov edx, [WANTED + 12]
    and edx, NMI_BIT  // V_NMI_ENABLE without it would be refused: "Canonicalization and Consistency Checks"
    or edx, STAGE_INTERCEPTS_3 | SHUTDOWN_BIT
    mov [VMCB_INTERCEPTS + 12], edx
    mov edx, STAGE_INTERCEPTS_4
    mov [VMCB_INTERCEPTS + 16], rdx
1:  mov rdx, [VMCB_EXIT_INFO_2]  // the RIP behind OUT: "IOIO Intercepts"
    mov [VMCB_RIP], rdx
    mov qword ptr [VMCB_INTERRUPT_SHADOW], 0
    jmp resume

// A stub is at its end: IRETQ from the frame on its stack, and what that loads. AMD APM vol 3 (24594), "IRET".
return_from_stub:
    mov rbx, [VMCB_RSP]
    cmp rbx, RAM_SIZE - 5 * 8
    ja unexpected
    cmp qword ptr [STUBS], 0
    je 1f
    dec qword ptr [STUBS]
    jnz 1f
.irp word, 0, 8, 16
    mov rdx, [WANTED + \word]
    mov [VMCB_INTERCEPTS + \word], rdx
.endr
    or dword ptr [VMCB_INTERCEPTS + 12], SHUTDOWN_BIT
1:  mov rdx, [rbx]
    mov [VMCB_RIP], rdx
    mov rdx, [rbx + 2 * 8]
    mov [VMCB_RFLAGS], rdx
    mov rdx, [rbx + 3 * 8]
    mov [VMCB_RSP], rdx
    mov qword ptr [VMCB_INTERRUPT_SHADOW], 0
    movzx ecx, word ptr [rbx + 1 * 8]
    mov edx, ecx
    and edx, 3
    mov [VMCB_CPL], dl
// Selector ECX and its descriptor to a segment of the VMCB. "Segment Descriptors" (vol 2); bits 55:52 and 47:40 are the
// attributes there. What names nothing in the table is like the null selector, whose descriptor there is zero.
.macro load_segment at
    mov [\at], cx
    and ecx, 0xFFFC  // TI, too
    cmp ecx, GDT_BYTES
    jae 8f
    test ecx, 4
    jz 7f
8:  xor ecx, ecx
7:  mov rdx, [rcx + GDT]
    mov rax, rdx
    shr rax, 40
    mov esi, eax
    shr esi, 4
    and esi, 0xF00
    movzx edi, al
    or esi, edi
    mov [\at + VMCB_SEGMENT_ATTRIBUTES], si
    movzx edi, dx
    shr rax, 8
    and eax, 0xF
    shl eax, 16
    or eax, edi
    test esi, 0x800  // G: in pages
    jz 9f
    shl eax, 12
    or eax, 0xFFF
9:  mov [\at + VMCB_SEGMENT_LIMIT], eax
    mov rax, rdx
    shr rax, 56
    shl eax, 24
    shr rdx, 16
    and edx, 0xFFFFFF
    or eax, edx
    mov [\at + VMCB_SEGMENT_BASE], rax
.endm
    load_segment VMCB_CS
    movzx ecx, word ptr [rbx + 4 * 8]
    load_segment VMCB_SS
    jmp resume

// The stage's own end, which it names in AL.
end:
    movzx eax, byte ptr [VMCB_RAX]
    lea ecx, [rax - 1]
    cmp ecx, EXIT_DOUBLE_FAULT
    jb over

// ---- The run is over --------------------------------------------------------------------------------------------
unexpected:  // nobody asked for this exit
    mov al, EXIT_INTERNAL_ERROR
    jmp over
stopped:
    mov al, EXIT_STOPPED
    jmp over
shutdown:
    mov al, EXIT_SHUTDOWN
    jmp over
tape_overflow:
    mov al, EXIT_TAPE_OVERFLOW
over:
    mov rbx, [GUEST]
    mov rsi, [GUEST + 3 * 8]
    mov rdi, [GUEST + 4 * 8]
    out EXIT_PORT, al
1:  hlt
    jmp 1b

// ---- An interrupt that the monitor took ---------------------------------------------------------------------------
place taken
    iretq

// ---- Exceptions of the monitor's own: there are none ----------------------------------------------------------------
.balign STUB_STRIDE
place stubs
.set vector, 0
.rept 32
    .balign STUB_STRIDE
    .if !(HAS_ERROR_CODE >> vector & 1)
        push 0
    .endif
    push vector
    jmp broken
    .set vector, vector + 1
.endr
broken:
    pop qword ptr [EXITS_FAULT_VECTOR]
    pop rax
    pop qword ptr [EXITS_FAULT_RIP]
    jmp unexpected
place text_end

.section .note.GNU-stack, "", @progbits
