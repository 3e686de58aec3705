#include "hypervisor/guest/assemble.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "hypervisor/guest/descriptors.hpp"
#include "hypervisor/guest/layout.hpp"
#include "hypervisor/guest/tape.hpp"

namespace faultline::guest {
namespace {

static_assert(max_ops < std::tuple_size_v<decltype(Image::op_offset)>);

bool refers_into(const Value& value, const Case& subject_case) {
    return !value.op || value.op->index <= subject_case.ops.size();
}

tl::unexpected<std::string> failure(std::string why) { return tl::unexpected(std::move(why)); }

/// Everything about a case that does not depend on encodings.
tl::expected<void, std::string> check(const Case& subject_case, const Stage* stage) {
    const auto& environment = subject_case.environment;
    if (stage == nullptr) return failure("there is no stage for this world and mode");
    if (subject_case.cpl != 0 && subject_case.cpl != 3) return failure("cpl: expected 0 or 3");
    if (subject_case.mode == Mode::Real16 && subject_case.cpl != 0) return failure("cpl: expected 0 in real16");
    if (subject_case.ops.size() > max_ops) return failure(fmt::format("more than {} ops", max_ops));
    if (environment.stack.size() > std::tuple_size_v<decltype(Image::stack)>)
        return failure(fmt::format("more than {} stack quadwords", std::tuple_size_v<decltype(Image::stack)>));
    if (environment.gpr[static_cast<std::size_t>(Gpr::Rsp)] != Value{}) return failure("gpr: RSP is the stack's");
    const auto refers = [&](const Value& value) { return refers_into(value, subject_case); };
    const auto& surroundings = environment.surroundings;
    if (!refers(surroundings.inner_stack) || !refers(surroundings.ist2) ||
        (surroundings.task && !refers(surroundings.task->eip)) || !refers(environment.dr6) ||
        !refers(environment.dr7) || !std::ranges::all_of(environment.dr, refers) ||
        !std::ranges::all_of(environment.gpr, refers) || !std::ranges::all_of(environment.stack, refers))
        return failure("the environment refers to an op that is not there");
    if (auto checked = check_vmm(subject_case); !checked) return checked;
    return check_surroundings(subject_case);
}

void fill_policy(const Policy& policy, Params& params) {
    params.db_skip = policy.db == Policy::Db::Skip;
    params.db_rf_set = policy.db == Policy::Db::ResumeRf ? rflags::rf : 0;
    params.db_clear_dr6 = policy.dr6 == Policy::Dr6::Clear;
    params.fault_flags_and = policy.fault_rf == Policy::FaultRf::Clear ? ~rflags::rf : ~0ull;
}

/// Cuts the parameters to what their registers hold. VM would make the prologue's IRET enter virtual-8086 mode.
void narrow(Mode mode, Params& params) {
    constexpr std::uint64_t low32 = 0xFFFF'FFFF, low16 = 0xFFFF;
    if (mode == Mode::Long64) return;
    for (auto& gpr : params.gpr) gpr &= low32;
    if (mode == Mode::Compat32) return;
    std::fill(params.gpr.begin() + 8, params.gpr.end(), std::uint64_t{0});
    for (auto& dr : params.dr) dr &= low32;
    params.dr6 &= low32;
    params.dr7 &= low32;
    params.entry_frame.rflags &= low32 & ~rflags::vm;
    if (mode == Mode::Prot32) return;
    params.entry_frame.rip &= low16;
    params.entry_frame.rsp &= low16;
}

void fill_params(const Case& subject_case, Image& image) {
    const auto& environment = subject_case.environment;
    const auto number = [&](const Value& value) { return image.resolve(value); };
    auto& params = image.params;
    params.cr4 = image.stage->cr4 | (environment.de ? cr4_de : 0);
    params.use_debugctl = environment.btf || std::ranges::any_of(subject_case.ops, [](const Op& op) {
                              return std::holds_alternative<ops::Rdmsr>(op) || std::holds_alternative<ops::Wrmsr>(op);
                          });
    params.debugctl = environment.btf ? debugctl::btf : 0;
    std::ranges::transform(environment.dr, params.dr.begin(), number);
    params.dr6 = number(environment.dr6);
    params.dr7 = number(environment.dr7);
    std::ranges::transform(environment.gpr, params.gpr.begin(), number);

    params.entry_frame = {.rip = layout::code,
                          .cs = program_cs(image.mode, subject_case.cpl),
                          .rflags = environment.rflags,
                          .rsp = layout::stack_top - image.stack_slot_bytes() * environment.stack.size(),
                          .ss = program_ss(image.mode, subject_case.cpl)};
    narrow(image.mode, params);
    params.code_size = image.code_size;
    fill_policy(environment.policy, params);
}

bool repeats(const Op& op) {
    return std::holds_alternative<ops::RepMovs>(op) || std::holds_alternative<ops::RepStos>(op) ||
           std::holds_alternative<ops::RepLods>(op) || std::holds_alternative<ops::RepIns>(op) ||
           std::holds_alternative<ops::RepOuts>(op);
}

/// Prologue and epilogue, every op and every recorded exception with its stub, and for REP the bytes of the longest
/// run of mapped pages. Only a program that loops takes more.
std::uint32_t step_limit(const Case& subject_case) {
    const auto repeated = static_cast<std::size_t>(std::ranges::count_if(subject_case.ops, repeats));
    return static_cast<std::uint32_t>(4000 + 200 * (subject_case.ops.size() + tape_capacity) +
                                      2 * layout::data_size * repeated);
}

}  // namespace

const Encoding& Assembler::encoding_of(const Op& op, Mode mode, std::uint64_t key) {
    // Fibonacci hashing: the key's low bits are the op's index, its high ones mostly zero.
    auto& slot = cache_[key * 0x9E37'79B9'7F4A'7C15 >> (64 - 10)];
    static_assert(std::tuple_size_v<decltype(cache_)> == 1 << 10);
    if (slot.key != key) slot = {key, encode_op(op, mode)};
    return slot.encoding;
}

tl::expected<void, std::string> Assembler::assemble(const Case& subject_case, Image& image) {
    image.stage = stage_of(subject_case.world, subject_case.mode);
    image.mode = subject_case.mode;
    if (auto checked = check(subject_case, image.stage); !checked) return checked;

    const auto end = end_bytes(image.mode);
    struct Hole {
        std::uint16_t end;  ///< offset of the byte after it
        Encoding::Patch patch;
        Value symbol;
    };
    std::array<Hole, max_ops> holes;
    std::size_t hole_count = 0, size = 0;
    image.op_count = static_cast<std::uint16_t>(subject_case.ops.size());
    for (std::size_t i = 0; i < subject_case.ops.size(); ++i) {
        const auto& op = subject_case.ops[i];
        if (!belongs_to(op, subject_case.world))
            return failure(fmt::format("op{}: `{}` is for programs under a hypervisor", i, to_text(op)));
        const auto key = encoding_key(op, image.mode);
        const auto& encoding = encoding_of(op, image.mode, key.bits);
        if (encoding.length == 0) return failure(fmt::format("op{}: `{}` has no encoding", i, to_text(op)));
        if (!refers_into(key.symbol, subject_case))
            return failure(fmt::format("op{}: `{}` refers to an op that is not there", i, to_text(op)));
        if (size + encoding.bytes.size() + end.size() > image.code.size())
            return failure(fmt::format("the program is longer than {} bytes", image.code.size()));
        image.op_offset[i] = static_cast<std::uint16_t>(size);
        std::memcpy(&image.code[size], encoding.bytes.data(), encoding.bytes.size());
        for (std::size_t byte = 0; byte < encoding.length; ++byte)
            image.skip[size + byte] = static_cast<std::uint8_t>(encoding.length - byte);
        size += encoding.length;
        if (encoding.patch != Encoding::Patch::None)
            holes[hole_count++] = {static_cast<std::uint16_t>(size), encoding.patch, key.symbol};
    }
    image.op_offset[image.op_count] = image.code_size = static_cast<std::uint16_t>(size);
    std::memcpy(&image.code[size], end.data(), end.size());
    std::fill(image.code.begin() + size + end.size(), image.code.end(), std::uint8_t{0});
    std::fill(image.skip.begin() + size, image.skip.end(), std::uint8_t{0});

    for (std::size_t i = 0; i < hole_count; ++i) {
        const auto& hole = holes[i];
        const auto target = image.resolve(hole.symbol);
        const auto distance = static_cast<std::int64_t>(target - (layout::code + hole.end));
        switch (hole.patch) {
            case Encoding::Patch::Absolute64: std::memcpy(&image.code[hole.end - 8], &target, 8); break;
            case Encoding::Patch::Absolute32: std::memcpy(&image.code[hole.end - 4], &target, 4); break;
            case Encoding::Patch::Relative32: std::memcpy(&image.code[hole.end - 4], &distance, 4); break;
            case Encoding::Patch::Relative16: std::memcpy(&image.code[hole.end - 2], &distance, 2); break;
            case Encoding::Patch::Far32: std::memcpy(&image.code[hole.end - 6], &target, 4); break;
            case Encoding::Patch::Far16: {
                std::uint16_t selector;
                std::memcpy(&selector, &image.code[hole.end - 2], 2);
                const auto offset = target - (std::uint64_t{selector} << 4);
                std::memcpy(&image.code[hole.end - 4], &offset, 2);
                break;
            }
            case Encoding::Patch::Relative8:
                if (distance != static_cast<std::int8_t>(distance)) {
                    const auto op = std::upper_bound(image.op_offset.begin(), image.op_offset.begin() + image.op_count,
                                                     hole.end - 1) -
                                    image.op_offset.begin() - 1;
                    return failure(fmt::format("op{}: `{}` is too far from its target", op,
                                               to_text(subject_case.ops[static_cast<std::size_t>(op)])));
                }
                std::memcpy(&image.code[hole.end - 1], &distance, 1);
                break;
            case Encoding::Patch::None: break;
        }
    }

    fill_params(subject_case, image);
    if (auto laid = lay_surroundings(subject_case, image); !laid) return laid;
    if (auto laid = lay_vmm(subject_case, image); !laid) return laid;
    const auto& stack = subject_case.environment.stack;
    image.stack_count = static_cast<std::uint16_t>(stack.size());
    std::ranges::transform(stack, image.stack.begin(), [&](const Value& value) { return image.resolve(value); });
    image.wake = subject_case.environment.wake;
    image.step_limit = step_limit(subject_case);
    return {};
}

tl::expected<void, std::string> assemble(const Case& subject_case, Image& image) {
    thread_local Assembler assembler;
    return assembler.assemble(subject_case, image);
}

}  // namespace faultline::guest
