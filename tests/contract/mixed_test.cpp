// One batch with rows of several methods over one base, for every method of the table: the results are those of one by one.
#include "core/decode/beam.h"
#include "core/decode/sample.h"
#include "core/nn/mixture.h"
#include "tests/contract/every_method.h"
#include "tests/support/models.h"
#include "tests/support/test.h"

using namespace permille;
using namespace permille::test;

namespace {

// So many sentences with each of them, in this order.
std::vector<Share> shares(const std::vector<const Attachment*>& attachments, std::int64_t sentences) {
    std::vector<Share> list;
    for (const Attachment* attachment : attachments) list.push_back({attachment, sentences});
    return list;
}

// Logits of a mixed batch and of its shares one by one.
void require_same_logits(const Seq2Seq& model, const std::vector<const Attachment*>& attachments, std::int64_t sentences) {
    const at::NoGradGuard guard;
    const auto pairs = random_pairs(attachments.size() * static_cast<std::size_t>(sentences), 50, 17);
    std::vector<at::Tensor> alone;
    for (std::size_t i = 0; i < attachments.size(); ++i) {
        const auto first = pairs.begin() + static_cast<std::ptrdiff_t>(i) * sentences;
        alone.push_back(logits(model, attachments[i], {first, first + sentences}));
    }
    Forward forward = model.inference(shares(attachments, sentences));
    require_close(logits_of(model, forward, batch_of(model, pairs)), at::cat(alone), 1e-5);
    forward.eager_attention = true;
    require_close(logits_of(model, forward, batch_of(model, pairs)), at::cat(alone), 1e-5);
}

// The cached steps of a mixed batch and the full pass, whose prompts and prefixes may differ in length.
void require_same_steps(const Seq2Seq& model, const std::vector<const Attachment*>& attachments) {
    const at::NoGradGuard guard;
    const auto count = static_cast<std::int64_t>(attachments.size());
    const Forward forward = model.inference(shares(attachments, 1));
    std::vector<std::vector<std::int64_t>> sources, targets;
    for (std::int64_t i = 0; i < count; ++i) {
        sources.push_back({4 + i % 9, 9, 2});
        if (i % 2) sources.back().insert(sources.back().begin(), 11);
        targets.push_back({2, 5 + i % 20, 6, 7 + i % 7});
    }
    const Encoded encoded = model.encode(forward, TokenRows::of(sources, at::kCPU));
    const at::Tensor full = model.decode(forward, encoded, TokenRows::of(targets, at::kCPU)).view({count, 4, -1});
    DecoderCache cache = model.start(forward, encoded, 1, 5);
    for (std::int64_t t = 0; t < 4; ++t) {
        std::vector<std::int64_t> tokens;
        for (const auto& target : targets) tokens.push_back(target[static_cast<std::size_t>(t)]);
        require_close(model.step(forward, cache, at::tensor(tokens, at::kLong)), full.select(1, t), 2e-5);
    }
}

void require_same_candidates(const std::vector<Candidate>& got, const std::vector<Candidate>& want) {
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
        REQUIRE(got[i].ids == want[i].ids);
        REQUIRE_THAT(got[i].log_probability, Catch::Matchers::WithinAbs(want[i].log_probability, 1e-3));
    }
}

// What beam search and sampling find for every source with each of the attachments, all in one batch, and what they find one by one.
void require_same_searches(const Seq2Seq& model, const std::vector<const Attachment*>& attachments) {
    const std::vector<Tokens> sources = {{4, 9, 11, 2}, {7, 2}, {12, 5, 30, 31, 8, 2}};
    SearchSettings settings;
    settings.beam_size = 3;
    settings.n_best = 2;
    settings.max_length = 9;
    std::vector<SearchTask> tasks;
    for (std::size_t i = 0; i < sources.size(); ++i)
        for (const Attachment* attachment : attachments) tasks.push_back({i, attachment});
    const auto beams = beam_search(model, tasks, sources, settings), draws = sample(model, tasks, sources, settings);
    for (std::size_t a = 0; a < attachments.size(); ++a) {
        const auto alone = beam_search(model, attachments[a], sources, settings), drawn = sample(model, attachments[a], sources, settings);
        for (std::size_t i = 0; i < sources.size(); ++i) {
            INFO("source " << i << ", attachment " << a);
            require_same_candidates(beams[i * attachments.size() + a], alone[i]);
            require_same_candidates(draws[i * attachments.size() + a], drawn[i]);
        }
    }
}

std::vector<Attached> all_methods(const Seq2Seq& model) {
    std::vector<Attached> attached;
    for (const auto& method : methods()) attached.push_back(attach_shaken(*method, model));
    return attached;
}

// Every way in which a family lays out its models.
void for_all_models(const std::function<void(const Seq2Seq&, const std::vector<Attached>&)>& test) {
    for (const Family& family : families())
        for (const Architecture& architecture : tiny_architectures(family)) {
            const auto model = tiny_model(architecture);
            INFO("family " << family.model_type << ", the encoder's table its own " << architecture.source_vocab_size.has_value()
                           << ", projection tied " << architecture.tied_projection);
            test(*model, all_methods(*model));
        }
}

}  // namespace

TEST_CASE("in one batch with the base and another method every method gives the logits it gives alone", "[contract][mixed]") {
    for_all_models([](const Seq2Seq& model, const std::vector<Attached>& attached) {
        std::vector<at::Tensor> base;
        for (const at::Tensor& weight : model.weights()) base.push_back(weight.clone());
        for (std::size_t i = 0; i < attached.size(); ++i) {
            const Attached &one = attached[i], &other = attached[(i + 1) % attached.size()];
            INFO("methods " << one.method->info().id << " and " << other.method->info().id);
            require_same_logits(model, {one.attachment.get(), nullptr, other.attachment.get()}, 2);
            require_same_steps(model, {one.attachment.get(), nullptr, other.attachment.get(), one.attachment.get()});
        }
        for (std::size_t i = 0; i < base.size(); ++i) require_same(model.weights()[i], base[i], model.layout().parameters[i].name);
    });
}

TEST_CASE("in one batch with the base and another method every method finds what it finds alone", "[contract][mixed]") {
    for (const Family& family : families()) {
        const auto model = tiny_model(family);
        const auto attached = all_methods(*model);
        for (std::size_t i = 0; i < attached.size(); ++i) {
            const Attached &one = attached[i], &other = attached[(i + 1) % attached.size()];
            INFO("family " << family.model_type << ", methods " << one.method->info().id << " and " << other.method->info().id);
            require_same_searches(*model, {one.attachment.get(), nullptr, other.attachment.get()});
        }
    }
}

TEST_CASE("all methods may share one batch", "[contract][mixed]") {
    for_all_models([](const Seq2Seq& model, const std::vector<Attached>& attached) {
        std::vector<const Attachment*> all = {nullptr};
        for (const Attached& one : attached) all.push_back(one.attachment.get());
        require_same_logits(model, all, 2);
        require_same_steps(model, all);
        require_same_searches(model, all);
    });
}
