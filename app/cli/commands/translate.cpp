#include <optional>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/jobs/model_job.h"

namespace permille::cli {

namespace {

Json to_json(const Translation& translation) {
    return {{"text", translation.text}, {"ids", translation.ids}, {"score", translation.score}};
}

}  // namespace

Action make_translate(CLI::App& verb) {
    struct Options {
        std::string model, source, target;
        std::optional<std::string> adapter;
        std::int64_t n_best = 1;
        Json decoding = Json::object(), device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("--model,-m", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    verb.add_option("--adapter,-a", options->adapter, "an adapter folder made for this model");
    verb.add_option("--src-lang,-s", options->source, "source language")->required();
    verb.add_option("--tgt-lang,-t", options->target, "target language")->required();
    verb.add_option("--n-best", options->n_best,
                    "with --json: this many alternatives per line; at most the beam, or independent draws with --sample")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    add_field_options(verb, DecodingSettings::fields().list(), options->decoding, "Search", {{"beam_size", "--beam"}});
    add_device_options(verb, options->device);
    verb.footer(
        "Reads lines from standard input; prints one translation per line, in order.\n"
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
        const auto lines = console.read_lines();
        const ModelSession session(options->model, options->adapter, DeviceSettings::fields().parse(options->device, ""), console.sink());
        const auto translations =
            session.translate(lines, options->source, options->target, decoding, options->n_best, console.sink(), console.stop_token());
        if (console.json()) {
            Json document = Json::array();
            for (const auto& translation : translations) {
                Json entry = to_json(translation);
                if (options->n_best > 1) {
                    entry["alternatives"] = Json::array();
                    for (const auto& alternative : translation.alternatives) entry["alternatives"].push_back(to_json(alternative));
                }
                document.push_back(std::move(entry));
            }
            console.print(document);
        } else {
            std::ostream& out = console.out();
            for (const auto& translation : translations) out << translation.text << '\n';
            out << std::flush;
        }
        return console.stopped() ? kInterrupted : kDone;
    };
}

}  // namespace permille::cli
