#include "core/moe/moefy.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include "core/run/translate.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "core/base/error.h"
#include "core/base/stopped.h"
#include "core/base/whole_folder.h"
#include "core/decode/search.h"
#include "core/metrics/metrics.h"
#include "core/nn/matmul.h"
#include "core/peft/adapter_file.h"
#include "core/peft/expert_split.h"
#include "core/peft/merge.h"
#include "core/peft/moefication.h"
#include "core/run/plan.h"
#include "core/train/step.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kKeptBytes = std::int64_t{1} << 30;  // of the blocks' inputs at a time

std::uint64_t seed_of(const MoefySettings& settings, int site) {
    return DropoutStreams::mix(static_cast<std::uint64_t>(settings.seed) * 1000003 + static_cast<std::uint64_t>(site));
}

// Keeps what a block reads and lets it work as ever.
class Recorder : public FeedForwardModule {
public:
    explicit Recorder(std::vector<at::Tensor>& kept) : kept_(kept) {}
    at::Tensor apply(const Forward& forward, const FeedForward& block, const at::Tensor& x) const override {
        kept_.push_back(x.to(at::kFloat));
        return block.fc2(forward, activate(block.activation, block.fc1(forward, x)));
    }

private:
    std::vector<at::Tensor>& kept_;
};

// The base with the adapter's changes: one that changes nothing where there is none.
struct Dense {
    std::vector<int> replaced;
    std::vector<at::Tensor> values;

    Attachment attachment(const Layout& layout) const {
        Attachment made(layout);
        for (std::size_t i = 0; i < replaced.size(); ++i) made.parameters[static_cast<std::size_t>(replaced[i])] = values[i];
        return made;
    }
};

Dense merged(const std::optional<fs::path>& adapter, const BaseModel& base, const EventSink& sink) {
    Dense dense;
    if (!adapter) return dense;
    const Seq2Seq& network = *base.network;
    const auto weights = merged_weights(load_adapter(*adapter, base, sink), network);
    for (std::size_t i = 0; i < weights.size(); ++i) {
        if (weights[i].is_same(network.weights()[i]) || at::equal(weights[i].to(at::kFloat), network.weights()[i].to(at::kFloat))) continue;
        dense.replaced.push_back(static_cast<int>(i));
        dense.values.push_back(weights[i].detach().to(at::kFloat));
    }
    return dense;
}

// Pairs in a seeded order until both sides have that many tokens.
std::vector<TokenPair> enough_of(std::vector<TokenPair> pairs, std::int64_t tokens, std::int64_t seed) {
    SeededRandom(static_cast<std::uint64_t>(seed)).shuffle(pairs);
    std::int64_t sources = 0, labels = 0;
    std::size_t count = 0;
    while (count < pairs.size() && (sources < tokens || labels < tokens)) {
        sources += static_cast<std::int64_t>(pairs[count].source.size());
        labels += static_cast<std::int64_t>(pairs[count++].labels.size());
    }
    pairs.resize(count);
    return pairs;
}

// What the blocks read while the model is taught the pairs: rows [N, D] of each, in a seeded order.
std::vector<at::Tensor> inputs_of(const Seq2Seq& network, const Dense& dense, const std::vector<ConvertedBlock>& blocks,
                                  const std::vector<TokenPair>& pairs, const MoefySettings& settings, const std::stop_token& stop) {
    std::vector<std::vector<at::Tensor>> kept(blocks.size());
    Attachment attachment = dense.attachment(network.layout());
    for (std::size_t i = 0; i < blocks.size(); ++i) attachment.feed_forwards.add(blocks[i].site, std::make_unique<Recorder>(kept[i]));
    const Forward forward = network.inference(&attachment);
    for (const BatchPlan& plan : plan_batches_by_length(pairs, 2000)) {
        throw_if_stopped(stop);
        const TensorBatch batch = collate(pairs, plan, network.architecture(), network.device());
        network.decode(forward, network.encode(forward, batch.source), batch.target);
    }
    std::vector<at::Tensor> rows;
    for (auto& parts : kept) {
        const at::Tensor all = at::cat(parts);
        parts.clear();
        auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(settings.seed));
        const at::Tensor order = at::randperm(all.size(0), generator).to(all.device());
        rows.push_back(all.index_select(0, order.narrow(0, 0, std::min(settings.tokens, all.size(0)))));
    }
    return rows;
}

// For how many rows two neurons are both active.
at::Tensor coactivation(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const std::stop_token& stop) {
    at::Tensor counts = at::zeros({weight.size(0), weight.size(0)}, x.options());
    for (const at::Tensor& rows : x.split(1024)) {
        throw_if_stopped(stop);
        const at::Tensor active = (linear_map(rows, weight, bias) > 0).to(at::kFloat);
        counts.add_(active.t().matmul(active));
    }
    return counts;
}

struct Converted {
    std::vector<at::Tensor> values;  // in the order of the method's tensors
    std::vector<double> captured;    // for each number of active experts
    Json facts = Json::object();
};

Converted convert(const ConvertedBlock& block, const std::string& site, const at::Tensor& x, const at::Tensor& weight,
                  const at::Tensor& bias, const MoefySettings& settings, const std::vector<std::int64_t>& active,
                  const std::stop_token& stop) {
    const std::uint64_t seed = seed_of(settings, block.site);
    const std::int64_t held_out = std::max<std::int64_t>(1, x.size(0) / 10), used = std::max<std::int64_t>(1, x.size(0) - held_out);
    const at::Tensor learnt = x.narrow(0, 0, used), test = x.narrow(0, x.size(0) - held_out, held_out);
    const ExpertOf expert_of = settings.split == "clusters" ? split_by_clusters(weight, settings.experts, seed, stop)
                               : settings.split == "random"
                                   ? split_at_random(block.neurons, settings.experts, seed)
                                   : split_by_coactivation(coactivation(learnt, weight, bias, stop), settings.experts, seed, stop);
    const at::Tensor order = std::get<1>(at::tensor(expert_of, at::kLong).sort(/*stable=*/true, 0, false)).to(x.device());
    const auto sums_of = [&](const at::Tensor& rows) { return expert_sums(rows, weight, bias, order, settings.experts); };
    const at::Tensor test_sums = sums_of(test), test_rows = routed_rows(test), centres = expert_centres(weight, order, settings.experts);

    Converted converted;
    converted.values.push_back(order.to(at::kInt));
    converted.facts["site"] = site;
    at::Tensor scores = test_sums;
    if (settings.router == "similarity") {
        scores = similarity_scores(test_rows, centres);
        converted.values.push_back(centres);
    } else if (settings.router == "mlp") {
        const TrainedRouter router = train_router(routed_rows(learnt), sums_of(learnt), centres, active.front(), settings.epochs, seed,
                                                  [&] { throw_if_stopped(stop); });
        scores = mlp_scores(test_rows, router.first, router.second);
        converted.values.insert(converted.values.end(), {router.first, router.second});
        converted.facts["router_epoch"] = router.epoch;
    }
    Json captured = Json::object();
    for (const std::int64_t k : active) {
        converted.captured.push_back(captured_share(scores, test_sums, k));
        captured[std::to_string(k)] = converted.captured.back();
    }
    converted.facts["captured"] = captured;
    return converted;
}

// Multiplications of the feed-forward blocks for one token beside those of the dense ones.
double flops_share(const Layout& layout, const std::vector<ConvertedBlock>& blocks, const MoefySettings& settings, std::int64_t active) {
    double all = 0, spent = 0;
    for (const Site& site : layout.sites) {
        if (site.kind != SiteKind::feed_forward) continue;
        const Site& fc1 = layout.sites[static_cast<std::size_t>(layout.site(site.name + ".fc1"))];
        const double d = static_cast<double>(fc1.in), f = static_cast<double>(fc1.out), e = static_cast<double>(settings.experts);
        const bool converted = std::any_of(blocks.begin(), blocks.end(), [&](const auto& block) { return block.fc1 == fc1.weight; });
        all += 2 * d * f;
        spent += !converted || settings.router == "truth"
                     ? 2 * d * f
                     : 2 * d * f * static_cast<double>(active) / e + d * e + (settings.router == "mlp" ? e * e : 0);
    }
    return spent / all;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Dense and converted translate the same text in turns.
void measure(MoefyReport& report, const OpenModel& model, const std::vector<const Attachment*>& models, const std::vector<Row>& rows,
             const MoefyRequest& request, const EventSink& sink, const std::stop_token& stop) {
    DecodingSettings decoding = DecodingSettings::of_model(model.base->folder);
    DecodingSettings::fields().apply(decoding, request.decoding, "");
    std::vector<std::string> lines, references;
    for (const Row& row : rows) {
        lines.push_back(row.source);
        references.push_back(row.target);
    }
    const auto translate = [&](std::size_t i, const std::vector<std::string>& text) {
        std::vector<std::string> hypotheses;
        for (const auto& translation :
             translate_lines(model, models[i], text, request.source_language, request.target_language, decoding, 1, {}, stop))
            hypotheses.push_back(translation.text);
        return hypotheses;
    };
    const auto metric = make_metric("bleu", {{"tokenize", "auto"}}, request.target_language);
    std::vector<std::vector<double>> seconds(models.size()), cpu_seconds(models.size());
    const auto total = static_cast<std::int64_t>(models.size()) * request.settings.rounds;
    for (std::int64_t round = 0, done = 0; round < request.settings.rounds; ++round)
        for (std::size_t i = 0; i < models.size(); ++i, ++done) {
            if (sink) sink(Progress{"translating", done, total});
            if (round == 0)
                translate(i, {lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(lines.size(), 8))});
            const auto start = std::chrono::steady_clock::now();
            const std::clock_t cpu_start = std::clock();
            const auto hypotheses = translate(i, lines);
            seconds[i].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
            cpu_seconds[i].push_back(static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC);
            if (round > 0) continue;
            const MetricReport score = evaluate(*metric, hypotheses, {references}, {}, stop);
            report.rows[i].bleu = score.score.value;
            report.signature = score.signature;
        }
    for (std::size_t i = 0; i < models.size(); ++i) {
        report.rows[i].seconds_per_sentence = median(seconds[i]) / static_cast<double>(lines.size());
        report.rows[i].cpu_seconds_per_sentence = median(cpu_seconds[i]) / static_cast<double>(lines.size());
        report.rows[i].speed = report.rows[0].seconds_per_sentence / report.rows[i].seconds_per_sentence;
    }
}

}  // namespace

const Fields<MoefySettings>& MoefySettings::fields() {
    using S = MoefySettings;
    static const Fields<S> list =
        Fields<S>()
            .add("experts", &S::experts, "groups into which the neurons of each feed-forward block are divided", {.min = 1, .max = 65536})
            .add("split", &S::split,
                 "how: clusters of the rows of fc1, coactivation (a graph of neurons that are active together, cut by METIS), random",
                 {.choices = {"clusters", "coactivation", "random"}})
            .add("router", &S::router,
                 "what chooses a token's experts: truth computes all to know the best (a bound, no saving), similarity to the experts' "
                 "centres, mlp a small trained network",
                 {.choices = {"truth", "similarity", "mlp"}})
            .add("stacks", &S::stacks, "which stacks are converted", {.choices = {"both", "encoder", "decoder"}})
            .add("layers", &S::layers, "which layers of each stack: all, 'last 2', 'first 2', or numbers from 0 such as '0,2-3'")
            .add("tokens", &S::tokens, "tokens of each stack to find the experts and train the router with",
                 {.min = 20, .max = 1e8, .unit = "tokens"})
            .add("epochs", &S::epochs, "of the router's training", {.min = 0, .max = 10000})
            .add("test_sentences", &S::test_sentences, "the first of the test text, translated to compare",
                 {.min = 1, .max = 1e7, .unit = "sentences"})
            .add("rounds", &S::rounds, "translations of the test text by each model, in turns; the median time counts",
                 {.min = 1, .max = 1000})
            .add("seed", &S::seed, "of the splits, the router and the choice of tokens", {.min = 0});
    return list;
}

Json MoefyMeasure::to_json() const {
    return Json{{"model", model},
                {"active", active},
                {"ffn_flops", ffn_flops},
                {"captured", captured},
                {"bleu", bleu},
                {"seconds_per_sentence", seconds_per_sentence},
                {"cpu_seconds_per_sentence", cpu_seconds_per_sentence},
                {"speed", speed}};
}

Json MoefyReport::to_json() const {
    Json list = Json::array();
    for (const MoefyMeasure& row : rows) list.push_back(row.to_json());
    return Json{{"folder", folder}, {"settings", settings},   {"blocks", blocks},       {"router_parameters", router_parameters},
                {"tokens", tokens}, {"sentences", sentences}, {"signature", signature}, {"device", device},
                {"models", list},   {"stopped", stopped}};
}

MoefyReport moefy(const MoefyRequest& request, const EventSink& sink, const std::stop_token& stop) {
    const MoefySettings& settings = request.settings;
    MoefyReport report;
    const fs::path place = free_place(request.output);
    if (request.active.empty()) throw Error(ErrorKind::config, "active", "is empty", "say how many experts work for each token");
    for (const std::int64_t k : request.active)
        if (k < 1 || k > settings.experts)
            throw Error(ErrorKind::config, "active",
                        std::to_string(k) + " is not between 1 and the experts, " + std::to_string(settings.experts),
                        "ask for fewer, or for more experts");
    try {
        const at::NoGradGuard guard;
        const OpenModel model = open_model(request.base, request.device, sink, stop);
        const Seq2Seq& network = *model.base->network;
        const Layout& layout = network.layout();
        if (network.architecture().activation != Activation::relu)
            throw Error(ErrorKind::unsupported, request.base,
                        std::string("has feed-forward blocks with ") +
                            (network.architecture().activation == Activation::gelu ? "GELU" : "Swish") +
                            ", whose activations are never zero: nothing can be left out",
                        "MoEfication needs a model with ReLU, such as M2M-100, NLLB-200 or mBART-50-mmt");
        MoeficationConfig config;
        config.experts = settings.experts;
        config.active = request.active.front();
        config.router = settings.router;
        config.split = settings.split;
        config.stacks = settings.stacks;
        config.layers = settings.layers;
        const auto blocks = converted_blocks(layout, config);
        const Dense dense = merged(request.adapter, *model.base, sink);
        for (const int index : dense.replaced)
            config.replaced += (config.replaced.empty() ? "" : ",") + layout.parameters[static_cast<std::size_t>(index)].name;

        // A sentence has a language, a word and an end at least.
        const auto rows = read_rows(request.texts, Split::train, request.source_language, request.target_language, settings.tokens / 3 + 1);
        const auto test_rows =
            read_rows(request.test_texts, Split::test, request.source_language, request.target_language, settings.test_sentences);
        const auto pairs = enough_of(tokenise(*model.tokenizer, rows, request.source_language, request.target_language, stop).pairs,
                                     settings.tokens, settings.seed);
        const Attachment plain = dense.attachment(layout);
        const auto parameter = [&](int index) {
            const at::Tensor& own = plain.parameters[static_cast<std::size_t>(index)];
            return (own.defined() ? own : network.weights()[static_cast<std::size_t>(index)]).to(at::kFloat);
        };
        std::vector<at::Tensor> values;
        std::vector<double> captured(request.active.size());
        Json facts = Json::array();
        const std::int64_t most = std::max<std::int64_t>(1, kKeptBytes / (settings.tokens * network.architecture().d_model * 4));
        for (std::size_t first = 0; first < blocks.size(); first += static_cast<std::size_t>(most)) {
            const std::vector<ConvertedBlock> some(
                blocks.begin() + static_cast<std::ptrdiff_t>(first),
                blocks.begin() + static_cast<std::ptrdiff_t>(std::min(blocks.size(), first + static_cast<std::size_t>(most))));
            const auto inputs = inputs_of(network, dense, some, pairs, settings, stop);
            for (std::size_t i = 0; i < some.size(); ++i) {
                if (sink) sink(Progress{"converting", static_cast<std::int64_t>(first + i), static_cast<std::int64_t>(blocks.size())});
                throw_if_stopped(stop);
                Converted converted = convert(some[i], layout.sites[static_cast<std::size_t>(some[i].site)].name, inputs[i],
                                              parameter(some[i].fc1), parameter(some[i].fc1_bias), settings, request.active, stop);
                for (std::size_t v = 1; v < converted.values.size(); ++v) report.router_parameters += converted.values[v].numel();
                values.insert(values.end(), converted.values.begin(), converted.values.end());
                for (std::size_t k = 0; k < captured.size(); ++k) captured[k] += converted.captured[k] / static_cast<double>(blocks.size());
                facts.push_back(std::move(converted.facts));
                report.tokens = std::max(report.tokens, inputs[i].size(0));
            }
        }
        values.insert(values.end(), dense.values.begin(), dense.values.end());

        const Method& method = find_stored_method("moefication", "moefy");
        std::vector<Attached> converted;
        std::vector<const Attachment*> models = {&plain};
        report.rows.push_back({"dense", settings.experts});
        for (std::size_t k = 0; k < request.active.size(); ++k) {
            config.active = request.active[k];
            converted.push_back(attach_values(method, network, MoeficationConfig::fields().to_json(config), values));
            report.rows.push_back({"experts", config.active, flops_share(layout, blocks, settings, config.active), captured[k]});
        }
        for (const Attached& attached : converted) models.push_back(attached.attachment.get());
        report.settings = converted.front().settings;
        report.blocks = static_cast<std::int64_t>(blocks.size());
        report.sentences = static_cast<std::int64_t>(test_rows.size());
        report.device = describe_device(model);
        const Json notes = {{"conversion", MoefySettings::fields().to_json(settings)},
                            {"tokens", report.tokens},
                            {"blocks", facts},
                            {"versions", program_versions()}};
        make_whole_folder(place, [&](const fs::path& part) { save_adapter(part, converted.front(), *model.base, notes); });
        report.folder = place.string();
        log_to(sink, "written to " + report.folder + "; translating " + std::to_string(report.sentences) + " sentences to compare");
        measure(report, model, models, test_rows, request, sink, stop);
    } catch (const Stopped&) {
        report.stopped = true;
    }
    return report;
}

}  // namespace permille
