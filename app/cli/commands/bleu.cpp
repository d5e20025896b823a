#include <filesystem>
#include <ostream>
#include <sstream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/metrics/metrics.h"

namespace permille::cli {

namespace {

std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::vector<std::string> lines;
    std::istringstream text(read_text(file));
    for (std::string line; std::getline(text, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        lines.push_back(line);
    }
    return lines;
}

}  // namespace

Action make_bleu(CLI::App& verb) {
    struct Options {
        std::vector<std::filesystem::path> references;
        std::string metric = "bleu", tokenize;
        bool lowercase = false, confidence = false;
        std::int64_t samples = 1000;
        std::uint64_t seed = 12345;
        int width = 1;
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--ref,-r", options->references, "one file per reference translation")->required()->type_name("FILE...");
    verb.add_option("--metric", options->metric, "the metric")->check(CLI::IsMember(metric_ids()))->capture_default_str();
    verb.add_option("--tokenize", options->tokenize, "BLEU's tokeniser: 13a, intl, char, zh or none; without it 13a");
    verb.add_flag("--lowercase", options->lowercase, "upper and lower case count as equal");
    verb.add_flag("--confidence", options->confidence, "a 95 % interval by bootstrap resampling");
    verb.add_option("--samples", options->samples, "with --confidence: how many resamples")->check(above_zero())->capture_default_str();
    verb.add_option("--seed", options->seed, "with --confidence: seed of the resampling")->capture_default_str();
    verb.add_option("--width", options->width, "decimals that are printed")->check(between(0, 15))->capture_default_str();
    verb.footer("Reads the translations from standard input. Scores and signatures are those of sacreBLEU 2.6.");
    return [options](Console& console) {
        Json settings = Json::object();
        if (!options->tokenize.empty()) settings["tokenize"] = options->tokenize;
        if (options->lowercase) settings["lowercase"] = true;
        std::unique_ptr<Metric> metric;
        try {
            metric = make_metric(options->metric, settings, "", "bleu");
        } catch (const Error& error) {
            // "bleu/tokenize": the settings are options of the same names.
            throw Error(ErrorKind::usage, "--" + error.where().substr(error.where().find_last_of("/") + 1), error.found(), error.fix());
        }
        const auto hypotheses = console.read_lines();
        if (hypotheses.empty()) throw Error(ErrorKind::file, "standard input", "no translations", "give one a line");
        std::vector<std::vector<std::string>> references;
        for (const auto& file : options->references) {
            references.push_back(lines_of(file));
            if (references.back().size() != hypotheses.size())
                throw Error(ErrorKind::file, file.string(),
                            std::to_string(references.back().size()) + " lines, but " + std::to_string(hypotheses.size()) + " translations",
                            "give one reference line per translation");
        }
        const Resampling resampling{options->confidence ? options->samples : 0, options->seed};
        const MetricReport report = evaluate(*metric, hypotheses, references, resampling);
        if (console.json()) console.print(report.to_json());
        else console.out() << report.to_line(options->width) << std::endl;
        return kDone;
    };
}

}  // namespace permille::cli
