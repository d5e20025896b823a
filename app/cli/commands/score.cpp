#include <iomanip>
#include <optional>
#include <ostream>
#include <sstream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/jobs/model_job.h"

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
        std::optional<std::string> adapter;
        std::int64_t batch_tokens = 4000;
        Json device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    verb.add_option("--adapter,-a", options->adapter, "an adapter folder made for this model");
    verb.add_option("--src-lang,-s", options->source, "source language")->required();
    verb.add_option("--tgt-lang,-t", options->target, "target language")->required();
    verb.add_option("--input,-i", options->input, "tab-separated source and target, one pair a line")->required()->type_name("FILE");
    verb.add_option("--batch-tokens", options->batch_tokens, "tokens of one batch; changes speed and memory only")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    add_device_options(verb, options->device);
    verb.footer("Prints per line: natural log-probability of the target, a tab, the number of target labels.");
    return [options](Console& console) {
        const auto pairs = read_pairs(options->input);
        const auto device = DeviceSettings::fields().parse(options->device, "");
        const ModelSession session(options->model, options->adapter, device, console.sink());
        const auto scores = session.score(pairs, options->source, options->target, options->batch_tokens);
        if (console.json()) {
            Json document = Json::array();
            for (const auto& score : scores) document.push_back({{"logprob", score.log_probability}, {"tokens", score.tokens}});
            console.print(document);
            return kDone;
        }
        std::ostream& out = console.out();
        for (const auto& score : scores) out << std::setprecision(9) << score.log_probability << '\t' << score.tokens << '\n';
        return kDone;
    };
}

}  // namespace permille::cli
