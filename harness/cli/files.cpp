#include "harness/cli/files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace faultline::harness::cli {

namespace fs = std::filesystem;

Result<std::vector<std::string>> case_paths(const std::vector<std::string>& names) {
    std::vector<std::string> paths;
    for (const std::string& name : names) {
        std::error_code error;
        const fs::file_status status = fs::status(name, error);
        if (fs::is_directory(status)) {
            std::vector<std::string> found;
            for (fs::recursive_directory_iterator it(name, error), end; !error && it != end; it.increment(error))
                if (it->path().extension() == ".toml") found.push_back(it->path());
            std::sort(found.begin(), found.end());
            paths.insert(paths.end(), found.begin(), found.end());
        } else if (fs::exists(status)) {
            paths.push_back(name);
        }
        if (error) return fail(Exit::Data, fmt::format("{}: {}", name, error.message()));
    }
    if (paths.empty()) return fail(Exit::Data, fmt::format("{}: no case files (*.toml) there", names.front()));
    return paths;
}

Result<guest::CaseFile> load_case_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string text(guest::max_file_size + 1, '\0');
    if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in && !in.eof()) return fail(Exit::Data, fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > guest::max_file_size)
        return fail(Exit::Data, fmt::format("{}: larger than {} bytes, so no case file", path, guest::max_file_size));
    auto file = guest::parse_case_file(text, path);
    if (!file) return fail(Exit::Data, file.error().text());
    return *std::move(file);
}

}  // namespace faultline::harness::cli
