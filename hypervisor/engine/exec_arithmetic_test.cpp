// Register instructions against the processor the test runs on: the same bytes, registers and flags in, the same out,
// but for what the manuals leave undefined. AMD APM vol 3, "Instructions" and their rFLAGS tables.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/mman.h>

#include <array>

#include "hypervisor/engine/test_machine.hpp"
#include "hypervisor/engine/test_random.hpp"

namespace faultline::engine {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// RAX, RCX, RDX, RBX and the arithmetic flags.
struct Registers {
    std::array<std::uint64_t, 4> gpr{};
    std::uint64_t flags = 0;
    bool operator==(const Registers&) const = default;
};

/// Executes bytes on the host between a load and a store of Registers.
class Host {
public:
    Host()
        : page_(static_cast<std::uint8_t*>(
              mmap(nullptr, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {}
    ~Host() { munmap(page_, 0x1000); }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    Registers run(const Bytes& instruction, Registers registers) {
        static constexpr std::uint8_t load[] = {
            0x53, 0x57,              // push rbx, rdi
            0xFF, 0x77, 0x20, 0x9D,  // push [rdi+32]; popfq
            0x48, 0x8B, 0x07,        // mov rax, [rdi]
            0x48, 0x8B, 0x4F, 0x08,  // mov rcx, [rdi+8]
            0x48, 0x8B, 0x57, 0x10,  // mov rdx, [rdi+16]
            0x48, 0x8B, 0x5F, 0x18,  // mov rbx, [rdi+24]
        };
        static constexpr std::uint8_t save[] = {
            0x48, 0x89, 0x07, 0x48, 0x89, 0x4F, 0x08, 0x48, 0x89, 0x57,
            0x10, 0x48, 0x89, 0x5F, 0x18, 0x9C, 0x8F, 0x47, 0x20,  // pushfq; pop [rdi+32]
            0x5F, 0x5B, 0xC3,                                      // pop rdi, rbx; ret
        };
        std::uint8_t* at = std::copy(std::begin(load), std::end(load), page_);
        at = std::copy(instruction.begin(), instruction.end(), at);
        std::copy(std::begin(save), std::end(save), at);
        registers.flags |= rflags::fixed1;
        reinterpret_cast<void (*)(Registers*)>(page_)(&registers);
        registers.flags &= rflags::arithmetic;
        return registers;
    }

private:
    std::uint8_t* page_;
};

struct Engine {
    TestMachine t;
    /// The vector of the fault it took, -1 for none.
    int fault = -1;

    Registers run(const Bytes& instruction, const Registers& registers) {
        t.m.write_physical(place::code, instruction.data(), instruction.size());
        t.m.cpu.rip = place::code;
        for (std::size_t i = 0; i < 4; ++i) t.m.cpu.r[i] = registers.gpr[i];
        t.set_rflags(registers.flags);
        t.step();
        fault = t.m.cpu.rip == place::code + instruction.size()
                    ? -1
                    : static_cast<int>((t.m.cpu.rip - place::handlers) / 16);
        Registers result;
        for (std::size_t i = 0; i < 4; ++i) result.gpr[i] = t.m.cpu.r[i];
        result.flags = t.m.cpu.rflags & rflags::arithmetic;
        return result;
    }
};

/// A value, often near the edges of some width.
std::uint64_t value() {
    const auto any = *rc::gen::arbitrary<std::uint64_t>();
    const std::uint64_t edge = (std::uint64_t{1} << *rc::gen::inRange(0, 64)) + any % 3 - 1;
    switch (*rc::gen::inRange(0, 4)) {
        case 0: return any;
        case 1: return edge;
        case 2: return ~edge;
        default: return any & 0xFF;
    }
}

Registers registers() {
    Registers r;
    for (auto& gpr : r.gpr) gpr = value();
    r.flags = *rc::gen::arbitrary<std::uint64_t>() & rflags::arithmetic;
    return r;
}

struct Width {
    unsigned bits;
    Bytes prefix;
    std::uint8_t w;  ///< low bit of the opcode
};
Width any_width() { return pick<Width>({{8, {}, 0}, {16, {0x66}, 1}, {32, {}, 1}, {64, {0x48}, 1}}); }
Width wide_width() { return pick<Width>({{16, {0x66}, 1}, {32, {}, 1}, {64, {0x48}, 1}}); }

/// A register-direct ModRM.
std::uint8_t modrm(unsigned reg, unsigned rm) { return static_cast<std::uint8_t>(0xC0 | reg << 3 | rm); }
/// Byte registers include AH to BH.
unsigned any_register(const Width& width) { return *rc::gen::inRange(0u, width.bits == 8 ? 8u : 4u); }

Bytes join(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

constexpr std::uint64_t all_but(std::uint64_t kept) { return rflags::arithmetic & ~kept; }

void agree(const Bytes& instruction, std::uint64_t undefined, const Registers& in) {
    static Host host;
    static Engine engine;
    const Registers seen = engine.run(instruction, in), expected = host.run(instruction, in);
    RC_ASSERT(engine.fault == -1);
    RC_ASSERT(seen.gpr == expected.gpr);
    RC_ASSERT((seen.flags & ~undefined) == (expected.flags & ~undefined));
}
void agree(const Bytes& instruction, std::uint64_t undefined) { agree(instruction, undefined, registers()); }

RC_GTEST_PROP(Arithmetic, BinaryInstructionsAgreeWithTheHost, ()) {
    const auto n = *rc::gen::inRange<unsigned>(0, 8);
    const Width width = any_width();
    const std::uint64_t undefined = n == 1 || n == 4 || n == 6 ? rflags::af : 0;
    const auto form = *rc::gen::inRange(0, 3);
    const unsigned rm = any_register(width);
    if (form == 0)
        agree(join(width.prefix, {static_cast<std::uint8_t>(n << 3 | width.w), modrm(any_register(width), rm)}),
              undefined);
    else if (form == 1)
        agree(join(width.prefix, {static_cast<std::uint8_t>(n << 3 | 2 | width.w), modrm(any_register(width), rm)}),
              undefined);
    else
        agree(join(width.prefix, {static_cast<std::uint8_t>(width.w ? 0x83 : 0x80), modrm(n, rm),
                                  *rc::gen::arbitrary<std::uint8_t>()}),
              undefined);
}

RC_GTEST_PROP(Arithmetic, UnaryInstructionsAgreeWithTheHost, ()) {
    const Width width = any_width();
    const auto [opcode, extension] = pick<std::pair<int, unsigned>>({{0xFE, 0}, {0xFE, 1}, {0xF6, 2}, {0xF6, 3}});
    agree(join(width.prefix, {static_cast<std::uint8_t>(opcode | width.w), modrm(extension, any_register(width))}), 0);
}

RC_GTEST_PROP(Arithmetic, TestXaddCmpxchgAndXchgAgreeWithTheHost, ()) {
    const Width width = any_width();
    const Bytes opcode = pick<Bytes>({{0x84}, {0x0F, 0xC0}, {0x0F, 0xB0}, {0x86}});
    Bytes bytes = join(width.prefix, opcode);
    bytes.back() |= width.w;
    bytes.push_back(modrm(any_register(width), any_register(width)));
    agree(bytes, opcode[0] == 0x84 ? rflags::af : 0);
}

RC_GTEST_PROP(Shift, ShiftsAndRotatesAgreeWithTheHost, ()) {
    const Width width = any_width();
    const unsigned extension = pick({0u, 1u, 2u, 3u, 4u, 5u, 7u});
    const auto form = *rc::gen::inRange(0, 3);
    const auto immediate = *rc::gen::arbitrary<std::uint8_t>();
    Registers in = registers();
    if (*rc::gen::arbitrary<bool>()) in.gpr[rcx] = (in.gpr[rcx] & ~0xFFull) | *rc::gen::inRange(0u, 10u);
    const unsigned given = form == 0 ? 1 : form == 1 ? in.gpr[rcx] & 0xFF : immediate;
    const unsigned count = given & (width.bits == 64 ? 63 : 31);
    std::uint64_t undefined = 0;
    if (count != 0) {
        if (extension >= 4) undefined |= rflags::af;
        if (count != 1) undefined |= rflags::of;
        if ((extension == 4 || extension == 5) && count >= width.bits) undefined |= rflags::cf;
    }
    Bytes bytes = join(width.prefix, {static_cast<std::uint8_t>((form == 0   ? 0xD0
                                                                 : form == 1 ? 0xD2
                                                                             : 0xC0) |
                                                                width.w),
                                      modrm(extension, any_register(width))});
    if (form == 2) bytes.push_back(immediate);
    agree(bytes, undefined, in);
}

RC_GTEST_PROP(Shift, DoubleShiftsAgreeWithTheHost, ()) {
    const Width width = wide_width();
    const bool by_cl = *rc::gen::arbitrary<bool>(), right = *rc::gen::arbitrary<bool>();
    const auto immediate = *rc::gen::arbitrary<std::uint8_t>();
    const Registers in = registers();
    const unsigned count = (by_cl ? in.gpr[rcx] & 0xFF : immediate) & (width.bits == 64 ? 63 : 31);
    RC_PRE(count <= width.bits);
    const std::uint64_t undefined = count ? rflags::af | (count == 1 ? 0 : rflags::of) : 0;
    Bytes bytes = join(width.prefix, {0x0F, static_cast<std::uint8_t>((right ? 0xAC : 0xA4) | by_cl),
                                      modrm(any_register(width), any_register(width))});
    if (!by_cl) bytes.push_back(immediate);
    agree(bytes, undefined, in);
}

RC_GTEST_PROP(Multiply, ProductsAgreeWithTheHost, ()) {
    constexpr std::uint64_t undefined = all_but(rflags::cf | rflags::of);
    const auto form = *rc::gen::inRange(0, 3);
    const Width width = form == 0 ? any_width() : wide_width();
    const unsigned rm = any_register(width);
    if (form == 0)
        agree(join(width.prefix, {static_cast<std::uint8_t>(0xF6 | width.w), modrm(pick({4u, 5u}), rm)}), undefined);
    else if (form == 1)
        agree(join(width.prefix, {0x0F, 0xAF, modrm(any_register(width), rm)}), undefined);
    else
        agree(join(width.prefix, {0x6B, modrm(any_register(width), rm), *rc::gen::arbitrary<std::uint8_t>()}),
              undefined);
}

RC_GTEST_PROP(Multiply, QuotientsAgreeWithTheHostAndDivideErrorsAreTheOnesOfArithmetic, ()) {
    const Width width = any_width();
    const bool is_signed = *rc::gen::arbitrary<bool>();
    const Bytes bytes = join(width.prefix, {static_cast<std::uint8_t>(0xF6 | width.w), modrm(is_signed ? 7 : 6, rbx)});
    Registers in = registers();
    if (*rc::gen::arbitrary<bool>()) in.gpr[rdx] = pick<std::uint64_t>({0, ~0ull, 1});
    // The division in twice the width decides whether the host may be asked.
    __extension__ using Wide = __int128;
    __extension__ using UnsignedWide = unsigned __int128;
    const auto cut = [&](std::uint64_t v) { return width.bits == 64 ? v : v & ((1ull << width.bits) - 1); };
    const UnsignedWide dividend = width.bits == 8
                                      ? UnsignedWide{in.gpr[rax] & 0xFFFF}
                                      : static_cast<UnsignedWide>(cut(in.gpr[rdx])) << width.bits | cut(in.gpr[rax]);
    const std::uint64_t divisor = cut(in.gpr[rbx]);
    bool fits = divisor != 0;
    if (fits && !is_signed) fits = dividend / divisor >> width.bits == 0;
    if (fits && is_signed) {
        const unsigned spare = 128 - 2 * width.bits;
        const Wide a = static_cast<Wide>(dividend << spare) >> spare;
        const Wide b = static_cast<std::int64_t>(divisor << (64 - width.bits)) >> (64 - width.bits);
        const Wide bound = static_cast<Wide>(1) << (width.bits - 1);
        const bool least = width.bits == 64 && dividend == static_cast<UnsignedWide>(1) << 127;
        fits = !least && a / b < bound && a / b >= -bound;
    }
    if (fits) return agree(bytes, rflags::arithmetic, in);
    Engine engine;
    const Registers after = engine.run(bytes, in);
    RC_ASSERT(engine.fault == vector::de);
    RC_ASSERT(after.gpr == in.gpr);
}

RC_GTEST_PROP(Bits, BitTestsAndScansAgreeWithTheHost, ()) {
    const Width width = wide_width();
    const Registers in = registers();
    const unsigned source = any_register(width), destination = any_register(width);
    if (*rc::gen::arbitrary<bool>()) {
        const auto opcode = pick<std::uint8_t>({0xA3, 0xAB, 0xB3, 0xBB});
        agree(join(width.prefix, {0x0F, opcode, modrm(source, destination)}),
              rflags::of | rflags::sf | rflags::af | rflags::pf, in);
    } else {
        RC_PRE(in.gpr[source] << (64 - width.bits) != 0u);
        const auto opcode = pick<std::uint8_t>({0xBC, 0xBD});
        agree(join(width.prefix, {0x0F, opcode, modrm(destination, source)}), all_but(rflags::zf), in);
    }
}

RC_GTEST_PROP(Bits, PopcntAndLzcntAgreeWithTheHost, ()) {
    const Width width = wide_width();
    const auto opcode = pick<std::uint8_t>({0xB8, 0xBD});
    Bytes bytes{0xF3};
    bytes = join(width.bits == 16   ? Bytes{0x66, 0xF3}
                 : width.bits == 64 ? Bytes{0xF3, 0x48}
                                    : bytes,
                 {0x0F, opcode, modrm(any_register(width), any_register(width))});
    agree(bytes, opcode == 0xBD ? all_but(rflags::cf | rflags::zf) : 0);
}

RC_GTEST_PROP(Bits, ConditionsAgreeWithTheHost, ()) {
    const auto condition = *rc::gen::inRange(0, 16);
    if (*rc::gen::arbitrary<bool>()) {
        agree({0x0F, static_cast<std::uint8_t>(0x90 + condition),
               static_cast<std::uint8_t>(0xC0 | *rc::gen::inRange(0, 8))},
              0);
    } else {
        const Width width = wide_width();
        agree(join(width.prefix, {0x0F, static_cast<std::uint8_t>(0x40 + condition),
                                  modrm(any_register(width), any_register(width))}),
              0);
    }
}

RC_GTEST_PROP(Move, MovesAndExtensionsAgreeWithTheHost, ()) {
    const Bytes opcode = pick<Bytes>({{0x89}, {0x0F, 0xB7}, {0x0F, 0xBF}, {0x63}});
    const Width width = wide_width();
    const unsigned reg = any_register(width), rm = any_register(width);
    if (opcode.back() == 0x63) RC_PRE(width.bits != 16);  // MOVSXD r16: how much is read differs between vendors
    agree(join(width.prefix, join(opcode, {modrm(reg, rm)})), 0);
    const auto narrow = pick<std::uint8_t>({0xB6, 0xBE});
    const unsigned source = *rc::gen::inRange(0u, width.bits == 64 ? 4u : 8u);  // REX hides AH to BH
    agree(join(width.prefix, {0x0F, narrow, modrm(reg, source)}), 0);
    agree({0x88, modrm(*rc::gen::inRange(0u, 8u), *rc::gen::inRange(0u, 8u))}, 0);
}

RC_GTEST_PROP(Move, AddressesAgreeWithTheHost, ()) {
    // lea reg, [base + index * scale + disp8], in the four combinations of operand and address size
    const auto sib = static_cast<std::uint8_t>(*rc::gen::inRange(0, 4) << 6 | *rc::gen::inRange(0, 4) << 3 |
                                               *rc::gen::inRange(0, 4));
    const auto modrm_byte = static_cast<std::uint8_t>(0x44 | *rc::gen::inRange(0, 4) << 3);
    const Bytes prefix = pick<Bytes>({{}, {0x48}, {0x67}, {0x67, 0x48}, {0x66}});
    agree(join(prefix, {0x8D, modrm_byte, sib, *rc::gen::arbitrary<std::uint8_t>()}), 0);
}

RC_GTEST_PROP(Move, OneByteInstructionsAgreeWithTheHost, ()) {
    const Bytes bytes = pick<Bytes>({{0x98},
                                     {0x48, 0x98},
                                     {0x66, 0x98},
                                     {0x99},
                                     {0x48, 0x99},
                                     {0x66, 0x99},
                                     {0x9E},
                                     {0x9F},
                                     {0xF5},
                                     {0xF8},
                                     {0xF9},
                                     {0x0F, 0xC9},
                                     {0x48, 0x0F, 0xCA},
                                     {0x91},
                                     {0x48, 0x93},
                                     {0x90},
                                     {0x87, 0xC0}});
    agree(bytes, 0);
}

}  // namespace
}  // namespace faultline::engine
