#include "core/store/results.h"

#include <filesystem>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"

namespace permille::cli {

Action make_results(CLI::App& verb) {
    struct Options {
        std::filesystem::path database;
        std::string study, where, format = "table";
    };
    auto options = std::make_shared<Options>();
    add_database_option(verb, options->database);
    verb.add_option("--study", options->study, "the runs of this study only");
    verb.add_option("--where", options->where, "conditions, such as \"pair=it-en AND percent_base<=2% AND score>=20\"; ~ is 'contains'");
    verb.add_option("--format,-f", options->format, "table, csv, tsv, json, md or latex")->capture_default_str();
    return [options](Console& console) {
        const TableFormat format = console.json() ? TableFormat::json : table_format(options->format, "--format");
        const Where where(options->where);
        const Store store(options->database, Store::Open::read_only);
        console.out() << render(results_table(where.select(store.runs(runs_of_study(options->study, store)))), format) << std::flush;
        return kDone;
    };
}

}  // namespace permille::cli
