// Which rows of a mixed batch are done together.
#include "core/nn/mixture.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

struct Run {
    std::int64_t from, count;
};

void require_runs(const std::vector<Mixture::Stretch>& got, const std::vector<Run>& want) {
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i) {
        REQUIRE(got[i].from == want[i].from);
        REQUIRE(got[i].count == want[i].count);
    }
}

}  // namespace

TEST_CASE("rows of a mixed batch share the base's products wherever they read the same weights", "[nn]") {
    const auto model = tiny_model(families()[0]);
    const auto attach = [&](const char* id) { return attach_method(find_method_by_id(id, "test"), *model, Json::object(), 1); };
    const Attached lora = attach("lora"), bitfit = attach("bitfit"), full = attach("full");
    const Forward forward =
        model->inference({{nullptr, 1}, {lora.attachment.get(), 2}, {bitfit.attachment.get(), 1}, {full.attachment.get(), 1}});
    REQUIRE(forward.mixture);
    pass_source(forward, TokenRows::of({{4, 2}, {5, 6, 2}, {7, 2}, {8, 9, 10, 2}, {11, 2}}, at::kCPU));
    pass_target(forward, TokenRows::of({{2}, {2, 4}, {2, 4, 5}, {2}, {2, 4}}, at::kCPU));
    const Layout& layout = model->layout();
    const auto site = [&](const char* name) {
        const int index = layout.site(name);
        REQUIRE(index >= 0);
        return index;
    };
    require_runs(forward.mixture->sentences(), {{0, 1}, {1, 2}, {3, 1}, {4, 1}});
    for (const char* name : {"encoder.0.self_attn.q", "encoder.1.ffn.output", "decoder.2.cross_attn.k", "decoder.0.cross_attn.memory"})
        require_runs(forward.mixture->rows(site(name)), {{0, 2}, {2, 5}, {7, 4}, {11, 2}});
    for (const char* name : {"decoder.0.self_attn.q", "decoder.1.ffn.output", "decoder.2.cross_attn.q", "decoder.embedding.tokens"})
        require_runs(forward.mixture->rows(site(name)), {{0, 1}, {1, 5}, {6, 1}, {7, 2}});
    const int place = site("encoder.0.self_attn.q");
    const Site& projection = layout.sites[static_cast<std::size_t>(place)];
    require_runs(forward.mixture->runs(place, {projection.weight}), {{0, 11}, {11, 2}});
    require_runs(forward.mixture->runs(place, {projection.bias}), {{0, 7}, {7, 4}, {11, 2}});
    forward.mixture->set_target({2, 0, 4, 2}, at::full({8}, 5, at::kLong));  // all sentences of the second are done
    require_runs(forward.mixture->rows(site("decoder.1.ffn.output")), {{0, 2}, {2, 4}, {6, 2}});
}

TEST_CASE("a batch of one attachment is no mixture", "[nn]") {
    const auto model = tiny_model(families()[0]);
    const Attached lora = attach_method(find_method_by_id("lora", "test"), *model, Json::object(), 1);
    const Forward forward = model->inference(std::vector<Share>{{lora.attachment.get(), 3}});
    REQUIRE_FALSE(forward.mixture);
    REQUIRE(forward.attachment == lora.attachment.get());
}

TEST_CASE("virtual tokens stand around each sentence as it wants them", "[nn]") {
    const TokenRows tokens = TokenRows::of({{4, 5}, {6}, {7, 8, 9}}, at::kCPU);
    const PromptedRows rows = PromptedRows::of(tokens, {2, 0, 1}, {0, 0, 1});
    REQUIRE(rows.tokens.rows.lengths == std::vector<std::int64_t>{4, 1, 5});
    require_same(rows.tokens.ids, at::tensor({-1, -1, 4, 5, 6, -1, 7, 8, 9, -1}, at::kLong));
    require_same(rows.tokens.positions, at::tensor({0, 1, 2, 3, 0, 0, 1, 2, 3, 4}, at::kLong));
    require_same(rows.virtual_rows, at::tensor({0, 1, 5, 9}, at::kLong));
    require_same(rows.real_rows, at::tensor({2, 3, 4, 6, 7, 8}, at::kLong));
    require_same(rows.order, at::tensor({6, 7, 0, 1, 2, 8, 3, 4, 5, 9}, at::kLong));
}
