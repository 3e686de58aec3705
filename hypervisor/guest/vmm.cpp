#include "hypervisor/guest/vmm.hpp"

#include <algorithm>
#include <cstring>

#include "hypervisor/guest/assemble.hpp"
#include "hypervisor/guest/stage/tables.hpp"

namespace faultline::guest {
namespace {

tl::unexpected<std::string> failure(std::string why) { return tl::unexpected("vmm: " + std::move(why)); }

/// The quadword of the IOPM that holds the ports of programs, all of them intercepted.
constexpr std::uint64_t program_ports = layout::iopm + layout::first_port / 64 * 8;
constexpr std::uint64_t all_program_ports = (2ull << layout::last_port % 64) - (1ull << layout::first_port % 64);
static_assert(layout::first_port / 64 == layout::last_port / 64 && layout::exit_port / 64 > layout::last_port / 64);

/// The stage's VMCB as this case wants it.
svm::Vmcb vmcb_of(const Case& subject_case, const Image& image) {
    svm::Vmcb block;
    std::memcpy(&block, image.stage->memory.data() + layout::vmcb, sizeof block);
    const Params& params = image.params;
    const auto& words = subject_case.vmm.intercepts.words;
    block.intercept_cr |= words[0];
    block.intercept_dr |= words[1];
    block.intercept_exceptions |= words[2];
    block.intercept_3 |= words[3];
    block.intercept_4 |= words[4];
    block.intercept_5 |= words[5];
    const auto& frame = params.entry_frame;
    block.cs = svm::vmcb_segment(segment_of(image.stage->mode, static_cast<std::uint16_t>(frame.cs)));
    block.ss = svm::vmcb_segment(segment_of(image.stage->mode, static_cast<std::uint16_t>(frame.ss)));
    block.cpl = subject_case.cpl;
    block.rip = frame.rip, block.rsp = frame.rsp, block.rflags = frame.rflags;
    block.rax = params.gpr[static_cast<std::size_t>(Gpr::Rax)];
    block.dr6 = params.dr6, block.dr7 = params.dr7;
    block.cr4 = params.cr4;
    if (params.reload != 0) {
        block.cr0 = params.cr0;
        block.tr.limit = std::min<std::uint32_t>(block.tr.limit, subject_case.environment.surroundings.tss_limit);
    }
    block.idtr.limit = params.idt_limit_and_base[0] & 0xFFFF;
    block.idtr.base = params.idt_limit_and_base[0] >> 16 | params.idt_limit_and_base[1] << 48;
    for (const VmcbValue& set : subject_case.vmm.vmcb) {
        const VmcbField& field = vmcb_fields()[set.field];
        const std::uint64_t value = image.resolve(set.value);
        std::memcpy(reinterpret_cast<std::uint8_t*>(&block) + field.offset, &value, field.bytes);
    }
    return block;
}

}  // namespace

tl::expected<void, std::string> check_vmm(const Case& subject_case) {
    if (subject_case.world != World::Svm)
        return subject_case.vmm == Vmm{} ? tl::expected<void, std::string>{}
                                         : failure("only a program of world svm has a hypervisor");
    if (subject_case.environment.btf) return failure("BTF is the hypervisor's own until LBR virtualisation is there");
    for (const VmcbValue& set : subject_case.vmm.vmcb) {
        if (set.field >= vmcb_fields().size()) return failure("a field of the VMCB that is not there");
        if (set.value.op && set.value.op->index > subject_case.ops.size())
            return failure("the VMCB refers to an op that is not there");
    }
    return {};
}

tl::expected<void, std::string> lay_vmm(const Case& subject_case, Image& image) {
    if (subject_case.world != World::Svm) return {};
    const Vmm& vmm = subject_case.vmm;
    image.params.forced_exceptions = vmm.forced;
    image.params.stop_at_exceptions = vmm.exceptions == Vmm::OnException::Stop;
    image.params.stop_at_instructions = vmm.instructions == Vmm::OnInstruction::Stop;
    if (image.patch_count == image.patches.size()) return failure("more differences than an image holds");
    if (vmm.intercepts.has(svm::Intercept::Io)) image.patches[image.patch_count++] = {program_ports, all_program_ports};
    const svm::Vmcb block = vmcb_of(subject_case, image);
    const std::uint8_t* before = image.stage->memory.data() + layout::vmcb;
    for (std::size_t offset = 0; offset < sizeof block; offset += 8) {
        std::uint64_t value;
        std::memcpy(&value, reinterpret_cast<const std::uint8_t*>(&block) + offset, sizeof value);
        if (std::memcmp(before + offset, &value, sizeof value) == 0) continue;
        if (image.patch_count == image.patches.size()) return failure("more differences than an image holds");
        image.patches[image.patch_count++] = {layout::vmcb + offset, value};
    }
    return {};
}

}  // namespace faultline::guest
