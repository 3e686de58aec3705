#include "hypervisor/engine/mmu.hpp"

namespace faultline::engine {

namespace {

/// AMD APM vol 2, "Long-Mode Page Translation": bits of a table entry.
constexpr std::uint64_t present = 1, writable = 1 << 1, user_page = 1 << 2, accessed = 1 << 5, dirty = 1 << 6,
                        large = 1 << 7, execute_disable = 1ull << 63;
constexpr std::uint64_t address_bits = 0x0000'FFFF'FFFF'F000;  ///< 48 physical address bits (CPUID 8000_0008)

/// Must-be-zero bits of a large page's address: [20:13] or [29:13].
constexpr std::uint64_t reserved_in_large(unsigned level) { return (1ull << (12 + 9 * level)) - 0x2000; }

}  // namespace

void Mmu::configure(const Cpu& cpu) {
    const Configuration now{cpu.cr3 & address_bits, (cpu.cr0 & cr0::wp) != 0, (cpu.efer & efer::nxe) != 0};
    if (now == now_) return;
    now_ = now;
    flush();
}

void Mmu::flush() {
    for (auto& side : tlb_) side.fill(TlbEntry{});
}

std::uint64_t Mmu::read_entry(std::uint64_t physical) {
    std::uint64_t entry;
    memory_.read(physical, &entry, sizeof entry);
    if (physical < Memory::size) {
        memory_.watch(physical, sizeof entry);
        table_lines_[physical / Memory::page_size] |= 1ull << physical % Memory::page_size / Memory::line_size;
    }
    return entry;
}

Translation Mmu::walk(std::uint64_t linear, Access access, bool user) {
    std::uint32_t error = (access == Access::Write ? pf::write : 0) | (user ? pf::user : 0) |
                          (access == Access::Fetch && now_.no_execute ? pf::fetch : 0);
    std::uint64_t entries_at[4], entry_of[4];
    std::uint64_t rights = writable | user_page, table = now_.root;
    bool executable = true;
    unsigned level = 4;
    for (;;) {
        --level;
        entries_at[level] = table + (linear >> (12 + 9 * level) & 0x1FF) * 8;
        const std::uint64_t entry = entry_of[level] = read_entry(entries_at[level]);
        if (!(entry & present)) return {false, 0, error};
        const bool leaf = level == 0 || (level < 3 && entry & large);
        std::uint64_t reserved = (0x000F'FFFF'FFFF'F000 & ~address_bits) | (now_.no_execute ? 0 : execute_disable);
        if (level == 3) reserved |= large;
        if (leaf && level > 0) reserved |= reserved_in_large(level);
        if (entry & reserved) return {false, 0, error | pf::present | pf::reserved};
        rights &= entry;
        executable = executable && !(now_.no_execute && entry & execute_disable);
        if (leaf) break;
        table = entry & address_bits;
    }
    const bool write_allowed = (rights & writable) || (!user && !now_.write_protect);
    if ((user && !(rights & user_page)) || (access == Access::Write && !write_allowed) ||
        (access == Access::Fetch && !executable))
        return {false, 0, error | pf::present};

    for (unsigned l = 4; l-- > level;) {
        const std::uint64_t wanted = accessed | (l == level && access == Access::Write ? dirty : 0);
        if ((entry_of[l] & wanted) == wanted) continue;
        entry_of[l] |= wanted;
        memory_.write(entries_at[l], &entry_of[l], sizeof entry_of[l]);
    }

    const std::uint64_t offset_mask = (1ull << (12 + 9 * level)) - 1;
    const std::uint64_t physical = (entry_of[level] & address_bits & ~offset_mask) | (linear & offset_mask);
    if (physical < Memory::size) {
        TlbEntry& slot = tlb_[user][linear / Memory::page_size % entries];
        const std::uint64_t page = linear & ~(Memory::page_size - 1);
        const std::size_t number = physical / Memory::page_size;
        if (slot.page != number || (slot.read != page && slot.fetch != page)) slot = TlbEntry{};
        slot.host = memory_.page(number);
        slot.page = number;
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
