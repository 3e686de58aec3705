#include "harness/bench/bochs.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "harness/scratch.hpp"

extern "C" const std::uint8_t faultline_bochs_loop_begin[], faultline_bochs_loop_count[], faultline_bochs_loop_end[];

namespace faultline::harness {
namespace {

namespace fs = std::filesystem;
constexpr std::uint32_t instructions_per_round = 4;
constexpr std::size_t floppy_size = 1474560;

void write_inputs(const fs::path& directory, std::uint32_t rounds) {
    std::string disk(reinterpret_cast<const char*>(faultline_bochs_loop_begin),
                     static_cast<std::size_t>(faultline_bochs_loop_end - faultline_bochs_loop_begin));
    std::memcpy(disk.data() + (faultline_bochs_loop_count - faultline_bochs_loop_begin), &rounds, sizeof rounds);
    disk.resize(floppy_size);
    std::ofstream(directory / "floppy.img", std::ios::binary) << disk;
    // Debian's build has no `nogui` display and starts in its debugger: VNC without waiting, and "continue".
    std::ofstream(directory / "commands") << "continue\n";
    std::ofstream(directory / "bochsrc") << fmt::format(
        "display_library: rfb, options=\"timeout=0\"\n"
        "romimage: file=/usr/share/bochs/BIOS-bochs-latest\n"
        "vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n"
        "megs: 32\nfloppya: 1_44={0}/floppy.img, status=inserted\nboot: floppy\n"
        "clock: sync=none\nlog: {0}/log\n",
        directory.string());
}

/// Seconds of one run from reset to the shutdown request; empty when it did not get there.
std::optional<double> run_seconds(const fs::path& directory, std::uint32_t rounds) {
    write_inputs(directory, rounds);
    const auto command = fmt::format(
        "cd {0} && timeout -s KILL 60 bochs -q -f bochsrc -rc commands </dev/null >output 2>&1; "
        "grep -q 'Shutdown port: shutdown requested' log output",
        directory.string());
    const auto begin = std::chrono::steady_clock::now();
    const bool ended = std::system(command.c_str()) == 0;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    return ended ? std::optional(elapsed.count()) : std::nullopt;
}

}  // namespace

std::optional<double> bochs_mips() {
    if (std::system("command -v bochs >/dev/null 2>&1") != 0) return std::nullopt;
    const ScratchFolder scratch;
    if (scratch.path().empty()) return std::nullopt;
    constexpr std::uint32_t rounds = 50'000'000;
    const auto start = run_seconds(scratch.path(), 1), loop = run_seconds(scratch.path(), rounds);
    if (!start || !loop || *loop <= *start) return std::nullopt;
    return double{instructions_per_round} * rounds / (*loop - *start) / 1e6;
}

}  // namespace faultline::harness
