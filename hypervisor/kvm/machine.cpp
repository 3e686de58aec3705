#include "hypervisor/kvm/machine.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "hypervisor/guest/types.hpp"

namespace faultline::kvm {
namespace {

guest::Unavailable failed(const char* what) { return {std::string(what) + " failed: " + std::strerror(errno)}; }

// MSR numbers: AMD APM vol 2, "SYSCALL and SYSRET MSRs".
constexpr std::uint32_t msr_star = 0xC000'0081, msr_lstar = 0xC000'0082, msr_sfmask = 0xC000'0084;

/// The timer of the watchdog may interrupt any of these requests; those that create something take long enough.
template <typename Argument>
int request_from(const Descriptor& descriptor, unsigned long number, Argument argument) {
    int result;
    do result = ioctl(descriptor.number(), number, argument);
    while (result < 0 && errno == EINTR);
    return result;
}

kvm_segment segment(const guest::Segment& from) {
    const unsigned a = from.attributes;
    kvm_segment to{};
    to.base = from.base;
    to.limit = from.limit;
    to.selector = from.selector;
    to.type = a & 0xF;
    to.s = a >> 4 & 1;
    to.dpl = a >> 5 & 3;
    to.present = a >> 7 & 1;
    to.avl = a >> 8 & 1;
    to.l = a >> 9 & 1;
    to.db = a >> 10 & 1;
    to.g = a >> 11 & 1;
    return to;
}

/// kvm_cpuid2 and kvm_msrs with a size for the array at their end. Linux's own declarations of it mislead C++ up
/// to 6.2: an empty struct before the array has a size there, which shifts the entries and enters into the
/// request's number. Hence `list_request`.
template <typename Entry, std::size_t capacity>
struct List {
    std::uint32_t count = capacity, padding = 0;
    std::array<Entry, capacity> entries{};
};
constexpr std::size_t list_header = 8;
static_assert(offsetof(kvm_cpuid2, padding) + 4 == list_header && offsetof(kvm_msrs, pad) + 4 == list_header);

constexpr unsigned long list_request(unsigned long declared) {
    return _IOC(_IOC_DIR(declared), _IOC_TYPE(declared), _IOC_NR(declared), list_header);
}

bool set_cpuid(const Descriptor& kvm, const Descriptor& vcpu) {
    const auto table = std::make_unique<List<kvm_cpuid_entry2, 256>>();
    return request_from(kvm, list_request(KVM_GET_SUPPORTED_CPUID), table.get()) == 0 &&
           request_from(vcpu, list_request(KVM_SET_CPUID2), table.get()) == 0;
}

}  // namespace

tl::expected<Descriptor, guest::Unavailable> open_kvm() {
    Descriptor kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm.valid()) {
        switch (errno) {
            case ENOENT: return tl::unexpected(guest::Unavailable{"/dev/kvm does not exist: no KVM module is loaded"});
            case EACCES:
                return tl::unexpected(
                    guest::Unavailable{"/dev/kvm may not be opened by this user: join the group that owns it"});
            default: return tl::unexpected(failed("opening /dev/kvm"));
        }
    }
    const int version = request_from(kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return tl::unexpected(guest::Unavailable{"/dev/kvm speaks API version " + std::to_string(version) +
                                                 ", expected " + std::to_string(KVM_API_VERSION)});
    const int synced = request_from(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);
    if ((synced & KVM_SYNC_X86_VALID_FIELDS) != KVM_SYNC_X86_VALID_FIELDS)
        return tl::unexpected(guest::Unavailable{"/dev/kvm lacks KVM_CAP_SYNC_REGS (Linux 4.17 has it)"});
    if (request_from(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0)
        return tl::unexpected(guest::Unavailable{"/dev/kvm lacks KVM_CAP_IMMEDIATE_EXIT (Linux 4.13 has it)"});
    return kvm;
}

tl::expected<Machine, guest::Unavailable> Machine::create(const Descriptor& kvm, std::span<std::uint8_t> memory,
                                                          const guest::Stage& stage) {
    Machine machine;
    machine.vm_ = Descriptor(request_from(kvm, KVM_CREATE_VM, 0));
    if (!machine.vm_.valid()) return tl::unexpected(failed("KVM_CREATE_VM"));
    kvm_userspace_memory_region region{};
    region.memory_size = memory.size();
    region.userspace_addr = reinterpret_cast<std::uintptr_t>(memory.data());
    if (request_from(machine.vm_, KVM_SET_USER_MEMORY_REGION, &region) != 0)
        return tl::unexpected(failed("KVM_SET_USER_MEMORY_REGION"));

    // Old Intel processors run real mode in a task of their own, for which kvm_intel wants three pages. Others need
    // none, and may refuse.
    request_from(machine.vm_, KVM_SET_TSS_ADDR, 0xFFFB'D000ul);

    machine.vcpu_ = Descriptor(request_from(machine.vm_, KVM_CREATE_VCPU, 0));
    if (!machine.vcpu_.valid()) return tl::unexpected(failed("KVM_CREATE_VCPU"));
    const int run_size = request_from(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < static_cast<int>(sizeof(kvm_run))) return tl::unexpected(failed("KVM_GET_VCPU_MMAP_SIZE"));
    machine.run_page_ = Mapping(static_cast<std::size_t>(run_size), machine.vcpu_.number());
    if (!machine.run_page_.valid()) return tl::unexpected(failed("mapping kvm_run"));
    machine.run_ = reinterpret_cast<kvm_run*>(machine.run_page_.bytes().data());
    machine.run_->kvm_valid_regs = KVM_SYNC_X86_REGS;

    if (!set_cpuid(kvm, machine.vcpu_)) return tl::unexpected(failed("giving the vCPU its CPUID"));
    kvm_sregs& sregs = machine.sregs_;
    if (request_from(machine.vcpu_, KVM_GET_SREGS, &sregs) != 0) return tl::unexpected(failed("KVM_GET_SREGS"));
    sregs.cs = segment(stage.cs);
    sregs.ss = segment(stage.ss);
    sregs.ds = segment(stage.ds);
    sregs.es = segment(stage.es);
    sregs.fs = segment(stage.fs);
    sregs.gs = segment(stage.gs);
    sregs.tr = segment(stage.tr);
    sregs.ldt = {.unusable = 1};  // RESET leaves a present one over linear address 0; the stage has none
    sregs.gdt = {.base = stage.gdt_base, .limit = stage.gdt_limit};
    sregs.idt = {.base = stage.idt_base, .limit = stage.idt_limit};
    sregs.cr0 = stage.cr0;
    sregs.cr3 = stage.cr3;
    sregs.cr4 = stage.cr4;
    sregs.efer = stage.efer;
    if (request_from(machine.vcpu_, KVM_GET_VCPU_EVENTS, &machine.events_) != 0)
        return tl::unexpected(failed("KVM_GET_VCPU_EVENTS"));
    machine.events_.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    if (auto done = machine.reset(stage); !done) return tl::unexpected(done.error());
    return machine;
}

tl::expected<void, guest::Unavailable> Machine::reset(const guest::Stage& stage) {
    kvm_debugregs debug{};
    debug.dr6 = guest::dr::dr6_reset;
    debug.dr7 = guest::dr::dr7_reset;
    if (request_from(vcpu_, KVM_SET_DEBUGREGS, &debug) != 0) return tl::unexpected(failed("KVM_SET_DEBUGREGS"));
    // DEBUGCTL comes last, because KVM stops at the first that a vCPU lacks, and then there is none to clear.
    constexpr int needed = 3;
    List<kvm_msr_entry, needed + 1> msrs{.entries = {{{msr_star, 0, stage.star},
                                                      {msr_lstar, 0, stage.lstar},
                                                      {msr_sfmask, 0, stage.sfmask},
                                                      {guest::debugctl::msr, 0, 0}}}};
    if (request_from(vcpu_, list_request(KVM_SET_MSRS), &msrs) < needed) return tl::unexpected(failed("KVM_SET_MSRS"));
    run_->s.regs.sregs = sregs_;
    run_->s.regs.events = events_;
    run_->kvm_dirty_regs = KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
    return {};
}

void Machine::set_registers(const kvm_regs& registers) {
    run_->s.regs.regs = registers;
    run_->kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

std::uint64_t Machine::cs_base() const {
    kvm_sregs sregs{};
    const bool real = (sregs_.cr0 & guest::cr0_pe) == 0;
    return real && request_from(vcpu_, KVM_GET_SREGS, &sregs) == 0 ? sregs.cs.base : 0;
}

bool Machine::enter() { return ioctl(vcpu_.number(), KVM_RUN, 0) == 0; }

bool Machine::exception_waiting() const {
    kvm_vcpu_events events{};
    return request_from(vcpu_, KVM_GET_VCPU_EVENTS, &events) == 0 &&
           (events.exception.injected || events.exception.pending);
}

bool Machine::inject_interrupt(std::uint8_t vector) {
    kvm_interrupt interrupt{vector};
    return request_from(vcpu_, KVM_INTERRUPT, &interrupt) == 0;
}

bool Machine::inject_nmi() { return request_from(vcpu_, KVM_NMI, 0) == 0; }

}  // namespace faultline::kvm
