// Prefixes and virtual tokens: prefix, layer_prefix, prompt, dept. What they compute is in the golden files; here it is what their variants
// must keep on every family, what is stored of them, and what PEFT is told.
#include "core/base/files.h"
#include "core/peft/adapter_file.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Method& method(const char* id) { return find_method_by_id(id, ""); }

struct Variant {
    const char* method;
    Json settings;
};

const Json kHuggingFace = {{"prefix_length", 3}, {"encoder_self", false}, {"cross", false}, {"peft_form", true}};

const std::vector<Variant>& variants() {
    static const std::vector<Variant> list = {
        {"prefix", {{"prefix_length", 3}, {"reparametrised", true}, {"hidden_dim", 5}}},
        {"prefix", {{"prefix_length", 3}, {"encoder_self", false}, {"decoder_self", false}}},
        {"prefix", {{"prefix_length", 3}, {"stacks", "decoder"}, {"layers", "last 1"}}},
        {"prefix", kHuggingFace},
        {"layer_prefix", {{"prefix_length", 2}, {"reparametrised", true}, {"hidden_dim", 5}}},
        {"layer_prefix", {{"prefix_length", 2}, {"side", "decoder"}, {"initialisation", "vocabulary"}}},
        {"layer_prefix", {{"prefix_length", 2}, {"side", "encoder"}}},
        {"prompt", {{"prompt_length", 3}, {"side", "both"}, {"position", "around"}}},
        {"prompt", {{"prompt_length", 3}, {"side", "decoder"}, {"initialisation", "normal"}}},
        {"prompt", {{"prompt_length", 3}, {"position", "back"}}},
        {"prompt", {{"prompt_length", 3}, {"position", "around"}, {"embedding_space", "table"}}},
        {"dept", {{"prompt_length", 2}, {"rank", 2}, {"source_length", 3}, {"initialisation", "normal"}}},
    };
    return list;
}

void for_all(const std::function<void(const Variant&, const Seq2Seq&)>& test) {
    for (const Family& family : families()) {
        const auto model = tiny_model(family);
        for (const Variant& variant : variants()) {
            INFO(variant.method << " " << variant.settings.dump() << ", family " << family.model_type);
            test(variant, *model);
        }
    }
}

// Away from zeros.
Attached attach_shaken(const Variant& variant, const Seq2Seq& model) {
    Attached attached = attach_method(method(variant.method), model, variant.settings, 1);
    SeededRandom random(3);
    for (const at::Tensor& value : attached.values) {
        at::Tensor noise = at::empty(value.sizes(), at::kFloat);
        for (std::int64_t i = 0; i < noise.numel(); ++i) noise.data_ptr<float>()[i] = static_cast<float>(0.2 * (random.unit() - 0.5));
        value.detach().add_(noise);
    }
    return attached;
}

at::Tensor logits(const Seq2Seq& model, const Attached& attached, const std::vector<TokenPair>& pairs) {
    const at::NoGradGuard guard;
    return logits_of(model, model.inference(attached.attachment.get()), batch_of(model, pairs));
}

}  // namespace

TEST_CASE("every variant of prefixes and prompts decodes with a cache as without", "[peft]") {
    for_all([](const Variant& variant, const Seq2Seq& model) {
        const at::NoGradGuard guard;
        const Attached attached = attach_shaken(variant, model);
        const Forward forward = model.inference(attached.attachment.get());
        const Encoded encoded = model.encode(forward, TokenRows::of({{4, 9, 11, 2}, {7, 2}}, at::kCPU));
        const std::vector<std::vector<std::int64_t>> targets = {{2, 5, 6, 7}, {2, 15, 16, 17}};
        const at::Tensor full = model.decode(forward, encoded, TokenRows::of(targets, at::kCPU)).view({2, 4, -1});
        DecoderCache cache = model.start(forward, encoded, 1, 5);
        for (std::int64_t t = 0; t < 4; ++t) {
            const auto place = static_cast<std::size_t>(t);
            require_close(model.step(forward, cache, at::tensor({targets[0][place], targets[1][place]}, at::kLong)), full.select(1, t),
                          2e-5);
        }
    });
}

TEST_CASE("a sentence does not see its neighbours through any variant of prefixes and prompts", "[peft]") {
    for_all([](const Variant& variant, const Seq2Seq& model) {
        const Attached attached = attach_shaken(variant, model);
        const auto pairs = random_pairs(4, 50, 9);
        std::vector<at::Tensor> alone;
        for (const TokenPair& pair : pairs) alone.push_back(logits(model, attached, {pair}));
        require_close(logits(model, attached, pairs), at::cat(alone), 2e-5);
    });
}

TEST_CASE("what is stored of a prefix translates like what was trained", "[peft]") {
    for_all([](const Variant& variant, const Seq2Seq& model) {
        const Attached attached = attach_shaken(variant, model), kept = stored_form(attached, model);
        const auto pairs = random_pairs(4, 50, 5);
        require_close(logits(model, kept, pairs), logits(model, attached, pairs), 1e-5);
        const Sizes counted = sizes(*attached.method, model.layout(), attached.settings);
        REQUIRE(counted.trainable == attached.trainable());
        REQUIRE(counted.stored == kept.trainable());
        REQUIRE(counted.train_only == attached.trainable() - kept.trainable());
        const bool network = attached.settings.value("reparametrised", false);
        REQUIRE((counted.train_only > 0) == network);
        for (const TensorSpec& spec : kept.specs) REQUIRE(spec.name.find("transform") == std::string::npos);
        if (network) REQUIRE(kept.settings["reparametrised"] == false);
    });
}

TEST_CASE("virtual tokens start as embeddings of frequent tokens", "[peft]") {
    for (const Family& family : families()) {
        const auto model = tiny_model(family);
        const double scale = model->layout().embedding_scale;
        REQUIRE(scale == (model->architecture().scale_embedding ? 4.0 : 1.0));
        const int table = model->layout().parameter("model.shared.weight");
        REQUIRE(table >= 0);
        const at::Tensor rows = model->weights()[static_cast<std::size_t>(table)].slice(0, 4);
        const auto are_rows = [&](const at::Tensor& value, const at::Tensor& known) {
            const at::Tensor distance = at::cdist(value.detach(), known, 2.0, /*compute_mode=*/2);  // from differences, not products
            REQUIRE(std::get<0>(distance.min(1)).max().item<double>() < 1e-3);
            REQUIRE(std::get<0>(distance.min(0)).max().item<double>() > 0.1);  // not all of them the same
        };
        const auto start = [&](const char* id, const Json& settings) {
            return attach_method(method(id), *model, settings, 7).values[0].detach();
        };
        are_rows(start("prompt", {{"prompt_length", 9}}), rows * scale);
        are_rows(start("prompt", {{"prompt_length", 9}, {"side", "decoder"}}), rows * scale);
        are_rows(start("prompt", {{"prompt_length", 9}, {"embedding_space", "table"}}), rows);
        are_rows(start("dept", {{"prompt_length", 9}}), rows * scale);
        are_rows(start("layer_prefix", {{"prefix_length", 9}, {"initialisation", "vocabulary"}}), rows);
        REQUIRE_FALSE(at::equal(start("prompt", {{"prompt_length", 9}}),
                                attach_method(method("prompt"), *model, {{"prompt_length", 9}}, 8).values[0].detach()));
    }
}

TEST_CASE("a fresh DePT is its prompt alone", "[peft]") {
    const auto model = tiny_model(families()[0]);
    const Attached dept = attach_method(method("dept"), *model, {{"prompt_length", 3}, {"rank", 2}}, 4);
    const Attached prompt = attach_values(method("prompt"), *model, {{"prompt_length", 3}}, {dept.values[0].detach().clone()});
    const auto pairs = random_pairs(4, 50, 5);
    require_same(logits(*model, dept, pairs), logits(*model, prompt, pairs));
    REQUIRE(dept.specs[0].rate == 1.0);
    for (const std::size_t update : {1U, 2U}) REQUIRE_THAT(dept.specs[update].rate, Catch::Matchers::WithinAbs(1.0 / 60, 1e-12));
    REQUIRE(attach_method(method("dept"), *model, {{"prompt_length", 3}, {"update_rate", 0.5}}, 4).specs[2].rate == 0.5);
}

TEST_CASE("a prompt that leaves no room for the sentence is refused by name", "[peft]") {
    const auto model = tiny_model(families()[0]);  // 40 positions
    const auto refused = [&](const char* id, const Json& settings, std::int64_t room) {
        const Attached attached = attach_method(method(id), *model, settings, 1);
        const std::vector<TokenPair> pairs = {{std::vector<std::int32_t>(static_cast<std::size_t>(room) + 1, 5),
                                               std::vector<std::int32_t>(static_cast<std::size_t>(room) + 1, 6)}};
        require_error([&] { logits(*model, attached, pairs); }, ErrorKind::config, {"prompt", std::to_string(40 - room), "40 positions"});
        const std::vector<TokenPair> fitting = {
            {std::vector<std::int32_t>(static_cast<std::size_t>(room), 5), std::vector<std::int32_t>(static_cast<std::size_t>(room), 6)}};
        REQUIRE(at::isfinite(logits(*model, attached, fitting)).all().item<bool>());
        return model->longest_target(model->inference(attached.attachment.get()));
    };
    REQUIRE(refused("prompt", {{"prompt_length", 30}}, 10) == 40);
    REQUIRE(refused("prompt", {{"prompt_length", 30}, {"side", "decoder"}}, 10) == 10);
    REQUIRE(refused("layer_prefix", {{"prefix_length", 30}}, 10) == 10);
    REQUIRE(refused("prefix", {{"prefix_length", 30}, {"encoder_self", false}, {"cross", false}, {"peft_form", true}}, 10) == 10);
}

TEST_CASE("PEFT is told what it can open, and what it says is understood", "[peft]") {
    for (const Family& family : families()) {
        INFO("family " << family.model_type);
        const Layout layout = make_layout(tiny_architecture(family));
        const Method &prefix = method("prefix"), &prompt = method("prompt");
        const Json settings = prefix.complete(kHuggingFace), config = prefix.peft_config(layout, settings);
        REQUIRE(config["peft_type"] == "PREFIX_TUNING");
        REQUIRE(config["num_virtual_tokens"] == 3);
        REQUIRE(config["token_dim"] == 16);
        REQUIRE(config["num_layers"] == 3);
        REQUIRE(config["num_attention_heads"] == 4);
        REQUIRE(prefix.from_peft(layout, config) == settings);
        REQUIRE(prefix.tensors(layout, settings).size() == 1);
        REQUIRE(prefix.tensors(layout, settings)[0].name == "prompt_embeddings");
        REQUIRE(prefix.tensors(layout, settings)[0].shape == std::vector<std::int64_t>{3, 3 * 2 * 16});
        for (const Json& other : {Json::object(), Json{{"encoder_self", false}, {"cross", false}}})
            REQUIRE(prefix.peft_config(layout, prefix.complete(other)).is_null());
        for (const Json& other : {Json{{"peft_form", true}}, Json{{"peft_form", true}, {"cross", false}},
                                  Json{{"peft_form", true}, {"cross", false}, {"encoder_self", false}, {"layers", "last 1"}}})
            require_error([&] { prefix.tensors(layout, prefix.complete(other)); }, ErrorKind::config, {"peft_form", "encoder_self=false"});

        // transformers scales Marian's embeddings where a prompt of PEFT does not pass: there it lies among unscaled ones.
        const bool apart = layout.embedding_scale != 1, inside = layout.scale_within_lookup || !apart;
        const std::string own = inside ? "stack" : "table", other_space = inside ? "table" : "stack";
        const Json front = prompt.complete({{"prompt_length", 5}, {"embedding_space", own}}), told = prompt.peft_config(layout, front);
        REQUIRE(told["peft_type"] == "PROMPT_TUNING");
        REQUIRE(told["num_transformer_submodules"] == 1);
        REQUIRE(prompt.from_peft(layout, told) == front);
        REQUIRE(prompt.peft_config(layout, prompt.complete({{"embedding_space", other_space}})).is_null() == apart);
        REQUIRE(prompt.tensors(layout, front)[0].name == "prompt_embeddings");
        if (apart)
            REQUIRE(prompt.tensors(layout, prompt.complete({{"embedding_space", other_space}}))[0].name == "encoder.prompt_embeddings");
        require_error(
            [&] {
                prompt.tensors(layout, prompt.complete({{"side", "both"}, {"embedding_space", "table"}}));
            },
            ErrorKind::config, {"prompt/embedding_space", "side"});
        for (const Json& other : {Json{{"side", "decoder"}}, Json{{"side", "both"}}, Json{{"position", "back"}}})
            REQUIRE(prompt.peft_config(layout, prompt.complete(other)).is_null());
        REQUIRE(prompt.from_peft(layout, config).is_null());
        REQUIRE(prefix.from_peft(layout, {{"peft_type", "LORA"}}).is_null());
    }
}

TEST_CASE("in the table's space virtual tokens and the source's own are not scaled", "[peft]") {
    // The same as a base whose embeddings are not scaled, where prompt and lookups of the encoder are what they are.
    for (const Family& family : families()) {
        INFO("family " << family.model_type);
        const auto model = tiny_model(family);
        if (!model->architecture().scale_embedding) continue;
        const Attached table = attach_method(method("prompt"), *model, {{"prompt_length", 3}, {"embedding_space", "table"}}, 1);
        const Attached stack = attach_method(method("prompt"), *model, {{"prompt_length", 3}}, 1);
        const auto pairs = random_pairs(4, 50, 5);
        REQUIRE((logits(*model, table, pairs) - logits(*model, stack, pairs)).abs().max().item<double>() > 1e-3);
        Architecture unscaled = model->architecture();
        unscaled.scale_embedding = false;
        const Seq2Seq plain(unscaled, model->weights(), model->logits_bias(), at::kFloat);
        const Attached same = attach_values(method("prompt"), plain, {{"prompt_length", 3}}, {table.values[0].detach().clone()});
        const at::NoGradGuard guard;
        const TokenRows source = TokenRows::of({{4, 9, 11, 2}, {7, 2}}, at::kCPU);
        require_close(model->encode(model->inference(table.attachment.get()), source).states,
                      plain.encode(plain.inference(same.attachment.get()), source).states, 2e-5);
    }
}

TEST_CASE("of a prompt that PEFT wrote for two stacks the rows that PEFT reads are taken", "[peft]") {
    const TemporaryFolder folder;
    const auto base = golden_model();
    const at::Tensor rows = at::arange(6 * 30, at::kFloat).view({6, 30}) / 100;
    write_json(folder / "adapter_config.json",
               Json{{"peft_type", "PROMPT_TUNING"}, {"num_virtual_tokens", 3}, {"num_transformer_submodules", 2}});
    write_safetensors(folder / "adapter_model.safetensors", {{"prompt_embeddings", rows}});
    const Attached read = load_adapter(folder.path(), *base);
    REQUIRE(read.method->info().id == "prompt");
    require_same(read.values[0].detach(), rows.narrow(0, 0, 3));
    write_safetensors(folder / "adapter_model.safetensors", {{"prompt_embeddings", rows.narrow(0, 0, 5)}});
    require_error([&] { load_adapter(folder.path(), *base); }, ErrorKind::tensor, {"prompt_embeddings", "shape"});
}
