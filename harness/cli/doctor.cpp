#include <fmt/format.h>
#include <fmt/ranges.h>

#include "harness/backends.hpp"
#include "harness/cli/cli.hpp"
#include "harness/cli/output.hpp"
#include "hypervisor/guest/text.hpp"

namespace faultline::harness::cli {
namespace {

constexpr std::string_view text(guest::Features::Execution execution) {
    switch (execution) {
        case guest::Features::Execution::Silicon: return "silicon";
        case guest::Features::Execution::Emulated: return "emulated";
        case guest::Features::Execution::Unknown: break;
    }
    return "unknown";
}

Result<Exit> doctor(bool as_json) {
    Json backends = Json::array();
    for (const BackendInfo& info : backend_catalogue()) {
        auto factory = backend_factory(info.name);
        if (!factory) return tl::unexpected(factory.error());
        auto backend = (*factory)();
        Json json{{"name", info.name}, {"available", backend.has_value()}, {"worlds", info.worlds}};
        json["reason"] = backend ? "" : backend.error().reason;
        if (backend) {
            const guest::Features& f = (*backend)->features();
            json["subject"] = to_json((*backend)->subject());
            json["features"] = {{"vendor", guest::to_text(f.vendor)},
                                {"signature", fmt::format("{:08x}", f.signature)},
                                {"rtm", f.rtm},
                                {"bus_lock_detect", f.bus_lock_detect},
                                {"dbext", f.dbext},
                                {"btf", f.btf},
                                {"cpl0", text(f.cpl0)},
                                {"cpl3", text(f.cpl3)}};
            if (!as_json)
                fmt::print("{:<8} ready: {}\n         worlds {}; the guest sees {} {:08x}{}{}{}{}; CPL0 {}, CPL3 {}\n",
                           info.name, subject_text((*backend)->subject()), fmt::join(info.worlds, ", "),
                           guest::to_text(f.vendor), f.signature, f.btf ? ", BTF" : "", f.dbext ? ", DBEXT" : "",
                           f.rtm ? ", RTM" : "", f.bus_lock_detect ? ", bus lock detect" : "", text(f.cpl0),
                           text(f.cpl3));
        } else if (!as_json) {
            fmt::print("{:<8} cannot run here: {}\n", info.name, backend.error().reason);
        }
        backends.push_back(json);
    }
    if (as_json)
        print(Json{{"backends", backends}});
    else
        fmt::print("\nNext: faultline explore --backend engine --programs 10000 --db try.db\n");
    return Exit::Ok;
}

}  // namespace

void add_doctor(CLI::App& app, Chosen& chosen) {
    auto json = std::make_shared<bool>(false);
    CLI::App* command = app.add_subcommand("doctor", "What can run here, and why the rest cannot");
    add_format(*command, *json);
    command->callback([json, &chosen] { chosen.action = [json] { return doctor(*json); }; });
}

}  // namespace faultline::harness::cli
