// Owners of what the kernel hands out: file descriptors and mappings.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace faultline::kvm {

class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (valid()) close(number_);
    }
    bool valid() const { return number_ >= 0; }
    int number() const { return number_; }

private:
    int number_ = -1;
};

class Mapping {
public:
    Mapping() = default;
    /// Of `descriptor`, or anonymous memory where that is -1.
    Mapping(std::size_t size, int descriptor)
        : size_(size),
          address_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | (descriptor < 0 ? MAP_ANONYMOUS : 0),
                        descriptor, 0)) {}
    Mapping(Mapping&& other) noexcept
        : size_(std::exchange(other.size_, 0)), address_(std::exchange(other.address_, MAP_FAILED)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(size_, other.size_);
        std::swap(address_, other.address_);
        return *this;
    }
    ~Mapping() {
        if (valid()) munmap(address_, size_);
    }
    bool valid() const { return address_ != MAP_FAILED; }
    std::span<std::uint8_t> bytes() const { return {static_cast<std::uint8_t*>(address_), size_}; }

private:
    std::size_t size_ = 0;
    void* address_ = MAP_FAILED;
};

}  // namespace faultline::kvm
