#include <optional>
#include <ostream>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/bases/find.h"
#include "core/study/budgets.h"

namespace permille::cli {

Action make_info(CLI::App& verb) {
    struct Options {
        std::string model;
        bool memory = false;
        Json device = Json::object();
    };
    auto options = std::make_shared<Options>();
    verb.add_option("MODEL", options->model, "a model folder, the name of a bundled base, or a hub name")->required();
    verb.add_flag("--memory", options->memory, "also estimate the memory that translating and training with each method need, on the CPU");
    add_device_options(verb, options->device);
    return [options](Console& console) {
        const ModelInfo info = model_info(options->model, console.sink());
        std::optional<MemoryNeeds> needs;
        if (options->memory) needs = memory_needs(options->model, {}, {}, DeviceSettings::fields().parse(options->device, ""));
        if (console.json()) {
            Json document = info.to_json();
            if (needs) document["memory"] = needs->to_json();
            console.print(document);
            return kDone;
        }
        std::vector<std::vector<std::string>> rows = {
            {"family", info.model_type},
            {"folder", info.folder.string()},
            {"d_model", std::to_string(info.d_model)},
            {"layers", std::to_string(info.encoder_layers) + " encoder, " + std::to_string(info.decoder_layers) + " decoder"},
            {"heads", std::to_string(info.encoder_heads) + " encoder, " + std::to_string(info.decoder_heads) + " decoder"},
            {"feed-forward", std::to_string(info.encoder_ffn) + " encoder, " + std::to_string(info.decoder_ffn) + " decoder"},
            {"vocabulary", shown_count(info.vocab_size)},
            {"parameters", shown_count(info.parameters) + " (tied weights counted once)"},
            {"languages", info.languages.empty() ? "not known: no tokenizer files" : list_some(info.languages, 300)},
        };
        if (!info.note.empty()) rows.push_back({"note", info.note});
        if (needs) {
            rows.push_back({"memory, weights", shown_bytes(needs->weights_bytes) + " in " + needs->dtype});
            rows.push_back({"memory, translating", shown_bytes(needs->inference_bytes) + " (beam " + std::to_string(needs->beam_size) +
                                                       ", batches of " + shown_count(needs->decoding_tokens) + " tokens)"});
            for (const auto& [method, bytes] : needs->training_bytes)
                rows.push_back({"memory, training " + method,
                                shown_bytes(bytes) + " (batches of " + shown_count(needs->training_tokens) + " tokens)"});
        }
        console.print_table(rows);
        return kDone;
    };
}

}  // namespace permille::cli
