#include "hypervisor/engine/ports.hpp"

namespace faultline::engine {

/// AMD APM vol 2, "I/O-Permission Bitmap" (64-bit TSS): its offset stands at 66h, and two bytes are read at a time, so
/// the byte after the one with the bits must lie inside the TSS too.
bool may_use_port(Machine& m, std::uint16_t port, std::size_t width) {
    if (m.cpu.cpl <= (m.cpu.rflags >> 12 & 3) || m.quirk(Quirk::port_bitmap_ignored)) return true;
    const Fault denied{vector::gp, 0, 0};
    std::uint16_t offset, bits;
    if (m.cpu.tr.limit < 0x67) return m.raise_gp();
    if (!m.system_read(m.cpu.tr.base + 0x66, &offset, sizeof offset, denied)) return false;
    if (offset + port / 8u + 1 > m.cpu.tr.limit) return m.raise_gp();
    if (!m.system_read(m.cpu.tr.base + offset + port / 8u, &bits, sizeof bits, denied)) return false;
    return (bits >> port % 8 & ((1u << width) - 1)) == 0 || m.raise_gp();
}

std::uint32_t port_in(Machine& m, std::uint16_t port, std::size_t width) {
    if (m.debug.io_armed()) m.saw(m.debug.match_io(port, width));
    if (m.quirks.any()) [[unlikely]] QuirkHooks::match_io(m, port, width, true);
    return 0;
}

void port_out(Machine& m, std::uint16_t port, std::size_t width, std::uint32_t) {
    if (m.debug.io_armed()) m.saw(m.debug.match_io(port, width));
    if (m.quirks.any()) [[unlikely]] QuirkHooks::match_io(m, port, width, false);
    if (port == m.stop_port && width == 1) m.stop(Exit::StopPort);
}

}  // namespace faultline::engine
