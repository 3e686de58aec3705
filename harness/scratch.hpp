// A folder for files that nobody needs afterwards: of tests and measurements.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace faultline::harness {

/// A new, empty folder among the system's temporary files; it goes away with its contents.
class ScratchFolder {
public:
    ScratchFolder() {
        std::error_code none;
        const auto parent = std::filesystem::temp_directory_path(none);
        std::string name = (parent / "faultline-XXXXXX").string();
        if (!none && mkdtemp(name.data()) != nullptr) path_ = name;
    }
    ~ScratchFolder() {
        std::error_code ignored;
        if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;

    /// Empty when it could not be made.
    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

}  // namespace faultline::harness
