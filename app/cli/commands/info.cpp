#include <ostream>

#include "app/cli/command.h"
#include "core/jobs/model_job.h"

namespace permille::cli {

Action make_info(CLI::App& verb) {
    auto model = std::make_shared<std::string>();
    verb.add_option("MODEL", *model, "a model folder, the name of a bundled base, or a hub name")->required();
    return [model](Console& console) {
        const ModelInfo info = model_info(*model);
        if (console.json()) {
            console.print(info.to_json());
            return kDone;
        }
        console.print_table({
            {"family", info.model_type},
            {"folder", info.folder.string()},
            {"d_model", std::to_string(info.d_model)},
            {"layers", std::to_string(info.encoder_layers) + " encoder, " + std::to_string(info.decoder_layers) + " decoder"},
            {"heads", std::to_string(info.encoder_heads) + " encoder, " + std::to_string(info.decoder_heads) + " decoder"},
            {"feed-forward", std::to_string(info.encoder_ffn) + " encoder, " + std::to_string(info.decoder_ffn) + " decoder"},
            {"vocabulary", shown_count(info.vocab_size)},
            {"parameters", shown_count(info.parameters) + " (tied weights counted once)"},
            {"languages", info.languages.empty() ? "not known: no tokenizer files" : list_some(info.languages, 300)},
        });
        return kDone;
    };
}

}  // namespace permille::cli
