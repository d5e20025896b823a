// What every method must keep on every family, over the tables themselves: a new method or family is tested here without a word.
#include <torch/csrc/autograd/autograd.h>

#include "core/decode/beam.h"
#include "core/nn/vocabulary_loss.h"
#include "core/peft/adapter_file.h"
#include "core/peft/merge.h"
#include "tests/contract/every_method.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// With a non-linearity that has a derivative everywhere, where there is a choice, and with all experts at work: a difference across a
// corner or a step is no derivative.
Json smooth_settings(const Method& method) {
    Json settings = small_settings(method);
    for (const Field& knob : method.info().knobs)
        if (std::find(knob.choices.begin(), knob.choices.end(), "gelu") != knob.choices.end()) settings[knob.name] = "gelu";
    if (settings.contains("active")) settings["active"] = settings.at("experts");
    return settings;
}

// With a dropout seed of 0 without dropout; the masks are the same in every call.
at::Tensor mean_loss(const Seq2Seq& model, const Attached& attached, const TensorBatch& batch, std::uint64_t dropout_seed) {
    Forward forward = dropout_seed ? model.training(*attached.attachment, -1, dropout_seed) : model.inference(attached.attachment.get());
    forward.eager_attention = true;
    const at::Tensor states = states_of(model, forward, batch);
    return vocabulary_loss(states, model.output_weight(forward), model.logits_bias(), batch.labels, 0.1).loss /
           static_cast<double>(batch.tokens);
}

// The same number added to all scores of a query changes nothing.
bool is_key_bias(const std::string& name) {
    return name.find("k_proj.bias") != std::string::npos || name.find("k_proj.ssf_shift") != std::string::npos;
}

}  // namespace

TEST_CASE("a fresh method is the base, when it promises to be", "[contract]") {
    for_all([](const Method& method, const Family&, const Seq2Seq& model) {
        const auto pairs = random_pairs(6, 50, 3);
        const Attached attached = attach_method(method, model, small_settings(method), 1);
        const at::Tensor base = logits(model, nullptr, pairs), adapted = logits(model, attached.attachment.get(), pairs);
        bool other_order = false;  // what stands in a block's place may come to the block's own sums in another order
        for (std::size_t i = 0; i < model.layout().sites.size(); ++i)
            other_order = other_order || !attached.attachment->feed_forwards.at(static_cast<int>(i)).empty();
        if (!method.info().identity_at_start) REQUIRE_FALSE(at::equal(adapted, base));
        else if (other_order) require_close(adapted, base, 1e-5);
        else require_same(adapted, base);
        REQUIRE_FALSE(at::equal(logits(model, attach_shaken(method, model).attachment.get(), pairs), base));
        require_same(logits(model, nullptr, pairs), base);  // and without it the base is back
    });
}

TEST_CASE("what is announced is what is attached", "[contract]") {
    for_all([](const Method& method, const Family& family, const Seq2Seq& model) {
        const Json settings = small_settings(method);
        const Layout from_config = make_layout(family.describe(family.config(model.architecture()), "test"));  // no weights
        std::int64_t announced = 0, attached_count = 0;
        std::set<std::string> names;
        const auto specs = method.tensors(from_config, settings);
        const Attached attached = attach_method(method, model, settings, 1);
        REQUIRE(specs.size() == attached.values.size());
        for (std::size_t i = 0; i < specs.size(); ++i) {
            REQUIRE(names.insert(specs[i].name).second);
            REQUIRE(attached.values[i].sizes() == at::IntArrayRef(specs[i].shape));
            const bool trained = specs[i].role == TensorRole::trained;
            REQUIRE(attached.values[i].requires_grad() == trained);
            if (!trained) continue;
            REQUIRE(attached.values[i].scalar_type() == at::kFloat);
            announced += specs[i].count();
            attached_count += attached.values[i].numel();
        }
        REQUIRE(announced == attached_count);
        REQUIRE(attached.trainable() == announced);
        REQUIRE(attached.added() <= announced);
    });
}

TEST_CASE("gradients equal finite differences, with and without dropout", "[contract][gradients]") {
    const std::uint64_t dropout_seed = GENERATE(0U, 9U);
    for_all([&](const Method& method, const Family&, const Seq2Seq& model) {
        const TensorBatch batch = batch_of(model, random_pairs(4, 50, 5));
        const Attached attached = attach_shaken(method, model, smooth_settings(method));
        torch::autograd::backward({mean_loss(model, attached, batch, dropout_seed)}, {});
        SeededRandom random(13);
        const auto difference = [&](at::Tensor value, const at::Tensor& direction, double step) {
            const at::NoGradGuard guard;
            const at::Tensor before = value.clone();
            value.add_(direction, step);
            const double above = mean_loss(model, attached, batch, dropout_seed).item<double>();
            value.copy_(before).add_(direction, -step);
            const double below = mean_loss(model, attached, batch, dropout_seed).item<double>();
            value.copy_(before);
            return (above - below) / (2 * step);
        };
        for (std::size_t i = 0; i < attached.values.size(); ++i) {
            if (attached.specs[i].role != TensorRole::trained) continue;
            const at::Tensor& value = attached.values[i];
            const at::Tensor gradient = value.grad();
            REQUIRE(gradient.defined());
            for (int probe = 0; probe < 3; ++probe) {  // two entries and one direction through all of them
                at::Tensor direction = at::zeros(value.sizes());
                if (probe < 2) {
                    direction.view({-1})[static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(value.numel())))] = 1.0;
                } else {
                    for (std::int64_t j = 0; j < direction.numel(); ++j) direction.data_ptr<float>()[j] = random.below(2) ? 1.0f : -1.0f;
                    direction.div_(std::sqrt(static_cast<double>(value.numel())));
                }
                const double want = (gradient * direction).sum().item<double>(), allowed = 1e-3 + 0.03 * std::abs(want);
                double got = difference(value, direction, 2e-3);
                // A step may cross a corner of a ReLU, where there is no gradient to compare with; a shorter one then need not.
                if (std::abs(want - got) > allowed) got = difference(value, direction, 5e-4);
                INFO("tensor " << attached.specs[i].name << ", probe " << probe << ": gradient " << want << ", difference " << got);
                REQUIRE(std::abs(want - got) <= allowed);
            }
        }
    });
}

TEST_CASE("training leaves the base as it is and moves every trained tensor", "[contract][runs]") {
    for_all([](const Method& method, const Family&, const Seq2Seq& model) {
        std::vector<at::Tensor> base, values;
        for (const at::Tensor& weight : model.weights()) base.push_back(weight.clone());
        Attached attached = attach_shaken(method, model);
        for (const at::Tensor& value : attached.values) values.push_back(value.detach().clone());
        const auto pairs = random_pairs(20, 50, 7);
        const std::vector<TokenPair> none;
        TrainingSettings settings;
        settings.updates = 2;
        settings.warmup_updates = 0;
        Trainer(model, attached, pairs, none, settings, 0.01, 3, "", {}).run({});
        for (std::size_t i = 0; i < base.size(); ++i) require_same(model.weights()[i], base[i], model.layout().parameters[i].name);
        for (std::size_t i = 0; i < values.size(); ++i) {
            INFO("tensor " << attached.specs[i].name);
            if (attached.specs[i].role == TensorRole::constant) require_same(attached.values[i].detach(), values[i]);
            else if (attached.specs[i].role == TensorRole::trained && !is_key_bias(attached.specs[i].name))
                REQUIRE_FALSE(at::equal(attached.values[i].detach(), values[i]));
            REQUIRE(at::isfinite(attached.values[i]).all().item<bool>());
        }
    });
}

TEST_CASE("a run that was stopped and continued is bit for bit the run that was not", "[contract][runs]") {
    const TemporaryFolder folder;
    for_all([&](const Method& method, const Family&, const Seq2Seq& model) {
        const auto pairs = random_pairs(20, 50, 7);
        TrainingSettings settings;
        settings.updates = 4;
        settings.warmup_updates = 1;
        settings.validate_every = 2;
        const auto checkpoint = folder / "state";
        const auto trainer = [&](Attached& attached, const std::filesystem::path& file, TrainerHooks hooks) {
            return Trainer(model, attached, pairs, pairs, settings, 0.01, 3, file, std::move(hooks));
        };
        Attached whole = attach_shaken(method, model), begun = attach_shaken(method, model);
        trainer(whole, "", {}).run({});
        std::stop_source stop;
        TrainerHooks hooks;
        hooks.sink = [&](const Event& event) {
            if (figure_in(event, StepFigure::valid_loss)) stop.request_stop();
        };
        REQUIRE(trainer(begun, checkpoint, hooks).run(stop.get_token()).updates == 2);
        Attached continued = attach_method(method, model, small_settings(method), 1);  // other values: the checkpoint has the run's
        Trainer rest = trainer(continued, checkpoint, {});
        REQUIRE(rest.resume());
        REQUIRE(rest.run({}).updates == 4);
        for (std::size_t i = 0; i < whole.values.size(); ++i)
            require_same(continued.values[i].detach(), whole.values[i].detach(), whole.specs[i].name);
        std::filesystem::remove(checkpoint);
    });
}

TEST_CASE("a saved adapter is loaded exactly", "[contract]") {
    for (const Family& family : families()) {
        const TemporaryFolder folder;
        const auto fresh = tiny_model(family);
        save_model(folder / "base", family.config(fresh->architecture()), fresh->layout(), fresh->weights(), at::kFloat,
                   fresh->logits_bias());
        const auto base = load_base(folder / "base", at::kCPU, at::kFloat);
        for (const auto& method : methods()) {
            INFO("method " << method->info().id << ", family " << family.model_type);
            const Attached attached = attach_shaken(*method, *base->network);
            const auto place = folder / method->info().id;
            save_adapter(place, attached, *base, {{"note", "contract"}});
            const Attached again = load_adapter(place, *base);
            const Attached kept = stored_form(attached, *base->network);
            REQUIRE(again.settings == kept.settings);
            for (std::size_t i = 0; i < kept.values.size(); ++i)
                if (kept.specs[i].role != TensorRole::state) require_same(again.values[i], kept.values[i], kept.specs[i].name);
            const auto pairs = random_pairs(4, 50, 3);
            require_same(logits(*base->network, again.attachment.get(), pairs), logits(*base->network, kept.attachment.get(), pairs));
            require_close(logits(*base->network, again.attachment.get(), pairs), logits(*base->network, attached.attachment.get(), pairs),
                          1e-5);
            REQUIRE(describe_adapter(place)["parameters"] == sizes(*method, base->network->layout(), attached.settings).stored);
        }
    }
}

TEST_CASE("padding and the order within a batch change nothing", "[contract]") {
    for_all([](const Method& method, const Family&, const Seq2Seq& model) {
        const Attached attached = attach_shaken(method, model);
        auto pairs = random_pairs(6, 50, 9);
        const at::Tensor together = logits(model, attached.attachment.get(), pairs);
        std::vector<at::Tensor> alone;
        for (const TokenPair& pair : pairs) alone.push_back(logits(model, attached.attachment.get(), {pair}));
        require_close(together, at::cat(alone), 2e-5);
        std::reverse(pairs.begin(), pairs.end());
        std::reverse(alone.begin(), alone.end());
        require_close(logits(model, attached.attachment.get(), pairs), at::cat(alone), 2e-5);
    });
}

TEST_CASE("cached decoding equals the full forward pass", "[contract]") {
    for_all([](const Method& method, const Family&, const Seq2Seq& model) {
        const at::NoGradGuard guard;
        const Attached attached = attach_shaken(method, model);
        const Forward forward = model.inference(attached.attachment.get());
        const std::vector<std::vector<std::int64_t>> sources = {{4, 9, 11, 2}, {7, 2}};
        const TokenRows source = TokenRows::of(sources, at::kCPU);
        const Encoded encoded = model.encode(forward, source);
        DecoderCache cache = model.start(forward, encoded, 1, 6);
        const std::vector<std::vector<std::int64_t>> targets = {{2, 5, 6, 7, 8}, {2, 15, 16, 17, 18}};
        const at::Tensor full = model.decode(forward, encoded, TokenRows::of(targets, at::kCPU)).view({2, 5, -1});
        for (std::int64_t t = 0; t < 5; ++t) {
            const auto place = static_cast<std::size_t>(t);
            const at::Tensor states = model.step(forward, cache, at::tensor({targets[0][place], targets[1][place]}, at::kLong));
            require_close(states, full.select(1, t), 2e-5);
        }
        SearchSettings settings;
        settings.max_length = 12;
        const auto found = beam_search(model, attached.attachment.get(), sources, settings);
        for (const auto& candidates : found) {  // the sum of a hypothesis is what the full pass gives its tokens
            const auto& ids = candidates.at(0).ids;
            const TokenRows one = TokenRows::of({sources[static_cast<std::size_t>(&candidates - found.data())]}, at::kCPU);
            const at::Tensor states =
                model.decode(forward, model.encode(forward, one), TokenRows::of({{ids.begin(), ids.end() - 1}}, at::kCPU));
            const at::Tensor labels = at::tensor(std::vector<std::int64_t>(ids.begin() + 1, ids.end()), at::kLong);
            const at::Tensor sum = label_log_probabilities(states, model.output_weight(forward), model.logits_bias(), labels).sum();
            REQUIRE_THAT(candidates[0].log_probability, Catch::Matchers::WithinAbs(sum.item<double>(), 1e-3));
        }
    });
}

TEST_CASE("merged weights translate like the method beside them", "[contract]") {
    std::set<std::string> refused;
    for_all([&](const Method& method, const Family&, const Seq2Seq& model) {
        const Attached attached = attach_shaken(method, model);
        std::vector<at::Tensor> weights;
        try {
            weights = merged_weights(attached, model);
        } catch (const Error&) {
            require_error([&] { merged_weights(attached, model); }, ErrorKind::unsupported, {method.info().id, "merged"});
            REQUIRE_FALSE(method.info().mergeable);
            refused.insert(method.info().id);
            return;
        }
        const Seq2Seq merged(model.architecture(), std::move(weights), model.logits_bias(), at::kFloat);
        const auto pairs = random_pairs(5, 50, 3);
        require_close(logits(merged, nullptr, pairs), logits(model, attached.attachment.get(), pairs), 1e-4);
    });
    for (const auto& method : methods()) REQUIRE((refused.count(method->info().id) == 0) == method->info().mergeable);
}

TEST_CASE("a method that matches nothing says so by name", "[contract]") {
    for (const auto& method : methods())
        require_error([&] { method->tensors(Layout(), method->complete(Json::object())); }, ErrorKind::config,
                      {method->info().id, "matches"});
}
