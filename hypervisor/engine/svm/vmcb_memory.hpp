// The VMCB where it lives: in guest-physical memory, which may be absent, or written by the guest itself.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hypervisor/engine/machine.hpp"
#include "hypervisor/guest/vmcb.hpp"

namespace faultline::engine {

using guest::svm::Vmcb;

/// Absent memory reads as all ones.
inline Vmcb read_vmcb(const Machine& m, std::uint64_t physical) {
    Vmcb vmcb;
    m.memory.read(physical, &vmcb, sizeof vmcb);
    return vmcb;
}

/// Writes field by field: what the processor does not write back keeps the bytes it has, whoever wrote them.
class VmcbWriter {
public:
    VmcbWriter(Machine& m, std::uint64_t physical) : m_(m), physical_(physical) {}

    template <class T>
    void set(T Vmcb::*field, const std::type_identity_t<T>& value) {
        static constexpr Vmcb origin{};
        const auto offset = static_cast<std::uint64_t>(reinterpret_cast<const char*>(&(origin.*field)) -
                                                       reinterpret_cast<const char*>(&origin));
        const std::size_t page = physical_ / Memory::page_size;
        if (physical_ % Memory::page_size == 0 && page < Memory::page_count) [[likely]] {
            std::memcpy(m_.memory.page(page) + offset, &value, sizeof value);
            if (!m_.memory.mark(page, offset, sizeof value)) [[likely]]
                return;
        }
        m_.write_physical(physical_ + offset, &value, sizeof value);
    }

private:
    Machine& m_;
    std::uint64_t physical_;
};

inline guest::Segment from_vmcb(const guest::svm::VmcbSegment& segment) {
    // "VMRUN and #VMEXIT canonicalize … all base addresses in the segment registers that have been loaded".
    return {segment.selector, sign_extended(segment.base), segment.limit,
            static_cast<std::uint16_t>(segment.attributes & 0xFFF)};
}
using guest::svm::vmcb_segment;

}  // namespace faultline::engine
