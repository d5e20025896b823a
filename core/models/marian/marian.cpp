#include "core/models/marian/marian.h"

#include "core/models/bart_config.h"

namespace permille {

namespace {

Architecture describe(const Json& config, const std::string& where) {
    const ConfigReader read(config, where);
    Architecture defaults;
    defaults.model_type = "marian";
    defaults.activation = Activation::gelu;  // published models say swish or relu
    defaults.scale_embedding = false;
    defaults.attention_dropout = 0.0;
    defaults.eos_id = 0;
    defaults.forced_eos_id = 0;
    defaults.pre_norm = false;
    defaults.logits_bias = true;
    defaults.positions = Positions::marian;
    // The conversion adds <pad> as the last id, with a row of zeros and a bias of zero: Marian starts from nothing. Nothing keeps the model
    // from predicting it, so a search must not.
    defaults.pad_id = read.size("vocab_size") - 1;
    defaults.generates_pad = false;
    defaults.decoder_start_id = read.integer("pad_token_id", defaults.pad_id);
    Architecture a = read_bart_config(read, defaults);
    if (!read.flag("share_encoder_decoder_embeddings", true)) {
        a.source_vocab_size = a.vocab_size;
        if (read.says("decoder_vocab_size")) a.vocab_size = read.size("decoder_vocab_size");
    }
    check_special_tokens(read, a);
    return a;
}

Json config(const Architecture& a) {
    Json json = write_bart_config(a);
    json["architectures"] = {"MarianMTModel"};
    json["vocab_size"] = a.source_vocabulary();
    json["decoder_vocab_size"] = a.vocab_size;
    json["share_encoder_decoder_embeddings"] = !a.source_vocab_size.has_value();
    // transformers before 5 reads the search from here.
    json["bad_words_ids"] = Json::array({Json::array({a.pad_id})});
    return json;
}

}  // namespace

Family marian_family() {
    return {"marian",
            "Marian, OPUS-MT",
            "Junczys-Dowmunt et al. 2018, arXiv 1804.00344",
            describe,
            config,
            // The fixed sinusoids, which older conversions stored.
            {"model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"}};
}

}  // namespace permille
