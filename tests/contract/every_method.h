// The methods of the table on every family, in small.
#pragma once

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "core/peft/method.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

namespace permille::test {

// Small where the size can be chosen; few tokens of whatever is counted in them, since the models have few positions.
inline Json small_settings(const Method& method) {
    Json settings = method.complete(Json::object());
    for (const Field& knob : method.info().knobs)
        if (knob.unit == "tokens") settings[knob.name] = 3;
    if (!method.info().size_knob.empty()) settings[method.info().size_knob] = 3;
    // Of tokens in the middle of sentences too: the query of the decoder's first token sees one key alone, so that nothing teaches it.
    if (settings.contains("domains")) settings["domains"] = "tags=0-3,10-20";
    if (settings.contains("full_gradient")) settings["full_gradient"] = true;  // a method may leave a part of it out for its cost
    return settings;
}

// Values away from the start, so that nothing is zero by accident.
inline Attached attach_shaken(const Method& method, const Seq2Seq& model, const Json& settings) {
    Attached attached = attach_method(method, model, settings, 1);
    SeededRandom random(11);
    for (std::size_t v = 0; v < attached.values.size(); ++v) {
        if (attached.specs[v].role != TensorRole::trained) continue;
        const at::Tensor& value = attached.values[v];
        at::Tensor noise = at::empty(value.sizes(), at::kFloat);
        for (std::int64_t i = 0; i < noise.numel(); ++i) noise.data_ptr<float>()[i] = static_cast<float>(0.2 * (random.unit() - 0.5));
        value.detach().add_(noise);
    }
    return attached;
}
inline Attached attach_shaken(const Method& method, const Seq2Seq& model) { return attach_shaken(method, model, small_settings(method)); }

inline void for_all(const std::function<void(const Method&, const Family&, const Seq2Seq&)>& test) {
    for (const Family& family : families())
        for (const Architecture& architecture : tiny_architectures(family)) {
            const auto model = tiny_model(architecture);
            for (const auto& method : methods()) {
                INFO("method " << method->info().id << ", family " << family.model_type << ", the encoder's table its own "
                               << architecture.source_vocab_size.has_value() << ", projection tied " << architecture.tied_projection);
                test(*method, family, *model);
            }
        }
}

inline at::Tensor logits(const Seq2Seq& model, const Attachment* attachment, const std::vector<TokenPair>& pairs) {
    const at::NoGradGuard guard;
    return logits_of(model, model.inference(attachment), batch_of(model, pairs));
}

}  // namespace permille::test
