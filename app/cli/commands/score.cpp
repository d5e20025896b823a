#include <iomanip>
#include <ostream>
#include <sstream>

#include "app/cli/adapters.h"
#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/jobs/model.h"

namespace permille::cli {

namespace {

std::vector<std::pair<std::string, std::string>> read_pairs(const std::string& file) {
    std::vector<std::pair<std::string, std::string>> pairs;
    std::istringstream text(read_text(file));
    for (std::string line; std::getline(text, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const auto tab = line.find('\t');
        if (tab == std::string::npos)
            throw Error(ErrorKind::file, file + ":" + std::to_string(pairs.size() + 1), "no tab in this line",
                        "give source and target separated by one tab");
        // Further columns (an attribution, say) are not text to score.
        const auto end = line.find('\t', tab + 1);
        pairs.emplace_back(line.substr(0, tab), line.substr(tab + 1, end == std::string::npos ? end : end - tab - 1));
    }
    return pairs;
}

}  // namespace

Action make_score(CLI::App& verb) {
    struct Options {
        std::string model, source, target, input;
        Adapters adapters;
        std::int64_t batch_tokens = 4000;
        Json device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    options->adapters.add_options(verb, "pair");
    verb.add_option("--src-lang,-s", options->source, "source language")->required();
    verb.add_option("--tgt-lang,-t", options->target, "target language")->required();
    verb.add_option("--input,-i", options->input, "tab-separated source and target, one pair a line")->required()->type_name("FILE");
    verb.add_option("--batch-tokens", options->batch_tokens, "tokens of one batch; changes speed and memory only")
        ->check(above_zero())
        ->capture_default_str();
    add_device_options(verb, options->device);
    verb.footer(
        "Prints per line: natural log-probability of the target, a tab, the number of target labels.\n"
        "With several adapters a line has their log-probabilities, in the order of --adapter, then the number of labels; with --json they\n"
        "are listed under \"adapters\", and the fields beside it are those of the first. With --adapter-of FILE each pair is scored with\n"
        "the adapter that the same line of FILE names.");
    return [options](Console& console) {
        const auto pairs = read_pairs(options->input);
        const auto device = DeviceSettings::fields().parse(options->device, "");
        Adapters& adapters = options->adapters;
        adapters.read();
        const auto tasks = adapters.tasks(pairs.size());
        const ModelSession session(options->model, adapters.folders(), device, console.sink());
        const auto scores = session.score(pairs, tasks, options->source, options->target, options->batch_tokens);
        if (console.json()) {
            Json document = Json::array();
            for (std::size_t i = 0; i < scores.size(); ++i) {
                Json entry = {{"logprob", scores[i].log_probability}, {"tokens", scores[i].tokens}};
                Json named = entry;
                named["adapter"] = adapters.name(tasks[i].adapter);
                if (adapters.chosen()) entry = named;
                if (!adapters.several() || tasks[i].adapter == 0) document.push_back(std::move(entry));
                if (adapters.several()) document.back()["adapters"].push_back(std::move(named));
            }
            console.print(document);
            return kDone;
        }
        std::ostream& out = console.out();
        for (std::size_t i = 0; i < scores.size(); ++i) {
            out << std::setprecision(9) << scores[i].log_probability << '\t';
            if (i + 1 == scores.size() || tasks[i + 1].line != tasks[i].line) out << scores[i].tokens << '\n';
        }
        return kDone;
    };
}

}  // namespace permille::cli
