#include <filesystem>
#include <map>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/store/results.h"

namespace permille::cli {

namespace {

// When the file cannot be written, a dead process's runs are shown as they were left.
Store open_for_status(const std::filesystem::path& file) {
    Store reading(file, Store::Open::read_only);
    try {
        Store(file, Store::Open::existing).mark_interrupted();
    } catch (const Error&) {
    }
    return reading;
}

// Studies and the number of their runs in each state.
Table study_table(const Store& store, const std::vector<RunRow>& runs) {
    std::map<std::string, std::map<RunState, std::int64_t>> counts;
    for (const auto& run : runs) ++counts[run.spec.study][run.state];
    Table table;
    table.columns = {{"study", "study", ColumnKind::text}, {"runs", "runs", ColumnKind::whole}};
    for (const RunState state : kRunStates)
        table.columns.push_back({std::string(to_string(state)), std::string(to_string(state)), ColumnKind::whole});
    for (const auto& study : store.studies()) {
        if (study.runs == 0) continue;
        table.rows.push_back({study.name.empty() ? "(single runs)" : study.name, study.runs});
        for (const RunState state : kRunStates) table.rows.back().emplace_back(counts[study.name][state]);
    }
    return table;
}

}  // namespace

Action make_status(CLI::App& verb) {
    auto database = std::make_shared<std::filesystem::path>();
    add_database_option(verb, *database);
    return [database](Console& console) {
        const Store store = open_for_status(*database);
        const auto runs = store.runs();
        std::vector<RunRow> open;
        for (const auto& run : runs) {
            if (run.state != RunState::finished && run.state != RunState::queued) open.push_back(run);
        }
        const Table studies = study_table(store, runs);
        if (console.json()) {
            console.print({{"database", store.file().string()},
                           {"studies", Json::parse(render(studies, TableFormat::json))},
                           {"runs", Json::parse(render(status_table(open), TableFormat::json))}});
            return kDone;
        }
        if (studies.rows.empty()) {
            console.say("no study in " + store.file().string() + " yet");
            return kDone;
        }
        console.out() << render(studies, TableFormat::table);
        if (!open.empty()) console.out() << '\n' << render(status_table(open), TableFormat::table);
        console.out() << std::flush;
        return kDone;
    };
}

}  // namespace permille::cli
