#include <torch/csrc/autograd/autograd.h>

#include "core/peft/adapter_file.h"
#include "core/peft/merge.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Seq2Seq& model() {
    static const auto base = golden_model();
    return *base->network;
}

const Method& method(const char* id) { return find_method_by_id(id, ""); }

at::Tensor logits(const Attached& attached, const std::vector<TokenPair>& pairs) {
    const at::NoGradGuard guard;
    return logits_of(model(), model().inference(attached.attachment.get()), batch_of(model(), pairs));
}

const Json kSmall = {{"prefix_length", 3}, {"bottleneck_dim", 5}, {"rank", 2}};

// Values away from the start, gates by their bias alone.
Attached shaken(const Json& settings, double gate_bias) {
    Attached attached = attach_method(method("unipelt"), model(), settings, 3);
    SeededRandom random(5);
    for (std::size_t i = 0; i < attached.values.size(); ++i) {
        at::Tensor value = attached.values[i].detach();
        if (attached.specs[i].name.ends_with("gate.weight")) value.zero_();
        else if (attached.specs[i].name.ends_with("gate.bias")) value.fill_(gate_bias);
        else
            for (std::int64_t j = 0; j < value.numel(); ++j) value.data_ptr<float>()[j] += static_cast<float>(0.2 * (random.unit() - 0.5));
    }
    return attached;
}

}  // namespace

TEST_CASE("UniPELT with open gates is its parts side by side", "[peft]") {
    const auto pairs = golden_pairs();
    const Attached open = shaken(kSmall, 40);
    const Method& parts = method("prefix+pfeiffer+lora");
    const Json settings =
        parts.complete({{"prefix.prefix_length", 3}, {"pfeiffer.bottleneck_dim", 5}, {"lora.rank", 2}, {"lora.alpha", 2.0}});
    std::map<std::string, at::Tensor> by_name;
    for (std::size_t i = 0; i < open.values.size(); ++i) by_name[open.specs[i].name] = open.values[i];
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : parts.tensors(model().layout(), settings)) {
        std::string name = spec.name;  // PEFT's of LoRA
        if (name.starts_with("base_model.model.model.")) name = name.substr(23, name.rfind('.') - 23);
        INFO(spec.name);
        REQUIRE(by_name.count(name) == 1);
        values.push_back(by_name.at(name));
    }
    REQUIRE(open.trainable() == attach_values(parts, model(), settings, values).trainable() + 31 * (7 + 5 + 14));
    require_close(logits(open, pairs), logits(attach_values(parts, model(), settings, values), pairs), 2e-5);
}

TEST_CASE("UniPELT with closed gates leaves empty keys and values", "[peft]") {
    const auto pairs = golden_pairs();
    const Attached closed = shaken(kSmall, -200);
    Attached empty = attach_method(method("prefix"), model(), {{"prefix_length", 3}}, 1);
    for (const at::Tensor& value : empty.values) value.detach().zero_();
    require_close(logits(closed, pairs), logits(empty, pairs), 2e-5);
}

TEST_CASE("no gate of UniPELT lets a target token see a later one", "[peft]") {
    const Attached attached = attach_method(method("unipelt"), model(), kSmall, 3);
    auto pairs = golden_pairs();
    pairs.resize(1);
    REQUIRE(pairs[0].labels.size() > 4);
    const at::Tensor before = logits(attached, pairs);
    const auto last = pairs[0].labels.size() - 2;  // the last that is read
    pairs[0].labels[last] = pairs[0].labels[last] == 20 ? 21 : 20;
    const at::Tensor after = logits(attached, pairs);
    const auto same = static_cast<std::int64_t>(last) + 1;
    require_close(after.narrow(0, 0, same), before.narrow(0, 0, same), 1e-6);
    REQUIRE((after[same] - before[same]).abs().max().item<double>() > 1e-3);
    pairs[0].source[2] = pairs[0].source[2] == 20 ? 21 : 20;  // while each source word is seen by all
    REQUIRE((logits(attached, pairs)[0] - after[0]).abs().max().item<double>() > 1e-3);
}

TEST_CASE("the network of UniPELT's prefix is trained but not stored", "[peft]") {
    Json settings = kSmall;
    settings["reparametrised"] = true;
    settings["hidden_dim"] = 6;
    const Method& unipelt = method("unipelt");
    const Attached attached = shaken(settings, 0.3);
    const Sizes found = sizes(unipelt, model().layout(), attached.settings),
                flat = sizes(unipelt, model().layout(), unipelt.complete(kSmall));
    REQUIRE(attached.trainable() == found.trainable);
    REQUIRE(found.stored == flat.trainable);
    REQUIRE(found.train_only == found.trainable - flat.trainable);
    const Attached kept = stored_form(attached, model());
    REQUIRE(kept.trainable() == found.stored);
    require_close(logits(kept, golden_pairs()), logits(attached, golden_pairs()), 1e-5);
}

TEST_CASE("MAM adapters are parallel adapters with a prefix, under one name", "[peft]") {
    const Method &mam = method("mam"), &pair = method("parallel+prefix");
    const Json paper = mam.complete(Json::object());
    REQUIRE(paper["prefix.prefix_length"] == 30);
    REQUIRE(paper["prefix.reparametrised"] == true);
    REQUIRE(paper["prefix.hidden_dim"] == 800);
    REQUIRE(paper["parallel.bottleneck_dim"] == 512);
    REQUIRE(paper["parallel.scale"] == 4.0);
    for (const Field& knob : mam.info().knobs) REQUIRE(knob.default_value == paper[knob.name]);
    REQUIRE(mam.info().size_knob == "parallel.bottleneck_dim");
    require_error([&] { mam.complete({{"bottleneck_dim", 3}}); }, ErrorKind::config, {"mam", "bottleneck_dim"});

    const Json small = mam.complete({{"prefix.prefix_length", 2}, {"prefix.hidden_dim", 7}, {"parallel.bottleneck_dim", 5}});
    const Attached attached = attach_method(mam, model(), small, 3);
    for (const TensorSpec& spec : attached.specs) REQUIRE(spec.rate == 1);
    std::vector<at::Tensor> values;
    for (const at::Tensor& value : attached.values) values.push_back(value.detach());
    require_same(logits(attached, golden_pairs()), logits(attach_values(pair, model(), small, values), golden_pairs()));

    const TemporaryFolder folder;
    const auto base = golden_model();
    save_adapter(folder / "mam", attached, *base, Json::object());
    const Attached again = load_adapter(folder / "mam", *base);
    REQUIRE(again.method == &mam);
    REQUIRE(again.settings["prefix.reparametrised"] == false);  // only what the network makes is kept
    require_close(logits(again, golden_pairs()), logits(attached, golden_pairs()), 1e-5);
    require_error([] { attach_method(method("mam+prefix"), model(), Json::object(), 1); }, ErrorKind::config, {"for themselves"});
}

TEST_CASE("lora_scaling of T-Few merges, and is no adapter of PEFT", "[peft]") {
    const Method& ia3 = method("ia3");
    const Json settings = ia3.complete({{"targets", "all"}, {"sides", "both"}});
    const Attached attached = attach_method(ia3, model(), settings, 1);
    const auto pairs = golden_pairs();
    const at::Tensor base = logits_of(model(), model().inference(), batch_of(model(), pairs));
    require_same(logits(attached, pairs), base);
    SeededRandom random(4);
    for (const at::Tensor& value : attached.values) value.detach().add_(0.3 * random.unit());
    const Seq2Seq merged(model().architecture(), merged_weights(attached, model()), model().logits_bias(), at::kFloat);
    const at::Tensor want = logits(attached, pairs);
    REQUIRE((want - base).abs().max().item<double>() > 0.1);
    require_close(logits_of(merged, merged.inference(), batch_of(merged, pairs)), want, 1e-4);
    REQUIRE(ia3.peft_config(model().layout(), settings).is_null());
    REQUIRE_FALSE(ia3.peft_config(model().layout(), ia3.complete(Json::object())).is_null());
}
