// Adapters in their places: what the golden files cannot show, their starts, post-norm models, tensor trains, options in cached decoding.
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <tuple>

#include "core/base/files.h"
#include "core/peft/adapter_block.h"
#include "core/peft/adapter_file.h"
#include "core/peft/adapterhub.h"
#include "core/peft/tensor_train.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

std::unique_ptr<Seq2Seq> model_of(const std::string& family) { return tiny_model(find_family(Json{{"model_type", family}}, "test")); }

void shake(const Attached& attached) {
    SeededRandom random(5);
    for (std::size_t v = 0; v < attached.values.size(); ++v) {
        at::Tensor noise = at::empty(attached.values[v].sizes(), at::kFloat);
        for (std::int64_t i = 0; i < noise.numel(); ++i) noise.data_ptr<float>()[i] = static_cast<float>(0.4 * (random.unit() - 0.5));
        attached.values[v].detach().add_(noise);
    }
}

at::Tensor logits(const Seq2Seq& model, const Attachment* attachment) {
    const at::NoGradGuard guard;
    return logits_of(model, model.inference(attachment), batch_of(model, random_pairs(4, 50, 3)));
}

// The biggest change of the logits that a fresh method makes.
double disturbance(const std::string& method, const Json& settings) {
    const auto model = model_of("m2m_100");
    const Attached attached = attach_method(find_method_by_id(method, ""), *model, settings, 1);
    return (logits(*model, attached.attachment.get()) - logits(*model, nullptr)).abs().max().item<double>();
}

// The value of the tensor whose name ends so.
at::Tensor named(const Attached& attached, const std::string& end) {
    for (std::size_t i = 0; i < attached.specs.size(); ++i)
        if (attached.specs[i].name.ends_with(end)) return attached.values[i].detach();
    throw std::logic_error("no tensor " + end);
}

}  // namespace

TEST_CASE("adapters read where their papers say, before and after norms", "[peft]") {
    for (const char* family : {"m2m_100", "marian"}) {
        INFO(family);
        const auto model = model_of(family);
        const bool pre_norm = is_pre_norm(model->layout());
        REQUIRE(pre_norm == model->architecture().pre_norm);
        const Forward forward = model->inference();
        const Site& site = model->layout().sites[static_cast<std::size_t>(model->layout().site("encoder.0.ffn.norm"))];
        const Norm norm{model->layout().site("encoder.0.ffn.norm"), site.weight, site.bias};
        const at::Tensor h = at::randn({3, 16}), x = at::randn({3, 16}), input = at::randn({3, 16}), plain = x + h;
        const at::Tensor normed = at::layer_norm(plain, {16}, forward.parameter(site.weight), forward.parameter(site.bias), 1e-5);
        const Passage passage = {input, x, &norm, {}};
        const auto read = [&](AdapterReads reads) {
            const AdapterModule module([](const Forward&, const at::Tensor& rows) { return rows * 2.0; }, reads, pre_norm);
            return (module.apply(forward, h, passage) - h) / 2.0;
        };
        require_close(read(AdapterReads::output), h, 1e-6);
        require_close(read(AdapterReads::sum), pre_norm ? plain : normed, 1e-6);
        require_close(read(AdapterReads::block_input), input, 1e-6);
        require_close(read(AdapterReads::stream), x, 1e-6);
    }
}

TEST_CASE("a Pfeiffer adapter of a post-norm model adds before the norm that it reads behind", "[peft]") {
    const at::NoGradGuard guard;
    const auto model = model_of("marian");
    const Attached attached =
        attach_method(find_method_by_id("pfeiffer", ""), *model, {{"bottleneck_dim", 3}, {"stacks", "encoder"}, {"layers", "last 1"}}, 1);
    shake(attached);
    const TokenRows source = TokenRows::of({{4, 9, 11, 2}, {7, 2}}, at::kCPU);
    // What the last layer of the base adds up, before its norm.
    struct Record : OutputModule {
        mutable at::Tensor sum;
        at::Tensor apply(const Forward&, const at::Tensor& rows, const Passage& passage) const override {
            sum = passage.residual + rows;
            return rows;
        }
    };
    Attachment recording(model->layout());
    auto record = std::make_unique<Record>();
    const Record* kept = record.get();
    recording.outputs.add(model->layout().site("encoder.1.ffn.output"), std::move(record));
    const at::Tensor normed = model->encode(model->inference(&recording), source).states;
    require_same(normed, model->encode(model->inference(), source).states);

    const std::string stem = "encoder.layers.1.output_adapters.", norm = "model.encoder.layers.1.final_layer_norm.";
    const at::Tensor middle =
        at::relu(at::linear(normed, named(attached, stem + "adapter_down.0.weight"), named(attached, stem + "adapter_down.0.bias")));
    const at::Tensor change = at::linear(middle, named(attached, stem + "adapter_up.weight"), named(attached, stem + "adapter_up.bias"));
    const auto base = [&](const std::string& name) {
        return model->weights()[static_cast<std::size_t>(model->layout().parameter(norm + name))];
    };
    const at::Tensor want = at::layer_norm(kept->sum + change, {16}, base("weight"), base("bias"), 1e-5);
    require_close(model->encode(model->inference(attached.attachment.get()), source).states, want, 1e-5);
}

TEST_CASE("adapters start as their initialisation says", "[peft]") {
    const auto model = model_of("m2m_100");
    const auto values = [&](const char* method, const Json& settings, const char* end) {
        return named(attach_method(find_method_by_id(method, ""), *model, settings, 3), end);
    };
    for (const char* method : {"pfeiffer", "houlsby", "parallel", "bottleneck"}) {
        INFO(method);
        const bool own = std::string(method) == "bottleneck";
        const char *down = own ? "down_proj.weight" : "adapter_down.0.weight", *bias = own ? "up_proj.bias" : "adapter_up.bias";
        const at::Tensor bert = values(method, {{"initialisation", "bert"}, {"bottleneck_dim", 256}}, down);
        REQUIRE_THAT(bert.std().item<double>(), Catch::Matchers::WithinAbs(0.02, 0.001));
        REQUIRE(bert.abs().max().item<double>() > 0.05);
        // The paper's code means biases to be drawn too, AdapterHub's are zero.
        REQUIRE((values(method, {{"initialisation", "bert"}}, bias).abs().max().item<double>() > 0) == own);
        REQUIRE(disturbance(method, {{"initialisation", "bert"}}) > 0);
        REQUIRE(disturbance(method, {{"initialisation", "identity"}}) == 0);
    }
    for (const char* method : {"pfeiffer", "houlsby"})
        for (const char* end : {"adapter_down.0.weight", "adapter_up.weight"}) {
            const at::Tensor cut = values(method, {{"initialisation", "houlsby"}, {"bottleneck_dim", 512}}, end);
            REQUIRE(cut.abs().max().item<double>() <= 0.02);
            REQUIRE(cut.abs().max().item<double>() > 0.019);
            REQUIRE_THAT(cut.std().item<double>(), Catch::Matchers::WithinAbs(0.0088, 0.0003));  // of a normal cut at two deviations
            REQUIRE_THAT(cut.mean().item<double>(), Catch::Matchers::WithinAbs(0.0, 0.0005));
        }
    REQUIRE(disturbance("compacter", Json::object()) < 1e-4);
    for (const char* method : {"loretta_adp", "loretta_rep"}) REQUIRE(disturbance(method, {{"initialisation", "reference"}}) > 1e-3);
    REQUIRE(values("parallel", {{"learned_scale", true}, {"scale", 2.5}}, "scaling").item<double>() == 2.5);
}

TEST_CASE("a tensor train is the product of its cores", "[peft]") {
    TensorTrain train = TensorTrain::of(6, 10, 2);
    train.factors = {4, 3, 5};
    std::vector<TensorSpec> specs;
    train.add_specs(specs, "", false);
    std::vector<at::Tensor> cores;
    for (const TensorSpec& spec : specs) cores.push_back(at::randn(spec.shape));
    const at::Tensor matrix = train.matrix(cores, 0);
    for (std::int64_t flat = 0; flat < 60; ++flat) {
        at::Tensor row = at::ones({1, 1});
        std::int64_t rest = flat;
        const std::vector<std::int64_t> index = {rest / 15, rest / 5 % 3, rest % 5};
        for (std::size_t k = 0; k < 3; ++k) row = at::mm(row, cores[k].select(1, index[k]));
        REQUIRE_THAT(matrix.view({-1})[flat].item<double>(), Catch::Matchers::WithinAbs(row.item<double>(), 1e-5));
    }
    specs.clear();
    train.add_specs(specs, "", true);
    REQUIRE(specs[1].init.kind == Init::Kind::normal);
    REQUIRE(specs[2].init.kind == Init::Kind::zeros);
}

TEST_CASE("shapes of tensor trains multiply out", "[peft]") {
    const auto count = [](std::int64_t in, std::int64_t out, std::int64_t rank) {
        std::vector<TensorSpec> specs;
        TensorTrain::of(in, out, rank).add_specs(specs, "", false);
        std::int64_t total = 0;
        for (const TensorSpec& spec : specs) total += spec.count();
        return total;
    };
    REQUIRE(count(1024, 64, 5) == 840);
    REQUIRE(count(64, 1024, 5) == 840);
    REQUIRE(count(1024, 8, 5) == 640);
    for (const std::int64_t width : {1, 7, 16, 30, 256, 512, 768, 1024, 2048, 4096, 8192})
        for (const std::int64_t bottleneck : {1, 3, 8, 16, 23, 32, 64, 256}) {
            INFO(width << " x " << bottleneck);
            for (const auto& [in, out] : {std::pair(width, bottleneck), std::pair(bottleneck, width)}) {
                std::int64_t product = 1;
                for (const std::int64_t factor : TensorTrain::of(in, out, 5).factors) {
                    product *= factor;
                    REQUIRE((factor <= 16 || factor == 23));
                }
                REQUIRE(product == in * out);
            }
        }
    // Each entry starts with a variance of 1 / (in + out).
    std::vector<TensorSpec> specs;
    const TensorTrain train = TensorTrain::of(64, 1024, 5);
    train.add_specs(specs, "", false);
    std::vector<at::Tensor> cores;
    auto generator = at::detail::createCPUGenerator(1);
    for (const TensorSpec& spec : specs) cores.push_back(at::empty(spec.shape).normal_(0, spec.init.b, generator));
    const double variance = train.matrix(cores, 0).var().item<double>() * (64 + 1024);
    REQUIRE(variance > 0.4);
    REQUIRE(variance < 2.5);
}

TEST_CASE("Compacter takes the nearest smaller division of an odd width", "[peft]") {
    const auto model = model_of("m2m_100");
    const auto size = [&](std::int64_t division) {
        return named(attach_method(find_method_by_id("compacter", ""), *model, {{"division", division}}, 1), "shared.phm_rule").size(0);
    };
    REQUIRE(size(4) == 4);
    REQUIRE(size(5) == 4);  // D is 16
    REQUIRE(size(3) == 2);
    REQUIRE(size(1) == 1);
    REQUIRE(size(64) == 16);
}

TEST_CASE("cached decoding of adapters equals the full pass with all options", "[peft]") {
    const at::NoGradGuard guard;
    const std::vector<std::pair<const char*, Json>> cases = {
        {"bottleneck", {{"encoder_output", true}, {"bottleneck_dim", 3}}},
        {"pfeiffer", {{"cross_attention", true}, {"bottleneck_dim", 3}}},
        {"houlsby", {{"cross_attention", true}, {"train_layernorm", true}, {"bottleneck_dim", 3}}},
        {"parallel", {{"places", "both"}, {"input", "stream"}, {"learned_scale", true}, {"bottleneck_dim", 3}}},
        {"compacter", {{"variant", "compacter++"}, {"cross_attention", true}, {"middle_blocks", 2}, {"rank", 2}}},
        {"loretta_adp", {{"cross_attention", true}, {"bottleneck_dim", 3}}},
        {"adalink", {{"bias", true}, {"activation", "gelu"}, {"rank", 3}}},
        {"parallel+prefix", {{"parallel.bottleneck_dim", 3}, {"prefix.prefix_length", 3}}},  // MAM
        {"language_adapters+pfeiffer", {{"language_adapters.bottleneck_dim", 8}, {"pfeiffer.bottleneck_dim", 3}}},
    };
    for (const char* family : {"m2m_100", "marian"}) {
        const auto model = model_of(family);
        for (const auto& [method, settings] : cases) {
            INFO(method << " of " << family);
            const Attached attached = attach_method(find_method_by_id(method, ""), *model, settings, 1);
            shake(attached);
            const Forward forward = model->inference(attached.attachment.get());
            const Encoded encoded = model->encode(forward, TokenRows::of({{4, 9, 11, 2}, {7, 2}}, at::kCPU));
            DecoderCache cache = model->start(forward, encoded, 1, 6);
            const at::Tensor full =
                model->decode(forward, encoded, TokenRows::of({{2, 5, 6, 7}, {2, 15, 16, 17}}, at::kCPU)).view({2, 4, -1});
            for (std::int64_t t = 0; t < 4; ++t) {
                const at::Tensor tokens = at::tensor({t == 0 ? 2 : 4 + t, t == 0 ? 2 : 14 + t}, at::kLong);
                require_close(model->step(forward, cache, tokens), full.select(1, t), 5e-5);
            }
        }
    }
}

TEST_CASE("adapters on the encoder's output change what one layer reads", "[peft]") {
    const auto model = model_of("m2m_100");
    const Method& bottleneck = find_method_by_id("bottleneck", "");
    const auto count = [&](const Json& settings) { return bottleneck.tensors(model->layout(), bottleneck.complete(settings)).size(); };
    const auto layers = static_cast<std::size_t>(model->architecture().decoder_layers);
    REQUIRE(count({{"encoder_output", true}}) == count(Json::object()) + 6 * layers);
    REQUIRE(count({{"encoder_output", true}, {"stacks", "encoder"}}) == count({{"stacks", "encoder"}}));
    REQUIRE(count({{"encoder_output", true}, {"stacks", "decoder"}, {"layers", "last 1"}}) == 12);
    const Attached attached = attach_method(bottleneck, *model, {{"encoder_output", true}, {"bottleneck_dim", 3}}, 1);
    require_same(logits(*model, attached.attachment.get()), logits(*model, nullptr));
    for (std::size_t i = 0; i < attached.values.size(); ++i)
        if (attached.specs[i].name == "decoder.layers.0.enc_adapters.up_proj.bias") attached.values[i].detach().fill_(0.5);
    REQUIRE_FALSE(at::equal(logits(*model, attached.attachment.get()), logits(*model, nullptr)));
}

TEST_CASE("what AdapterHub does not have is refused by name", "[peft]") {
    const TemporaryFolder folder;
    const auto refuse = [&](const char* base_name, const char* method, const Json& settings, const std::vector<std::string>& words) {
        const auto base = golden_model(base_name);
        const Attached attached = attach_method(find_method_by_id(method, ""), *base->network, settings, 1);
        require_error([&] { save_adapterhub(folder / "out", attached, *base, "pair"); }, ErrorKind::unsupported, words);
    };
    refuse("m2m100", "pfeiffer", Json::object(), {"m2m_100", "mBART"});
    refuse("mbart50", "lora", Json::object(), {"lora"});
    refuse("mbart50", "parallel", Json::object(), {"parallel"});  // reads behind the norm
    refuse("mbart50", "houlsby", {{"train_layernorm", true}}, {"houlsby"});
    REQUIRE_FALSE(std::filesystem::exists(folder / "out"));
    for (const std::int64_t width : {30, 512, 1024})
        for (std::int64_t middle = 1; middle <= 2 * width; ++middle)
            REQUIRE(static_cast<std::int64_t>(std::floor(static_cast<double>(width) / reduction_factor(width, middle))) == middle);
}

TEST_CASE("adapters that AdapterHub wrote give its logits", "[peft][golden]") {
    const auto base = golden_model("mbart50");
    const TensorBatch batch = batch_of(*base->network, golden_pairs("mbart50"));
    const std::vector<std::tuple<const char*, const char*, Json>> cases = {
        {"seq_bn", "pfeiffer", {{"bottleneck_dim", 5}, {"stacks", "encoder"}, {"activation", "relu"}}},
        {"seq_bn_cross", "pfeiffer", {{"bottleneck_dim", 7}, {"cross_attention", true}, {"activation", "gelu"}}},
        {"double_seq_bn", "houlsby", {{"bottleneck_dim", 3}, {"cross_attention", false}, {"activation", "swish"}}},
        {"seq_bn_inv", "language_adapters", {{"bottleneck_dim", 15}, {"invertible", true}}},
        {"par_bn", "parallel", {{"bottleneck_dim", 6}, {"scale", 4.0}, {"learned_scale", false}, {"input", "stream"}}},
        {"scaled_par_bn", "parallel", {{"bottleneck_dim", 6}, {"learned_scale", true}, {"stacks", "decoder"}}},
        {"compacter", "compacter", {{"middle_blocks", 2}, {"division", 3}, {"rank", 1}, {"variant", "compacter"}}},
        {"compacter++", "compacter", {{"middle_blocks", 3}, {"division", 2}, {"rank", 2}, {"variant", "compacter++"}}}};
    for (const auto& [name, method, settings] : cases) {
        INFO(name);
        const std::filesystem::path folder = golden(std::string("mbart50/adapterhub/") + name);
        REQUIRE(is_adapterhub_folder(folder));
        std::string log;
        const Attached attached = load_adapter(folder, *base, [&](const Event& event) { log += std::get<LogLine>(event).text; });
        REQUIRE(attached.method->info().id == method);
        for (const auto& [key, value] : settings.items()) CHECK(attached.settings[key] == value);
        REQUIRE(log.find("not known") != std::string::npos);
        const at::NoGradGuard guard;
        const at::Tensor got = logits_of(*base->network, base->network->inference(attached.attachment.get()), batch);
        require_close(got, read_safetensors(folder / "logits.safetensors").at("logits"), 5e-5);
        REQUIRE(describe_adapter(folder)["adapterhub"]["name"] == "pair");

        const TemporaryFolder again;  // written back, and kept as our own
        save_adapterhub(again / "hub", attached, *base, "other");
        const Attached back = load_adapter(again / "hub", *base);
        REQUIRE(back.method == attached.method);
        require_same(logits_of(*base->network, base->network->inference(back.attachment.get()), batch), got);
        save_adapter(again / "own", attached, *base, {});
        require_same(logits_of(*base->network, base->network->inference(load_adapter(again / "own", *base).attachment.get()), batch), got);
    }
}

TEST_CASE("folders of AdapterHub that cannot be read are refused by the place", "[peft]") {
    const auto base = golden_model("mbart50");
    const std::filesystem::path good = golden("mbart50/adapterhub/seq_bn");
    const auto refuse = [&](ErrorKind kind, const std::vector<std::string>& words, const std::function<void(Json&)>& spoil) {
        const TemporaryFolder folder;
        Json config = read_json(good / "adapter_config.json");
        spoil(config);
        write_json(folder / "adapter_config.json", config);
        std::filesystem::copy_file(good / "adapter.safetensors", folder / "adapter.safetensors");
        require_error([&] { load_adapter(folder.path(), *base); }, kind, words);
    };
    refuse(ErrorKind::config, {"bert"}, [](Json& config) { config["model_type"] = "bert"; });
    refuse(ErrorKind::unsupported, {"leave_out"}, [](Json& config) { config["config"]["leave_out"] = {1}; });
    refuse(ErrorKind::unsupported, {"no method"}, [](Json& config) { config["config"]["use_gating"] = true; });
    refuse(ErrorKind::unsupported, {"no method"}, [](Json& config) { config["config"]["non_linearity"] = "leakyrelu"; });
    refuse(ErrorKind::unsupported, {"no method"}, [](Json& config) { config["config"]["ln_after"] = true; });
    refuse(ErrorKind::unsupported, {"one width"}, [](Json& config) { config["config"]["reduction_factor"] = {{"default", 16}}; });
    refuse(ErrorKind::file, {"damaged"}, [](Json& config) { config["config"]["mh_adapter"] = "yes"; });
    refuse(ErrorKind::file, {"damaged"}, [](Json& config) { config.erase("name"); });
    refuse(ErrorKind::unsupported, {"non_linearity", "approximate"}, [](Json& config) {
        config["config"]["non_linearity"] = "gelu";
        config.erase("version");
    });
    refuse(ErrorKind::tensor, {"missing"}, [](Json& config) { config["name"] = "another"; });
    refuse(ErrorKind::tensor, {"shape"}, [](Json& config) { config["config"]["reduction_factor"] = 3; });
    refuse(ErrorKind::tensor, {"shape"}, [](Json& config) { config["config"]["reduction_factor"] = 0; });
    refuse(ErrorKind::tensor, {"decoder", "missing"}, [](Json& config) { config["config"]["leave_out"] = {0, 1, 2}; });
}

// For tests/golden/make/check_adapterhub.py, which opens the folders with AdapterHub's library.
TEST_CASE("adapters and their logits for AdapterHub to open", "[.adapterhub]") {
    const char* folder = std::getenv("PERMILLE_EXPORT");
    if (!folder) return;  // a filter that only leaves tests out runs hidden ones too
    const auto base = golden_model("mbart50");
    const TensorBatch batch = batch_of(*base->network, golden_pairs("mbart50"));
    const std::vector<std::pair<const char*, Json>> cases = {
        {"bottleneck", {{"bottleneck_dim", 7}}},
        {"bottleneck", {{"bottleneck_dim", 7}, {"layers", "last 1"}}},
        {"pfeiffer", {{"bottleneck_dim", 8}}},
        {"pfeiffer", {{"bottleneck_dim", 5}, {"cross_attention", true}, {"stacks", "decoder"}}},
        {"houlsby", {{"bottleneck_dim", 4}}},
        {"houlsby", {{"bottleneck_dim", 9}, {"cross_attention", true}, {"activation", "gelu"}}},
        {"parallel", {{"bottleneck_dim", 6}, {"input", "stream"}}},
        {"parallel", {{"bottleneck_dim", 6}, {"input", "stream"}, {"places", "both"}, {"learned_scale", true}}},
        {"compacter", {{"middle_blocks", 2}}},
        {"compacter", {{"middle_blocks", 3}, {"rank", 2}, {"variant", "compacter++"}, {"cross_attention", true}}},
        {"language_adapters", {{"bottleneck_dim", 8}}}};
    for (std::size_t i = 0; i < cases.size(); ++i) {
        const Attached attached = attach_method(find_method_by_id(cases[i].first, ""), *base->network, cases[i].second, 3);
        const at::NoGradGuard guard;
        at::manual_seed(static_cast<std::uint64_t>(i));
        for (const at::Tensor& value : attached.values) value.detach().add_(at::randn(value.sizes()) * 0.2);
        const std::filesystem::path place = std::filesystem::path(folder) / (std::to_string(i) + "-" + cases[i].first);
        save_adapterhub(place, attached, *base, "pair");
        const at::Tensor found = logits_of(*base->network, base->network->inference(attached.attachment.get()), batch);
        write_safetensors(place / "logits.safetensors", {{"logits", found}});
    }
}
