// A guest leaves its machine, and goes on in another. AMD APM vol 2 (24593, ~2024).
#include <algorithm>
#include <cstring>

#include "hypervisor/engine/memory.hpp"
#include "hypervisor/reference/vm.hpp"

namespace faultline::reference {

using engine::Machine;
using engine::Memory;

void Vm::save(SavedVm& to) {
    const Machine& m = machine_;
    const auto memory = machine_.memory.bytes();
    to.memory.assign(memory.begin(), memory.end());
    to.cpu = m.cpu;
    to.dr = m.debug.address;
    to.debugctl = m.debug.debugctl;
    to.branches = {m.debug.last_branch_from, m.debug.last_branch_to, m.debug.last_int_from, m.debug.last_int_to};
    to.clock = m.clock();
    to.interrupt_pending = (m.attention & Machine::interrupt_line) != 0;
    to.nmi_pending = (m.attention & Machine::nmi_line) != 0;
    to.nmi_blocked = m.nmi_blocked;
    to.interrupt_vector = m.interrupt_vector;
    to.oversight = oversight_;
}

Vm::Vm(Machine& m, const guest::Image& image, guest::Tape& tape, const SavedVm& saved)
    : machine_(m), image_(image), tape_(tape), oversight_(saved.oversight) {
    for (std::size_t at = 0; at < saved.memory.size(); at += Memory::page_size)
        if (std::memcmp(m.memory.bytes().data() + at, saved.memory.data() + at, Memory::page_size) != 0)
            m.write_physical(at, saved.memory.data() + at, Memory::page_size);
    m.cpu = saved.cpu;
    m.cpu.tsc_offset += saved.clock - m.clock();
    m.debug.address = saved.dr;
    m.debug.debugctl = saved.debugctl;
    m.debug.last_branch_from = saved.branches[0];
    m.debug.last_branch_to = saved.branches[1];
    m.debug.last_int_from = saved.branches[2];
    m.debug.last_int_to = saved.branches[3];
    m.registers_changed();
    if (saved.interrupt_pending) m.inject_interrupt(saved.interrupt_vector);
    if (saved.nmi_pending) m.inject_nmi();
    m.nmi_blocked = saved.nmi_blocked;
    // What this processor may keep of the VMCB is another guest's: "Guidelines for Clearing VMCB Clean Bits".
    set(&guest::svm::Vmcb::clean_bits, 0);
}

}  // namespace faultline::reference
