// LoRA, DoRA, AdaLoRA, Context-PEFT, DSEE, SSF: what is special to each, beyond the contract and the goldens.
#include <set>

#include "core/jobs/merge.h"
#include "core/nn/parts.h"
#include "core/peft/adapter_file.h"
#include "core/peft/merge.h"
#include "core/peft/targets.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Seq2Seq& model() {
    static const auto tiny = tiny_model(families()[0]);
    return *tiny;
}

Attached attach(const std::string& id, const Json& settings) { return attach_method(find_method_by_id(id, ""), model(), settings, 1); }

at::Tensor logits(const Attached& attached) {
    const at::NoGradGuard guard;
    return logits_of(model(), model().inference(attached.attachment.get()), batch_of(model(), random_pairs(4, 50, 1)));
}

void shake(const Attached& attached, std::uint64_t seed = 5) {
    at::manual_seed(seed);
    for (std::size_t i = 0; i < attached.values.size(); ++i)
        if (attached.specs[i].role == TensorRole::trained) attached.values[i].detach().add_(at::randn(attached.values[i].sizes()) * 0.1);
}

std::set<std::string> names(const std::string& targets, const std::string& stacks = "both") {
    Targets chosen;
    chosen.targets = targets;
    chosen.stacks = stacks;
    std::set<std::string> found;
    for (const int index : chosen.sites(model().layout(), "test"))
        found.insert(model().layout().sites[static_cast<std::size_t>(index)].name);
    return found;
}

const at::Tensor& value(const Attached& attached, const std::string& name) {
    for (std::size_t i = 0; i < attached.specs.size(); ++i)
        if (attached.specs[i].name == name) return attached.values[i];
    FAIL("no tensor " << name);
    return attached.values.front();
}

}  // namespace

TEST_CASE("targets are presets and the ends of names", "[peft]") {
    // 2 encoder and 3 decoder layers: 8 attentions, 5 feed-forward blocks.
    REQUIRE(names("qv").size() == 16);
    REQUIRE(names("attention").size() == 32);
    REQUIRE(names("ffn").size() == 10);
    REQUIRE(names("all").size() == 42);
    REQUIRE(names("q,v") == names("qv"));
    REQUIRE(names("v, qv") == names("qv"));
    REQUIRE(names("cross_attn").size() == 12);
    REQUIRE(names("cross_attn", "decoder") == names("cross_attn"));
    REQUIRE(names("self_attn.q", "encoder") == std::set<std::string>{"encoder.0.self_attn.q", "encoder.1.self_attn.q"});
    REQUIRE(names("encoder.*.self_attn.q") == names("self_attn.q", "encoder"));
    REQUIRE(names("decoder.2.ffn.fc1") == std::set<std::string>{"decoder.2.ffn.fc1"});
    REQUIRE(names("decoder.2.ffn") == std::set<std::string>{"decoder.2.ffn.fc1", "decoder.2.ffn.fc2"});
    for (const char* wrong : {"w", "", "q,,v", "decoder.9.ffn", "attn", "embeddings", "ffn.fc1.more"})
        require_error([&] { names(wrong); }, ErrorKind::config, {"test/targets", "matches no projection", "cross_attn"});
    require_error([] { names("cross_attn", "encoder"); }, ErrorKind::config, {"test/targets", "stacks"});
}

TEST_CASE("LoRA starts from a normal distribution where it is asked to", "[peft]") {
    const Attached gaussian = attach("lora", {{"rank", 4}, {"initialisation", "gaussian"}});
    at::Tensor all = at::empty({0});
    for (std::size_t i = 0; i < gaussian.values.size(); i += 2) all = at::cat({all, gaussian.values[i].detach().view({-1})});
    REQUIRE_THAT(all.std().item<double>(), Catch::Matchers::WithinAbs(0.25, 0.02));
    REQUIRE(all.abs().max().item<double>() > 0.5);
}

TEST_CASE("LoRA at embeddings changes what is looked up, not what is predicted", "[peft]") {
    const Attached attached = attach("lora", {{"rank", 3}, {"targets", "embeddings"}, {"stacks", "encoder"}});
    REQUIRE(attached.values.size() == 2);
    REQUIRE(attached.values[0].size(1) == model().architecture().source_vocabulary());
    const at::Tensor before = logits(attached);
    attached.values[0].detach().fill_(0.2);
    REQUIRE_FALSE(at::equal(logits(attached), before));
    const Forward forward = model().inference(attached.attachment.get()), plain = model().inference();
    require_same(model().output_weight(forward), model().output_weight(plain));
}

TEST_CASE("LoRA at embeddings merges into tables that come apart where they must", "[peft]") {
    for (const std::string& name : golden_models()) {
        const auto base = golden_model(name);
        const Seq2Seq& network = *base->network;
        const std::int64_t table = network.architecture().vocab_size * network.architecture().d_model;
        const bool separate = network.architecture().source_vocab_size.has_value();
        for (const std::string stacks : {"both", "encoder", "decoder"}) {
            INFO(name << ", " << stacks);
            const Attached attached =
                attach_method(find_method_by_id("lora", ""), network, {{"rank", 3}, {"targets", "embeddings,q"}, {"stacks", stacks}}, 1);
            shake(attached);
            const Merged merged = merge(attached, network);
            const Seq2Seq plain(merged.architecture, merged.weights, network.logits_bias(), at::kFloat);
            const at::NoGradGuard guard;
            const TensorBatch batch = batch_of(network, golden_pairs(name));
            const at::Tensor wanted = logits_of(network, network.inference(attached.attachment.get()), batch);
            require_close(logits_of(plain, plain.inference(), batch), wanted, 1e-4);
            REQUIRE((logits_of(network, network.inference(), batch) - wanted).abs().max().item<double>() > 0.01);
            // Encoder, decoder and projection each have a table, but where the encoder's own is all that changes.
            const bool whole = separate && stacks == "encoder";
            const std::int64_t more = whole ? 0 : separate ? table : 2 * table;
            REQUIRE(merged.layout.parameter_count() == network.layout().parameter_count() + more);
            REQUIRE(merged.architecture.tied_projection == whole);
            require_same(plain.output_weight(plain.inference()), network.output_weight(network.inference()));
            if (whole) continue;
            require_error([&] { merged_weights(attached, network); }, ErrorKind::unsupported, {"lora", "permille merge"});
        }
    }
}

TEST_CASE("DoRA's lengths follow changed values, in and out of training", "[peft]") {
    const Attached attached = attach("dora", {{"rank", 2}});
    shake(attached);
    const at::Tensor first = logits(attached);
    require_same(logits(attached), first);
    shake(attached, 6);
    const at::Tensor second = logits(attached);
    REQUIRE_FALSE(at::equal(second, first));
    const TensorBatch batch = batch_of(model(), random_pairs(4, 50, 1));
    require_close(logits_of(model(), model().training(*attached.attachment, 0.0, 1), batch), second, 1e-5);
    const Attached other = attach("dora", {{"rank", 2}});
    {
        const at::NoGradGuard guard;
        logits(other);  // now its lengths are kept
        for (std::size_t i = 0; i < other.values.size(); ++i) other.values[i].copy_(attached.values[i]);
    }
    require_same(logits(other), second);
}

TEST_CASE("DoRA's magnitudes are the lengths of the weight rows it makes", "[peft]") {
    const Attached attached = attach("dora", {{"rank", 2}, {"targets", "all"}});
    shake(attached);
    const auto merged = merged_weights(attached, model());
    std::size_t i = 0;
    for (const Site& site : model().layout().sites) {
        if (site.kind != SiteKind::linear) continue;
        require_close(merged[static_cast<std::size_t>(site.weight)].norm(2, 1), attached.values[i + 2].abs(), 1e-5, site.name);
        i += 3;
    }
}

TEST_CASE("AdaLoRA ends with its budget, moved between sites", "[peft][train]") {
    Attached attached = attach("adalora", {{"rank", 6}, {"target_rank", 2}, {"before", 0.1}, {"after", 0.2}});
    const auto pairs = random_pairs(24, 50, 7);
    const std::vector<TokenPair> none;
    TrainingSettings settings;
    settings.updates = 20;
    settings.warmup_updates = 2;
    Trainer(model(), attached, pairs, none, settings, 0.02, 3, "", {}).run({});
    const Attached kept = stored_form(attached, model());
    std::int64_t left = 0, smallest = 6, largest = 0, sites = 0;
    for (std::size_t i = 0; i < kept.specs.size(); ++i) {
        REQUIRE(kept.specs[i].role == TensorRole::trained);
        if (!kept.specs[i].name.ends_with("lora_E")) continue;
        const std::int64_t rank = kept.values[i].size(0);
        REQUIRE((kept.values[i] != 0).all().item<bool>());
        left += rank;
        smallest = std::min(smallest, rank);
        largest = std::max(largest, rank);
        ++sites;
    }
    REQUIRE(left == 2 * sites);
    REQUIRE(smallest < largest);
    REQUIRE(kept.trainable() < attached.trainable() / 2);
    require_close(logits(kept), logits(attached), 1e-5);
    REQUIRE(stored_form(kept, model()).settings == kept.settings);
    require_error([] { attach("adalora", {{"rank", 3}, {"ranks", "1,2"}}); }, ErrorKind::config, {"adalora/ranks"});
    require_error([] { attach("adalora", {{"rank", 3}, {"target_rank", 4}}); }, ErrorKind::config, {"adalora/target_rank", "3"});
    require_error([] { attach("adalora", {{"before", 0.5}, {"after", 0.5}}); }, ErrorKind::config, {"adalora/after"});
}

TEST_CASE("a domain's adapter acts on its tokens alone", "[peft]") {
    const at::NoGradGuard guard;
    const auto states = [](const Attached& attached, const std::vector<std::int64_t>& ids) {
        return model().encode(model().inference(attached.attachment.get()), TokenRows::of({ids}, at::kCPU)).states;
    };
    for (const char* id : {"context_lora", "context_ia3", "context_bitfit"}) {
        INFO(id);
        const Attached attached = attach(id, {{"domains", "names=20,30-32"}});
        const Attached base = attach(id, {{"domains", "names=20,30-32"}});
        for (std::size_t i = 0; i < attached.specs.size(); ++i)
            if (attached.specs[i].name.find(".names.") != std::string::npos) attached.values[i].detach().add_(0.3);
        require_same(states(attached, {4, 9, 21, 33, 2}), states(base, {4, 9, 21, 33, 2}));
        REQUIRE_FALSE(at::equal(states(attached, {4, 20, 2}), states(base, {4, 20, 2})));
        REQUIRE_FALSE(at::equal(states(attached, {4, 32, 2}), states(base, {4, 32, 2})));
    }
    const Attached overlap = attach("context_bitfit", {{"domains", "a=20; b=20-22"}});  // both act
    const Attached alone = attach("context_bitfit", {{"domains", "a=20; b=20-22"}});
    const std::string site = "encoder.layers.0.fc1.";
    value(overlap, site + "a.bias").detach().fill_(0.1);
    value(overlap, site + "b.bias").detach().fill_(0.2);
    value(alone, site + "b.bias").detach().fill_(0.3);
    require_close(states(overlap, {5, 20, 2}), states(alone, {5, 20, 2}), 1e-5);
    for (const char* wrong : {"tags", "=3", "tags=", "tags=x", "tags=5-3", "a=1;a=2", "source=1", "a.b=1", "a=-1"})
        require_error([&] { attach("context_lora", {{"domains", wrong}}); }, ErrorKind::config, {"context_lora/domains", "tags=0-3"});
}

TEST_CASE("keys and values of cross-attention see the source's tokens", "[peft]") {
    const at::NoGradGuard guard;
    const Attached attached = attach("context_bitfit", {{"domains", "names=20"}});
    value(attached, "decoder.layers.0.encoder_attn.v_proj.names.bias").detach().fill_(0.5);
    const auto of = [&](const Attachment* attachment, std::vector<std::int32_t> source, std::vector<std::int32_t> labels) {
        TokenPair pair;
        pair.source = std::move(source);
        pair.labels = std::move(labels);
        return logits_of(model(), model().inference(attachment), batch_of(model(), {pair}));
    };
    require_same(of(attached.attachment.get(), {4, 9, 2}, {20, 20, 2}), of(nullptr, {4, 9, 2}, {20, 20, 2}));
    REQUIRE_FALSE(at::equal(of(attached.attachment.get(), {4, 20, 2}, {5, 6, 2}), of(nullptr, {4, 20, 2}, {5, 6, 2})));
}

TEST_CASE("DSEE's places are what their choice says", "[peft]") {
    const auto places = [](const std::string& choice, std::uint64_t seed = 1) {
        return attach_method(find_method_by_id("dsee", ""), model(), {{"rank", 2}, {"entries", 9}, {"places", choice}}, seed).values[3];
    };
    const at::Tensor weight =
        model().weights()[static_cast<std::size_t>(model().layout().parameter("model.encoder.layers.0.self_attn.q_proj.weight"))].view(
            {-1});
    const at::Tensor largest = places("magnitude");
    at::Tensor others = weight.abs().clone();
    others.index_fill_(0, largest, 0.0);
    REQUIRE(weight.index_select(0, largest).abs().min().item<double>() >= others.max().item<double>());
    REQUIRE_FALSE(at::equal(places("random"), places("random", 2)));
    require_same(places("random"), places("random"));
    for (const char* choice : {"decomposition", "magnitude", "random"}) {
        const at::Tensor found = places(choice);
        REQUIRE(found.scalar_type() == at::kLong);
        REQUIRE(found.numel() == 9);
        REQUIRE((found.diff() > 0).all().item<bool>());  // ascending, no place twice
        REQUIRE(found.max().item<std::int64_t>() < weight.numel());
    }
}

TEST_CASE("DSEE's decomposition finds what a low rank leaves out", "[peft]") {
    // Of rank two, but for five entries: those are the rest.
    at::manual_seed(4);
    std::vector<at::Tensor> weights = model().weights();
    const auto index = static_cast<std::size_t>(model().layout().parameter("model.encoder.layers.0.self_attn.q_proj.weight"));
    const at::Tensor spikes = at::tensor(std::vector<std::int64_t>{3, 50, 101, 160, 250}, at::kLong);
    const at::Tensor left = at::randn({16, 2}), right = at::randn({2, 16});
    weights[index] = at::mm(left, right).view({-1}).index_add(0, spikes, at::full({5}, 9.0)).view({16, 16});
    const Seq2Seq spiked(model().architecture(), weights, model().logits_bias(), at::kFloat);
    const Attached attached = attach_method(find_method_by_id("dsee", ""), spiked, {{"rank", 2}, {"entries", 5}}, 1);
    require_same(attached.values[3], spikes);
}

TEST_CASE("SSF starts near the base or exactly there, and merges without embeddings", "[peft]") {
    const at::NoGradGuard guard;
    const at::Tensor base = logits_of(model(), model().inference(), batch_of(model(), random_pairs(4, 50, 1)));
    require_same(logits(attach("ssf", {{"initialisation", "identity"}})), base);
    const Attached paper = attach("ssf", {{"embeddings", false}});
    REQUIRE_FALSE(at::equal(logits(paper), base));
    REQUIRE((logits(paper) - base).abs().mean().item<double>() < 1.0);
    const Seq2Seq merged(model().architecture(), merged_weights(paper, model()), model().logits_bias(), at::kFloat);
    require_close(logits_of(merged, merged.inference(), batch_of(merged, random_pairs(4, 50, 1))), logits(paper), 1e-4);
    require_error(
        [] {
            attach("ssf", {{"embeddings", false}, {"norms", false}, {"projections", false}});
        },
        ErrorKind::config, {"ssf", "matches"});
}

// For tests/golden/make/check_merged.py, which opens the folders in transformers.
TEST_CASE("models merged from adapters that change tables or remove neurons, and their logits", "[.merged]") {
    const char* folder = std::getenv("PERMILLE_EXPORT");
    if (!folder) return;  // a filter that only leaves tests out runs hidden ones too
    const auto export_merged = [&](const std::string& name, const char* method, Json settings, const std::string& stacks) {
        const auto base = golden_model(name);
        settings["stacks"] = stacks;
        const Attached attached = attach_method(find_method_by_id(method, ""), *base->network, settings, 1);
        shake(attached);
        for (std::size_t i = 0; i < attached.specs.size(); ++i)
            if (attached.specs[i].name.ends_with(".kept_neurons")) attached.values[i].slice(0, 1, 8, 3).zero_();  // three of them
        const std::filesystem::path place = std::filesystem::path(folder) / (name + "-" + method + "-" + stacks);
        save_adapter(place / "adapter", attached, *base, {});
        merge_adapter(base->folder.string(), place / "adapter", place / "merged", "float32");
        const at::NoGradGuard guard;
        const TensorBatch batch = batch_of(*base->network, golden_pairs(name));
        const at::Tensor logits = logits_of(*base->network, base->network->inference(attached.attachment.get()), batch);
        write_safetensors(place / "logits.safetensors", {{"logits", logits}});
        const auto merged = load_base(place / "merged", at::kCPU, at::kFloat);
        require_close(logits_of(*merged->network, merged->network->inference(), batch), logits, 1e-4);
        std::filesystem::remove_all(place / "adapter");
    };
    for (const std::string& name : golden_models())
        for (const std::string stacks : {"both", "encoder", "decoder"}) {
            export_merged(name, "lora", {{"rank", 3}, {"targets", "embeddings,q"}}, stacks);
            export_merged(name, "dsee", {{"rank", 3}, {"entries", 5}, {"targets", "all"}, {"neurons", 3}}, stacks);
        }
}
