// DePT, decomposed prompt tuning (Shi & Lipani 2023, arXiv 2309.05173, section 2.3): a shorter prompt P [m, D] before the sentence, and a
// low-rank update of the sentence's own embeddings that goes by place, not by token: X = [P; E'], e'_t = e_t + (alpha / sqrt r) (A B)_t
// with A [s, r], B [r, D], for the first s tokens. Encoder only. The two parts learn at different rates. A starts Kaiming-uniform, B at
// zero, as in the authors' code. There E are T5's embeddings, which are not scaled; here E are the scaled ones, as they enter the encoder.
// Their code pads every source to s tokens; here only tokens that are there are changed.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/nn/parts.h"
#include "core/peft/virtual_tokens.h"

namespace permille {

namespace {

struct DeptConfig {
    std::int64_t rank = 45;
    std::int64_t prompt_length = 40;
    std::int64_t source_length = 256;
    double alpha = 8;
    double update_rate = 1.0 / 60;
    std::string initialisation = "vocabulary";
    static const Fields<DeptConfig>& fields() {
        static const auto list =
            Fields<DeptConfig>()
                .add("rank", &DeptConfig::rank, "rank of the update of the embeddings", {.min = 1, .max = 65536})
                .add("prompt_length", &DeptConfig::prompt_length, "virtual tokens before the sentence",
                     {.min = 1, .max = 65536, .unit = "tokens"})
                .add("source_length", &DeptConfig::source_length, "tokens of the sentence that the update reaches",
                     {.min = 1, .max = 65536, .unit = "tokens"})
                .add("alpha", &DeptConfig::alpha, "scale of the update is alpha / sqrt(rank)", {.min = 0})
                .add("update_rate", &DeptConfig::update_rate,
                     "learning rate of the update as a multiple of the prompt's, which is that of the run; the authors' 5e-3 beside 3e-1",
                     {.min = 0, .max = 1000})
                .add("initialisation", &DeptConfig::initialisation,
                     "of the prompt. vocabulary: embeddings of frequent tokens; normal: N(0, 1)", {.choices = {"vocabulary", "normal"}});
        return list;
    }
};

// At "encoder.embedding.tokens".
class PositionUpdate : public OutputModule {
public:
    PositionUpdate(at::Tensor a, at::Tensor b, double scale) : a_(std::move(a)), b_(std::move(b)), scale_(scale) {}

    at::Tensor apply(const Forward&, const at::Tensor& rows, const Passage& passage) const override {
        const std::int64_t last = a_.size(0) - 1;
        const at::Tensor reached = passage.positions.le(last).to(a_.scalar_type()).unsqueeze(1);
        const at::Tensor low = a_.index_select(0, passage.positions.clamp_max(last)) * reached;
        return at::addmm(rows, low, b_, 1, scale_);
    }

private:
    at::Tensor a_, b_;
    double scale_;
};

class Dept : public MethodWith<DeptConfig> {
public:
    Dept()
        : MethodWith({.id = "dept",
                      .name = "DePT",
                      .paper = "Shi & Lipani 2023, arXiv 2309.05173",
                      .summary = "trains a short prompt and a low-rank update of the source's embeddings by position",
                      .sites = {"prompt", "embedding"},
                      .knobs = DeptConfig::fields().list(),
                      .size_knob = "rank",
                      .mergeable = false,
                      .identity_at_start = false,
                      .default_learning_rate = 3e-2,
                      .equation = "X = [P; E + (alpha / sqrt r) (A B) by position], P [m, D], A [s, r], B [r, D]",
                      .advice =
                          "In place of a longer prompt of the same size: the sentences stay shorter. A source of s tokens or fewer is "
                          "reached as a whole; choose s near the longest."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const DeptConfig chosen = config(settings);
        const std::int64_t width = width_of(layout, "encoder", info_.id), reach = std::min(chosen.source_length, layout.positions);
        const auto trained = TensorRole::trained;
        return {{"prompt_embeddings",
                 {chosen.prompt_length, width},
                 chosen.initialisation == "normal" ? Init::normal(1.0) : rows_of_vocabulary(layout, "encoder", chosen.prompt_length, true)},
                {"lora_embedding_A", {reach, chosen.rank}, Init::kaiming(chosen.rank), -1, trained, chosen.update_rate},
                {"lora_embedding_B", {chosen.rank, width}, Init::zeros(), -1, trained, chosen.update_rate}};
    }

    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        const DeptConfig chosen = config(settings);
        const double scale = chosen.alpha / std::sqrt(static_cast<double>(chosen.rank));
        attachment.prompts.add(layout.site("encoder.prompt"), std::make_unique<VirtualTokens>(values[0], chosen.prompt_length));
        attachment.outputs.add(layout.site("encoder.embedding.tokens"), std::make_unique<PositionUpdate>(values[1], values[2], scale));
    }

    // A rank above this adds nothing to what A B can be.
    std::int64_t largest_size(const Layout& layout, const Json& settings) const override {
        const std::int64_t reach = std::min(config(settings).source_length, layout.positions);
        return std::max<std::int64_t>(1, std::min(reach, width_of(layout, "encoder", info_.id)));
    }
};

}  // namespace

std::unique_ptr<Method> dept_method() { return std::make_unique<Dept>(); }

}  // namespace permille
