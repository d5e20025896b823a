// Experts out of dense blocks: who works, what balances them, and what they cannot be combined with.
#include <torch/csrc/autograd/autograd.h>

#include <limits>

#include "core/models/safetensors.h"
#include "core/peft/adapter_file.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

const Seq2Seq& model() { return *golden_base().network; }
const Method& experts() { return find_method_by_id("experts", ""); }

const Json kOneBlock = {{"experts", 4}, {"stacks", "encoder"}, {"layers", "last 1"}, {"balance", 0.25}};

at::Tensor value(const Attached& attached, const std::string& end) {
    for (std::size_t i = 0; i < attached.specs.size(); ++i)
        if (attached.specs[i].name.ends_with(end)) return attached.values[i].detach();
    throw Error(ErrorKind::internal, end, "no such tensor");
}

// One block whose router is indifferent, so that the biases alone make every token choose the first and the third expert.
Attached one_sided() {
    Attached attached = attach_method(experts(), model(), kOneBlock, 1);
    value(attached, "router.weight").zero_();
    value(attached, "router.balance").copy_(at::tensor({1.0, 0.0, 1.0, 0.0}, at::kFloat));
    return attached;
}

at::Tensor logits(const Attached& attached) {
    return logits_of(model(), model().inference(attached.attachment.get()), batch_of(model(), golden_pairs()));
}

std::int64_t source_tokens() { return batch_of(model(), golden_pairs()).source.rows.count(); }

}  // namespace

TEST_CASE("only the chosen experts compute and learn", "[peft]") {
    const Attached attached = one_sided();
    for (const char* name : {"fc1.weight", "fc2.bias"})
        for (const int expert : {1, 3}) value(attached, name)[expert].fill_(std::numeric_limits<float>::quiet_NaN());
    const at::Tensor found = logits(attached);
    REQUIRE(at::isfinite(found).all().item<bool>());
    {
        const at::NoGradGuard guard;
        require_close(found, logits_of(model(), model().inference(), batch_of(model(), golden_pairs())), 1e-5);  // copies of the block
    }
    torch::autograd::backward({found.square().sum()}, {});
    std::size_t seen = 0;
    for (std::size_t i = 0; i < attached.values.size(); ++i) {
        if (attached.specs[i].name.find(".experts.") == std::string::npos) continue;
        INFO(attached.specs[i].name);
        ++seen;
        const at::Tensor gradient = attached.values[i].grad();
        for (const int expert : {0, 2}) REQUIRE(gradient[expert].abs().max().item<double>() > 0);
        for (const int expert : {1, 3}) REQUIRE(gradient[expert].eq(0).all().item<bool>());
    }
    REQUIRE(seen == 4);
}

TEST_CASE("more active experts than there are means all of them", "[peft]") {
    const auto with = [](std::int64_t active) {
        Json settings = kOneBlock;
        settings["active"] = active;
        Attached attached = attach_method(experts(), model(), settings, 1);
        for (const at::Tensor& one : attached.values) one.detach().mul_(at::linspace(0.5, 1.5, one.numel()).view_as(one));
        const at::NoGradGuard guard;
        return logits(attached);
    };
    require_same(with(9), with(4));
    REQUIRE_FALSE(at::equal(with(2), with(4)));
}

TEST_CASE("experts with few tokens are chosen sooner after every update", "[peft]") {
    const Attached attached = one_sided();
    const auto update = [&] {
        const at::NoGradGuard guard;
        experts().after_update(model().layout(), attached.settings, model().weights(), attached.values, 1, 10);
    };
    {
        const at::NoGradGuard guard;
        logits(attached);
    }
    REQUIRE(value(attached, "router.load").eq(0).all().item<bool>());  // validation does not count
    update();
    require_same(value(attached, "router.balance"), at::tensor({1.0, 0.0, 1.0, 0.0}, at::kFloat));

    const auto tokens = static_cast<double>(source_tokens());
    for (int part = 1; part <= 2; ++part) {  // as in accumulated batches
        logits(attached);
        require_same(value(attached, "router.load"), at::tensor({part * tokens, 0.0, part * tokens, 0.0}, at::kFloat));
    }
    update();
    require_same(value(attached, "router.balance"), at::tensor({0.75, 0.25, 0.75, 0.25}, at::kFloat));
    REQUIRE(value(attached, "router.load").eq(0).all().item<bool>());

    const TemporaryFolder folder;
    save_adapter(folder / "a", attached, golden_base(), Json::object());
    require_same(value(load_adapter(folder / "a", golden_base()), "router.balance"), value(attached, "router.balance"));
    REQUIRE(read_safetensors(folder / "a" / "adapter_model.safetensors").size() == 6);  // without the loads
}

TEST_CASE("training brings tokens to experts that had none", "[peft][train]") {
    const auto share = [](double balance) {
        Json settings = kOneBlock;
        settings["balance"] = balance;
        Attached attached = attach_method(experts(), model(), settings, 1);
        value(attached, "router.balance")[3] = -1;  // far behind, whatever a token's scores
        TrainingSettings training;
        training.updates = 60;
        training.warmup_updates = 0;
        training.validate_every = 0;
        const std::vector<TokenPair> none;
        Trainer(model(), attached, golden_pairs(), none, training, 1e-6, 3, "", {}).run({});
        logits(attached);
        return value(attached, "router.load")[3].item<double>() / static_cast<double>(source_tokens());
    };
    REQUIRE(share(1e-6) == 0);
    REQUIRE(share(0.02) > 0.2);  // 0.5 for each of four when two work
}

TEST_CASE("experts refuse what would have no effect", "[peft]") {
    require_error([] { experts().complete({{"active", 1}}); }, ErrorKind::config, {"experts/active", "2"});
    require_error([] { experts().complete({{"experts", 1}}); }, ErrorKind::config, {"experts", "minimum 2"});
    const auto combined = [](const std::string& id, const Json& settings) {
        return attach_method(find_method_by_id(id, ""), model(), settings, 1);
    };
    const std::vector<std::pair<std::string, Json>> clashes = {{"lora+experts", {{"lora.targets", "ffn"}}},
                                                               {"experts+lora", {{"lora.targets", "encoder.2.ffn.fc2"}}},
                                                               {"experts+ia3", Json::object()},
                                                               {"experts+ssf", Json::object()},
                                                               {"bitfit+experts", Json::object()},
                                                               {"full+experts", Json::object()}};
    for (const auto& [id, settings] : clashes) {
        INFO(id);
        require_error([&] { combined(id, settings); }, ErrorKind::config, {id, "ffn.fc", "different places"});
    }
    require_error(
        [&] {
            combined("experts+dsee", {{"dsee.prune", 0.3}, {"dsee.entries", 5}});
        },
        ErrorKind::config, {"pruned", "different places"});
    // Elsewhere there is room for both.
    for (const auto& [id, settings] :
         std::vector<std::pair<std::string, Json>>{{"experts+lora", {{"lora.targets", "qv"}}},
                                                   {"experts+lora", {{"lora.targets", "encoder.0.ffn.fc2"}, {"experts.layers", "last 1"}}},
                                                   {"experts+bottleneck", Json::object()},
                                                   {"experts+layernorm", Json::object()}}) {
        INFO(id);
        REQUIRE_NOTHROW(combined(id, settings));
    }
}
