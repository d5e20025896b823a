#include "core/bases/find.h"
#include "core/models/base_model.h"
#include "core/text/tokenizers.h"

namespace permille {
namespace fs = std::filesystem;

ModelInfo model_info(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    const fs::path folder = find_description(model, sink, stop);
    const ModelDescription description = describe_stored(folder);
    const Architecture& a = description.architecture;
    ModelInfo info{a.model_type,
                   a.d_model,
                   a.encoder_layers,
                   a.decoder_layers,
                   a.encoder_heads,
                   a.decoder_heads,
                   a.encoder_ffn,
                   a.decoder_ffn,
                   a.vocab_size,
                   description.layout.parameter_count(),
                   {},
                   folder,
                   description.note};
    if (fs::exists(folder / "sentencepiece.bpe.model") || fs::exists(folder / "tokenizer_config.json")) {
        const auto tokenizer = load_tokenizer(folder);
        for (const auto& language : tokenizer->languages()) info.languages.push_back(language.code);
    }
    return info;
}

Json ModelInfo::to_json() const {
    return Json{{"model_type", model_type},
                {"d_model", d_model},
                {"encoder_layers", encoder_layers},
                {"decoder_layers", decoder_layers},
                {"encoder_heads", encoder_heads},
                {"decoder_heads", decoder_heads},
                {"encoder_ffn", encoder_ffn},
                {"decoder_ffn", decoder_ffn},
                {"vocab_size", vocab_size},
                {"parameters", parameters},
                {"languages", languages},
                {"folder", folder.string()},
                {"note", note}};
}

}  // namespace permille
