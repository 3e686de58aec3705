#include "hypervisor/engine/memory.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace faultline::engine {
namespace {

TEST(Memory, ReadsAllOnesAndIgnoresWritesWhereNothingBacksTheAddress) {
    std::vector<std::uint8_t> pristine(Memory::size, 0x11);
    Memory memory(pristine);
    std::uint32_t value = 0;
    memory.read(Memory::size - 2, &value, sizeof value);
    EXPECT_EQ(value, 0xFFFF'1111u);
    memory.read(~0ull - 1, &value, sizeof value);
    EXPECT_EQ(value, 0xFFFF'FFFFu);
    const std::uint32_t written = 0x2222'2222;
    memory.write(Memory::size - 2, &written, sizeof written);
    memory.write(~0ull - 1, &written, sizeof written);
    memory.read(Memory::size - 4, &value, sizeof value);
    EXPECT_EQ(value, 0x2222'1111u);
}

RC_GTEST_PROP(Memory, RestoreMakesEveryByteThatWasWrittenPristineAgain, ()) {
    std::vector<std::uint8_t> pristine(Memory::size);
    for (std::size_t i = 0; i < pristine.size(); ++i) pristine[i] = static_cast<std::uint8_t>(i * 7);
    Memory memory(pristine);
    const auto writes =
        *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, Memory::size));
    for (const std::uint64_t at : writes) {
        const std::uint64_t value = ~at;
        memory.write(at, &value, sizeof value);
    }
    memory.restore([](std::uint64_t, std::size_t) {});
    RC_ASSERT(std::equal(pristine.begin(), pristine.end(), memory.bytes().begin()));
}

TEST(Memory, TellsOfAWriteToAWatchedLineAndOfItsRestoration) {
    std::vector<std::uint8_t> pristine(Memory::size);
    Memory memory(pristine);
    memory.watch(0x1038, 16);  // the last bytes of one line and the first of the next
    const std::uint8_t byte = 1;
    EXPECT_FALSE(memory.write(0x0FFF, &byte, 1));
    EXPECT_TRUE(memory.write(0x1000, &byte, 1));
    EXPECT_TRUE(memory.write(0x107F, &byte, 1));
    EXPECT_FALSE(memory.write(0x1080, &byte, 1));
    std::vector<std::uint64_t> changed;
    memory.restore([&](std::uint64_t physical, std::size_t) { changed.push_back(physical); });
    EXPECT_EQ(changed, (std::vector<std::uint64_t>{0x1000, 0x1040}));
}

}  // namespace
}  // namespace faultline::engine
