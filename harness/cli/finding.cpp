#include "harness/cli/finding.hpp"

#include <capstone/capstone.h>
#include <fmt/format.h>

#include "harness/backends.hpp"
#include "hypervisor/guest/case_text.hpp"
#include "hypervisor/guest/tape_text.hpp"

namespace faultline::harness::cli {
namespace {

Result<guest::Case> parse(const CaseRow& row, RowId finding) {
    auto kase = guest::parse_case(row.text, fmt::format("case of finding {}", finding));
    if (!kase) return fail(Exit::Data, kase.error().text());
    if (guest::hash_text(guest::hash(*kase)) != row.hash)
        return fail(Exit::Data, fmt::format("finding {}: the case's text and its hash {} do not belong together",
                                            finding, row.hash));
    return *std::move(kase);
}

/// Capstone's handle, closed at the end.
class Disassembler {
public:
    Disassembler() { opened_ = cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) == CS_ERR_OK; }
    ~Disassembler() {
        if (opened_) cs_close(&handle_);
    }
    Disassembler(const Disassembler&) = delete;
    Disassembler& operator=(const Disassembler&) = delete;

    std::string one(const std::uint8_t* code, std::size_t size, std::uint64_t address) const {
        cs_insn* instruction = nullptr;
        if (!opened_ || cs_disasm(handle_, code, size, address, 1, &instruction) != 1) return "?";
        std::string text = fmt::format("{} {}", instruction->mnemonic, instruction->op_str);
        cs_free(instruction, 1);
        return text;
    }

private:
    csh handle_ = 0;
    bool opened_ = false;
};

}  // namespace

Result<Finding> load_finding(Store& store, RowId id) {
    auto row = store.finding(id);
    if (!row) return tl::unexpected(row.error());
    auto original = parse(row->original, id);
    if (!original) return tl::unexpected(original.error());
    auto minimal = parse(row->minimal, id);
    if (!minimal) return tl::unexpected(minimal.error());
    auto tape = guest::tape_from_json(row->minimal_tape);
    if (!tape) return fail(Exit::Data, fmt::format("tape of finding {}: {}", id, tape.error()));
    return Finding{*std::move(row), *std::move(original), *std::move(minimal), *std::move(tape)};
}

Result<Machine> machine_for(const Finding& finding, const std::optional<std::string>& backend) {
    auto factory = backend_factory(backend.value_or(finding.row.identity.backend));
    if (!factory) {
        if (backend) return tl::unexpected(factory.error());
        return fail(Exit::Skipped,
                    fmt::format("the finding's backend is not in this build: {}", factory.error().message));
    }
    auto made = (*factory)();
    if (!made) return fail(Exit::Skipped, made.error().reason);
    return Machine(*std::move(made));
}

Result<guest::Image> image_of(const guest::Case& kase) {
    guest::Image image;
    if (auto assembled = guest::assemble(kase, image); !assembled) return fail(Exit::Data, assembled.error());
    return image;
}

std::string listing(const guest::Case& kase, const guest::Image& image) {
    const Disassembler disassembler;
    std::string out;
    const auto line = [&](const std::string& label, std::size_t from, std::size_t to, const std::string& op) {
        std::string bytes;
        for (std::size_t i = from; i < to; ++i) bytes += fmt::format("{:02x}", image.code[i]);
        out += fmt::format("  {:>5}  {:05x}  {:<22} {:<34} {}\n", label, guest::layout::code + from, bytes,
                           disassembler.one(&image.code[from], to - from, guest::layout::code + from), op);
    };
    for (std::size_t i = 0; i < kase.ops.size(); ++i)
        line(fmt::format("op{}", i), image.op_offset[i], image.op_offset[i + 1], guest::to_text(kase.ops[i]));
    line("end", image.code_size, image.code_size + 2u, "the end");
    return out;
}

}  // namespace faultline::harness::cli
