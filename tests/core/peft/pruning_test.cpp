// DSEE's second phase: what is pruned, that it stays, and that it is stored.
#include "core/base/files.h"
#include "core/peft/adapter_file.h"
#include "core/peft/merge.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Seq2Seq& model() { return *golden_base().network; }
const Method& dsee() { return find_method_by_id("dsee", ""); }

const Json kSmall = {{"rank", 2}, {"entries", 5}, {"places", "magnitude"}, {"prune_at", 0.5}};
Json with(Json settings, const Json& more) {
    for (const auto& [key, value] : more.items()) settings[key] = value;
    return settings;
}

TrainingSettings six_updates() {
    TrainingSettings settings;
    settings.updates = 6;
    settings.warmup_updates = 0;
    settings.batch_tokens = 60;
    settings.validate_every = 1;
    settings.checkpoint_every = 0;
    return settings;
}

TrainingResult train(const Seq2Seq& network, Attached& attached, const std::vector<TokenPair>& pairs,
                     const std::filesystem::path& checkpoint = {}, std::stop_token stop = {}, TrainerHooks hooks = {},
                     bool resume = false) {
    Trainer trainer(network, attached, pairs, pairs, six_updates(), 0.01, 3, checkpoint, std::move(hooks));
    if (resume) REQUIRE(trainer.resume());
    return trainer.run(stop);
}

at::Tensor logits(const Attached& attached) {
    const at::NoGradGuard guard;
    return logits_of(model(), model().inference(attached.attachment.get()), batch_of(model(), golden_pairs()));
}

std::int64_t zeros(const std::vector<at::Tensor>& weights) {
    std::int64_t total = 0;
    for (const Site& site : model().layout().sites)
        if (site.kind == SiteKind::linear) total += weights[static_cast<std::size_t>(site.weight)].eq(0).sum().item<std::int64_t>();
    return total;
}

}  // namespace

TEST_CASE("pruning takes as many weights as announced, of what is attached and not of the base", "[peft]") {
    std::vector<at::Tensor> before;
    for (const at::Tensor& weight : model().weights()) before.push_back(weight.clone());
    for (const Json& how : {Json{{"prune", 0.3}}, Json{{"heads", 1}, {"neurons", 7}, {"prune_by", "both"}, {"targets", "all"}},
                            Json{{"prune", 0.4}, {"heads", 2}, {"targets", "ffn"}}}) {
        INFO(how.dump());
        Attached attached = attach_method(dsee(), model(), with(kSmall, how), 1);
        const TrainingResult result = train(model(), attached, golden_pairs());
        REQUIRE(result.best_update >= 3);  // not before it is pruned
        for (std::size_t i = 0; i < before.size(); ++i) require_same(model().weights()[i], before[i]);

        // Without the update what is merged is the pruned base.
        Attached bare = stored_form(attached, model());
        for (std::size_t i = 0; i < bare.values.size(); ++i)
            if (bare.specs[i].role == TensorRole::trained) bare.values[i].detach().zero_();
        REQUIRE(zeros(before) == 0);
        REQUIRE(zeros(merged_weights(bare, model())) == dsee().pruned(model().layout(), attached.settings));

        const Seq2Seq merged(model().architecture(), merged_weights(attached, model()), model().logits_bias(), at::kFloat);
        require_close(logits_of(merged, merged.inference(), batch_of(merged, golden_pairs())), logits(attached), 1e-4);

        const TemporaryFolder folder;
        save_adapter(folder / "a", attached, golden_base(), Json::object());
        const Attached again = load_adapter(folder / "a", golden_base());
        require_same(logits(again), logits(attached));
        const Json described = describe_adapter(folder / "a");
        REQUIRE(described["sparsity"]["pruned_weights"] == dsee().pruned(model().layout(), attached.settings));
        REQUIRE(described["trainable"] == attached.trainable());
    }
}

TEST_CASE("equal weights are pruned in their order, to the exact number", "[peft]") {
    std::vector<at::Tensor> rounded;
    for (const at::Tensor& weight : model().weights()) rounded.push_back((weight * 8).round() / 8 + 0.03125);
    const Seq2Seq coarse(model().architecture(), rounded, model().logits_bias(), at::kFloat);
    Attached attached = attach_method(dsee(), coarse, with(kSmall, {{"prune", 0.37}}), 1);
    train(coarse, attached, golden_pairs());
    for (std::size_t i = 0; i < attached.values.size(); ++i)
        if (attached.specs[i].role == TensorRole::trained) attached.values[i].detach().zero_();
    REQUIRE(zeros(merged_weights(attached, coarse)) == dsee().pruned(model().layout(), attached.settings));
}

TEST_CASE("a run that is stopped before or after it is pruned goes on bit for bit", "[peft][train]") {
    const Json settings = with(kSmall, {{"prune", 0.3}, {"heads", 1}, {"prune_by", "both"}, {"dropout", 0.1}});
    Attached whole = attach_method(dsee(), model(), settings, 1);
    train(model(), whole, golden_pairs());
    for (const std::int64_t stop_after : {2, 4}) {
        INFO("stopped after update " << stop_after);
        const TemporaryFolder folder;
        Attached attached = attach_method(dsee(), model(), settings, 1);
        std::stop_source stop;
        TrainerHooks hooks;
        hooks.sink = [&](const Event& event) {
            if (const auto* metric = figure_in(event, StepFigure::valid_loss); metric && metric->step == stop_after) stop.request_stop();
        };
        REQUIRE(train(model(), attached, golden_pairs(), folder / "checkpoint", stop.get_token(), hooks).stopped);
        Attached again = attach_method(dsee(), model(), settings, 1);
        REQUIRE(train(model(), again, golden_pairs(), folder / "checkpoint", {}, {}, true).updates == 6);
        for (std::size_t i = 0; i < whole.values.size(); ++i) require_same(again.values[i], whole.values[i], whole.specs[i].name);
        require_same(logits(again), logits(whole));
    }
}

TEST_CASE("what cannot be pruned says so", "[peft]") {
    const auto tensors = [&](const Json& settings) { dsee().tensors(model().layout(), dsee().complete(settings)); };
    require_error([&] { tensors({{"heads", 3}}); }, ErrorKind::config, {"dsee/heads", "encoder.0.self_attn", "3", "2 or fewer"});
    require_error([&] { tensors({{"neurons", 52}}); }, ErrorKind::config, {"dsee/neurons", "encoder.0.ffn", "44"});
    require_error(
        [&] {
            tensors({{"heads", 1}, {"prune_by", "update"}, {"targets", "ffn"}});
        },
        ErrorKind::config, {"dsee/heads", "no update", "prune_by"});
    require_error(
        [] {
            attach_method(find_method_by_id("dsee+full", ""), model(), {{"dsee.prune", 0.1}}, 1);
        },
        ErrorKind::config, {"pruned by one method", "trained by another"});
    REQUIRE(dsee().pruned(model().layout(), dsee().complete({{"heads", 1}, {"stacks", "encoder"}})) == 3 * 4 * 10 * 30);
}
