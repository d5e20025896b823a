// Searches whose tasks have different adapters.
#include "core/decode/beam.h"
#include "core/decode/sample.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

using Lists = std::vector<std::vector<Candidate>>;

Attached attach(const Seq2Seq& model, const char* id, const Json& settings, std::uint64_t seed) {
    Attached attached = attach_method(find_method_by_id(id, "test"), model, settings, seed);
    SeededRandom random(seed);
    for (const at::Tensor& value : attached.values)  // away from a start that is the base
        for (std::int64_t i = 0; i < value.numel(); ++i) value.detach().view({-1})[i] += 0.3 * (random.unit() - 0.5);
    return attached;
}

bool same(const Lists& a, const Lists& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& left, const auto& right) {
        return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](const Candidate& one, const Candidate& other) {
            return one.ids == other.ids && std::abs(one.score - other.score) < 1e-4;
        });
    });
}

const std::vector<Tokens> kSources = {{4, 9, 11, 2}, {7, 2}, {12, 5, 30, 31, 8, 2}, {5, 6, 2}, {20, 21, 22, 23, 24, 25, 26, 2}};

}  // namespace

TEST_CASE("neither the order of mixed tasks nor their batches change what is found", "[decode]") {
    const auto model = tiny_model(families()[0]);
    const Attached lora = attach(*model, "lora", {{"rank", 2}}, 3), bitfit = attach(*model, "bitfit", {}, 4),
                   prefix = attach(*model, "prefix", {{"prefix_length", 3}}, 5);
    const Attachment* attachments[] = {prefix.attachment.get(), nullptr, lora.attachment.get(), bitfit.attachment.get()};
    std::vector<SearchTask> tasks;
    for (std::size_t i = 0; i < kSources.size(); ++i)
        for (std::size_t a = 0; a < 3; ++a) tasks.push_back({i, attachments[(i + a) % 4]});
    SearchSettings settings;
    settings.beam_size = 3;
    settings.n_best = 3;
    settings.max_length = 12;
    settings.early_stopping = EarlyStopping::no;
    const Lists straight = beam_search(*model, tasks, kSources, settings), drawn = sample(*model, tasks, kSources, settings);
    std::vector<std::size_t> order(tasks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    SeededRandom(8).shuffle(order);
    std::vector<SearchTask> shuffled;
    for (const auto i : order) shuffled.push_back(tasks[i]);
    for (const std::int64_t batch_tokens : {1, 40, 4000}) {
        settings.batch_tokens = batch_tokens;
        const Lists found = beam_search(*model, shuffled, kSources, settings), other = sample(*model, shuffled, kSources, settings);
        Lists back(tasks.size()), other_back(tasks.size());
        for (std::size_t i = 0; i < order.size(); ++i) {
            back[order[i]] = found[i];
            other_back[order[i]] = other[i];
        }
        REQUIRE(same(back, straight));
        REQUIRE(same(other_back, drawn));
    }
}

TEST_CASE("in a mixed batch a prompt shortens the translations of its own sentences alone", "[decode]") {
    const auto model = tiny_model(families()[0]);  // 40 positions
    const Attached prompt = attach(*model, "prompt", {{"prompt_length", 30}, {"side", "decoder"}}, 3),
                   lora = attach(*model, "lora", {{"rank", 2}}, 4);
    SearchSettings settings;
    settings.beam_size = 2;
    settings.max_length = 25;
    settings.rules.min_length = 25;  // nothing ends before
    settings.forced_last = 2;
    std::vector<SearchTask> tasks;
    for (std::size_t i = 0; i < kSources.size(); ++i)
        for (const Attachment* attachment : {prompt.attachment.get(), lora.attachment.get()}) tasks.push_back({i, attachment});
    const Lists mixed = beam_search(*model, tasks, kSources, settings), drawn = sample(*model, tasks, kSources, settings);
    const Lists prompted = beam_search(*model, prompt.attachment.get(), kSources, settings);
    const Lists plain = beam_search(*model, lora.attachment.get(), kSources, settings);
    for (std::size_t i = 0; i < kSources.size(); ++i) {
        REQUIRE(same({mixed[2 * i], mixed[2 * i + 1]}, {prompted[i], plain[i]}));
        for (const Lists* found : {&mixed, &drawn}) {
            REQUIRE((*found)[2 * i].at(0).ids.size() == 10);
            REQUIRE((*found)[2 * i + 1].at(0).ids.size() == 25);
        }
        REQUIRE(mixed[2 * i].at(0).ids.back() == 2);
        REQUIRE(mixed[2 * i + 1].at(0).ids.back() == 2);
    }
    const Attached full = attach(*model, "prompt", {{"prompt_length", 39}, {"side", "decoder"}}, 3);
    require_error([&] { beam_search(*model, full.attachment.get(), kSources, settings); }, ErrorKind::config, {"prompt", "39", "40"});
}

TEST_CASE("a batch has the attachments of its tasks, own copies of the base last", "[decode]") {
    const auto model = tiny_model(families()[0]);
    const Attached full = attach(*model, "full", {}, 3), lora = attach(*model, "lora", {{"rank", 2}}, 4);
    const std::vector<SearchTask> tasks = {{0, full.attachment.get()}, {1, nullptr}, {2, lora.attachment.get()}, {3, nullptr}};
    std::vector<Share> seen;
    SearchSettings settings;
    search_in_batches(*model, tasks, kSources, settings, 1, {}, [&](const auto& batch, const auto&) {
        seen = shares_of(batch);
        return Lists(batch.size());
    });
    REQUIRE(seen.size() == 3);
    REQUIRE(seen[0].attachment != full.attachment.get());
    REQUIRE(seen[1].attachment != full.attachment.get());
    REQUIRE(seen[2].attachment == full.attachment.get());
    for (const Share& share : seen) REQUIRE(share.sentences == (share.attachment ? 1 : 2));
}

TEST_CASE("what fills batches with one adapter is not mixed, what is left is", "[decode]") {
    const auto model = tiny_model(families()[0]);
    const Attached lora = attach(*model, "lora", {{"rank", 2}}, 4), bitfit = attach(*model, "bitfit", {}, 5);
    const std::vector<Tokens> sources(13, Tokens{5, 6, 7, 2});
    std::vector<SearchTask> tasks;
    for (std::size_t i = 0; i < 11; ++i) tasks.push_back({i, i % 2 ? lora.attachment.get() : bitfit.attachment.get()});
    tasks.push_back({11, nullptr});
    tasks.push_back({12, nullptr});
    SearchSettings settings;
    settings.batch_tokens = 32;  // four sentences with two hypotheses
    std::vector<std::size_t> attachments, sizes;
    std::vector<std::int64_t> told;
    const auto look = [&](const std::vector<SearchTask>& batch, const auto&) {
        sizes.push_back(batch.size());
        attachments.push_back(shares_of(batch).size());
        Lists found(batch.size());
        for (std::size_t i = 0; i < batch.size(); ++i) found[i].push_back({{static_cast<std::int64_t>(batch[i].source)}, 0, 0});
        return found;
    };
    const Lists found = search_in_batches(
        *model, tasks, sources, settings, 2, [&](auto n) { told.push_back(n); }, look);
    REQUIRE(sizes == std::vector<std::size_t>{4, 4, 4, 1});
    REQUIRE(attachments == std::vector<std::size_t>{1, 1, 3, 1});
    REQUIRE(told == std::vector<std::int64_t>{4, 8, 12, 13});
    for (std::size_t i = 0; i < tasks.size(); ++i) REQUIRE(found[i].at(0).ids == Tokens{static_cast<std::int64_t>(i)});
}

TEST_CASE("half precision mixes as well", "[decode]") {
    const auto base = load_base(golden("m2m100"), at::kCPU, at::kBFloat16);
    const Seq2Seq& model = *base->network;
    std::vector<Attached> attached;
    for (const char* id : {"lora", "ia3", "pfeiffer", "prefix", "prompt", "bitfit", "layernorm"})
        attached.push_back(attach(model, id, std::string(id) == "prompt" ? Json{{"prompt_length", 4}} : Json::object(), 3));
    const auto pairs = random_pairs(attached.size() + 1, model.architecture().vocab_size, 5);
    std::vector<Share> shares = {{nullptr, 1}};
    for (const Attached& one : attached) shares.push_back({one.attachment.get(), 1});
    const at::NoGradGuard guard;
    const at::Tensor mixed = logits_of(model, model.inference(shares), batch_of(model, pairs));
    std::vector<at::Tensor> alone;
    for (std::size_t i = 0; i < pairs.size(); ++i)
        alone.push_back(logits_of(model, model.inference(shares[i].attachment), batch_of(model, {pairs[i]})));
    require_close(mixed, at::cat(alone), 0.05);
    SearchSettings settings;
    settings.max_length = 8;
    std::vector<SearchTask> tasks;
    for (const Share& share : shares) tasks.push_back({0, share.attachment});
    for (const auto& found : beam_search(model, tasks, {{4, 9, 11, 2}}, settings)) {
        REQUIRE_FALSE(found.empty());
        REQUIRE(std::isfinite(found[0].score));
    }
}
