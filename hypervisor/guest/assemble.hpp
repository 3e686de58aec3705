// Case → image: the ops' bytes, the skip table, and the parameters the stage reads.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "hypervisor/guest/case.hpp"
#include "hypervisor/guest/image.hpp"

namespace faultline::guest {

/// Remembers the encodings it has met. Not thread safe: one per job.
class Assembler {
public:
    /// Fills `image`, which may have held another case; allocates nothing on success. The error says what is wrong
    /// with the case: a world without a stage, too many ops or stack quadwords, a reference to an op that is not there,
    /// field values without an encoding, a JRCXZ out of reach.
    ///
    /// The skip distance at the end's UD2 is 0: there is no next op to go to. Params::use_debugctl is set when the
    /// environment asks for BTF, and when the program itself addresses an MSR, so that the epilogue puts DEBUGCTL back.
    tl::expected<void, std::string> assemble(const Case& subject_case, Image& image);

private:
    struct Slot {
        std::uint64_t key = ~0ull;  ///< EncodingKey::bits; none has all bits set
        Encoding encoding;
    };
    const Encoding& encoding_of(const Op& op, Mode mode, std::uint64_t key);
    std::array<Slot, 1024> cache_;
};

/// What a mode does not have is an error; surroundings.cpp.
tl::expected<void, std::string> check_surroundings(const Case& subject_case);
/// Lays Environment::surroundings and `gates` into the image whose code is complete: patches, LIDT's operand, CR0. An
/// error where events would push into the stage itself.
tl::expected<void, std::string> lay_surroundings(const Case& subject_case, Image& image);

/// What only world svm has, or has not; vmm.cpp.
tl::expected<void, std::string> check_vmm(const Case& subject_case);
/// Lays Case::vmm into the image that is complete otherwise: the VMCB's patches, the reactions' parameters.
tl::expected<void, std::string> lay_vmm(const Case& subject_case, Image& image);

/// Assembles with a per-thread Assembler.
tl::expected<void, std::string> assemble(const Case& subject_case, Image& image);

}  // namespace faultline::guest
