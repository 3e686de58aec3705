// Opening a Faultline database safely. Only the store includes this.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>

#include <map>
#include <memory>
#include <string>

#include "harness/result.hpp"
#include "harness/store/store.hpp"

namespace faultline::harness {

/// A connection with its prepared statements, each prepared once.
struct Store::Impl {
    Impl(const std::string& file, int flags);

    /// The statement for this literal, reset, with `values` bound to ?1, ?2, ….
    template <class... Values>
    SQLite::Statement& query(const char* sql, const Values&... values) {
        auto it = statements.try_emplace(sql, database, sql).first;
        it->second.reset();
        SQLite::bind(it->second, values...);
        return it->second;
    }
    /// The same, run to its end inside the open transaction (one is begun if there is none).
    template <class... Values>
    void write(const char* sql, const Values&... values) {
        begin();
        SQLite::Statement& statement = query(sql, values...);
        while (statement.executeStep()) {
        }
        statement.reset();
    }
    void begin();
    void commit();

    std::string path;
    SQLite::Database database;
    std::map<const char*, SQLite::Statement> statements;  ///< keyed by the literal's address
    bool in_transaction = false;
};

/// Checks that an open connection is a Faultline database of a schema we know, and migrates an older one.
/// A new file has no tables and gets all of them. Throws SQLite::Exception like all of SQLiteCpp.
Result<void> adopt(Store::Impl& connection, bool created);

}  // namespace faultline::harness
