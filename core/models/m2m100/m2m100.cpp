#include "core/models/m2m100/m2m100.h"

namespace permille {

namespace {

Architecture describe(const Json& config, const std::string& where) {
    const ConfigReader read(config, where);
    Architecture a;
    a.model_type = "m2m_100";
    a.d_model = read.size("d_model", 1 << 16);
    a.encoder_layers = read.size("encoder_layers", 1000);
    a.decoder_layers = read.size("decoder_layers", 1000);
    a.encoder_heads = read.size("encoder_attention_heads", 4096);
    a.decoder_heads = read.size("decoder_attention_heads", 4096);
    a.encoder_ffn = read.size("encoder_ffn_dim", 1 << 20);
    a.decoder_ffn = read.size("decoder_ffn_dim", 1 << 20);
    a.vocab_size = read.size("vocab_size");
    a.max_positions = read.size("max_position_embeddings", 1 << 20);
    a.pad_id = read.integer("pad_token_id", 1);
    a.bos_id = read.integer("bos_token_id", 0);
    a.eos_id = read.integer("eos_token_id", 2);
    a.decoder_start_id = read.integer("decoder_start_token_id", 2);
    a.scale_embedding = read.flag("scale_embedding", true);
    a.activation = activation_of(read.text("activation_function", "relu"), read);
    a.dropout = read.rate("dropout", 0.1);
    a.attention_dropout = read.rate("attention_dropout", 0.1);
    a.activation_dropout = read.rate("activation_dropout", 0.0);
    a.positions = Positions::m2m;
    if (a.d_model < 4) read.fail("d_model", std::to_string(a.d_model) + " is too small for sinusoids");
    if (a.d_model % a.encoder_heads || a.d_model % a.decoder_heads)
        read.fail("d_model", std::to_string(a.d_model) + " cannot be divided by the number of heads");
    for (const auto& [name, id] : {std::pair{"pad_token_id", a.pad_id}, {"eos_token_id", a.eos_id}, {"decoder_start_token_id", a.decoder_start_id}})
        if (id < 0 || id >= a.vocab_size) read.fail(name, std::to_string(id) + " is not a token of the vocabulary");
    return a;
}

Json config(const Architecture& a) {
    return Json{{"model_type", "m2m_100"},
                {"architectures", {"M2M100ForConditionalGeneration"}},
                {"d_model", a.d_model},
                {"encoder_layers", a.encoder_layers},
                {"decoder_layers", a.decoder_layers},
                {"encoder_attention_heads", a.encoder_heads},
                {"decoder_attention_heads", a.decoder_heads},
                {"encoder_ffn_dim", a.encoder_ffn},
                {"decoder_ffn_dim", a.decoder_ffn},
                {"vocab_size", a.vocab_size},
                {"max_position_embeddings", a.max_positions},
                {"activation_function", "relu"},
                {"scale_embedding", a.scale_embedding},
                {"tie_word_embeddings", true},
                {"is_encoder_decoder", true},
                {"pad_token_id", a.pad_id},
                {"bos_token_id", a.bos_id},
                {"eos_token_id", a.eos_id},
                {"decoder_start_token_id", a.decoder_start_id},
                {"dropout", a.dropout},
                {"attention_dropout", a.attention_dropout},
                {"activation_dropout", a.activation_dropout},
                {"encoder_layerdrop", 0.0},
                {"decoder_layerdrop", 0.0},
                {"init_std", 0.02},
                {"num_hidden_layers", a.encoder_layers},
                {"use_cache", true}};
}

}  // namespace

Family m2m100_family() {
    return {"m2m_100",
            "M2M-100, NLLB-200",
            "Fan et al. 2020, arXiv 2010.11125",
            describe,
            config,
            // Fixed sinusoids that older exports stored.
            {"model.encoder.embed_positions.weights", "model.decoder.embed_positions.weights", "model.encoder.embed_positions._float_tensor",
             "model.decoder.embed_positions._float_tensor", "encoder.embed_positions._float_tensor", "decoder.embed_positions._float_tensor"}};
}

}  // namespace permille
