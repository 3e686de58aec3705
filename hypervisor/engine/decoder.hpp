// Bytes to Instruction: Zydis says what an instruction is, a trie remembers it.
//
// A program's bytes are new in every case, and asking Zydis costs several hundred nanoseconds. But what comes before
// displacement and immediate (prefixes, opcode, ModRM, SIB) repeats all the time, and alone decides what the
// instruction is and how long. So the trie maps this head to a template, into which displacement and immediate are
// read from the bytes. What the head means depends on the mode: there is a decoder for each.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <cstdint>
#include <vector>

#include "hypervisor/engine/cpu.hpp"
#include "hypervisor/engine/instruction.hpp"

namespace faultline::engine {

enum class DecodeStatus : std::uint8_t {
    Ok,
    NeedMore,   ///< the bytes end inside the instruction
    Undefined,  ///< #UD
    TooLong,    ///< more than 15 bytes: #GP(0)
};

class Decoder {
public:
    explicit Decoder(CodeMode mode);
    /// `available` is at most 15.
    DecodeStatus decode(const std::uint8_t* bytes, std::size_t available, Instruction& out);

private:
    /// Where an immediate or displacement stands in the bytes; 0 bytes: there is none.
    struct Field {
        std::uint8_t offset = 0, bytes = 0;
        bool is_signed = false;
    };
    struct Template {
        Instruction instruction;
        Field disp, imm, level;  ///< `level`: ENTER's second immediate
    };
    /// Child by next byte: 0 unknown; with `leaf` a template's index, else a node's.
    struct Node {
        std::array<std::uint32_t, 256> child{};
    };
    static constexpr std::uint32_t leaf = 1u << 31;
    /// 8 MiB of nodes and 4 of templates; past either the trie starts anew.
    static constexpr std::size_t max_nodes = 8192, max_templates = 65536;

    static std::uint64_t read_field(const std::uint8_t* bytes, Field field);
    static void instantiate(const Template& form, const std::uint8_t* bytes, Instruction& out);
    void remember(const std::uint8_t* bytes, std::size_t head, const Template& form);
    Template translate(const ZydisDecodedInstruction& zydis, const ZydisDecodedOperand* operands) const;

    CodeMode mode_;
    ZydisDecoder zydis_;
    std::vector<Node> nodes_;
    std::vector<Template> templates_;
};

}  // namespace faultline::engine
