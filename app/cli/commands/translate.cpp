#include <algorithm>
#include <ostream>

#include "app/cli/adapters.h"
#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/jobs/model.h"

namespace permille::cli {

namespace {

Json to_json(const Translation& translation, bool alternatives) {
    Json entry = {{"text", translation.text}, {"ids", translation.ids}, {"score", translation.score}};
    if (!alternatives) return entry;
    entry["alternatives"] = Json::array();
    for (const auto& alternative : translation.alternatives) entry["alternatives"].push_back(to_json(alternative, false));
    return entry;
}

// A line of output may hold several: tabs separate them.
std::string column(std::string text) {
    std::replace(text.begin(), text.end(), '\t', ' ');
    return text;
}

}  // namespace

Action make_translate(CLI::App& verb) {
    struct Options {
        std::string model, source, target;
        Adapters adapters;
        std::int64_t n_best = 1;
        Json decoding = Json::object(), device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    options->adapters.add_options(verb, "line");
    verb.add_option("--src-lang,-s", options->source, "source language")->required();
    verb.add_option("--tgt-lang,-t", options->target, "target language")->required();
    verb.add_option("--n-best", options->n_best,
                    "with --json: this many alternatives per line; at most the beam, or independent draws with --sample")
        ->check(above_zero())
        ->capture_default_str();
    add_field_options(verb, DecodingSettings::fields().list(), options->decoding, "Search", {{"beam_size", "--beam"}});
    add_device_options(verb, options->device);
    verb.footer(
        "Reads lines from standard input; prints one translation per line, in order.\n"
        "With several adapters a line has their translations with tabs between, in the order of --adapter; with --json they are listed\n"
        "under \"adapters\", and the fields beside it are those of the first. With --adapter-of FILE a line has one translation, by the\n"
        "adapter that the same line of FILE names:\n"
        "    permille translate -m BASE -s de -t en -a law=out/a -a news=out/b --adapter-of domains.txt < text.de\n"
        "What is not given is as the model's generation_config.json says, and where it is silent as shown above.");
    return [options](Console& console) {
        if (options->n_best > 1 && !console.json())
            throw Error(ErrorKind::usage, "--n-best", "alternatives are only printed as JSON", "add --json");
        DecodingSettings decoding = DecodingSettings::of_model(find_model(options->model, console.sink(), console.stop_token()));
        DecodingSettings::fields().apply(decoding, options->decoding, "");
        if (options->n_best > decoding.beam_size && !decoding.sample)
            throw Error(ErrorKind::usage, "--n-best",
                        std::to_string(options->n_best) + " is more than the beam, " + std::to_string(decoding.beam_size),
                        "give --beam " + std::to_string(options->n_best) + " or fewer alternatives");
        Adapters& adapters = options->adapters;
        adapters.read();
        const auto lines = console.read_lines();
        const auto tasks = adapters.tasks(lines.size());
        const ModelSession session(options->model, adapters.folders(), DeviceSettings::fields().parse(options->device, ""), console.sink());
        const auto translations = session.translate(lines, tasks, options->source, options->target, decoding, options->n_best,
                                                    console.sink(), console.stop_token());
        if (console.json()) {
            Json document = Json::array();
            for (std::size_t i = 0; i < translations.size(); ++i) {
                Json entry = to_json(translations[i], options->n_best > 1);
                Json named = entry;
                named["adapter"] = adapters.name(tasks[i].adapter);
                if (adapters.chosen()) entry = named;
                if (!adapters.several() || tasks[i].adapter == 0) document.push_back(std::move(entry));
                if (adapters.several()) document.back()["adapters"].push_back(std::move(named));
            }
            console.print(document);
        } else {
            std::ostream& out = console.out();
            for (std::size_t i = 0; i < translations.size(); ++i) {
                const bool last = i + 1 == translations.size() || tasks[i + 1].line != tasks[i].line;
                out << (adapters.several() ? column(translations[i].text) : translations[i].text) << (last ? '\n' : '\t');
            }
            out << std::flush;
        }
        return kDone;
    };
}

}  // namespace permille::cli
