#include <fmt/format.h>

#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"

namespace faultline::harness::cli {

void add_merge(CLI::App& app, Chosen& chosen) {
    struct Options {
        std::string out;
        std::vector<std::string> parts;
    };
    auto o = std::make_shared<Options>();
    CLI::App* command = app.add_subcommand("merge", "Join the databases of a distributed run");
    command->add_option("OUT", o->out, "Database to add to; made when there is none")->required();
    command->add_option("DB", o->parts, "Databases to add")->required();
    command->callback([o, &chosen] {
        chosen.action = [o]() -> Result<Exit> {
            for (const std::string& part : o->parts)  // all of them first: a bad one changes nothing
                if (auto opened = Store::open(part, Store::Access::Existing); !opened)
                    return tl::unexpected(opened.error());
            auto store = Store::open(o->out, Store::Access::Create);
            if (!store) return tl::unexpected(store.error());
            for (const std::string& part : o->parts)
                if (auto merged = store->merge(part); !merged) return tl::unexpected(merged.error());
            auto runs = store->runs();
            if (!runs) return tl::unexpected(runs.error());
            fmt::print("{} now holds {} runs\n", printable(o->out), runs->size());
            return Exit::Ok;
        };
    });
}

}  // namespace faultline::harness::cli
