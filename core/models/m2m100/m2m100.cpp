#include "core/models/m2m100/m2m100.h"

#include "core/models/bart_config.h"

namespace permille {

namespace {

Architecture describe(const Json& config, const std::string& where) {
    const ConfigReader read(config, where);
    Architecture defaults;
    defaults.model_type = "m2m_100";
    defaults.positions = Positions::m2m;
    const Architecture a = read_bart_config(read, defaults);
    if (a.d_model < 4) read.fail("d_model", std::to_string(a.d_model) + " is too small for sinusoids");
    check_special_tokens(read, a);
    return a;
}

Json config(const Architecture& a) {
    Json json = write_bart_config(a);
    json["architectures"] = {"M2M100ForConditionalGeneration"};
    return json;
}

}  // namespace

Family m2m100_family() {
    return {
        "m2m_100",
        "M2M-100, NLLB-200",
        "Fan et al. 2020, arXiv 2010.11125",
        describe,
        config,
        // Fixed sinusoids that older exports stored.
        {"model.encoder.embed_positions.weights", "model.decoder.embed_positions.weights", "model.encoder.embed_positions._float_tensor",
         "model.decoder.embed_positions._float_tensor", "encoder.embed_positions._float_tensor", "decoder.embed_positions._float_tensor"}};
}

}  // namespace permille
