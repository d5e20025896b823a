#include "core/models/mbart/mbart.h"

#include "core/models/bart_config.h"

namespace permille {

namespace {

Architecture describe(const Json& config, const std::string& where) {
    const ConfigReader read(config, where);
    Architecture defaults;
    defaults.model_type = "mbart";
    defaults.activation = Activation::gelu;  // the pre-trained models; the three -mmt ones say relu
    defaults.scale_embedding = false;
    defaults.attention_dropout = 0.0;
    defaults.forced_eos_id = 2;
    defaults.embedding_norm = true;
    defaults.logits_bias = true;
    defaults.positions = Positions::learned;
    defaults.position_offset = 2;  // fairseq counts positions from pad + 1 and keeps the two rows before
    // fairseq has no start token: it turns the labels by one, so a decoder begins with what ends them. That is </s> for mBART-50 and the
    // language for mBART-25, whose decoder_start_token_id is not in config.json, or is that of the one pair it was tuned for.
    defaults.starts_with_last_label = true;
    const Architecture a = read_bart_config(read, defaults);
    check_special_tokens(read, a);
    return a;
}

Json config(const Architecture& a) {
    Json json = write_bart_config(a);
    json["architectures"] = {"MBartForConditionalGeneration"};
    return json;
}

}  // namespace

Family mbart_family() { return {"mbart", "mBART-25, mBART-50", "Liu et al. 2020, arXiv 2001.08210", describe, config, {}}; }

}  // namespace permille
