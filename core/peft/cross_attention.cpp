// Cross-attention tuning (Gheini, Ren & May 2021, arXiv 2104.08771): only the decoder's attention over the source is trained, its four
// projections with their biases; its norm too if wished. The authors tune for a new language, whose embeddings they train as well; that is
// an option here, off by default, since the languages of a study are usually the base's own.
#include <set>

#include "core/peft/method.h"

namespace permille {

namespace {

struct CrossAttentionConfig : Scope {
    bool norm = false;
    bool embeddings = false;
    static const Fields<CrossAttentionConfig>& fields() {
        static const auto list = Fields<CrossAttentionConfig>()
                                     .add("norm", &CrossAttentionConfig::norm, "train its layer norm too")
                                     .add("embeddings", &CrossAttentionConfig::embeddings,
                                          "train the token embeddings too, for a language that is new to the base")
                                     .add("layers", static_cast<std::string CrossAttentionConfig::*>(&Scope::layers),
                                          "which layers of the decoder: all, 'last 2', 'first 2', or numbers from 0 such as '0,2-3'");
        return list;
    }
};

class CrossAttention : public MethodWith<CrossAttentionConfig> {
public:
    CrossAttention()
        : MethodWith({.id = "cross_attention",
                      .name = "Cross-attention tuning",
                      .paper = "Gheini et al. 2021, arXiv 2104.08771",
                      .summary = "trains the decoder's attention over the source only",
                      .sites = {"parameters"},
                      .knobs = CrossAttentionConfig::fields().list(),
                      .size_knob = "",
                      .mergeable = true,
                      .identity_at_start = true,
                      .default_learning_rate = 1e-3,
                      .equation = "W <- trained copy of W for the q, k, v and out projections of every cross-attention, with their biases",
                      .advice =
                          "A tenth of the base, give or take: for a budget of that size without anything added, or for a new language "
                          "together with its embeddings."}) {}

    std::vector<TensorSpec> tensors(const Layout& layout, const Json& settings) const override {
        const CrossAttentionConfig chosen = config(settings);
        std::set<std::string> trained;
        for (const Site& site : layout.sites) {
            const bool projection = site.kind == SiteKind::linear && site.name.find(".cross_attn.") != std::string::npos;
            const bool norm = chosen.norm && site.kind == SiteKind::norm && site.name.ends_with(".cross_attn.norm");
            if ((projection || norm) && chosen.holds(site.name, layout))
                for (const int index : {site.weight, site.bias}) trained.insert(layout.parameters[static_cast<std::size_t>(index)].name);
        }
        return replace_parameters(
            layout,
            [&](const ParameterSpec& parameter) {
                const bool projection = parameter.name == "lm_head.weight";  // of a base that does not tie it to the embeddings
                if (parameter.role == ParameterRole::embedding) return chosen.embeddings && !projection;
                return trained.contains(parameter.name);
            },
            info_.id);
    }
    void attach(Attachment& attachment, const Layout& layout, const Json& settings, const std::vector<at::Tensor>& values) const override {
        attach_replacements(attachment, tensors(layout, settings), values);
    }
};

}  // namespace

std::unique_ptr<Method> cross_attention_method() { return std::make_unique<CrossAttention>(); }

}  // namespace permille
