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

void Mmu::configure(const Cpu& cpu) {
    Configuration now;
    if (cpu.cr0 & cr0::pg) {
        now.kind = cpu.efer & efer::lma ? Kind::Long : cpu.cr4 & cr4::pae ? Kind::Pae : Kind::Legacy;
        // AMD APM vol 2, "CR3 Register": where its base begins.
        now.root = now.kind == Kind::Long  ? cpu.cr3 & address_bits
                   : now.kind == Kind::Pae ? cpu.cr3 & 0xFFFF'FFE0
                                           : cpu.cr3 & 0xFFFF'F000;
        now.write_protect = (cpu.cr0 & cr0::wp) != 0;
        now.no_execute = now.kind != Kind::Legacy && cpu.efer & efer::nxe;
        now.page_size_extensions = now.kind != Kind::Legacy || cpu.cr4 & cr4::pse;
    }
    if (now == now_) return;
    now_ = now;
    flush();
}

void Mmu::flush() {
    for (auto& side : tlb_) side.fill(TlbEntry{});
}

std::uint64_t Mmu::read_entry(std::uint64_t physical) {
    std::uint64_t entry = 0;
    memory_.read(physical, &entry, entry_size());
    if (physical < Memory::size) {
        memory_.watch(physical, entry_size());
        table_lines_[physical / Memory::page_size] |= 1ull << physical % Memory::page_size / Memory::line_size;
    }
    return entry;
}

/// AMD APM vol 2, "Legacy-Mode Page Translation" and "Long-Mode Page Translation": the fields that must be zero.
std::uint64_t Mmu::reserved_bits(unsigned level, bool leaf) const {
    if (now_.kind == Kind::Legacy) return leaf && level > 0 ? 1ull << 21 : 0;
    std::uint64_t reserved = (0x000F'FFFF'FFFF'F000 & ~address_bits) | (now_.no_execute ? 0 : execute_disable);
    if (now_.kind == Kind::Pae) reserved |= 0x7FF0'0000'0000'0000;
    if (now_.kind == Kind::Pae && level == 2) return reserved_in_pdpe;
    if (level == 3) reserved |= large;
    if (leaf && level > 0) reserved |= reserved_in_large(level);
    return reserved;
}

Mmu::TlbEntry& Mmu::fill(std::uint64_t linear, std::uint64_t physical, bool user) {
    TlbEntry& slot = tlb_[user][linear / Memory::page_size % entries];
    const std::uint64_t page = linear & ~(Memory::page_size - 1);
    const std::size_t number = physical / Memory::page_size;
    if (slot.page != number || (slot.read != page && slot.fetch != page)) slot = TlbEntry{};
    slot.host = memory_.page(number);
    slot.page = number;
    return slot;
}

Translation Mmu::walk(std::uint64_t linear, Access access, bool user) {
    const std::uint64_t page = linear & ~(Memory::page_size - 1);
    if (now_.kind == Kind::None) {
        if (linear < Memory::size) {
            TlbEntry& slot = fill(linear, linear, user);
            slot.read = slot.write = slot.fetch = page;
        }
        return {true, linear, 0};
    }
    std::uint32_t error = (access == Access::Write ? pf::write : 0) | (user ? pf::user : 0) |
                          (access == Access::Fetch && now_.no_execute ? pf::fetch : 0);
    const bool legacy = now_.kind == Kind::Legacy;
    std::uint64_t entries_at[4], entry_of[4];
    std::uint64_t rights = writable | user_page, table = now_.root;
    bool executable = true;
    const unsigned top = legacy ? 2 : now_.kind == Kind::Pae ? 3 : 4, bits = index_bits();
    unsigned level = top;
    for (;;) {
        --level;
        entries_at[level] = table + (linear >> (12 + bits * level) & ((1u << bits) - 1)) * entry_size();
        const std::uint64_t entry = entry_of[level] = read_entry(entries_at[level]);
        if (!(entry & present)) return {false, 0, error};
        const bool pointer = now_.kind == Kind::Pae && level == 2;  // no rights, no page, no A
        const bool leaf = level == 0 || (level < 3 && !pointer && now_.page_size_extensions && entry & large);
        if (entry & reserved_bits(level, leaf)) return {false, 0, error | pf::present | pf::reserved};
        if (!pointer) rights &= entry;
        executable = executable && !(now_.no_execute && entry & execute_disable);
        if (leaf) break;
        table = entry & address_bits;
    }
    const bool write_allowed = (rights & writable) || (!user && !now_.write_protect);
    if ((user && !(rights & user_page)) || (access == Access::Write && !write_allowed) ||
        (access == Access::Fetch && !executable))
        return {false, 0, error | pf::present};

    for (unsigned l = now_.kind == Kind::Pae ? 2 : top; l-- > level;) {
        const std::uint64_t wanted = accessed | (l == level && access == Access::Write ? dirty : 0);
        if ((entry_of[l] & wanted) == wanted) continue;
        entry_of[l] |= wanted;
        memory_.write(entries_at[l], &entry_of[l], entry_size());
    }

    const std::uint64_t offset_mask = (1ull << (12 + bits * level)) - 1;
    std::uint64_t base = entry_of[level] & address_bits & ~offset_mask;
    // Bits 20:13 of a 4-Mbyte page's entry are bits 39:32 of its address. AMD APM vol 2, "4-Mbyte Page Translation".
    if (legacy && level > 0) base |= (entry_of[level] >> 13 & 0xFF) << 32;
    const std::uint64_t physical = base | (linear & offset_mask);
    if (physical < Memory::size) {
        TlbEntry& slot = fill(linear, physical, user);
        // Only a write sets D, so a page that was only read must come back here before its first write.
        if (access == Access::Fetch) {
            slot.fetch = page;
        } else {
            slot.read = page;
            if (access == Access::Write) slot.write = page;
        }
    }
    return {true, physical, 0};
}

}  // namespace faultline::engine
