#include "core/models/bart_config.h"

#include <algorithm>
#include <optional>

namespace permille {

namespace {

Activation activation_of(const std::string& name, const ConfigReader& reader) {
    if (name == "relu") return Activation::relu;
    if (name == "gelu") return Activation::gelu;
    if (name == "swish" || name == "silu") return Activation::swish;
    reader.fail("activation_function", "'" + name + "' is not supported", "known are relu, gelu, swish");
}

std::string name_of(Activation activation) {
    switch (activation) {
        case Activation::relu: return "relu";
        case Activation::gelu: return "gelu";
        case Activation::swish: return "swish";
    }
    return "";
}

}  // namespace

Architecture read_bart_config(const ConfigReader& read, Architecture a) {
    a.d_model = read.size("d_model", 1 << 16);
    a.encoder_layers = read.size("encoder_layers", 1000);
    a.decoder_layers = read.size("decoder_layers", 1000);
    a.encoder_heads = read.size("encoder_attention_heads", 4096);
    a.decoder_heads = read.size("decoder_attention_heads", 4096);
    a.encoder_ffn = read.size("encoder_ffn_dim", 1 << 20);
    a.decoder_ffn = read.size("decoder_ffn_dim", 1 << 20);
    a.vocab_size = read.size("vocab_size");
    a.max_positions = read.size("max_position_embeddings", 1 << 20);
    a.pad_id = read.integer("pad_token_id", a.pad_id);
    a.bos_id = read.integer("bos_token_id", a.bos_id);
    a.eos_id = read.integer("eos_token_id", a.eos_id);
    a.decoder_start_id = read.integer("decoder_start_token_id", a.decoder_start_id);
    if (read.says("forced_eos_token_id")) {  // null: none is forced
        const std::int64_t forced = read.integer("forced_eos_token_id", -1);
        a.forced_eos_id = forced < 0 ? std::nullopt : std::optional(forced);
    }
    a.scale_embedding = read.flag("scale_embedding", a.scale_embedding);
    a.tied_projection = read.flag("tie_word_embeddings", a.tied_projection);
    a.activation = activation_of(read.text("activation_function", name_of(a.activation)), read);
    a.dropout = read.rate("dropout", a.dropout);
    a.attention_dropout = read.rate("attention_dropout", a.attention_dropout);
    a.activation_dropout = read.rate("activation_dropout", a.activation_dropout);
    if (a.d_model % a.encoder_heads || a.d_model % a.decoder_heads)
        read.fail("d_model", std::to_string(a.d_model) + " cannot be divided by the number of heads");
    return a;
}

void check_special_tokens(const ConfigReader& read, const Architecture& a) {
    // A batch being packed, the encoder never sees pad; both sides see the end.
    read.token("pad_token_id", a.pad_id, a.vocab_size);
    read.token("eos_token_id", a.eos_id, std::min(a.vocab_size, a.source_vocabulary()));
    read.token("decoder_start_token_id", a.decoder_start_id, a.vocab_size);
    if (a.forced_eos_id) read.token("forced_eos_token_id", *a.forced_eos_id, a.vocab_size);
}

Json write_bart_config(const Architecture& a) {
    return Json{{"model_type", a.model_type},
                {"d_model", a.d_model},
                {"encoder_layers", a.encoder_layers},
                {"decoder_layers", a.decoder_layers},
                {"encoder_attention_heads", a.encoder_heads},
                {"decoder_attention_heads", a.decoder_heads},
                {"encoder_ffn_dim", a.encoder_ffn},
                {"decoder_ffn_dim", a.decoder_ffn},
                {"vocab_size", a.vocab_size},
                {"max_position_embeddings", a.max_positions},
                {"activation_function", name_of(a.activation)},
                {"scale_embedding", a.scale_embedding},
                {"tie_word_embeddings", a.tied_projection},
                {"is_encoder_decoder", true},
                {"pad_token_id", a.pad_id},
                {"bos_token_id", a.bos_id},
                {"eos_token_id", a.eos_id},
                {"decoder_start_token_id", a.decoder_start_id},
                {"forced_eos_token_id", a.forced_eos_id ? Json(*a.forced_eos_id) : Json(nullptr)},
                {"dropout", a.dropout},
                {"attention_dropout", a.attention_dropout},
                {"activation_dropout", a.activation_dropout},
                {"encoder_layerdrop", 0.0},
                {"decoder_layerdrop", 0.0},
                {"init_std", 0.02},
                {"num_hidden_layers", a.encoder_layers},
                {"use_cache", true}};
}

}  // namespace permille
