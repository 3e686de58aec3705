// Linear to physical: paging in its four kinds, nested paging below it, and a software TLB that hands out host
// pointers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "hypervisor/engine/cpu.hpp"
#include "hypervisor/engine/memory.hpp"

namespace faultline::engine {

enum class Access : std::uint8_t { Read, Write, Fetch };

/// #PF error code bits. AMD APM vol 2, "#PF—Page-Fault Exception (Vector 14)".
namespace pf {
inline constexpr std::uint32_t present = 1, write = 2, user = 4, reserved = 8, fetch = 16;
}

/// … and what EXITINFO1 has beyond them: which of a guest's addresses could not be translated. "Nested versus Guest
/// Page Faults, Fault Ordering".
namespace npf {
inline constexpr std::uint64_t final_address = 1ull << 32, guest_tables = 1ull << 33;
}

struct Translation {
    bool ok = false;
    std::uint64_t physical = 0;
    std::uint32_t error = 0;  ///< #PF error code when not ok
    /// Not ok because of the nested tables: EXITINFO1 and the guest-physical address.
    std::uint64_t nested_error = 0, nested_address = 0;
};

/// The registers that decide about paging.
struct PagingRegisters {
    std::uint64_t cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;
};

/// The TLB is coherent with the tables: lines that a walk has read are watched, and a write to one flushes. So no run
/// can see what an earlier run left behind.
class Mmu {
public:
    explicit Mmu(Memory& memory) : memory_(memory) {}

    struct TlbEntry {
        static constexpr std::uint64_t none = 1;                ///< no page address is odd
        std::uint64_t read = none, write = none, fetch = none;  ///< linear page address that may be accessed so
        std::uint8_t* host = nullptr;
        std::size_t page = 0;  ///< number of the physical page
    };

    /// Of a page-directory pointer of PAE paging. AMD APM vol 2, "PAE Paging Legacy-Mode": 63:52, what lies beyond the
    /// physical address, 8:5 and 2:1.
    static constexpr std::uint64_t reserved_in_pdpe = 0xFFFF'0000'0000'01E6;

    /// Takes over the registers that decide about paging. A coherent TLB needs no flush, not even on MOV CR3, INVLPG
    /// and VMRUN: what was translated by the tables of before waits for them to come back, as a hypervisor's do after
    /// every turn of its guest. AMD APM vol 2, "TLB Control": a TLB may keep what other address spaces have left in it.
    /// The page-directory pointers of PAE paging are read on every walk, as AMD's processors do; nothing keeps them.
    /// `host`: nested paging, by the host's registers with nCR3 in CR3.
    void configure(const Cpu& cpu, const std::optional<PagingRegisters>& host = {});
    void flush();

    const TlbEntry& entry(std::uint64_t linear, bool user) const {
        return space_->tlb[user][linear / Memory::page_size % entries];
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

    /// AMD APM vol 2, "Paging Overview" and "Page-Translation Options".
    enum class Kind : std::uint8_t { None, Legacy, Pae, Long };
    struct Tables {
        Kind kind = Kind::None;
        std::uint64_t root = 0;
        bool write_protect = false, no_execute = false, page_size_extensions = false;
        /// The addresses of these tables and what they lead to are a guest's: nested paging.
        bool nested = false;
        bool operator==(const Tables&) const = default;

        std::uint64_t reserved_bits(unsigned level, bool leaf) const;
        /// Bytes of a table entry, and bits of an address that one level consumes.
        std::size_t entry_size() const { return kind == Kind::Legacy ? 4 : 8; }
        unsigned index_bits() const { return kind == Kind::Legacy ? 10 : 9; }
    };
    static Tables tables_of(const PagingRegisters& registers);

    /// Translates, and fills the TLB where memory backs the page.
    Translation walk(std::uint64_t linear, Access access, bool user);
    /// Walks the tables and sets accessed and dirty bits.
    Translation walk_tables(const Tables& tables, std::uint64_t address, Access access, bool user);
    /// A guest-physical address, under nested paging; `which` of npf's it is.
    Translation walk_nested(std::uint64_t address, Access access, std::uint64_t which);
    std::uint64_t read_entry(std::uint64_t physical, std::size_t size);
    TlbEntry& fill(std::uint64_t linear, std::uint64_t physical, bool user);

    /// What has been translated by these tables.
    struct Space {
        Tables tables, host;  ///< `host`: the nested ones
        bool used = false;    ///< `tlb` is not empty
        std::array<std::array<TlbEntry, entries>, 2> tlb;
    };
    static void flush(Space& space);

    Memory& memory_;
    std::array<Space, 2> spaces_;    ///< of a hypervisor and its guest
    Space* space_ = spaces_.data();  ///< the one in force
    std::array<std::uint64_t, Memory::page_count> table_lines_{};
};

}  // namespace faultline::engine
