// Linear to guest-physical: paging in its four kinds and a software TLB that hands out host pointers.
#pragma once

#include <array>
#include <cstdint>

#include "hypervisor/engine/cpu.hpp"
#include "hypervisor/engine/memory.hpp"

namespace faultline::engine {

enum class Access : std::uint8_t { Read, Write, Fetch };

/// #PF error code bits. AMD APM vol 2, "#PF—Page-Fault Exception (Vector 14)".
namespace pf {
inline constexpr std::uint32_t present = 1, write = 2, user = 4, reserved = 8, fetch = 16;
}

struct Translation {
    bool ok = false;
    std::uint64_t physical = 0;
    std::uint32_t error = 0;  ///< #PF error code when not ok
};

/// The TLB is coherent with the tables: lines that a walk has read are watched, and a write to one flushes. So no run
/// can see what an earlier run left behind.
class Mmu {
public:
    explicit Mmu(Memory& memory) : memory_(memory) { flush(); }

    struct TlbEntry {
        static constexpr std::uint64_t none = 1;                ///< no page address is odd
        std::uint64_t read = none, write = none, fetch = none;  ///< linear page address that may be accessed so
        std::uint8_t* host = nullptr;
        std::size_t page = 0;  ///< number of the physical page
    };

    /// Of a page-directory pointer of PAE paging. AMD APM vol 2, "PAE Paging Legacy-Mode": 63:52, what lies beyond the
    /// physical address, 8:5 and 2:1.
    static constexpr std::uint64_t reserved_in_pdpe = 0xFFFF'0000'0000'01E6;

    /// Takes over the registers that decide about paging. Flushes only if they differ: a coherent TLB needs no other
    /// flush, not even on MOV CR3 and INVLPG.
    /// The page-directory pointers of PAE paging are read on every walk, as AMD's processors do; nothing keeps them.
    void configure(const Cpu& cpu);
    void flush();

    const TlbEntry& entry(std::uint64_t linear, bool user) const {
        return tlb_[user][linear / Memory::page_size % entries];
    }

    Translation translate(std::uint64_t linear, Access access, bool user) {
        const TlbEntry& cached = entry(linear, user);
        const std::uint64_t page = access == Access::Read    ? cached.read
                                   : access == Access::Write ? cached.write
                                                             : cached.fetch;
        const std::uint64_t offset = linear % Memory::page_size;
        if (page == linear - offset) return {true, cached.page * Memory::page_size + offset, 0};
        return walk(linear, access, user);
    }

    /// True for lines that hold page-table entries that a walk has used.
    bool holds_tables(std::uint64_t physical) const {
        return table_lines_[physical / Memory::page_size] >> physical % Memory::page_size / Memory::line_size & 1;
    }

private:
    static constexpr std::size_t entries = 64;

    /// Walks the tables, sets accessed and dirty bits, and fills the TLB where memory backs the page.
    Translation walk(std::uint64_t linear, Access access, bool user);
    std::uint64_t read_entry(std::uint64_t physical);
    TlbEntry& fill(std::uint64_t linear, std::uint64_t physical, bool user);
    std::uint64_t reserved_bits(unsigned level, bool leaf) const;
    /// Bytes of a table entry, and bits of a linear address that one level consumes.
    std::size_t entry_size() const { return now_.kind == Kind::Legacy ? 4 : 8; }
    unsigned index_bits() const { return now_.kind == Kind::Legacy ? 10 : 9; }

    Memory& memory_;
    std::array<std::array<TlbEntry, entries>, 2> tlb_;
    std::array<std::uint64_t, Memory::page_count> table_lines_{};
    /// AMD APM vol 2, "Paging Overview" and "Page-Translation Options".
    enum class Kind : std::uint8_t { None, Legacy, Pae, Long };
    struct Configuration {
        Kind kind = Kind::None;
        std::uint64_t root = 0;
        bool write_protect = false, no_execute = false, page_size_extensions = false;
        bool operator==(const Configuration&) const = default;
    } now_;
};

}  // namespace faultline::engine
