// Prompt tuning (Lester, Al-Rfou & Constant 2021, arXiv 2104.08691): X = [P; E] with trained embeddings P [m, D] of virtual tokens before
// the sentence's own. CPM-2 (Zhang et al. 2021, arXiv 2106.10715) also compares other places for them; here: behind, or half on either
// side. P lies where the scaled embeddings of tokens lie. The decoder can have virtual tokens too, in front only, since it does not see
// what comes later; the loss does not count their places.
//
// Hugging Face PEFT's PROMPT_TUNING is the encoder's with P in front; its file holds the same tensor, because M2M-100 and mBART of
// transformers scale embeddings inside the embedding layer. Marian scales them behind it, where PEFT's prompt passes by, so that PEFT runs
// a Marian model's own tokens unscaled. embedding_space "table" computes that, on any family.
#include <ATen/ATen.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/peft/virtual_tokens.h"

namespace permille {

namespace {

struct PromptConfig {
    std::int64_t prompt_length = 100;
    std::string side = "encoder";
    std::string position = "front";
    std::string initialisation = "vocabulary";
    std::string embedding_space = "stack";
    static const Fields<PromptConfig>& fields() {
        static const auto list =
            Fields<PromptConfig>()
                .add("prompt_length", &PromptConfig::prompt_length, "virtual tokens on each side",
                     {.min = 1, .max = 65536, .unit = "tokens"})
                .add("side", &PromptConfig::side, "which stack reads them: the encoder, the decoder, or both with their own",
                     {.choices = {"encoder", "decoder", "both"}})
                .add("position", &PromptConfig::position,
                     "where they stand in the source: before the sentence, behind it, or half on either side; in the target always before",
                     {.choices = {"front", "back", "around"}})
                .add("initialisation", &PromptConfig::initialisation,
                     "vocabulary: embeddings of frequent tokens; normal: N(0, 1), as PEFT's RANDOM", {.choices = {"vocabulary", "normal"}})
                .add("embedding_space", &PromptConfig::embedding_space,
                     "stack: among scaled embeddings, as they enter the stack; table: among unscaled ones, the source's own being left "
                     "unscaled too, as Hugging Face PEFT runs a Marian model",
                     {.choices = {"stack", "table"}});
        return list;
    }
    std::vector<std::string> stacks() const {
        if (side == "both") return {"encoder", "decoder"};
        return {side};
    }
    std::int64_t front(const std::string& stack) const {
        if (stack == "decoder" || position == "front") return prompt_length;
        return position == "back" ? 0 : (prompt_length + 1) / 2;
    }
    bool peft(const Layout& layout) const {
        return side == "encoder" && position == "front" && (layout.embedding_scale == 1 || embedding_space == peft_space(layout));
    }
    // Where PEFT's prompt lies on this family.
    static const char* peft_space(const Layout& layout) {
        return layout.scale_within_lookup || layout.embedding_scale == 1 ? "stack" : "table";
    }
};

// Token embeddings as they lie in the table.
class Unscaled : public OutputModule {
public:
    explicit Unscaled(double scale) : scale_(scale) {}
    at::Tensor apply(const Forward&, const at::Tensor& rows, const Passage&) const override { return rows / scale_; }

private:
    double scale_;
};

class PromptTuning : public MethodWith<PromptConfig> {
public:
    PromptTuning()
        : MethodWith({.id = "prompt",
                      .name = "Prompt tuning",
                      .paper = "Lester et al. 2021, arXiv 2104.08691; positions: Zhang et al. 2021 (CPM-2), arXiv 2106.10715",
                      .summary = "adds trained virtual tokens to every sentence",
                      .sites = {"prompt"},
                      .knobs = PromptConfig::fields().list(),
                      .size_knob = "prompt_length",
                      .mergeable = false,
                      .identity_at_start = false,
                      .default_learning_rate = 3e-2,
                      .default_optimiser = "adafactor",
                      .equation = "X = [P; E], P [m, D] trained, E the scaled embeddings of the sentence",
                      .advice =
                          "The fewest parameters of all methods, a few rows of the embedding table. It wants a high learning rate and "
                          "many updates, and a large base; every virtual token makes the sentence longer."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const PromptConfig chosen = config(settings);
        if (chosen.embedding_space == "table" && chosen.side != "encoder")
            throw Error(ErrorKind::config, "prompt/embedding_space",
                        "'table' is for virtual tokens of the source, side is '" + chosen.side + "'",
                        "set side=encoder, or leave embedding_space at stack");
        std::vector<TensorSpec> specs;
        for (const std::string& stack : chosen.stacks()) {
            const std::int64_t width = width_of(layout, stack, info_.id);
            specs.push_back({chosen.peft(layout) ? "prompt_embeddings" : stack + ".prompt_embeddings",
                             {chosen.prompt_length, width},
                             chosen.initialisation == "normal"
                                 ? Init::normal(1.0)
                                 : rows_of_vocabulary(layout, stack, chosen.prompt_length, chosen.embedding_space == "stack")});
        }
        return specs;
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const PromptConfig chosen = config(settings);
        std::size_t i = 0;
        for (const std::string& stack : chosen.stacks())
            attachment.prompts.add(layout.site(stack + ".prompt"), std::make_unique<VirtualTokens>(values[i++], chosen.front(stack)));
        if (chosen.embedding_space == "table" && layout.embedding_scale != 1)
            attachment.outputs.add(layout.site("encoder.embedding.tokens"), std::make_unique<Unscaled>(layout.embedding_scale));
    }

    // Half of the longest sentence.
    std::int64_t largest_size(const Layout& layout, const Json&) const override { return std::max<std::int64_t>(1, layout.positions / 2); }

    Json peft_config(const Layout& layout, const Json& settings) const override {
        const PromptConfig chosen = config(settings);
        if (!chosen.peft(layout)) return nullptr;
        return Json{{"peft_type", "PROMPT_TUNING"},
                    {"num_virtual_tokens", chosen.prompt_length},
                    {"token_dim", width_of(layout, "encoder", info_.id)},
                    {"num_transformer_submodules", 1},
                    {"prompt_tuning_init", "RANDOM"}};
    }

    // The start that PEFT used does not matter any more, so it is not asked for.
    Json from_peft(const Layout& layout, const Json& found) const override {
        if (found.value("peft_type", Json()) != "PROMPT_TUNING") return nullptr;
        if (!found.contains("num_virtual_tokens") || !found["num_virtual_tokens"].is_number_integer())
            throw Error(ErrorKind::unsupported, "num_virtual_tokens", "is not a number", "the adapter_config.json is damaged");
        return complete({{"prompt_length", found["num_virtual_tokens"]}, {"embedding_space", PromptConfig::peft_space(layout)}});
    }
};

}  // namespace

std::unique_ptr<Method> prompt_method() { return std::make_unique<PromptTuning>(); }

}  // namespace permille
