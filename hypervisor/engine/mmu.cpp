#include "hypervisor/engine/mmu.hpp"

namespace faultline::engine {

namespace {

/// AMD APM vol 2, "Page-Translation-Table Entry Fields". Bits of a table entry.
constexpr std::uint64_t present = 1, writable = 1 << 1, user_page = 1 << 2, accessed = 1 << 5, dirty = 1 << 6,
                        large = 1 << 7, execute_disable = 1ull << 63;
constexpr std::uint64_t address_bits = 0x0000'FFFF'FFFF'F000;  ///< 48 physical address bits (CPUID 8000_0008)

/// Must-be-zero bits of a large page's address: [20:13] or [29:13].
constexpr std::uint64_t reserved_in_large(unsigned level) { return (1ull << (12 + 9 * level)) - 0x2000; }

}  // namespace

Mmu::Tables Mmu::tables_of(const PagingRegisters& registers) {
    Tables tables;
    if (!(registers.cr0 & cr0::pg)) return tables;
    tables.kind = registers.efer & efer::lma ? Kind::Long : registers.cr4 & cr4::pae ? Kind::Pae : Kind::Legacy;
    // AMD APM vol 2, "CR3 Register": where its base begins.
    tables.root = tables.kind == Kind::Long  ? registers.cr3 & address_bits
                  : tables.kind == Kind::Pae ? registers.cr3 & 0xFFFF'FFE0
                                             : registers.cr3 & 0xFFFF'F000;
    tables.write_protect = (registers.cr0 & cr0::wp) != 0;
    tables.no_execute = tables.kind != Kind::Legacy && registers.efer & efer::nxe;
    tables.page_size_extensions = tables.kind != Kind::Legacy || registers.cr4 & cr4::pse;
    return tables;
}

void Mmu::configure(const Cpu& cpu, const std::optional<PagingRegisters>& host) {
    Tables now = tables_of({cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer});
    now.nested = host.has_value();
    const Tables below = host ? tables_of(*host) : Tables{};
    const auto is_asked_for = [&](const Space& space) { return space.tables == now && space.host == below; };
    if (is_asked_for(*space_)) return;
    space_ = &spaces_[space_ == &spaces_[0]];
    if (is_asked_for(*space_)) return;
    flush(*space_);
    space_->tables = now;
    space_->host = below;
}

void Mmu::flush() {
    for (Space& space : spaces_) flush(space);
}

void Mmu::flush(Space& space) {
    if (!space.used) return;
    space.used = false;
    for (auto& side : space.tlb) side.fill(TlbEntry{});
}

std::uint64_t Mmu::read_entry(std::uint64_t physical, std::size_t size) {
    std::uint64_t entry = 0;
    memory_.read(physical, &entry, size);
    if (physical < Memory::size) {
        memory_.watch(physical, size);
        table_lines_[physical / Memory::page_size] |= 1ull << physical % Memory::page_size / Memory::line_size;
    }
    return entry;
}

/// AMD APM vol 2, "Legacy-Mode Page Translation" and "Long-Mode Page Translation": the fields that must be zero.
std::uint64_t Mmu::Tables::reserved_bits(unsigned level, bool leaf) const {
    if (kind == Kind::Legacy) return leaf && level > 0 ? 1ull << 21 : 0;
    std::uint64_t reserved = (0x000F'FFFF'FFFF'F000 & ~address_bits) | (no_execute ? 0 : execute_disable);
    if (kind == Kind::Pae) reserved |= 0x7FF0'0000'0000'0000;
    if (kind == Kind::Pae && level == 2) return reserved_in_pdpe;
    if (level == 3) reserved |= large;
    if (leaf && level > 0) reserved |= reserved_in_large(level);
    return reserved;
}

Mmu::TlbEntry& Mmu::fill(std::uint64_t linear, std::uint64_t physical, bool user) {
    space_->used = true;
    TlbEntry& slot = space_->tlb[user][linear / Memory::page_size % entries];
    const std::uint64_t page = linear & ~(Memory::page_size - 1);
    const std::size_t number = physical / Memory::page_size;
    if (slot.page != number || (slot.read != page && slot.fetch != page)) slot = TlbEntry{};
    slot.host = memory_.page(number);
    slot.page = number;
    return slot;
}

Translation Mmu::walk(std::uint64_t linear, Access access, bool user) {
    Translation result = walk_tables(space_->tables, linear, access, user);
    if (result.ok && space_->tables.nested) {
        result = walk_nested(result.physical, access, npf::final_address);
    }
    if (!result.ok || result.physical >= Memory::size) return result;
    const std::uint64_t page = linear & ~(Memory::page_size - 1);
    TlbEntry& slot = fill(linear, result.physical, user);
    // Only a write sets D, so a page that was only read must come back here before its first write. Without tables
    // there is no D.
    const bool no_tables = space_->tables.kind == Kind::None && !space_->tables.nested;
    if (no_tables || access == Access::Fetch) slot.fetch = page;
    if (no_tables || access != Access::Fetch) slot.read = page;
    if (no_tables || access == Access::Write) slot.write = page;
    return result;
}

/// "Nested page table accesses performed by the MMU are treated as user accesses". What a page table with 32 bits of
/// address cannot reach is not present in it.
Translation Mmu::walk_nested(std::uint64_t address, Access access, std::uint64_t which) {
    Translation result;
    if (space_->host.kind == Kind::Long || !(address >> 32)) {
        result = walk_tables(space_->host, address, access, true);
    } else {
        result.error = pf::user | (access == Access::Write ? pf::write : 0);
    }
    if (result.ok) return result;
    result.nested_error = result.error | which;
    result.nested_address = address;
    return result;
}

Translation Mmu::walk_tables(const Tables& tables, std::uint64_t linear, Access access, bool user) {
    if (tables.kind == Kind::None) return {.ok = true, .physical = linear};
    const std::uint32_t error = (access == Access::Write ? pf::write : 0) | (user ? pf::user : 0) |
                                (access == Access::Fetch && tables.no_execute ? pf::fetch : 0);
    const auto refused = [](std::uint32_t why) { return Translation{.error = why}; };
    const bool legacy = tables.kind == Kind::Legacy;
    std::uint64_t entries_at[4], entry_of[4];
    std::uint64_t rights = writable | user_page, table = tables.root;
    bool executable = true;
    const unsigned top = legacy ? 2 : tables.kind == Kind::Pae ? 3 : 4, bits = tables.index_bits();
    unsigned level = top;
    for (;;) {
        --level;
        std::uint64_t at = table + (linear >> (12 + bits * level) & ((1u << bits) - 1)) * tables.entry_size();
        if (tables.nested) {
            // "Table walks for guest page tables are always treated as user writes at the nested page table level."
            const Translation below = walk_nested(at, Access::Write, npf::guest_tables);
            if (!below.ok) return below;
            at = below.physical;
        }
        entries_at[level] = at;
        const std::uint64_t entry = entry_of[level] = read_entry(at, tables.entry_size());
        if (!(entry & present)) return refused(error);
        const bool pointer = tables.kind == Kind::Pae && level == 2;  // no rights, no page, no A
        const bool leaf = level == 0 || (level < 3 && !pointer && tables.page_size_extensions && entry & large);
        if (entry & tables.reserved_bits(level, leaf)) return refused(error | pf::present | pf::reserved);
        if (!pointer) rights &= entry;
        executable = executable && !(tables.no_execute && entry & execute_disable);
        if (leaf) break;
        table = entry & address_bits;
    }
    const bool write_allowed = (rights & writable) || (!user && !tables.write_protect);
    if ((user && !(rights & user_page)) || (access == Access::Write && !write_allowed) ||
        (access == Access::Fetch && !executable))
        return refused(error | pf::present);

    for (unsigned l = tables.kind == Kind::Pae ? 2 : top; l-- > level;) {
        const std::uint64_t wanted = accessed | (l == level && access == Access::Write ? dirty : 0);
        if ((entry_of[l] & wanted) == wanted) continue;
        entry_of[l] |= wanted;
        memory_.write(entries_at[l], &entry_of[l], tables.entry_size());
    }

    const std::uint64_t offset_mask = (1ull << (12 + bits * level)) - 1;
    std::uint64_t base = entry_of[level] & address_bits & ~offset_mask;
    // Bits 20:13 of a 4-Mbyte page's entry are bits 39:32 of its address. AMD APM vol 2, "4-Mbyte Page Translation".
    if (legacy && level > 0) base |= (entry_of[level] >> 13 & 0xFF) << 32;
    return {.ok = true, .physical = base | (linear & offset_mask)};
}

}  // namespace faultline::engine
