#include "core/peft/method.h"

#include "core/nn/parts.h"
#include "core/peft/merge.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Seq2Seq& model() {
    static const auto tiny = tiny_model(families()[0]);
    return *tiny;
}

at::Tensor logits(const Attached& attached) {
    const at::NoGradGuard guard;
    return logits_of(model(), model().inference(attached.attachment.get()), batch_of(model(), random_pairs(3, 50, 1)));
}

}  // namespace

TEST_CASE("bottleneck adapters of the paper's initialisation start near the identity", "[peft]") {
    const Attached exact = attach_method(find_method_by_id("bottleneck", ""), model(), Json::object(), 1);
    const Attached paper = attach_method(find_method_by_id("bottleneck", ""), model(), {{"initialisation", "paper"}}, 1);
    const double difference = (logits(exact) - logits(paper)).abs().max().item<double>();
    REQUIRE(difference > 0);
    REQUIRE(difference < 1e-3);
    for (std::size_t i = 0; i < paper.values.size(); ++i) {
        if (paper.specs[i].name.find("proj") == std::string::npos) continue;
        REQUIRE(paper.values[i].min().item<double>() >= 0.9e-5 - 1e-12);
        REQUIRE(paper.values[i].max().item<double>() <= 1.1e-5 + 1e-12);
    }
}

TEST_CASE("a start depends on the seed and the tensor's name only", "[peft]") {
    const Method& lora = find_method_by_id("lora", "");
    const Attached qv = attach_method(lora, model(), {{"targets", "qv"}}, 5), all = attach_method(lora, model(), {{"targets", "all"}}, 5),
                   other = attach_method(lora, model(), {{"targets", "qv"}}, 6);
    for (std::size_t i = 0; i < qv.values.size(); i += 2) {
        for (std::size_t j = 0; j < all.values.size(); ++j)
            if (all.specs[j].name == qv.specs[i].name) require_same(all.values[j], qv.values[i]);
        REQUIRE_FALSE(at::equal(other.values[i], qv.values[i]));
        if (i > 0 && qv.values[i].sizes() == qv.values[0].sizes()) REQUIRE_FALSE(at::equal(qv.values[0], qv.values[i]));
        REQUIRE(qv.values[i].abs().max().item<double>() <= 0.25);  // U(+-1/sqrt(16))
        REQUIRE(qv.values[i].abs().max().item<double>() > 0.2);
        REQUIRE(qv.values[i + 1].abs().max().item<double>() == 0);
    }
}

TEST_CASE("LoRA's scale follows alpha and rank", "[peft]") {
    const Method& lora = find_method_by_id("lora", "");
    const auto delta = [&](const Json& settings) {
        const Attached attached = attach_method(lora, model(), settings, 1);
        attached.values[1].detach().fill_(1.0);
        const int site = model().layout().site("encoder.0.self_attn.q");
        at::Tensor merged = at::zeros({16, 16}), bias = at::zeros({16});
        REQUIRE(attached.attachment->linears.at(site).front()->merge(merged, bias));
        return (merged / at::mm(attached.values[1], attached.values[0])).mean().item<double>();
    };
    REQUIRE_THAT(delta({{"rank", 4}}), Catch::Matchers::WithinAbs(1.0, 1e-4));
    REQUIRE_THAT(delta({{"rank", 4}, {"alpha", 8}}), Catch::Matchers::WithinAbs(2.0, 1e-4));
    REQUIRE_THAT(delta({{"rank", 4}, {"alpha", 8}, {"rank_stabilised", true}}), Catch::Matchers::WithinAbs(4.0, 1e-4));
}

TEST_CASE("LoRA's dropout is for training only", "[peft]") {
    Attached attached = attach_method(find_method_by_id("lora", ""), model(), {{"dropout", 0.5}}, 1);
    for (const auto& value : attached.values) value.detach().fill_(0.05);
    const TensorBatch batch = batch_of(model(), random_pairs(3, 50, 1));
    require_same(logits(attached), logits(attached));
    const auto trained = [&](std::uint64_t seed) {
        return logits_of(model(), model().training(*attached.attachment, 0.0, seed), batch).detach();
    };
    require_same(trained(1), trained(1));
    REQUIRE_FALSE(at::equal(trained(1), trained(2)));
    REQUIRE_FALSE(at::equal(trained(1), logits(attached)));
}

TEST_CASE("stacks limit where a method goes", "[peft]") {
    for (const auto& method : methods()) {
        if (!method->complete(Json::object()).contains("stacks")) continue;
        const auto count = [&](const char* stacks) {
            std::int64_t total = 0;
            for (const auto& spec : method->tensors(model().layout(), method->complete({{"stacks", stacks}}))) {
                if (spec.name.find("shared") != std::string::npos || spec.role != TensorRole::trained) continue;  // of both
                if (std::string(stacks) != "both") REQUIRE(spec.name.find(stacks) != std::string::npos);
                total += spec.count();
            }
            return total;
        };
        INFO("method " << method->info().id);
        REQUIRE(count("encoder") > 0);
        REQUIRE(count("decoder") > 0);
        REQUIRE(count("both") == count("encoder") + count("decoder"));
    }
}

TEST_CASE("layers limit where a method goes", "[peft]") {
    const Layout& layout = model().layout();
    const auto count = [&](const char* layers) {
        std::int64_t total = 0;
        const Method& bottleneck = find_method_by_id("bottleneck", "");
        for (const auto& spec : bottleneck.tensors(layout, bottleneck.complete({{"layers", layers}, {"stacks", "decoder"}})))
            total += spec.count();
        return total;
    };
    const std::int64_t layers = model().architecture().decoder_layers, all = count("all");
    REQUIRE(layers >= 2);
    REQUIRE(count("0") == all / layers);
    REQUIRE(count("last 1") == all / layers);
    REQUIRE(count("first 2") == 2 * all / layers);
    REQUIRE(count("0-1") == 2 * all / layers);
    REQUIRE(count("0,1") == 2 * all / layers);
    for (const char* wrong : {"some", "", "1-0", "last", "last x", "-1", "0;1"})
        require_error([&] { count(wrong); }, ErrorKind::config, {"layers", "last 2"});
}

TEST_CASE("combined methods train side by side", "[peft]") {
    const Layout& layout = model().layout();
    const Method& both = find_method_by_id("lora+layernorm", "");
    const Method &lora = find_method_by_id("lora", ""), &norm = find_method_by_id("layernorm", "");
    const Json settings = both.complete({{"lora.rank", 3}, {"layernorm.variant", "gains"}});
    const Sizes together = sizes(both, layout, settings), first = sizes(lora, layout, lora.complete({{"rank", 3}})),
                second = sizes(norm, layout, norm.complete({{"variant", "gains"}}));
    REQUIRE(together.trainable == first.trainable + second.trainable);
    REQUIRE(together.added == first.added);
    REQUIRE(both.info().size_knob == "lora.rank");
    Attached attached = attach_method(both, model(), settings, 4);
    REQUIRE(attached.specs.back().rate == norm.info().default_learning_rate / lora.info().default_learning_rate);
    const Attached alone = attach_method(lora, model(), {{"rank", 3}}, 4);
    require_same(logits(attached), logits(alone));
    attached.values.back().detach().mul_(2.0);
    REQUIRE_FALSE(at::equal(logits(attached), logits(alone)));

    require_error([&] { find_method_by_id("lora+lorra", "x"); }, ErrorKind::config, {"x", "lorra", "lora"});
    require_error([&] { find_method_by_id("lora+lora", "x"); }, ErrorKind::config, {"twice"});
    require_error([&] { find_method_by_id("lora+", "x"); }, ErrorKind::config, {"one method"});
    require_error([&] { both.complete({{"rank", 3}}); }, ErrorKind::config, {"rank", "lora.rank"});
    const Method& clash = find_method_by_id("bitfit+layernorm", "");
    require_error([&] { clash.tensors(layout, clash.complete(Json::object())); }, ErrorKind::config, {"bitfit", "layernorm", "both train"});
}

TEST_CASE("combined methods merge in whatever order they stand", "[peft]") {
    for (const char* id : {"ia3+lora", "lora+ia3"}) {
        INFO(id);
        const Method& both = find_method_by_id(id, "");
        const Attached attached = attach_method(both, model(), both.complete({{"lora.targets", "all"}, {"lora.rank", 2}}), 4);
        SeededRandom random(5);
        for (const at::Tensor& value : attached.values) value.detach().add_(0.1 * random.unit());
        const Seq2Seq merged(model().architecture(), merged_weights(attached, model()), model().logits_bias(), at::kFloat);
        const at::NoGradGuard guard;
        const at::Tensor want = logits(attached);
        require_close(logits_of(merged, merged.inference(), batch_of(merged, random_pairs(3, 50, 1))), want, 1e-4);
    }
}

TEST_CASE("unknown methods and settings name what is near", "[peft]") {
    require_error([] { find_method_by_id("bitfti", "study.yaml:3"); }, ErrorKind::config, {"study.yaml:3", "bitfti", "bitfit"});
    require_error([] { find_method_by_id("lora", "").complete({{"rnak", 3}}); }, ErrorKind::config, {"rnak", "rank"});
    require_error([] { find_method_by_id("lora", "").complete({{"rank", 0}}); }, ErrorKind::config, {"rank"});
    require_error(
        [] {
            find_method_by_id("layernorm", "").complete({{"variant", "gain"}});
        },
        ErrorKind::config, {"variant", "gain", "gains"});
}

TEST_CASE("the methods are in the order of their ids, complete and documented", "[peft]") {
    std::string last;
    for (const auto& method : methods()) {
        const MethodInfo& info = method->info();
        INFO("method " << info.id);
        REQUIRE(info.id > last);
        last = info.id;
        REQUIRE_FALSE(info.name.empty());
        REQUIRE_FALSE(info.paper.empty());
        REQUIRE_FALSE(info.summary.empty());
        REQUIRE_FALSE(info.sites.empty());
        REQUIRE(info.default_learning_rate > 0);
        bool knob = info.size_knob.empty();
        for (const Field& field : info.knobs) knob = knob || field.name == info.size_knob;
        REQUIRE(knob);
        const Json complete = method->complete(Json::object());
        REQUIRE(method->complete(complete) == complete);
        if (!info.size_knob.empty()) REQUIRE(method->largest_size(model().layout(), complete) >= 1);
    }
}
