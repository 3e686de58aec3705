#include "harness/cli/witness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "harness/cli/files.hpp"
#include "harness/cli/output.hpp"
#include "harness/cli/session.hpp"
#include "harness/witness/witness.hpp"
#include "oracle/catalogue.hpp"
#include "oracle/proof/proof.hpp"

namespace faultline::harness::cli {
namespace {

namespace fs = std::filesystem;

struct ChapterWork {
    std::string_view chapter;
    std::vector<std::string_view> wanted;
    witness::Found found;
};

/// The file, if a person wrote it.
Result<bool> made_by_hand(const fs::path& path) {
    if (!fs::exists(path)) return false;
    auto file = load_case_file(path);
    if (!file) return tl::unexpected(file.error());
    return file->about.argument.starts_with(witness::by_hand);
}

Result<void> write(const fs::path& path, const std::string& text) {
    std::ofstream out(path, std::ios::binary);
    out << text << std::flush;
    if (!out) return fail(Exit::Data, fmt::format("{}: cannot be written: {}", path.string(), std::strerror(errno)));
    return {};
}

}  // namespace

Result<Exit> write_witnesses(const WitnessOptions& o) {
    const fs::path folder(o.out);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return fail(Exit::Data, fmt::format("{}: {}", o.out, error.message()));

    std::vector<ChapterWork> work;
    for (const auto& chapter : oracle::proof::chapters())
        if (o.chapters.empty() || std::ranges::find(o.chapters, chapter.name) != o.chapters.end())
            work.push_back({chapter.name, {}, {}});
    Json written = Json::array(), without = Json::array();
    std::vector<std::string> lines;
    bool all = true;
    const auto lacks = [&](std::string_view rule, std::string_view reason) {
        without.push_back({{"rule", rule}, {"reason", reason}});
        lines.push_back(fmt::format("{:<8} none: {}", rule, reason));
    };
    const auto has = [&](std::string_view rule, std::string_view origin, const fs::path& path, const Json& more,
                         std::string_view text) {
        Json row = {{"rule", rule}, {"origin", origin}, {"file", path.string()}};
        row.update(more);
        written.push_back(row);
        lines.push_back(fmt::format("{:<8} {:<7} {}", rule, origin, text));
    };
    for (const oracle::RuleInfo& rule : oracle::catalogue()) {
        const auto mine = std::ranges::find(work, rule.chapter, &ChapterWork::chapter);
        if (mine == work.end()) continue;
        const fs::path path = folder / fmt::format("{}.toml", rule.id);
        const auto kept = made_by_hand(path);
        if (!kept) return tl::unexpected(kept.error());
        if (*kept)
            has(rule.id, "hand", path, Json::object(), "kept");
        else if (const auto why = oracle::beyond_reach(rule, oracle::RuleVendor::Amd); !why.empty())
            lacks(rule.id, why);
        else
            mine->wanted.push_back(rule.id);
    }

    const auto look = [](ChapterWork& one) {
        witness::Options options;
        options.progress = status_line();
        one.found = witness::find(one.chapter, one.wanted, options);
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < work.size(); ++i)
            if (o.parallel) threads.emplace_back(look, std::ref(work[i]));
        for (std::size_t i = 0; i < work.size(); ++i)
            if (i == 0 || !o.parallel) look(work[i]);
    }
    clear_progress_line();

    for (const ChapterWork& one : work)
        for (const std::string_view rule : one.wanted) {
            const auto found = one.found.witnesses.find(rule);
            if (found == one.found.witnesses.end()) {
                all = false;
                lacks(rule, "no program was found in which it decides");
                continue;
            }
            const witness::Witness& w = found->second;
            const fs::path path = folder / fmt::format("{}.toml", rule);
            if (auto done = write(path, witness::file_text(rule, w)); !done) return tl::unexpected(done.error());
            has(rule, w.origin == witness::Witness::Origin::Solver ? "solver" : "search", path,
                {{"ops", w.kase.ops.size()}, {"on_boundary", w.decision.on_boundary}, {"decides", w.decision.text}},
                w.decision.text);
        }
    if (o.json) {
        print({{"witnesses", written}, {"without", without}});
    } else {
        std::ranges::sort(lines);
        for (const std::string& line : lines) fmt::print("{}\n", line);
        fmt::print("{} witnesses in {}; {} rules without one\n", written.size(), o.out, without.size());
    }
    return all ? Exit::Ok : Exit::Divergence;
}

}  // namespace faultline::harness::cli
