// Guest-physical memory: one megabyte, a pristine copy, and which lines differ from it.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "hypervisor/guest/layout.hpp"

namespace faultline::engine {

/// Guest-physical memory. Addresses at or above `size` read as all ones and ignore writes, like an unbacked bus
/// address. Dirt is tracked by line of 64 bytes, so that `restore` costs what the last run wrote.
class Memory {
public:
    static constexpr std::uint64_t size = guest::layout::ram_size;
    static constexpr std::uint64_t page_size = 0x1000, line_size = 64;
    static constexpr std::size_t page_count = size / page_size;

    /// `pristine` has `size` bytes and outlives this object.
    explicit Memory(std::span<const std::uint8_t> pristine);

    std::span<std::uint8_t> bytes() { return bytes_; }
    std::uint8_t* page(std::size_t number) { return bytes_.data() + number * page_size; }

    /// `physical + length` may lie anywhere.
    void read(std::uint64_t physical, void* to, std::size_t length) const;
    /// Returns true when a watched line was written. `length` is at most one line.
    bool write(std::uint64_t physical, const void* from, std::size_t length);

    /// Records a write of `length` bytes (at most one line) inside one page that is backed by memory. Returns true
    /// when somebody watches a line of it.
    bool mark(std::size_t page_number, std::uint64_t offset, std::size_t length) {
        const std::uint64_t lines = 1ull << (offset / line_size) | 1ull << ((offset + length - 1) / line_size);
        dirty_[page_number] |= lines;
        dirty_pages_[page_number / 64] |= 1ull << page_number % 64;
        return (watched_[page_number] & lines) != 0;
    }
    /// From now on `mark` reports writes to these lines: somebody keeps something derived from their bytes.
    void watch(std::uint64_t physical, std::size_t length) {
        const std::uint64_t offset = physical % page_size;
        watched_[physical / page_size] |= 1ull << (offset / line_size) | 1ull << ((offset + length - 1) / line_size);
    }

    /// Makes every byte pristine again; calls `changed(physical, length)` for watched lines that were written.
    template <class Changed>
    void restore(Changed&& changed) {
        for (std::size_t word = 0; word < dirty_pages_.size(); ++word) {
            for (std::uint64_t pages = dirty_pages_[word]; pages; pages &= pages - 1) {
                const std::size_t number = word * 64 + static_cast<std::size_t>(__builtin_ctzll(pages));
                for (std::uint64_t lines = dirty_[number]; lines; lines &= lines - 1) {
                    const std::uint64_t offset = static_cast<std::uint64_t>(__builtin_ctzll(lines)) * line_size;
                    const std::uint64_t physical = number * page_size + offset;
                    std::memcpy(&bytes_[physical], &pristine_[physical], line_size);
                    if (watched_[number] & lines & -lines) changed(physical, line_size);
                }
                dirty_[number] = 0;
            }
            dirty_pages_[word] = 0;
        }
    }

private:
    std::span<const std::uint8_t> pristine_;
    std::vector<std::uint8_t> bytes_;
    std::array<std::uint64_t, page_count> dirty_{}, watched_{};
    std::array<std::uint64_t, page_count / 64> dirty_pages_{};
};

}  // namespace faultline::engine
