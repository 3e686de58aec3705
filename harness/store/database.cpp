#include "harness/store/database.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>

#include "harness/store/migrations.hpp"

namespace faultline::harness {

Store::Impl::Impl(const std::string& file, int flags) : path(file), database(file, flags, 10'000 /* ms to wait */) {
    sqlite3* handle = database.getHandle();
    // The file may come from anywhere: no triggers or views that run functions, no writes to shadow tables,
    // no value larger than any of ours.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, 1 << 24);
}

void Store::Impl::begin() {
    if (in_transaction) return;
    database.exec("BEGIN IMMEDIATE");
    in_transaction = true;
}

void Store::Impl::commit() {
    if (!in_transaction) return;
    database.exec("COMMIT");
    in_transaction = false;
}

Result<void> adopt(Store::Impl& connection, bool created) {
    SQLite::Database& database = connection.database;
    const auto pragma = [&](const char* name) { return database.execAndGet(fmt::format("PRAGMA {}", name)).getInt(); };
    const auto version = [&] { return pragma("user_version"); };
    if (!created && pragma("application_id") != application_id)
        return fail(Exit::Data,
                    fmt::format("{} is an SQLite file of another program, not a Faultline database", connection.path));
    if (version() > schema_version)
        return fail(Exit::Data,
                    fmt::format("{} has schema {}, newer than the schema {} of this faultline: use a newer faultline",
                                connection.path, version(), schema_version));
    if (!created && version() < 1)
        return fail(Exit::Data, fmt::format("{} has schema {}, which no faultline wrote", connection.path, version()));
    if (version() < schema_version) {
        if (created) database.exec("PRAGMA journal_mode = WAL");
        connection.begin();
        // Asked again under the lock: another process may have been quicker.
        for (int next = version(); next < schema_version; ++next) database.exec(migrations[next]);
        database.exec(fmt::format("PRAGMA application_id = {}", application_id));
        database.exec(fmt::format("PRAGMA user_version = {}", schema_version));
        connection.commit();
    }
    database.exec("PRAGMA foreign_keys = ON");
    return {};
}

Result<Store> Store::open(const std::string& path, Access access) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    const fs::file_status status = fs::status(path, ignored);
    const bool exists = fs::exists(status);
    if (!exists && access == Access::Existing)
        return fail(Exit::Data, fmt::format("{}: no such database (or no permission to see it)", path));
    if (exists && !fs::is_regular_file(status))
        return fail(Exit::Data, fmt::format("{} is not a regular file: expected a Faultline database", path));
    if (exists && fs::file_size(path, ignored) == 0)
        return fail(Exit::Data,
                    fmt::format("{} is empty: expected a Faultline database, or a path that is free", path));
    try {
        auto impl = std::make_unique<Impl>(path, SQLite::OPEN_READWRITE | (exists ? 0 : SQLite::OPEN_CREATE));
        // SQLite opens a write-protected file read-only without a word.
        if (access == Access::Create && sqlite3_db_readonly(impl->database.getHandle(), "main") == 1)
            return fail(Exit::Data, fmt::format("{}: no permission to write this database", path));
        if (auto adopted = adopt(*impl, !exists); !adopted) return tl::unexpected(adopted.error());
        return Store(std::move(impl));
    } catch (const SQLite::Exception& e) {
        return fail(Exit::Data, fmt::format("{}: cannot be {} as a Faultline database: {}", path,
                                            exists ? "read" : "created", e.what()));
    }
}

}  // namespace faultline::harness
