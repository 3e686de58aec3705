// The laws about who may include whom (README "Architecture", laws 1 and 2). A target that reaches a header
// it must not know is a design error even when it compiles, so includes are followed through our own headers.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
const fs::path root = FAULTLINE_SOURCE_DIR;

std::vector<std::string> own_includes(const fs::path& file) {
    std::vector<std::string> found;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        const auto hash = line.find_first_not_of(" \t");
        if (hash == std::string::npos || line.compare(hash, 8, "#include") != 0) continue;
        const auto open = line.find('"'), close = line.rfind('"');
        if (open != std::string::npos && close > open) found.push_back(line.substr(open + 1, close - open - 1));
    }
    return found;
}

/// Every header of ours that `file` (relative to the root) reaches, with the file that includes it.
std::map<std::string, std::string> reached_from(const std::string& file) {
    std::map<std::string, std::string> reached;
    std::function<void(const std::string&)> follow = [&](const std::string& from) {
        for (const auto& include : own_includes(root / from))
            if (fs::exists(root / include) && reached.emplace(include, from).second) follow(include);
    };
    follow(file);
    return reached;
}

bool under(const std::string& path, const std::string& folder) { return path.rfind(folder + "/", 0) == 0; }
bool is_test(const std::string& path) { return path.find("_test.cpp") != std::string::npos; }

std::vector<std::string> sources(const std::string& folder) {
    std::vector<std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const auto extension = entry.path().extension();
        if (extension == ".cpp" || extension == ".hpp" || extension == ".h")
            files.push_back(fs::relative(entry.path(), root).string());
    }
    return files;
}

/// Expects that no source of `folder` reaches a header for which `forbidden` is true.
void expect_never_reaches(const std::string& folder, bool tests_too,
                          const std::function<bool(const std::string&)>& forbidden) {
    const auto files = sources(folder);
    ASSERT_FALSE(files.empty()) << folder;
    for (const auto& file : files) {
        if (is_test(file) && !tests_too) continue;
        for (const auto& [header, includer] : reached_from(file))
            EXPECT_FALSE(forbidden(header)) << file << " reaches " << header << " (included by " << includer << ")";
    }
}

/// Headers of hypervisor/guest that know what a program means. Backends must not.
bool knows_programs(const std::string& header) {
    static const std::set<std::string> names = {"op.hpp",     "case.hpp",  "case_text.hpp",
                                                "effect.hpp", "state.hpp", "assemble.hpp"};
    return under(header, "hypervisor/guest/ops") ||
           (under(header, "hypervisor/guest") && names.count(fs::path(header).filename().string()) != 0);
}

TEST(Laws, GuestDependsOnNothingOfOurs) {
    expect_never_reaches("hypervisor/guest", true, [](const auto& h) { return !under(h, "hypervisor/guest"); });
}

TEST(Laws, OracleDependsOnGuestOnly) {
    expect_never_reaches("oracle", true,
                         [](const auto& h) { return !under(h, "oracle") && !under(h, "hypervisor/guest"); });
}

TEST(Laws, EngineReadsBytesAndNeverKnowsWhatAProgramMeans) {
    expect_never_reaches("hypervisor/engine", false, [](const auto& h) {
        return knows_programs(h) || (!under(h, "hypervisor/guest") && !under(h, "hypervisor/engine"));
    });
}

TEST(Laws, KvmBackendNeverKnowsWhatAProgramMeans) {
    expect_never_reaches("hypervisor/kvm", false, [](const auto& h) {
        return knows_programs(h) || (!under(h, "hypervisor/guest") && !under(h, "hypervisor/kvm"));
    });
}

TEST(Laws, NativeBackendNeverKnowsWhatAProgramMeans) {
    expect_never_reaches("hypervisor/native", false, [](const auto& h) {
        return knows_programs(h) || (!under(h, "hypervisor/guest") && !under(h, "hypervisor/native"));
    });
}

TEST(Laws, ReferenceHypervisorStandsOnTheEngineAndNeverKnowsWhatAProgramMeans) {
    expect_never_reaches("hypervisor/reference", false, [](const auto& h) {
        return knows_programs(h) || (!under(h, "hypervisor/guest") && !under(h, "hypervisor/engine") &&
                                     !under(h, "hypervisor/reference"));
    });
}

TEST(Laws, OracleDoesNoInputOrOutput) {
    for (const auto& file : sources("oracle")) {
        if (is_test(file)) continue;
        std::ifstream in(root / file);
        for (std::string line; std::getline(in, line);)
            for (const char* header :
                 {"<fstream>", "<iostream>", "<filesystem>", "<cstdio>", "SQLiteCpp", "Zydis", "capstone"})
                EXPECT_FALSE(line.rfind("#include", 0) == 0 && line.find(header) != std::string::npos)
                    << file << ": " << line;
    }
}

}  // namespace
