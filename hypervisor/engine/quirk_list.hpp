// The quirks: wrong behaviours of this machine that can be switched on, to see whether the oracle notices.
//
// BUG(name, id, wrong, reference): modelled on a bug that something shipped really had. `id` is its row in the
// catalogue of such bugs (K KVM, Q QEMU TCG, X Xen, B Bochs, O others, known: corpora/known); `reference` names the
// commit, advisory or issue. corpora/history/ has a case for each.
// MUTANT(name, wrong, manual): a small systematic change of the debug unit or of event delivery; `manual` is the
// sentence or section that it breaks. APM is the AMD APM (24592 to 24594, ~2024); SDM the Intel SDM.
//
// The list comes first: an entry is here because it is a plausible mistake, not because something catches it.
// A name's underscores are hyphens outside C++: engine+icebp-raises-ud, reference+exit-rf-lost.
//
// A quirk belongs to the world whose programs show it. Those of world svm are mistakes of VMRUN, #VMEXIT and the
// intercepts, and at the end those of a hypervisor's policy, which hypervisor/reference carries out.
#pragma once

#define FAULTLINE_QUIRKS(BUG, MUTANT) FAULTLINE_BARE_QUIRKS(BUG, MUTANT) FAULTLINE_SVM_QUIRKS(BUG, MUTANT)

// clang-format off
#define FAULTLINE_BARE_QUIRKS(BUG, MUTANT) \
    /* ---- MOV DR: what it reads, stores and refuses ---- */ \
    BUG(general_detect_missing, "Q-03", "DR7.GD is stored and never acted on", "QEMU commit 57f8dbdbe94a") \
    BUG(general_detect_as_trap, "K-01", "A general-detect #DB pushes the RIP behind the MOV DR, as a trap would", "Linux commit 5623f751bd9c (KVM)") \
    BUG(dr4_dr5_not_aliased, "O-03", "With CR4.DE = 0, DR4 and DR5 are registers of their own", "hvpp issue 5, item 2") \
    BUG(dr4_dr5_high_bits_ignored, "known", "MOV to DR4 or DR5 with a bit of 63:32 set does nothing instead of #GP(0)", "corpora/known/dr4-dr5-high-bits-ignored (KVM)") \
    BUG(high_dr_bits_fail_entry, "X-09", "MOV to DR6 or DR7 with a bit of 63:32 set stops the machine: the value makes VM entry fail", "Xen commit 15987cb03f") \
    BUG(io_breakpoint_without_de_drops_dr7, "X-10", "MOV to DR7 that enables an I/O breakpoint while CR4.DE = 0 clears DR7", "Xen commit 237c31b5a1") \
    BUG(dr6_bit_12_sticks, "QEMU Q4", "Bit 12 of DR6 can be written to 1", "QEMU bpt_helper.c, commit 2368ea97: only ORs the fixed ones") \
    BUG(dr7_reserved_bits_stick, "QEMU Q5", "Bits 11, 12, 14 and 15 of DR7 can be written to 1", "QEMU bpt_helper.c, commit 2368ea97: only ORs bit 10") \
    BUG(dr7_bit_11_sticks, "Bochs B5", "Bit 11 of DR7 can be written to 1 without RTM", "Bochs crregs.cc, commit 783b58fd: writable mask FFFF2FFFh") \
    BUG(general_detect_before_cpl, "Bochs B4", "General detect is checked before the privilege level", "Bochs crregs.cc, commit 783b58fd") \
    BUG(lazy_load_clobbers_dr6, "X-06", "The first MOV DR after a #DB loads DR6 from an older copy", "Xen commit 3cdac28056") \
    BUG(stale_dr6_after_exit, "K-12", "CPUID, RDMSR, WRMSR, WBINVD and HLT put back the DR6 from before the last MOV to DR6", "Linux commit c2fee09fc167 (KVM, CVE-2025-21839)") \
    MUTANT(dr_address_keeps_32_bits, "MOV to DR0-DR3 stores 32 bits", "APM vol 2, 'Address-Breakpoint Registers (DR0-DR3)': 64-bit linear addresses") \
    MUTANT(dr6_high_bits_ignored, "MOV to DR6 with a bit of 63:32 set stores the lower half instead of #GP(0)", "APM vol 2, 'Debug-Status Register (DR6)': writing a 1 to any of the upper 32 bits is #GP(0)") \
    MUTANT(dr7_high_bits_ignored, "MOV to DR7 with a bit of 63:32 set stores the lower half instead of #GP(0)", "APM vol 2, 'Debug-Control Register (DR7)': writing a 1 to any of the upper 32 bits is #GP(0)") \
    MUTANT(dr6_causes_read_only, "MOV to DR6 does not change B0-B3, BD, BS and BT", "APM vol 2, 'Debug-Status Register (DR6)'") \
    MUTANT(dr6_bit_16_writable, "Bit 16 of DR6 can be written to 0", "APM vol 2, 'Debug-Status Register (DR6)': 31:16 read 1") \
    MUTANT(dr6_reserved_ones_clear, "Bits 10:4 of DR6 can be written to 0", "APM vol 2, 'Debug-Status Register (DR6)': 10:4 read 1") \
    MUTANT(dr7_bit_10_clears, "Bit 10 of DR7 can be written to 0", "APM vol 2, 'Debug-Control Register (DR7)': bit 10 reads 1") \
    MUTANT(dr7_exact_enables_lost, "LE and GE of DR7 read 0", "APM vol 2, 'Debug-Control Register (DR7)': LE and GE are read/write") \
    MUTANT(dr4_dr5_alias_with_de, "With CR4.DE = 1, DR4 and DR5 are still DR6 and DR7 instead of #UD", "APM vol 2, 'Reserved Debug Registers (DR4, DR5)'") \
    MUTANT(mov_dr_at_cpl3, "MOV DR is allowed at CPL3", "APM vol 3, 'MOV DRn': #GP(0) at CPL > 0") \
    MUTANT(general_detect_ignores_reads, "MOV from DR is not stopped by DR7.GD", "APM vol 2, 'General-Detect Condition': any access, read or write") \
    MUTANT(general_detect_ignores_writes, "MOV to DR is not stopped by DR7.GD", "APM vol 2, 'General-Detect Condition'") \
    MUTANT(general_detect_ignores_aliases, "DR4 and DR5 are not guarded by DR7.GD", "APM vol 2, 'Reserved Debug Registers (DR4, DR5)' with 'General-Detect Condition'") \
    MUTANT(general_detect_ignores_addresses, "DR0-DR3 are not guarded by DR7.GD", "APM vol 2, 'General-Detect Condition'") \
    MUTANT(general_detect_hidden_by_rf, "RFLAGS.RF suppresses general detect", "APM vol 2, 'Resume Flag (RF) Bit': suppresses instruction breakpoints only") \
    MUTANT(general_detect_hidden_by_mov_ss, "The shadow of a MOV SS suppresses general detect", "APM vol 2, 'General-Detect Condition': a fault, found while the MOV DR executes") \
    MUTANT(general_detect_sets_no_bd, "A general-detect #DB leaves DR6.BD alone", "APM vol 2, 'Debug-Status Register (DR6)': BD") \
    MUTANT(general_detect_pushes_rf, "A general-detect #DB pushes RF = 1", "APM vol 2, 'Resume Flag (RF) Bit'") \
    MUTANT(general_detect_before_undefined, "With CR4.DE = 1 and GD = 1, access to DR4 or DR5 is a #DB, not #UD", "APM vol 2, 'Reserved Debug Registers (DR4, DR5)'") \
    MUTANT(high_bits_before_general_detect, "MOV to DR6 or DR7 with a bit of 63:32 set is #GP(0) although GD = 1", "APM vol 2, 'General-Detect Condition'") \
    /* ---- What a #DB does to DR6 ---- */ \
    BUG(dr6_overwritten, "X-08", "A #DB replaces BD, BS and BT by its own causes instead of adding to them", "Xen commits db39fa4b27, f7d457524c (XSA-260)") \
    BUG(general_detect_keeps_stale_b, "QEMU Q6", "A general-detect #DB leaves stale B0-B3 set", "QEMU bpt_helper.c, commit 2368ea97") \
    BUG(db_clears_bt, "Bochs B10", "A #DB clears DR6.BT", "Bochs exception.cc, commit 783b58fd: mask FFFF6FF0h") \
    BUG(bus_lock_bit_lost, "K-13", "A #DB leaves DR6.BLD, which is active low, at 0", "Linux 6.12 stable, 'KVM: x86: Preserve DR6.BLD' (2026)") \
    BUG(icebp_rewrites_b, "Xen X2", "ICEBP clears B0-B3", "Xen arch/x86/debug.c, commit c447b730: its comment calls it wrong for AMD") \
    BUG(tf_always_sets_bs, "Xen X1", "Any #DB taken while RFLAGS.TF = 1 sets DR6.BS", "Xen svm_inject_event, commit c447b730") \
    MUTANT(stale_b_kept, "No #DB clears stale B0-B3", "APM vol 2, 'Debug-Status Register (DR6)': B3-B0 are updated on every debug condition") \
    MUTANT(stale_bs_cleared, "A #DB without a step clears DR6.BS", "APM vol 2, 'Debug-Status Register (DR6)': 15:13 are not cleared by the processor") \
    MUTANT(stale_bd_cleared, "A #DB without general detect clears DR6.BD", "APM vol 2, 'Debug-Status Register (DR6)': 15:13 are not cleared by the processor") \
    MUTANT(step_sets_no_bs, "A step trap leaves DR6.BS alone", "APM vol 2, 'Debug-Status Register (DR6)': BS") \
    MUTANT(step_hides_breakpoints, "A step trap that comes with breakpoints reports BS alone", "APM vol 2, 'Single Stepping': other bits may be set with BS") \
    MUTANT(one_breakpoint_at_a_time, "Of several breakpoints only the lowest is reported", "APM vol 2, 'Debug-Status Register (DR6)': each Bn whose condition is met") \
    MUTANT(disabled_match_reported, "A #DB also sets Bn of matching breakpoints that are not enabled", "APM vol 2, 'Debug-Status Register (DR6)': only enabled conditions") \
    MUTANT(all_enabled_reported, "A breakpoint #DB sets Bn of every enabled breakpoint of its kind", "APM vol 2, 'Debug-Status Register (DR6)'") \
    MUTANT(icebp_sets_bs, "ICEBP sets DR6.BS", "APM vol 3, 'INT1': no bit of DR6 tells") \
    MUTANT(code_breakpoint_sets_bs, "An instruction breakpoint taken while TF = 1 sets DR6.BS", "APM vol 2, 'Single Stepping': the instruction has not executed") \
    MUTANT(db_keeps_btf, "A #DB leaves DEBUGCTL.BTF set", "APM vol 2, 'Control-Transfer Breakpoint Features': #DB clears BTF") \
    MUTANT(db_disables_breakpoints, "A #DB clears the enables of DR7", "APM vol 2, 'Debug-Control Register (DR7)': the processor clears GD only") \
    /* ---- What matches ---- */ \
    BUG(len_does_not_mask, "QEMU Q2", "A breakpoint's range starts at its address and not at the aligned one", "QEMU hw_breakpoint_insert, commit 2368ea97") \
    BUG(io_type_without_de, "QEMU Q8", "R/W = 10b watches I/O although CR4.DE = 0", "QEMU bpt_helper.c, commit 2368ea97") \
    MUTANT(local_enable_ignored, "Ln alone does not enable a breakpoint", "APM vol 2, 'Debug-Control Register (DR7)': L0-L3") \
    MUTANT(global_enable_ignored, "Gn alone does not enable a breakpoint", "APM vol 2, 'Debug-Control Register (DR7)': G0-G3") \
    MUTANT(dr3_never_matches, "The fourth breakpoint never matches", "APM vol 2, 'Address-Breakpoint Registers (DR0-DR3)'") \
    MUTANT(write_breakpoint_sees_reads, "R/W = 01b matches reads too", "APM vol 2, 'Debug-Control Register (DR7)': R/W") \
    MUTANT(access_breakpoint_misses_reads, "R/W = 11b matches writes only", "APM vol 2, 'Debug-Control Register (DR7)': R/W") \
    MUTANT(access_breakpoint_misses_writes, "R/W = 11b matches reads only", "APM vol 2, 'Debug-Control Register (DR7)': R/W") \
    MUTANT(code_breakpoint_sees_accesses, "R/W = 00b matches data accesses too", "APM vol 2, 'Debug-Control Register (DR7)': R/W") \
    MUTANT(io_breakpoint_sees_memory, "R/W = 10b matches data accesses too", "APM vol 2, 'Debug-Control Register (DR7)': R/W") \
    MUTANT(range_too_long, "A data breakpoint's range is one byte too long", "APM vol 2, 'Setting Breakpoints', table 13-1") \
    MUTANT(range_too_short, "A data breakpoint's range of two bytes and more is one byte too short", "APM vol 2, 'Setting Breakpoints', table 13-1") \
    MUTANT(len_10_is_four_bytes, "LEN = 10b means four bytes", "APM vol 2, 'Debug-Control Register (DR7)': LEN") \
    MUTANT(len_11_is_two_bytes, "LEN = 11b means two bytes", "APM vol 2, 'Debug-Control Register (DR7)': LEN") \
    MUTANT(code_breakpoint_compares_32_bits, "Instruction breakpoints compare bits 31:0", "APM vol 2, 'Setting Breakpoints': the linear address") \
    MUTANT(data_breakpoint_compares_32_bits, "Data breakpoints compare bits 31:0", "APM vol 2, 'Setting Breakpoints': the linear address") \
    MUTANT(code_breakpoint_one_byte_late, "An instruction breakpoint also matches on the instruction's second byte", "APM vol 2, 'Setting Breakpoints': the first byte of the instruction") \
    MUTANT(only_first_byte_matches, "A data breakpoint sees an access by its first byte", "APM vol 2, 'Setting Breakpoints': any accessed byte") \
    MUTANT(second_page_unwatched, "A data breakpoint does not see the part of an access that lies in the next page", "APM vol 2, 'Setting Breakpoints': any accessed byte") \
    MUTANT(stack_unwatched, "Data breakpoints do not see PUSH, POP, CALL and RET", "APM vol 2, 'Setting Breakpoints': any data access") \
    MUTANT(read_modify_write_unseen, "A data write breakpoint does not see the write of a read-modify-write", "APM vol 2, 'Setting Breakpoints'") \
    MUTANT(io_breakpoint_one_port, "An I/O breakpoint compares the first port of an access only", "APM vol 2, 'I/O Breakpoints' (LEN gives the range of ports)") \
    MUTANT(io_breakpoint_compares_16_bits, "An I/O breakpoint compares bits 15:0 of its address", "APM vol 2, 'Setting Breakpoints': the port is zero-extended to 64 bits") \
    MUTANT(io_breakpoint_misses_in, "I/O breakpoints do not see IN and INS", "APM vol 2, 'I/O Breakpoints'") \
    MUTANT(io_breakpoint_misses_out, "I/O breakpoints do not see OUT and OUTS", "APM vol 2, 'I/O Breakpoints'") \
    MUTANT(dr_address_needs_dr7, "MOV to DR0-DR3 takes effect with the next write of DR7", "APM vol 2, 'Address-Breakpoint Registers (DR0-DR3)'") \
    MUTANT(de_needs_dr7, "A change of CR4.DE reaches the breakpoints with the next write of DR7", "APM vol 2, 'Debug-Extensions Bit'") \
    MUTANT(faulting_access_reported, "Breakpoints met by an instruction that then faults stay pending", "APM vol 2, 'Data Breakpoints': a trap, after the instruction") \
    /* ---- RF and instruction breakpoints ---- */ \
    BUG(code_breakpoint_as_trap, "K-01", "An instruction-breakpoint #DB pushes the RIP behind the instruction, as a trap would", "Linux commit 5623f751bd9c (KVM)") \
    BUG(code_breakpoint_rechecked, "K-02", "An instruction that faults meets its instruction breakpoint again, RF or not", "Linux commit 750f8fcb261a (KVM)") \
    BUG(mov_ss_shadow_hides_code_breakpoint, "K-03", "The shadow of a MOV SS suppresses instruction breakpoints, as on Intel (the bug was not to do so there)", "Linux commit baf67ca8e545 (KVM) says AMD does not") \
    MUTANT(rf_ignored, "RFLAGS.RF does not suppress instruction breakpoints", "APM vol 2, 'Resume Flag (RF) Bit'") \
    MUTANT(rf_survives, "RFLAGS.RF stays set after the instruction that it covers", "APM vol 2, 'Resume Flag (RF) Bit': cleared after successful completion") \
    MUTANT(rf_hides_traps, "Data breakpoints and steps of an instruction that started with RF = 1 are lost", "APM vol 2, 'Resume Flag (RF) Bit': instruction breakpoints only") \
    MUTANT(code_breakpoint_pushes_rf, "An instruction-breakpoint #DB pushes RF = 1", "APM vol 2, 'Resume Flag (RF) Bit': not set by an instruction breakpoint") \
    MUTANT(code_breakpoint_after_undefined, "#UD of an undefined opcode comes before its instruction breakpoint", "APM vol 2, 'Priorities': instruction breakpoints precede decoding") \
    MUTANT(code_breakpoint_before_trap, "The next instruction's breakpoint comes before the trap of the last one", "APM vol 2, 'Priorities': traps of the previous instruction precede") \
    /* ---- Traps: when and where ---- */ \
    BUG(trap_reinjected_as_fault, "X-03", "A data-breakpoint #DB pushes the RIP of the instruction that made the access", "Xen commit 0747bc8b4d") \
    BUG(hlt_not_stepped, "Q-06", "HLT is followed by no step trap", "QEMU commits 6dd7d8c6490b, 3718523d011e") \
    BUG(pause_not_stepped, "Q-06", "PAUSE is followed by no step trap", "QEMU commits 6dd7d8c6490b, 3718523d011e") \
    BUG(cpuid_step_pending, "B-01", "After the step trap of CPUID, BS is still pending", "Bochs issue 132") \
    BUG(btf_ignored, "Bochs B11", "DEBUGCTL.BTF is stored and never acted on", "Bochs, commit 783b58fd: no model of BTF") \
    BUG(step_lost_after_port_output, "known", "OUT and OUTS are followed by no step trap", "corpora/known/step-trap-lost-after-port-output (KVM)") \
    BUG(step_lost_by_iret, "known", "IRETQ and SYSRETQ are followed by no step trap of their own", "corpora/known/step-trap-lost-by-iret-and-sysret (KVM)") \
    BUG(rep_steps_once_more, "known", "A stepped REP string traps on itself once more after RCX has become 0", "corpora/known/rep-string-traps-with-rcx-zero (KVM)") \
    BUG(syscall_steps_masked_tf, "XSA-204", "SYSCALL is stepped by the TF it started with although SFMASK cleared it", "Xen, 'x86/emul: Correct the handling of eflags with SYSCALL' (XSA-204)") \
    MUTANT(step_pushes_own_rip, "A step trap pushes the RIP of the instruction it follows", "APM vol 2, 'Single Stepping': a trap") \
    MUTANT(setting_tf_traps_at_once, "POPF and IRETQ that set TF are followed by a step trap", "APM vol 2, 'Single Stepping': not until after the next instruction") \
    MUTANT(clearing_tf_loses_trap, "POPF and IRETQ that clear TF are followed by no step trap", "APM vol 2, 'Single Stepping': TF at the instruction's start") \
    MUTANT(sysret_tf_late, "SYSRET that sets TF traps only after its target instruction", "APM vol 2, 'Single Stepping': before the target instruction executes") \
    MUTANT(faulting_instruction_stepped, "An instruction that faults under TF also gives a step trap, in the handler", "APM vol 2, 'Single Stepping': after an instruction executes") \
    MUTANT(software_interrupt_stepped, "INT n and INT3 under TF also give a step trap, in the handler", "APM vol 2, 'Single Stepping': delivery clears TF") \
    MUTANT(icebp_stepped, "ICEBP under TF also gives a step trap, in the handler", "APM vol 2, 'Single Stepping': delivery clears TF") \
    MUTANT(mov_dr_not_stepped, "MOV DR is followed by no step trap", "APM vol 2, 'Single Stepping'") \
    MUTANT(rep_stepped_at_end, "A REP string is stepped after its last iteration only", "APM vol 2, 'Single Stepping': after each iteration") \
    MUTANT(rep_zero_not_stepped, "A REP string with a count of zero is followed by no step trap", "APM vol 2, 'Single Stepping'") \
    MUTANT(rep_trap_pushes_rf_clear, "A trap between iterations of a REP string pushes RF = 0", "APM vol 2, 'Resume Flag (RF) Bit': set while iterations remain") \
    MUTANT(rep_trap_pushes_next_rip, "A trap between iterations of a REP string pushes the RIP behind it", "APM vol 2, 'Data Breakpoints': RIP is the string instruction while iterations remain") \
    MUTANT(rep_io_breakpoint_at_end, "A REP INS or OUTS reports an I/O breakpoint after its last iteration only", "APM vol 2, 'I/O Breakpoints': after the first match and each further one") \
    MUTANT(rep_data_breakpoint_at_end, "A REP string reports a data breakpoint after its last iteration only", "APM vol 2, 'Data Breakpoints'") \
    MUTANT(trap_pushes_rf, "A trap #DB pushes RF = 1", "APM vol 2, 'Resume Flag (RF) Bit': faults only") \
    MUTANT(interrupt_before_trap, "An interrupt comes before the trap of the previous instruction", "APM vol 2, 'Single Stepping': single-step ranks above external interrupts") \
    MUTANT(nmi_before_trap, "An NMI comes before the trap of the previous instruction", "APM vol 2, 'Simultaneous Interrupts'") \
    MUTANT(interrupt_returns_to_hlt, "The interrupt that ends a HLT pushes the RIP of the HLT", "APM vol 3, 'HLT': the saved RIP is that of the next instruction") \
    /* ---- Shadows and ICEBP ---- */ \
    BUG(icebp_raises_ud, "Q-01", "ICEBP raises #UD", "QEMU commit 73fb7b3c4983") \
    BUG(icebp_not_skipped, "K-11", "ICEBP that comes with another cause pushes its own RIP", "Linux commit 32d43cd391ba (KVM, CVE-2018-1087)") \
    BUG(db_in_shadow_fails_entry, "K-10", "A #DB other than a step in the shadow of STI or MOV SS under TF stops the machine: VM entry fails", "Linux commit b9bed78e2fa9 (KVM)") \
    BUG(icebp_in_shadow_fails_entry, "X-01", "ICEBP in the shadow of a MOV SS under TF stops the machine: VM entry fails", "Xen commit 1d3eb82598 (XSA-308)") \
    BUG(stepping_sti_fails_entry, "O-01", "A step trap right after STI stops the machine: VM entry fails", "HAXM issue 193") \
    BUG(held_breakpoint_at_once, "QEMU Q7", "A data breakpoint on the operand of MOV SS is reported at once", "QEMU breakpoint_handler, commit 2368ea97: FIXME") \
    BUG(held_breakpoint_lost_on_exit, "KVM K1", "CPUID, WBINVD, RDMSR and WRMSR under TF lose the breakpoint held by a MOV SS", "kvm-unit-tests vmx_db_test, expected failures") \
    BUG(mov_ss_stepped, "known", "MOV SS is followed by a step trap, inside its own shadow", "corpora/known/step-trap-in-ss-shadow (KVM)") \
    MUTANT(held_breakpoint_lost, "A data breakpoint on the operand of MOV SS is never reported", "APM vol 2, 'Data Breakpoints'; Xen XSA-260") \
    MUTANT(held_breakpoint_not_fused, "ICEBP behind a MOV SS with a held breakpoint gives two #DBs", "kvm-unit-tests x86/debug.c: one #DB") \
    MUTANT(software_interrupt_drops_held, "INT n and INT3 drop the breakpoint held by a MOV SS", "Xen XSA-260: delivered on the handler's first instruction") \
    MUTANT(sti_shadow_holds_traps, "The shadow of STI holds back a #DB", "APM vol 3, 'STI': interrupts only") \
    MUTANT(mov_ss_opens_no_shadow, "MOV SS holds back nothing", "APM vol 3, 'MOV': #DB is inhibited until after the next instruction") \
    MUTANT(any_segment_load_opens_shadow, "POP FS holds back traps as MOV SS does", "APM vol 3, 'POP': only SS") \
    MUTANT(shadow_covers_two, "The shadow of a MOV SS covers two instructions", "APM vol 3, 'MOV': until after the next instruction") \
    MUTANT(faulting_mov_ss_opens_shadow, "A MOV SS that faults opens its shadow all the same", "APM vol 3, 'MOV': a successful load") \
    MUTANT(icebp_pushes_own_rip, "ICEBP pushes its own RIP", "APM vol 3, 'INT1': a trap") \
    MUTANT(icebp_checks_dpl, "ICEBP at CPL3 checks the gate's DPL", "APM vol 3, 'INT1': not checked") \
    /* ---- Entering a handler ---- */ \
    BUG(faults_push_rf_clear, "Q-02", "Faults push RF = 0", "QEMU commit 69cb498c5626") \
    BUG(db_pushes_error_code, "X-05", "#DB pushes an error code", "Xen commit 057e0e72d2") \
    BUG(db_keeps_general_detect, "X-04", "A #DB leaves DR7.GD and DEBUGCTL.LBR set", "Xen commit 81a28f1400") \
    BUG(general_detect_stays_armed, "O-03", "A general-detect #DB leaves DR7.GD set", "hvpp issue 5, item 1") \
    BUG(int_1_and_3_as_exceptions, "X-07", "INT 1 and INT 3 with a vector byte are delivered as #DB and #BP, past the gate's DPL", "Xen commit 8dab867c81") \
    BUG(int3_ignores_gate_dpl, "known", "INT3 does not check the gate's DPL", "corpora/known/int3-ignores-the-gate-dpl (KVM)") \
    BUG(delivery_clears_ac, "known", "Delivery clears RFLAGS.AC", "corpora/known/delivery-clears-ac (KVM)") \
    BUG(store_across_pages_half_done, "known", "A store that faults on its second page has written the first", "corpora/known/store-across-pages-is-half-done (KVM)") \
    MUTANT(software_interrupt_ignores_dpl, "INT n and INT3 do not check the gate's DPL", "APM vol 2, 'Privilege Checks' of interrupt gates") \
    MUTANT(exceptions_check_dpl, "Exceptions check the gate's DPL", "APM vol 2, 'Privilege Checks' of interrupt gates: INTn, INT3, INTO only") \
    MUTANT(refused_interrupt_sets_ext, "The #GP of a refused INT n has EXT set", "APM vol 2, 'Error Codes': EXT") \
    MUTANT(refused_interrupt_lacks_idt, "The #GP of a refused INT n has IDT clear", "APM vol 2, 'Error Codes': IDT") \
    MUTANT(refused_interrupt_pushes_next_rip, "The #GP of a refused INT n pushes the RIP behind it", "APM vol 2, 'Faults': the faulting instruction") \
    MUTANT(software_interrupt_pushes_own_rip, "INT n and INT3 push their own RIP", "APM vol 3, 'INT': the next instruction") \
    MUTANT(software_interrupt_pushes_rf, "INT n and INT3 push RF = 1", "APM vol 2, 'Resume Flag (RF) Bit': faults only") \
    MUTANT(fault_pushes_next_rip, "Faults push the RIP behind the instruction", "APM vol 2, 'Faults'") \
    MUTANT(pushed_tf_clear, "The pushed RFLAGS have TF clear", "APM vol 2, 'Long-Mode Interrupt Control Transfers': RFLAGS is pushed before TF is cleared") \
    MUTANT(pushed_if_clear, "The pushed RFLAGS have IF clear", "APM vol 2, 'Long-Mode Interrupt Control Transfers'") \
    MUTANT(handler_keeps_tf, "Delivery leaves RFLAGS.TF set", "APM vol 2, 'Single Stepping': delivery clears TF") \
    MUTANT(handler_keeps_if, "Delivery through an interrupt gate leaves RFLAGS.IF set", "APM vol 2, 'Interrupt Gates'") \
    MUTANT(handler_keeps_nt, "Delivery leaves RFLAGS.NT set", "APM vol 2, 'Long-Mode Interrupt Control Transfers'") \
    MUTANT(stack_unaligned, "Delivery does not align the stack to 16 bytes", "APM vol 2, 'Interrupt Stack Alignment'") \
    MUTANT(same_level_switches_stack, "Delivery without a change of privilege takes the stack from the TSS", "APM vol 2, 'Long-Mode Stack Switches'") \
    MUTANT(inner_level_keeps_ss, "Delivery to an inner level leaves SS as it was", "APM vol 2, 'Long-Mode Stack Switches': SS is null") \
    MUTANT(any_delivery_clears_general_detect, "Every exception and interrupt clears DR7.GD", "APM vol 2, 'Debug-Control Register (DR7)': entry to the #DB handler") \
    MUTANT(undefined_opcode_as_gp, "An undefined opcode raises #GP(0)", "APM vol 2, '#UD': vector 6") \
    MUTANT(gp_error_code_nonzero, "#GP of an instruction pushes the error code 2", "APM vol 2, '#GP': zero unless a selector is to blame") \
    MUTANT(page_fault_lacks_write, "#PF error codes have W/R clear", "APM vol 2, '#PF'") \
    MUTANT(page_fault_lacks_user, "#PF error codes have U/S clear", "APM vol 2, '#PF'") \
    MUTANT(page_fault_lacks_present, "#PF error codes have P clear", "APM vol 2, '#PF'") \
    MUTANT(cr2_is_page_address, "#PF leaves CR2 with the page's address", "APM vol 2, '#PF': the faulting linear address") \
    MUTANT(crossing_fault_names_first_byte, "#PF on the second page of an access leaves CR2 with its first byte", "APM vol 2, '#PF': the faulting linear address") \
    MUTANT(stack_address_is_gp, "A non-canonical address of a stack reference raises #GP", "APM vol 2, '#SS'") \
    MUTANT(contributory_pair_in_series, "A contributory exception while delivering another is delivered, not #DF", "APM vol 2, '#DF', table of conditions") \
    MUTANT(page_fault_pair_in_series, "A #PF while delivering a #PF is delivered, not #DF", "APM vol 2, '#DF', table of conditions") \
    MUTANT(benign_pair_makes_double_fault, "A contributory exception while delivering a benign one is #DF", "APM vol 2, '#DF', table of conditions") \
    MUTANT(nested_fault_lacks_ext, "Faults while delivering an exception have EXT clear in their error code", "APM vol 2, 'Error Codes': EXT") \
    /* ---- RFLAGS ---- */ \
    BUG(iret_loses_iopl, "known", "IRETQ at CPL0 does not load IOPL", "corpora/known/iret-loses-iopl (KVM)") \
    BUG(pushf_at_cpl3_shows_if, "known", "PUSHF at CPL3 shows IF = 1", "corpora/known/pushf-at-cpl3-shows-if (KVM)") \
    MUTANT(popf_loads_rf, "POPF loads RF", "APM vol 3, 'POPF': RF is cleared") \
    MUTANT(pushf_shows_rf, "PUSHF shows RF", "APM vol 3, 'PUSHF': RF is cleared in the image") \
    MUTANT(iret_ignores_rf, "IRETQ clears RF", "APM vol 3, 'IRET': loads RF") \
    MUTANT(popf_at_cpl3_loads_if, "POPF at CPL3 with IOPL < 3 loads IF", "APM vol 3, 'POPF'") \
    MUTANT(popf_at_cpl3_loads_iopl, "POPF at CPL3 loads IOPL", "APM vol 3, 'POPF'") \
    MUTANT(iret_ignores_nt, "IRETQ with NT = 1 is no #GP", "APM vol 3, 'IRET': #GP in long mode") \
    MUTANT(sysret_loads_rf, "SYSRETQ loads RF from R11", "APM vol 3, 'SYSRET': RF is cleared") \
    MUTANT(syscall_saves_rf, "SYSCALL saves RF in R11", "APM vol 3, 'SYSCALL': with RF cleared") \
    MUTANT(syscall_ignores_mask, "SYSCALL does not apply SFMASK", "APM vol 3, 'SYSCALL'") \
    MUTANT(cli_at_cpl3, "CLI and STI at CPL3 with IOPL < 3 are no #GP", "APM vol 3, 'CLI', 'STI'") \
    MUTANT(port_bitmap_ignored, "The I/O permission bitmap is not consulted", "APM vol 2, 'I/O-Permission Bitmap'")

#define FAULTLINE_SVM_QUIRKS(BUG, MUTANT) \
    /* ---- What VMRUN refuses ---- */ \
    BUG(impossible_injection_accepted, "B-02", "VMRUN accepts the injection of #BR and #OF in 64-bit mode", "Bochs issue 649, commits ecf073ab5, dd150c470") \
    BUG(permission_map_end_unchecked, "Bochs B6", "VMRUN checks the first byte of IOPM and MSRPM against the physical address, not the last", "Bochs svm.cc, commit 783b58fd: SvmEnterLoadCheckControls") \
    BUG(permission_map_base_rounded_up, "KVM K11", "VMRUN's check rounds the base of IOPM and MSRPM up to the next page", "Linux arch/x86/kvm/svm/nested.c (2022): PAGE_ALIGN in nested_svm_check_bitmap_pa") \
    BUG(cs_l_and_d_refused_outside_long_mode, "Bochs B7", "VMRUN refuses CS.L with CS.D outside long mode, too", "Bochs svm.cc, commit 783b58fd") \
    MUTANT(vmrun_accepts_no_svme, "VMRUN accepts EFER.SVME = 0", "APM vol 2, 'Canonicalization and Consistency Checks': EFER.SVME is zero") \
    MUTANT(vmrun_accepts_nw_without_cd, "VMRUN accepts CR0.NW = 1 with CR0.CD = 0", "APM vol 2, 'Canonicalization and Consistency Checks': CR0.CD is zero and CR0.NW is set") \
    MUTANT(vmrun_accepts_cr0_upper_half, "VMRUN accepts CR0[63:32] that are not zero", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_cr3_reserved, "VMRUN accepts reserved bits of CR3", "APM vol 2, 'Canonicalization and Consistency Checks': any MBZ bit of CR3") \
    MUTANT(vmrun_accepts_cr4_reserved, "VMRUN accepts reserved bits of CR4", "APM vol 2, 'Canonicalization and Consistency Checks': any MBZ bit of CR4") \
    MUTANT(vmrun_accepts_dr6_upper_half, "VMRUN accepts DR6[63:32] that are not zero", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_dr7_upper_half, "VMRUN accepts DR7[63:32] that are not zero", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_efer_reserved, "VMRUN accepts reserved bits of EFER", "APM vol 2, 'Canonicalization and Consistency Checks': any MBZ bit of EFER") \
    MUTANT(vmrun_accepts_long_mode_without_pae, "VMRUN accepts EFER.LME and CR0.PG with CR4.PAE = 0", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_long_mode_without_pe, "VMRUN accepts EFER.LME and CR0.PG with CR0.PE = 0", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_cs_l_and_d, "VMRUN accepts CS.L with CS.D in long mode", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_no_vmrun_intercept, "VMRUN accepts a VMCB that does not intercept VMRUN", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_iopm_beyond_memory, "VMRUN accepts an IOPM beyond the physical address", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_msrpm_beyond_memory, "VMRUN accepts an MSRPM beyond the physical address", "APM vol 2, 'Canonicalization and Consistency Checks'") \
    MUTANT(vmrun_accepts_asid_0, "VMRUN accepts ASID 0", "APM vol 2, 'Canonicalization and Consistency Checks': ASID is equal to zero") \
    MUTANT(vmrun_accepts_reserved_injection_type, "VMRUN accepts EVENTINJ with a reserved type", "APM vol 2, 'Event Injection': reserved values of TYPE") \
    MUTANT(vmrun_accepts_nmi_as_exception, "VMRUN accepts the injection of vector 2 as an exception", "APM vol 2, 'Event Injection': a vector that does not correspond to an exception") \
    MUTANT(vmrun_accepts_exception_above_31, "VMRUN accepts the injection of a vector above 31 as an exception", "APM vol 2, 'Event Injection': a vector that does not correspond to an exception") \
    MUTANT(vmrun_accepts_virtual_nmi_alone, "VMRUN accepts V_NMI_ENABLE without the NMI intercept", "APM vol 2, 'NMI Virtualization': requires the NMI intercept bit to be set") \
    MUTANT(vmrun_accepts_reserved_pat, "VMRUN with nested paging accepts reserved types in G_PAT", "APM vol 2, 'Nested Paging and VMRUN/#VMEXIT'") \
    MUTANT(vmrun_accepts_ncr3_reserved, "VMRUN with nested paging accepts reserved bits of nCR3", "APM vol 2, 'Nested Paging and VMRUN/#VMEXIT'") \
    MUTANT(vmrun_refuses_nw_with_cd, "VMRUN refuses CR0.NW = 1 with CR0.CD = 1", "APM vol 2, 'Canonicalization and Consistency Checks': only with CR0.CD = 0") \
    MUTANT(vmrun_refuses_dr6_low_bits, "VMRUN refuses DR6 with a bit at 0 that reads as 1", "APM vol 2, 'Canonicalization and Consistency Checks': of DR6 only bits 63:32") \
    MUTANT(vmrun_refuses_dr7_low_bits, "VMRUN refuses DR7 with bit 10 at 0", "APM vol 2, 'Canonicalization and Consistency Checks': of DR7 only bits 63:32") \
    MUTANT(vmrun_refuses_vector_of_nmi, "VMRUN refuses the injection of an NMI with a vector other than 2", "APM vol 2, 'Event Injection': the vector of an NMI is ignored") \
    MUTANT(vmrun_refuses_invalid_injection, "VMRUN checks EVENTINJ although its V bit is clear", "APM vol 2, 'Event Injection': V says whether there is an event") \
    MUTANT(vmrun_refuses_large_asid, "VMRUN refuses ASIDs above 255", "APM vol 2, 'Address Space Identifiers': their number is CPUID Fn8000_000A_EBX") \
    MUTANT(vmrun_refuses_v_intr_masking, "VMRUN refuses V_INTR_MASKING", "APM vol 2, 'Virtualizing RFLAGS.IF': a choice of the hypervisor's") \
    /* ---- What VMRUN loads ---- */ \
    BUG(breakpoints_not_refreshed_by_vmrun, "Q-04", "The breakpoints of the VMCB's DR7 are armed by the guest's first MOV to DR7 only", "QEMU commit 8aa76496dfaa") \
    BUG(vmrun_traps_before_first_instruction, "Q-05", "TF in the VMCB's RFLAGS gives a step trap before the guest's first instruction", "QEMU commit 1a150d331d9b") \
    MUTANT(vmrun_drops_rf, "VMRUN clears RF of the VMCB's RFLAGS", "APM vol 2, 'VMRUN and TF/RF Bits in EFLAGS'") \
    MUTANT(vmrun_drops_tf, "VMRUN clears TF of the VMCB's RFLAGS", "APM vol 2, 'VMRUN and TF/RF Bits in EFLAGS'") \
    MUTANT(vmrun_drops_interrupt_shadow, "VMRUN does not load the interrupt shadow", "APM vol 2, 'Interrupt Shadows'") \
    MUTANT(vmrun_keeps_dr6, "VMRUN leaves DR6 as it was", "APM vol 2, 'Loading Guest State': DR6") \
    MUTANT(vmrun_keeps_cr2, "VMRUN leaves CR2 as it was", "APM vol 2, 'Loading Guest State': CR2") \
    MUTANT(vmrun_loads_dr6_as_it_is, "Bits of DR6 that read as 1 are 0 where the VMCB has them so", "APM vol 2, 'Debug-Status Register (DR6)'") \
    MUTANT(vmrun_loads_dr7_as_it_is, "Bit 10 of DR7 is 0 where the VMCB has it so", "APM vol 2, 'Debug-Control Register (DR7)'") \
    /* ---- EVENTINJ ---- */ \
    BUG(injected_int_n_ignores_nrip, "K-15", "An injected software interrupt returns to RIP, not to nRIP", "Linux commit 00f08d99dd7d (KVM): nRIP not carried into the VMCB that is run") \
    BUG(injected_int3_ignores_nrip, "Bochs B8", "An injected #BP returns to RIP, not to nRIP", "Bochs svm.cc, SvmInjectEvents; issue 649") \
    MUTANT(injected_error_code_dropped, "An injected exception pushes the error code 0", "APM vol 2, 'Event Injection': ERRORCODE") \
    MUTANT(injected_nmi_uses_vector, "An injected NMI goes to the vector that EVENTINJ names", "APM vol 2, 'Event Injection': the vector of an NMI is ignored") \
    MUTANT(injected_int3_ignores_dpl, "An injected #BP does not check the gate's DPL", "APM vol 2, 'Event Injection': behaves like a trap raised by INT3") \
    MUTANT(injected_int_n_ignores_dpl, "An injected software interrupt does not check the gate's DPL", "APM vol 2, 'Event Injection': software interrupt") \
    MUTANT(injected_exception_checks_dpl, "An injected exception checks the gate's DPL", "APM vol 2, 'Privilege Checks' of interrupt gates: INTn, INT3, INTO only") \
    MUTANT(injected_interrupt_needs_if, "An interrupt injected with RFLAGS.IF = 0 is lost", "APM vol 2, 'Event Injection': unconditionally") \
    MUTANT(injection_lost_in_shadow, "An event injected with an interrupt shadow is lost", "APM vol 2, 'Event Injection': unconditionally") \
    MUTANT(injected_exception_is_intercepted, "An injected exception meets its own intercept", "APM vol 2, 'Event Injection': injected events are not subject to intercept checks") \
    MUTANT(fault_of_injection_not_intercepted, "A fault met while delivering an injected event is not intercepted", "APM vol 2, 'Event Injection': exceptions raised during the injection are") \
    MUTANT(injected_page_fault_writes_cr2, "The injection of a #PF clears CR2", "APM vol 2, 'Event Injection': CR2 is the VMM's to set") \
    MUTANT(injected_fault_returns_behind, "An injected fault returns to nRIP", "APM vol 2, 'Event Injection': nRIP is for software interrupts and exceptions") \
    MUTANT(injection_clears_tf, "The frame of an injected event has TF clear", "APM vol 2, 'Event Injection': as though it had occurred normally") \
    MUTANT(injection_stays_valid, "#VMEXIT leaves EVENTINJ.V set", "APM vol 2, 'Event Injection': cleared by #VMEXIT") \
    /* ---- Which exits there are ---- */ \
    BUG(divide_error_not_intercepted, "Q-07", "The intercept of vector 0 is not there", "QEMU commit 024538287e4b") \
    BUG(int_n_meets_exception_intercepts, "X-07", "INT 1 and INT 3 with a vector byte meet the intercepts of #DB and #BP", "Xen commit 8dab867c81") \
    MUTANT(icebp_meets_db_intercept, "ICEBP meets the intercept of #DB", "APM vol 2, '#DB (Debug)' of the exception intercepts: not ICEBP") \
    MUTANT(icebp_not_intercepted, "The intercept of ICEBP is not there", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(int3_meets_int_n_intercept, "INT3 meets the intercept of INT n", "APM vol 2, 'INTn Intercepts': INT3 and INTO are exceptions") \
    MUTANT(int_n_below_32_not_intercepted, "INT n with a vector below 32 does not meet the intercept of INT n", "APM vol 2, 'INTn Intercepts'") \
    MUTANT(exceptions_at_cpl3_not_intercepted, "Exceptions at CPL3 do not exit", "APM vol 2, 'Exception Intercepts': at any privilege") \
    MUTANT(exceptions_of_compat_mode_not_intercepted, "Exceptions in compatibility mode do not exit", "APM vol 2, 'Exception Intercepts': in any mode") \
    MUTANT(instructions_of_compat_mode_not_intercepted, "Instructions in compatibility mode do not exit", "APM vol 2, 'Instruction Intercepts': in any mode") \
    MUTANT(page_fault_of_fetch_not_intercepted, "A #PF of an instruction fetch does not exit", "APM vol 2, '#PF' of the exception intercepts") \
    MUTANT(nested_fault_not_intercepted, "A second exception does not meet its intercept but only the first", "APM vol 2, 'Exception Intercepts': checked before being combined") \
    MUTANT(combined_before_intercept, "Two exceptions that make a #DF meet its intercept only", "APM vol 2, 'Exception Intercepts': checked before being combined") \
    MUTANT(double_fault_not_intercepted, "A #DF that two exceptions make does not exit", "APM vol 2, '#DF' of the exception intercepts") \
    MUTANT(shutdown_not_intercepted, "The intercept of shutdown is not there", "APM vol 2, 'Shutdown Intercept'") \
    MUTANT(dr_alias_not_intercepted, "Accesses to DR4 and DR5 do not exit", "APM vol 2, 'DR Intercepts': each of sixteen numbers") \
    MUTANT(dr_alias_exits_as_itself, "Accesses to DR4 and DR5 meet the intercepts of DR6 and DR7", "APM vol 2, 'SVM Intercept Exit Codes': by the number that the instruction has") \
    MUTANT(lmsw_and_clts_not_intercepted, "LMSW and CLTS do not meet the intercept of CR0 writes", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(smsw_not_intercepted, "SMSW does not meet the intercept of CR0 reads", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(selective_sees_ts_and_mp, "The selective CR0 intercept sees changes of TS and MP, too", "APM vol 2, 'Instruction Intercepts': bits other than CR0.TS or CR0.MP") \
    MUTANT(selective_ignores_lmsw, "LMSW does not meet the selective CR0 intercept", "APM vol 2, 'Instruction Intercepts': LMSW regardless of what it changes") \
    MUTANT(selective_before_cr0_write, "Of the two CR0 intercepts the selective one wins", "APM vol 2, 'Instruction Intercepts': the other one is checked first") \
    MUTANT(rdtscp_meets_rdtsc_intercept, "RDTSCP meets the intercept of RDTSC", "APM vol 2, 'Instruction Intercepts': one for each") \
    MUTANT(wbinvd_meets_invd_intercept, "WBINVD meets the intercept of INVD", "APM vol 2, 'Instruction Intercepts': one for each") \
    MUTANT(pause_needs_filter, "PAUSE with a filter count of zero does not exit", "APM vol 2, 'Pause Intercept Filtering': every PAUSE exits") \
    /* ---- Their order ---- */ \
    BUG(dr_intercept_before_general_detect, "QEMU Q1", "The intercept of MOV DR comes before general detect", "QEMU translate.c, commit 2368ea97: the check stands before the helper") \
    BUG(dr_intercept_before_upper_half, "Bochs B3", "The intercept of MOV to DR6 and DR7 comes before the #GP of bits 63:32", "Bochs crregs.cc, commit 783b58fd") \
    MUTANT(dr_intercept_before_undefined, "The intercept of MOV DR comes before the #UD of DR4 and DR5 with CR4.DE = 1", "APM vol 2, 'Instruction Intercepts': MOV DR: all normal exception checks first") \
    MUTANT(dr_intercept_before_privilege, "The intercept of MOV DR comes before the privilege check", "APM vol 2, 'Instruction Intercepts': MOV DR: all normal exception checks first") \
    MUTANT(cr_intercept_before_privilege, "The intercepts of MOV CR, CLTS and LMSW come before the privilege check", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(hlt_intercept_before_privilege, "The intercept of HLT comes before the privilege check", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(msr_intercept_before_privilege, "The intercept of RDMSR and WRMSR comes before the privilege check", "APM vol 2, 'RDMSR and WRMSR Behavior'") \
    MUTANT(cache_intercept_before_privilege, "The intercepts of WBINVD, INVD and INVLPG come before the privilege check", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(table_intercept_before_privilege, "The intercepts of LGDT, LIDT, LLDT and LTR come before the privilege check", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(svm_intercept_before_privilege, "The intercepts of SVM's own instructions come before the privilege check", "APM vol 2, 'Instruction Intercepts'") \
    MUTANT(io_intercept_before_permission, "The intercept of IN and OUT comes before IOPL and the permission bitmap", "APM vol 2, 'IOIO Intercepts'") \
    MUTANT(int_n_intercept_after_gate, "The intercept of INT n comes after the checks of its gate", "APM vol 2, 'Instruction Intercepts': before any exception") \
    MUTANT(iret_intercept_after_exceptions, "The intercept of IRET comes after its exceptions", "APM vol 2, 'Instruction Intercepts': before any exception") \
    MUTANT(flags_intercept_after_exceptions, "The intercepts of PUSHF and POPF come after their exceptions", "APM vol 2, 'Instruction Intercepts': before any exception") \
    MUTANT(msr_intercept_after_exceptions, "The intercept of WRMSR comes after the checks of the value", "APM vol 2, 'RDMSR and WRMSR Behavior'") \
    MUTANT(table_intercept_after_exceptions, "The intercepts of SGDT, SIDT, SLDT and STR come after the faults of their operand", "APM vol 2, 'Instruction Intercepts': before any memory access") \
    MUTANT(intercept_before_code_breakpoint, "The intercept of an instruction comes before its breakpoint", "APM vol 2, 'Intercept Operation': instruction breakpoints take precedence") \
    MUTANT(intercept_before_trap, "The intercept of an instruction comes before the trap of the previous one", "APM vol 2, 'Intercept Operation': pending traps take precedence") \
    /* ---- What an exit reports ---- */ \
    BUG(nrip_on_every_exit, "Bochs B2", "nRIP is written on exits that do not define it", "Bochs svm.cc, Svm_Vmexit, commit 783b58fd") \
    MUTANT(nrip_missing_for_instructions, "Exits of instructions leave nRIP zero", "APM vol 2, 'State Saved on Exit': nRIP") \
    MUTANT(nrip_missing_for_int3, "Exits of INT3, INTO and BOUND leave nRIP zero", "APM vol 2, 'State Saved on Exit': nRIP") \
    MUTANT(nrip_missing_for_io_and_msr, "Exits of IN, OUT, RDMSR and WRMSR leave nRIP zero", "APM vol 2, 'State Saved on Exit': nRIP") \
    MUTANT(nrip_is_rip, "nRIP of an instruction's exit is its own RIP", "APM vol 2, 'State Saved on Exit': the next sequential instruction") \
    MUTANT(dr_info_missing, "The exit of MOV DR does not name the general register", "APM vol 2, 'MOV CRx/DRx Intercepts'") \
    MUTANT(dr_info_has_bit_63, "EXITINFO1 of MOV DR has bit 63 set, as that of MOV CR", "APM vol 2, 'MOV CRx/DRx Intercepts'") \
    MUTANT(dr_info_names_dr, "The exit of MOV DR names the debug register instead of the general one", "APM vol 2, 'MOV CRx/DRx Intercepts'") \
    MUTANT(cr_info_lacks_bit_63, "EXITINFO1 of MOV CR has bit 63 clear", "APM vol 2, 'MOV CRx/DRx Intercepts'") \
    MUTANT(lmsw_info_has_bit_63, "EXITINFO1 of CLTS, LMSW and SMSW has bit 63 set", "APM vol 2, 'MOV CRx/DRx Intercepts'") \
    MUTANT(int_n_info_missing, "The exit of INT n does not name the vector", "APM vol 2, 'INTn Intercepts'") \
    MUTANT(invlpg_info_missing, "The exit of INVLPG does not name the address", "APM vol 2, 'INVLPG and INVLPGA Intercepts'") \
    MUTANT(io_info_direction_inverted, "EXITINFO1 of IN has TYPE 0 and that of OUT has 1", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_lacks_string, "EXITINFO1 of INS and OUTS has STR clear", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_lacks_rep, "EXITINFO1 of REP INS and OUTS has REP clear", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_always_byte, "EXITINFO1 of IN and OUT says SZ8 whatever the size", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_address_size_32, "EXITINFO1 of IN and OUT says A32 whatever the address size", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_lacks_port, "EXITINFO1 of IN and OUT names no port", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_lacks_segment, "EXITINFO1 of OUTS names no segment", "APM vol 2, 'I/O Intercept Information'") \
    MUTANT(io_info_2_own_rip, "EXITINFO2 of IN and OUT is the instruction's own RIP", "APM vol 2, 'IOIO Intercepts': the rIP of the following instruction") \
    MUTANT(msr_info_inverted, "EXITINFO1 of RDMSR is 1 and that of WRMSR is 0", "APM vol 2, 'MSR Intercepts'") \
    MUTANT(page_fault_infos_swapped, "EXITINFO1 of #PF is the address and EXITINFO2 the error code", "APM vol 2, '#PF' of the exception intercepts") \
    MUTANT(page_fault_info_page_address, "EXITINFO2 of #PF has bits 11:0 clear", "APM vol 2, '#PF' of the exception intercepts: the faulting address") \
    MUTANT(page_fault_exit_writes_cr2, "An intercepted #PF writes CR2", "APM vol 2, '#PF' of the exception intercepts: CR2 is not written") \
    MUTANT(page_fault_exit_lacks_user, "The error code of an intercepted #PF has U/S clear", "APM vol 2, '#PF' of the exception intercepts: the error code") \
    MUTANT(gp_info_missing, "EXITINFO1 of #GP is zero", "APM vol 2, '#GP' of the exception intercepts: the error code") \
    MUTANT(np_and_ss_info_missing, "EXITINFO1 of #NP and #SS is zero", "APM vol 2, '#NP' and '#SS' of the exception intercepts: the error code") \
    MUTANT(int_info_missing, "EXITINTINFO is zero whatever was being delivered", "APM vol 2, 'Intercepts during IDT Interrupt Delivery'") \
    MUTANT(int_info_lacks_error, "EXITINTINFO has no error code", "APM vol 2, 'Intercepts during IDT Interrupt Delivery': EV and ERRORCODE") \
    MUTANT(int_info_calls_int_n_exception, "EXITINTINFO calls INT n an exception", "APM vol 2, 'Intercepts during IDT Interrupt Delivery': TYPE") \
    MUTANT(int_info_calls_int3_int_n, "EXITINTINFO calls INT3 and INTO software interrupts", "APM vol 2, 'Intercepts during IDT Interrupt Delivery': only INTn is type 4") \
    MUTANT(int_info_calls_all_external, "EXITINTINFO calls everything an external interrupt", "APM vol 2, 'Intercepts during IDT Interrupt Delivery': TYPE") \
    MUTANT(int_info_names_second, "EXITINTINFO names the exception that exits instead of the one before it", "APM vol 2, 'Intercepts during IDT Interrupt Delivery'") \
    /* ---- What an exit saves ---- */ \
    BUG(db_exits_before_dr6, "Bochs B1", "An intercepted #DB leaves DR6 and DR7 as they were", "Bochs exception.cc, commit 783b58fd: the intercept comes before DR6 is written") \
    BUG(db_exit_keeps_general_detect, "X-04", "An intercepted #DB leaves DR7.GD set, for the handler to which it is given back", "Xen commit 81a28f1400") \
    BUG(general_detect_exits_as_trap, "K-17", "The #DB exit of general detect saves the RIP behind the MOV DR, as that of a trap", "Linux commit 8d178f460772 (KVM): General Detect taken for trap-like") \
    BUG(exit_shadow_lost, "K-16", "#VMEXIT saves no interrupt shadow", "Linux, the set 'KVM: nSVM: fix synchronisation of vmcb02 and vmcb12' (2026)") \
    MUTANT(exit_rf_lost, "#VMEXIT saves RFLAGS with RF clear", "APM vol 2, 'State Saved on Exit': as of the moment of the intercept") \
    MUTANT(fault_exit_sets_rf, "The exit of a fault saves RFLAGS with RF set", "APM vol 2, 'State Saved on Exit': as of the moment of the intercept") \
    MUTANT(exit_tf_lost, "#VMEXIT saves RFLAGS with TF clear", "APM vol 2, 'State Saved on Exit'") \
    MUTANT(exit_rip_behind_instruction, "The exit of an instruction saves the RIP behind it", "APM vol 2, 'State Saved on Exit': RIP is the intercepted instruction") \
    MUTANT(int3_exits_behind_itself, "The exit of INT3 and INTO saves the RIP behind them", "APM vol 2, '#BP' of the exception intercepts: RIP points to the INT3") \
    MUTANT(fault_exits_behind_instruction, "The exit of a fault saves the RIP behind the instruction", "APM vol 2, 'Exception Intercepts'") \
    MUTANT(trap_exits_at_instruction, "The #DB exit of a trap saves the RIP of the instruction that it follows", "APM vol 2, '#DB (Debug)' of the exception intercepts") \
    MUTANT(exit_cpl_zero, "#VMEXIT saves CPL 0", "APM vol 2, 'State Saved on Exit': CPL") \
    MUTANT(exit_dr7_lacks_enables, "#VMEXIT saves DR7 with the enables clear", "APM vol 2, '#VMEXIT': the host's breakpoints are disabled, not the guest's") \
    MUTANT(exit_rax_lost, "#VMEXIT saves RAX as it was at VMRUN", "APM vol 2, '#VMEXIT': RAX") \
    /* ---- The permission maps ---- */ \
    MUTANT(io_map_first_port_only, "Of a port access of several bytes only the first one's bit is looked at", "APM vol 2, 'IOIO Intercepts': the bits of all bytes") \
    MUTANT(io_map_always_four, "Of every port access four bits are looked at", "APM vol 2, 'IOIO Intercepts': the bits of the accessed bytes") \
    MUTANT(io_map_one_port_late, "A port's bit in the IOPM is the next one's", "APM vol 2, 'IOIO Intercepts'") \
    MUTANT(io_in_not_intercepted, "IN and INS do not look at the IOPM", "APM vol 2, 'IOIO Intercepts': IN, INS, OUT and OUTS") \
    MUTANT(io_out_not_intercepted, "OUT and OUTS do not look at the IOPM", "APM vol 2, 'IOIO Intercepts': IN, INS, OUT and OUTS") \
    MUTANT(msr_reads_not_intercepted, "RDMSR does not look at the MSRPM", "APM vol 2, 'MSR Intercepts': the lsb is for reads") \
    MUTANT(msr_writes_not_intercepted, "WRMSR does not look at the MSRPM", "APM vol 2, 'MSR Intercepts': the msb is for writes") \
    MUTANT(msr_directions_swapped, "Reads of an MSR look at the bit for writes, and writes at that for reads", "APM vol 2, 'MSR Intercepts': the lsb is for reads") \
    MUTANT(msr_outside_map_free, "MSRs that the MSRPM does not cover are not intercepted", "APM vol 2, 'MSR Intercepts': automatically cause an intercept") \
    MUTANT(msr_vectors_aliased, "C000_0000h and C001_0000h on look at the bits of 0 on", "APM vol 2, 'MSR Intercepts': three ranges") \
    MUTANT(msr_one_bit_each, "The MSRPM has one bit for each MSR", "APM vol 2, 'MSR Intercepts': two bits") \
    /* ---- A hypervisor's policy ---- */ \
    BUG(soft_exception_given_back_at_itself, "K-14", "A reflected #BP returns to the INT3 itself", "Linux commit 6ef88d6e36c2 (KVM)") \
    BUG(forced_mask_inverted, "K-18", "Of the vectors to intercept by force only 2 and 9 are", "Linux patch 'KVM: SVM: implement force_intercept_exceptions_mask' as posted: the test of the vector inverted") \
    BUG(double_fault_given_stale_error, "K-19", "A reflected #DF pushes what an earlier exit left in EXITINFO1", "Linux patch 'KVM: SVM: implement force_intercept_exceptions_mask' as posted") \
    BUG(invalid_tss_given_back, "K-20", "#TS is reflected with the error code that its exit does not define", "Linux patch 'KVM: SVM: implement force_intercept_exceptions_mask' as posted") \
    BUG(forced_dropped_with_others, "K-21", "Intercepts that are taken away and put back lose the forced ones", "Linux patch 'KVM: SVM: implement force_intercept_exceptions_mask' as posted") \
    BUG(trap_given_back_as_fault, "X-03", "A reflected #DB trap returns to the instruction that raised it", "Xen commit 0747bc8b4d") \
    BUG(db_given_back_with_error_code, "X-05", "A reflected #DB pushes an error code", "Xen commit 057e0e72d2") \
    MUTANT(db_given_back_with_rf, "A reflected #DB pushes RF = 1", "APM vol 2, 'Resume Flag (RF) Bit': faults other than an instruction breakpoint") \
    MUTANT(page_fault_given_back_without_cr2, "A reflected #PF leaves CR2 as it was", "APM vol 2, '#PF' of the exception intercepts: CR2 is the VMM's to write") \
    MUTANT(fault_given_back_without_rf, "A reflected fault pushes RF as it was", "APM vol 2, 'Resume Flag (RF) Bit': faults push 1") \
    MUTANT(error_code_given_back_zero, "A reflected exception pushes the error code 0", "APM vol 2, 'Exception Intercepts': EXITINFO1") \
    MUTANT(error_code_not_given_back, "A reflected exception pushes no error code", "APM vol 2, 'Event Injection': EV") \
    MUTANT(undefined_opcode_given_back_with_error_code, "A reflected #UD pushes an error code", "APM vol 2, '#UD': none") \
    MUTANT(nested_exception_given_back_alone, "An exception met while delivering another is reflected alone, though the two make a #DF", "APM vol 2, '#DF', table of conditions") \
    MUTANT(benign_pair_given_back_as_double_fault, "An exception met while delivering any other is reflected as #DF", "APM vol 2, '#DF', table of conditions") \
    MUTANT(triple_fault_given_back_as_double_fault, "An exception met while delivering a #DF is reflected as #DF", "APM vol 2, '#DF': shutdown") \
    MUTANT(skipping_keeps_rf, "Skipping an intercepted instruction leaves RF set", "APM vol 2, 'Resume Flag (RF) Bit': cleared by the instruction") \
    MUTANT(skipping_keeps_shadow, "Skipping an intercepted instruction leaves the interrupt shadow", "APM vol 2, 'Interrupt Shadows': one instruction") \
    MUTANT(forced_exception_stops, "The exit of a forced exception ends the run where the case's own would", "the facility intercepts for itself") \
    MUTANT(stop_ignored_for_exceptions, "The exit of an exception does not end the run although the case asks for that", "a case's reaction to its exits") \
    MUTANT(stop_ignored_for_instructions, "The exit of an instruction does not end the run although the case asks for that", "a case's reaction to its exits")
// clang-format on
