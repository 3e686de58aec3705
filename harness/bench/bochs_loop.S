// A boot sector for Bochs: enters 32-bit protected mode, runs the same register loop that the engine and Unicorn
// are measured with, and asks Bochs to end by writing "Shutdown" to its port 8900h (Bochs user manual, "Devices").
// Linked in as data; the loop count at faultline_bochs_loop_count is patched before it is written to a disk image.
.intel_syntax noprefix
.section .rodata
.globl faultline_bochs_loop_begin, faultline_bochs_loop_count, faultline_bochs_loop_end
#define AT(label) (0x7c00 + label - faultline_bochs_loop_begin)

.code16
faultline_bochs_loop_begin:
    cli
    xor ax, ax
    mov ds, ax
    lgdt [AT(gdt_pointer)]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0xEA                      // JMP 8:protected
    .word AT(protected), 8
.code32
protected:
    mov ax, 0x10
    mov ds, ax
    .byte 0xB9                      // MOV ECX, count
faultline_bochs_loop_count:
    .long 0
1:  add eax, ebx
    xor edx, eax
    dec ecx
    jnz 1b
    mov dx, 0x8900
.irp letter, 0x53, 0x68, 0x75, 0x74, 0x64, 0x6F, 0x77, 0x6E
    mov al, \letter
    out dx, al
.endr
    hlt
.balign 8
gdt:
    .quad 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
    .word 23
    .long AT(gdt)
    .org faultline_bochs_loop_begin + 510
    .word 0xAA55
faultline_bochs_loop_end:
.section .note.GNU-stack, "", @progbits
