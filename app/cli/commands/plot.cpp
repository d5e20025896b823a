#include <QApplication>
#include <filesystem>
#include <map>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/metrics/metrics.h"
#include "core/store/results.h"
#include "ui/widgets/render_chart.h"

namespace permille::cli {

Action make_plot(CLI::App& verb) {
    struct Options {
        std::filesystem::path database, output;
        std::string study, where, x = "trainable_percent", y, group = "method", facet = "pair";
        ui::ChartFile file;
    };
    auto options = std::make_shared<Options>();
    add_database_option(verb, options->database);
    verb.add_option("--study", options->study, "the runs of this study only");
    verb.add_option("--where", options->where, "conditions, as for permille results");
    verb.add_option("--x", options->x, "what is drawn against: " + list_some(against_names()))->capture_default_str();
    verb.add_option("--y", options->y, "any metric that the runs were scored with; without it the one that is the main metric of most")
        ->check(CLI::IsMember(metric_ids()));
    verb.add_option("--group", options->group, "what makes a series: " + list_some(property_names()))->capture_default_str();
    verb.add_option("--facet", options->facet, "what gets a panel of its own: the same choices")->capture_default_str();
    verb.add_option("--output,-o", options->output, "FILE.pdf, FILE.svg or FILE.png")->required();
    verb.add_option("--width", options->file.width_mm, "millimetres")->capture_default_str();
    verb.add_option("--height", options->file.height_mm, "millimetres")->capture_default_str();
    verb.add_option("--dpi", options->file.dots_per_inch, "dots per inch of a PNG")->capture_default_str();
    return [options](Console& console) {
        const ChartRequest request{against_named(options->x, "--x"), options->y, property_named(options->group, "--group"),
                                   property_named(options->facet, "--facet")};
        const Where where(options->where);
        const Store store(options->database, Store::Open::read_only);
        RunFilter filter = runs_of_study(options->study, store);
        auto runs = where.select(store.runs(filter));
        if (!options->y.empty()) {
            // The same runs with their scores in this metric, which need not be their main one.
            filter.metric = options->y;
            std::map<std::int64_t, RunRow> scored;
            for (RunRow& run : store.runs(filter)) scored.emplace(run.id, std::move(run));
            for (RunRow& run : runs)
                if (const auto found = scored.find(run.id); found != scored.end()) run.score = found->second.score;
        }
        qputenv("QT_QPA_PLATFORM", "offscreen");               // drawing into a file needs no display
        qputenv("QT_LOGGING_RULES", "default.warning=false");  // nor does it care about folders of a desktop session
        // What Qt has to say about the desktop's folders is of no use here; failures come as exceptions.
        qInstallMessageHandler([](QtMsgType, const QMessageLogContext&, const QString&) {});
        int count = 1;
        char name[] = "permille";
        char* arguments[] = {name, nullptr};
        const QApplication application(count, arguments);
        const Chart chart = ui::chart_of(runs, request);
        ui::write_chart(chart, options->output, options->file);
        if (chart.without > 0)
            console.say(std::to_string(chart.without) + (chart.without == 1 ? " finished run has" : " finished runs have") +
                        " no score in " + metric_name(chart.metric) + ": not drawn");
        if (console.json()) {
            Json document = to_json(chart);
            document["file"] = options->output.string();
            console.print(document);
        } else console.out() << options->output.string() << "\n" << std::flush;
        return kDone;
    };
}

}  // namespace permille::cli
