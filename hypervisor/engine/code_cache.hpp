// Decoded instructions by guest-physical page.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "hypervisor/engine/cpu.hpp"
#include "hypervisor/engine/instruction.hpp"
#include "hypervisor/engine/memory.hpp"

namespace faultline::engine {

inline constexpr std::size_t max_instruction_length = 15;

/// Decoded instructions that lie inside one page. `slot[offset]` indexes `decoded`; 0: not decoded.
struct CodePage {
    CodeMode mode = CodeMode::Long64;  ///< what they are decoded for
    std::array<std::uint16_t, Memory::page_size> slot{};
    std::array<Instruction, 1024> decoded;
    std::uint16_t used = 1;

    /// Forgets everything if it was decoded for another mode.
    void use(CodeMode now) {
        if (mode == now) return;
        mode = now;
        forget();
    }
    void forget() {
        slot.fill(0);
        used = 1;
    }
};

/// An Instruction handed out stays readable until the next one is stored, even if its page is invalidated: an
/// instruction may overwrite itself.
class CodeCache {
public:
    CodePage& page(std::size_t number) {
        if (!pages_[number]) pages_[number] = std::make_unique<CodePage>();
        return *pages_[number];
    }

    const Instruction* store(CodePage& page, std::uint64_t offset, const Instruction& instruction) {
        if (page.used == page.decoded.size()) page.forget();
        page.slot[offset] = page.used;
        return &(page.decoded[page.used++] = instruction);
    }

    /// Forgets every instruction that may contain a byte of [physical, physical + length), inside one page.
    void invalidate(std::uint64_t physical, std::size_t length) {
        const auto& page = pages_[physical / Memory::page_size];
        if (!page) return;
        const std::size_t offset = physical % Memory::page_size;
        const std::size_t first = offset - std::min<std::size_t>(offset, max_instruction_length - 1);
        std::fill(page->slot.begin() + first, page->slot.begin() + std::min(offset + length, page->slot.size()), 0);
    }

private:
    std::array<std::unique_ptr<CodePage>, Memory::page_count> pages_;
};

}  // namespace faultline::engine
