#include <filesystem>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/bases/inherit.h"

namespace permille::cli {

namespace {

std::string shown_layers(const std::vector<std::int64_t>& layers) {
    std::string text;
    for (const std::int64_t layer : layers) text += (text.empty() ? "" : " ") + std::to_string(layer);
    return text;
}

}  // namespace

Action make_inherit(CLI::App& verb) {
    struct Options {
        InheritRequest request;
        std::vector<std::string> languages;
    };
    auto options = std::make_shared<Options>();
    InheritRequest& request = options->request;
    verb.add_option("--model,-m", request.base, "the base: a folder, a bundled base, or a hub name")->required();
    verb.add_option("--out,-o", request.output, "the model folder to write; it must not exist yet")->required()->type_name("DIR");
    CLI::Option* encoder =
        verb.add_option("--encoder-layers", request.encoder_layers,
                        "the base's layers that the encoder starts as, 0,2-4, or how many, 6, taken evenly; without it all")
            ->type_name("LAYERS");
    CLI::Option* decoder = verb.add_option("--decoder-layers", request.decoder_layers, "the same for the decoder")->type_name("LAYERS");
    verb.add_option("--like", request.like, "a model with as many layers as the new one gets; its widths must be the base's")
        ->excludes(encoder)
        ->excludes(decoder);
    verb.add_option("--language", options->languages,
                    "a language to add, eu, or eu=es to start as another; otherwise as the mean of all; may be given several times")
        ->type_name("CODE[=LIKE]");
    verb.add_option("--text", request.texts, "text whose pieces are added, one sentence a line; may be given several times")
        ->type_name("FILE");
    verb.add_option("--pieces", request.pieces, "size of the vocabulary trained on the text; what the base lacks of it is added")
        ->check(between(16, 1000000))
        ->capture_default_str();
    verb.add_option("--seed", request.seed, "of rows that nothing is known about")->check(from_zero())->capture_default_str();
    verb.footer(
        "Knowledge inheritance by initialisation (after CPM-2, arXiv 2106.10715): a Hugging Face folder to train on with 'permille train\n"
        "--method full', perhaps with --teacher. Layers are copied; the row of a new piece is the mean of those that the base cuts it "
        "into,\n"
        "where it knows none of its letters N(0, init_std). Vocabularies of M2M-100's kind can be extended: the old pieces keep their "
        "ids,\n"
        "the languages move behind the new ones. transformers knows a language beyond M2M-100's 100 by its token, __eu__, only.");
    return [options](Console& console) {
        InheritRequest wanted = options->request;
        for (const std::string& language : options->languages) {
            const auto equals = language.find('=');
            wanted.languages.emplace_back(language.substr(0, equals), equals == std::string::npos ? "" : language.substr(equals + 1));
        }
        if (wanted.encoder_layers.empty() && wanted.decoder_layers.empty() && wanted.like.empty() && wanted.languages.empty() &&
            wanted.texts.empty())
            throw Error(ErrorKind::usage, "", "nothing is to be changed", "give layers, --like, --language or --text");
        const InheritReport report = inherit(wanted, console.sink(), console.stop_token());
        if (console.json()) {
            console.print(report.to_json());
            return report.stopped ? kInterrupted : kDone;
        }
        if (report.stopped) return kInterrupted;
        std::vector<std::vector<std::string>> rows = {{"encoder starts as", "layers " + shown_layers(report.encoder_layers)},
                                                      {"decoder starts as", "layers " + shown_layers(report.decoder_layers)},
                                                      {"parameters", shown_count(report.parameters)},
                                                      {"vocabulary", shown_count(report.vocab_size)}};
        if (!wanted.texts.empty()) rows.push_back({"added pieces", shown_count(report.added_pieces)});
        if (report.random_rows > 0) rows.push_back({"random rows", shown_count(report.random_rows)});
        for (const auto& [code, id] : report.added_languages) rows.push_back({"added language", code + ", id " + std::to_string(id)});
        rows.push_back({"model", report.folder});
        console.print_table(rows);
        return kDone;
    };
}

}  // namespace permille::cli
