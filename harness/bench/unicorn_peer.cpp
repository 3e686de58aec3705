#include "harness/bench/unicorn_peer.hpp"

#include <unicorn/unicorn.h>

#include <array>

#include "hypervisor/guest/stage/memory.hpp"
#include "hypervisor/guest/stage/stage.hpp"

namespace faultline::harness {
namespace {

namespace layout = guest::layout;

constexpr std::array gprs{UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_RBX,
                          UC_X86_REG_RSP, UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI,
                          UC_X86_REG_R8,  UC_X86_REG_R9,  UC_X86_REG_R10, UC_X86_REG_R11,
                          UC_X86_REG_R12, UC_X86_REG_R13, UC_X86_REG_R14, UC_X86_REG_R15};

class Peer final : public UnicornPeer {
public:
    explicit Peer(const guest::Stage& stage) : stage_(stage) {}
    ~Peer() override {
        if (context_) uc_context_free(context_);
        if (engine_) uc_close(engine_);
    }

    bool start() {
        if (uc_open(UC_ARCH_X86, UC_MODE_64, &engine_) != UC_ERR_OK) return false;
        for (std::uint64_t page = 0; page < layout::ram_size; page += layout::page) {
            const guest::PageAccess access = guest::page_access(page);
            if (!access.present) continue;
            const std::uint32_t permissions = access.writable ? UC_PROT_ALL : UC_PROT_READ | UC_PROT_EXEC;
            if (uc_mem_map(engine_, page, layout::page, permissions) != UC_ERR_OK) return false;
            uc_mem_write(engine_, page, stage_.memory.data() + page, layout::page);
        }
        uc_hook hook = 0;
        uc_hook_add(engine_, &hook, UC_HOOK_INTR, reinterpret_cast<void*>(&Peer::interrupt), this, 1, 0);
        return uc_context_alloc(engine_, &context_) == UC_ERR_OK && uc_context_save(engine_, context_) == UC_ERR_OK;
    }

    bool run(const guest::Image& image) override {
        image_ = &image;
        uc_context_restore(engine_, context_);
        for (const guest::MemoryRange& range : guest::restored_ranges(guest::Mode::Long64))
            uc_mem_write(engine_, range.begin, stage_.memory.data() + range.begin, range.size);
        uc_mem_write(engine_, layout::code, image.code.data(), image.code_size + 2u);
        uc_mem_write(engine_, image.params.entry_frame.rsp, image.stack.data(),
                     image.stack_count * sizeof(std::uint64_t));
        uc_ctl_remove_cache(engine_, layout::code, layout::code + layout::page);
        for (std::size_t r = 0; r < gprs.size(); ++r) uc_reg_write(engine_, gprs[r], &image.params.gpr[r]);
        uc_reg_write(engine_, UC_X86_REG_RSP, &image.params.entry_frame.rsp);
        const std::uint64_t flags = image.params.entry_frame.rflags & (guest::rflags::arithmetic | guest::rflags::tf);
        uc_reg_write(engine_, UC_X86_REG_RFLAGS, &flags);
        events_ = 0;
        // A fault that Unicorn doesn't give to its interrupt hook (memory, privilege) ends the run: go on behind it.
        std::uint64_t rip = layout::code;
        while (uc_emu_start(engine_, rip, image.end_address(), 0, image.step_limit) != UC_ERR_OK) {
            uc_reg_read(engine_, UC_X86_REG_RIP, &rip);
            if (!skip_to_next_op(rip)) return false;
        }
        uc_reg_read(engine_, UC_X86_REG_RIP, &rip);
        return rip == image.end_address();
    }

private:
    /// What the stubs do for a fault. False when there is no next op, or the tape would be full.
    bool skip_to_next_op(std::uint64_t& rip) {
        if (++events_ > guest::tape_capacity || rip - layout::code >= image_->code_size) return false;
        rip += image_->skip[rip - layout::code];
        return true;
    }

    /// What the stubs do: a fault goes on at the next op, a trap or software interrupt where it is.
    static void interrupt(uc_engine* engine, std::uint32_t vector, void* self) {
        Peer& peer = *static_cast<Peer*>(self);
        const bool resumes = vector == 1 || vector == 3 || vector == 4 || vector >= 0x20;
        std::uint64_t rip = 0;
        uc_reg_read(engine, UC_X86_REG_RIP, &rip);
        if (resumes ? ++peer.events_ > guest::tape_capacity : !peer.skip_to_next_op(rip))
            uc_emu_stop(engine);
        else if (!resumes)
            uc_reg_write(engine, UC_X86_REG_RIP, &rip);
    }

    const guest::Stage& stage_;
    uc_engine* engine_ = nullptr;
    uc_context* context_ = nullptr;
    const guest::Image* image_ = nullptr;
    unsigned events_ = 0;
};

}  // namespace

std::unique_ptr<UnicornPeer> UnicornPeer::make(const guest::Stage& stage) {
    auto peer = std::make_unique<Peer>(stage);
    if (!peer->start()) return nullptr;
    return peer;
}

}  // namespace faultline::harness
