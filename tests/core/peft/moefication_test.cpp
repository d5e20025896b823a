// MoEfication: the splits, the routers, and blocks that compute only what is chosen, beside what transformers computes with masks.
#include "core/peft/moefication.h"

#include <algorithm>
#include <set>

#include "core/peft/adapter_file.h"
#include "core/peft/expert_split.h"
#include "core/peft/merge.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const TensorMap& golden_values() {
    static const TensorMap values = read_safetensors(golden("m2m100/moefication.safetensors"));
    return values;
}

const Json& golden_facts() {
    static const Json facts = read_json(golden("m2m100/moefication.json"));
    return facts;
}

Json settings_of(const std::string& router, std::int64_t experts, std::int64_t active) {
    return {{"router", router}, {"experts", experts}, {"active", active}};
}

const Method& moefication() { return find_stored_method("moefication", ""); }

// The tiny model with the golden splits and routers.
Attached converted(const Seq2Seq& model, const std::string& router, std::int64_t active) {
    const Json settings = moefication().complete(settings_of(router, golden_facts()["experts"].get<std::int64_t>(), active));
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : moefication().tensors(model.layout(), settings)) values.push_back(golden_values().at(spec.name).clone());
    return attach_values(moefication(), model, settings, std::move(values));
}

at::Tensor logits(const Seq2Seq& model, const Attachment* attachment) {
    const at::NoGradGuard guard;
    return logits_of(model, model.inference(attachment), batch_of(model, golden_pairs()));
}

const at::Tensor& weight(const Seq2Seq& model, const std::string& name) {
    return model.weights()[static_cast<std::size_t>(model.layout().parameter(name))];
}

// How many different groups the members of each planted group are in: 1 where it was found.
std::size_t broken(const ExpertOf& found, std::int64_t groups) {
    std::set<std::pair<std::int64_t, std::int64_t>> pairs;
    for (std::size_t i = 0; i < found.size(); ++i) pairs.emplace(static_cast<std::int64_t>(i) % groups, found[i]);
    return pairs.size() - static_cast<std::size_t>(groups);
}

void require_even(const ExpertOf& found, std::int64_t experts) {
    for (std::int64_t e = 0; e < experts; ++e)
        REQUIRE(std::count(found.begin(), found.end(), e) == static_cast<std::ptrdiff_t>(found.size()) / experts);
}

}  // namespace

TEST_CASE("experts compute what masked activations give", "[peft]") {
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const std::string router = GENERATE("truth", "similarity", "mlp");
    INFO(router);
    const Attached two = converted(model, router, golden_facts()["active"].get<std::int64_t>());
    require_close(logits(model, two.attachment.get()), golden_values().at(router + ".logits"), 3e-5);
    require_same(logits(model, two.attachment.get()), logits(model, two.attachment.get()));
    REQUIRE(two.trainable() == 0);
    const Attached all = converted(model, router, 4);
    require_close(logits(model, all.attachment.get()), logits(model, nullptr), 3e-5);
    REQUIRE_FALSE(at::allclose(logits(model, two.attachment.get()), logits(model, nullptr), 1e-3, 1e-3));
}

TEST_CASE("sums, scores and the captured share are those of the paper's formulas", "[peft]") {
    const auto base = golden_model();
    const TensorMap& want = golden_values();
    const at::Tensor &x = want.at("x"), order = want.at("encoder.layers.0.experts.neurons").to(at::kLong);
    const at::Tensor &fc1 = weight(*base->network, "model.encoder.layers.0.fc1.weight"),
                     &bias = weight(*base->network, "model.encoder.layers.0.fc1.bias");
    const at::Tensor sums = expert_sums(x, fc1, bias, order, 4), rows = routed_rows(x);
    require_close(sums, want.at("sums"), 1e-5);
    const at::Tensor centres = expert_centres(fc1, order, 4);
    require_close(centres, want.at("encoder.layers.0.experts.centres"), 1e-6);
    const at::Tensor near = similarity_scores(rows, centres);
    require_close(-(1 - 2 * near).sqrt(), want.at("similarity.scores"), 1e-5);
    const at::Tensor network =
        mlp_scores(rows, want.at("encoder.layers.0.experts.router.first"), want.at("encoder.layers.0.experts.router.second"));
    require_close(network, want.at("mlp.scores"), 1e-5);
    const Json& captured = golden_facts()["captured"];
    REQUIRE_THAT(captured_share(sums, sums, 2), Catch::Matchers::WithinAbs(captured["truth"].get<double>(), 1e-5));
    REQUIRE_THAT(captured_share(near, sums, 2), Catch::Matchers::WithinAbs(captured["similarity"].get<double>(), 1e-5));
    REQUIRE_THAT(captured_share(network, sums, 2), Catch::Matchers::WithinAbs(captured["mlp"].get<double>(), 1e-5));
    REQUIRE(captured_share(near, sums, 4) == 1.0);
    REQUIRE(captured_share(near, at::zeros_like(sums), 1) == 1.0);
}

TEST_CASE("the even assignment is the cheapest", "[peft]") {
    const at::Tensor& costs = golden_values().at("costs");
    const auto found = assign_evenly(costs);
    require_even(found, 4);
    double sum = 0;
    for (std::size_t i = 0; i < found.size(); ++i) sum += costs[static_cast<std::int64_t>(i)][found[i]].item<double>();
    REQUIRE(sum == golden_facts()["least_cost"].get<double>());
    require_even(assign_evenly(at::zeros({12, 3})), 3);  // all of them in the first group at the start
    require_even(assign_evenly(at::rand({8, 8})), 8);
    require_even(assign_evenly(at::rand({5, 1})), 1);
}

TEST_CASE("planted experts are found", "[peft]") {
    at::manual_seed(3);
    const std::int64_t groups = 4, neurons = 48;
    const at::Tensor of = at::arange(neurons).remainder(groups);
    // Rows of different lengths around four directions.
    const at::Tensor rows =
        (at::randn({groups, 10}).index_select(0, of) + 0.05 * at::randn({neurons, 10})) * (at::rand({neurons, 1}) + 0.5);
    const ExpertOf clusters = split_by_clusters(rows, groups, 1);
    require_even(clusters, groups);
    REQUIRE(broken(clusters, groups) == 0);
    REQUIRE(split_by_clusters(rows, groups, 1) == clusters);

    at::Tensor counts = at::randint(0, 20, {neurons, neurons}).to(at::kFloat);
    counts = counts + counts.t() + 500 * (of.unsqueeze(0) == of.unsqueeze(1)).to(at::kFloat);
    const ExpertOf parts = split_by_coactivation(counts, groups, 1);
    require_even(parts, groups);
    REQUIRE(broken(parts, groups) == 0);
    REQUIRE(split_by_coactivation(counts, groups, 1) == parts);

    const ExpertOf random = split_at_random(neurons, groups, 1);
    require_even(random, groups);
    REQUIRE(broken(random, groups) > 0);
    REQUIRE(split_at_random(neurons, groups, 1) == random);
    REQUIRE(split_at_random(neurons, groups, 2) != random);
}

TEST_CASE("splits are even whatever they are made of", "[peft]") {
    at::manual_seed(5);
    for (const std::int64_t experts : {1, 2, 3, 6, 12, 24}) {
        INFO(experts << " experts");
        require_even(split_by_clusters(at::zeros({24, 5}), experts, 1), experts);
        require_even(split_by_clusters(at::ones({24, 5}), experts, 1), experts);
        require_even(split_by_clusters(at::randn({24, 5}), experts, 1), experts);
        require_even(split_by_coactivation(at::zeros({24, 24}), experts, 1), experts);
        require_even(split_by_coactivation(at::ones({24, 24}), experts, 1), experts);
        const at::Tensor some = at::rand({24, 24}).mul(9).floor();
        require_even(split_by_coactivation(some + some.t(), experts, 1), experts);
        require_even(split_at_random(24, experts, 1), experts);
    }
}

TEST_CASE("a trained router captures more than where it starts", "[peft]") {
    at::manual_seed(7);
    const std::int64_t count = 2000, width = 12, experts = 8;
    // Sums that turn with the input, in a way that the centres do not tell.
    const at::Tensor rows = routed_rows(at::randn({count, width})), hidden = at::randn({experts, width});
    const at::Tensor sums = at::relu(rows.matmul(hidden.t())), centres = routed_rows(at::randn({experts, width}));
    const TrainedRouter start = train_router(rows, sums, centres, 2, 0, 1);
    require_same(start.first, centres);
    require_same(start.second, at::eye(experts));
    REQUIRE(start.epoch == 0);
    const TrainedRouter trained = train_router(rows, sums, centres, 2, 30, 1);
    REQUIRE(trained.captured > start.captured + 0.2);
    REQUIRE(trained.epoch > 0);
    REQUIRE(trained.epoch <= 30);
    const double all = captured_share(mlp_scores(rows, trained.first, trained.second), sums, 2);
    REQUIRE(all > 0.9 * captured_share(sums, sums, 2));
    const TrainedRouter again = train_router(rows, sums, centres, 2, 30, 1);
    require_same(again.first, trained.first);
    require_same(again.second, trained.second);
    int asked = 0;
    train_router(rows, sums, centres, 2, 3, 1, [&] { ++asked; });
    REQUIRE(asked == 3);
}

TEST_CASE("a conversion is stored and read as an adapter is, and is no method to train", "[peft]") {
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const TemporaryFolder folder;
    for (const char* router : {"truth", "similarity", "mlp"}) {
        INFO(router);
        const Attached attached = converted(model, router, 2);
        save_adapter(folder / router, attached, *base, {{"note", "test"}});
        const Attached again = load_adapter(folder / router, *base);
        REQUIRE(again.settings == attached.settings);
        require_same(logits(model, again.attachment.get()), logits(model, attached.attachment.get()));
        require_error([&] { merged_weights(attached, model); }, ErrorKind::unsupported,
                      {"moefication", "encoder.0.ffn", "cannot be merged"});
    }
    require_error([] { find_method_by_id("moefication", "method"); }, ErrorKind::config, {"moefication", "is not a method"});
}

TEST_CASE("parameters that a conversion replaces are its own", "[peft]") {
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const std::string name = "model.encoder.layers.1.fc1.weight", scale = "model.decoder.layer_norm.weight";
    Json settings = moefication().complete(settings_of("truth", 4, 4));
    settings["replaced"] = name + "," + scale;
    const auto specs = moefication().tensors(model.layout(), settings);
    std::vector<at::Tensor> values;
    for (std::size_t i = 0; i + 2 < specs.size(); ++i) values.push_back(golden_values().at(specs[i].name));
    values.push_back(weight(model, name) * 1.5);
    values.push_back(weight(model, scale) * 0.5);
    const Attached attached = attach_values(moefication(), model, settings, values);
    Attachment dense(model.layout());
    dense.parameters[static_cast<std::size_t>(model.layout().parameter(name))] = weight(model, name) * 1.5;
    dense.parameters[static_cast<std::size_t>(model.layout().parameter(scale))] = weight(model, scale) * 0.5;
    require_close(logits(model, attached.attachment.get()), logits(model, &dense), 3e-5);
    REQUIRE_FALSE(at::allclose(logits(model, &dense), logits(model, nullptr), 1e-3, 1e-3));
    settings["replaced"] = "model.nothing";
    require_error([&] { moefication().tensors(model.layout(), settings); }, ErrorKind::config, {"replaced", "model.nothing"});
}

TEST_CASE("cached decoding by experts equals the full pass", "[peft]") {
    const at::NoGradGuard guard;
    const auto base = golden_model();
    const Seq2Seq& model = *base->network;
    const Attached attached = converted(model, "mlp", 2);
    const Forward forward = model.inference(attached.attachment.get());
    for (const std::vector<std::vector<std::int64_t>>& sources :
         {std::vector<std::vector<std::int64_t>>{{4, 9, 11, 2}}, std::vector<std::vector<std::int64_t>>{{4, 9, 11, 2}, {4, 7, 2}}}) {
        const Encoded encoded = model.encode(forward, TokenRows::of(sources, at::kCPU));
        DecoderCache cache = model.start(forward, encoded, 1, 6);
        const std::vector<std::vector<std::int64_t>> targets(sources.size(), {2, 5, 16, 27, 8});
        const auto count = static_cast<std::int64_t>(sources.size());
        const at::Tensor full = model.decode(forward, encoded, TokenRows::of(targets, at::kCPU)).view({count, 5, -1});
        for (std::int64_t t = 0; t < 5; ++t) {
            const at::Tensor tokens = at::full({count}, targets[0][static_cast<std::size_t>(t)], at::kLong);
            require_close(model.step(forward, cache, tokens), full.select(1, t), 3e-5);
        }
    }
}

TEST_CASE("a conversion works in half precision", "[peft]") {
    const auto base = load_base(golden("m2m100"), at::kCPU, at::kBFloat16);
    const Attached all = converted(*base->network, "mlp", 4);
    require_close(logits(*base->network, all.attachment.get()), logits(*base->network, nullptr), 0.15);
}

TEST_CASE("numbers that do not go together are refused", "[peft]") {
    const auto base = golden_model();
    const Layout& layout = base->network->layout();
    require_error([&] { moefication().tensors(layout, settings_of("mlp", 5, 2)); }, ErrorKind::config,
                  {"experts", "5 does not divide the 44 neurons of encoder.0.ffn"});
    require_error([&] { moefication().tensors(layout, settings_of("mlp", 2, 3)); }, ErrorKind::config, {"active", "3 is more than"});
    Json settings = settings_of("truth", 4, 2);
    settings["stacks"] = "decoder";
    REQUIRE(moefication().tensors(layout, settings).size() == 2);
    settings["layers"] = "7";
    require_error([&] { moefication().tensors(layout, settings); }, ErrorKind::config, {"no feed-forward block"});

    const Json truth = moefication().complete(settings_of("truth", 4, 2));
    std::vector<at::Tensor> values;
    for (const TensorSpec& spec : moefication().tensors(layout, truth)) values.push_back(golden_values().at(spec.name).clone());
    values[1][0] = values[1][1];
    require_error([&] { attach_values(moefication(), *base->network, truth, values); }, ErrorKind::tensor,
                  {"encoder.layers.1.experts.neurons", "every neuron"});
}
