#include "core/run/pretrain.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/base/whole_folder.h"
#include "core/bases/find.h"
#include "core/data/batches.h"
#include "core/data/corpus.h"
#include "core/data/held_out.h"
#include "core/models/base_model.h"
#include "core/nn/device.h"
#include "core/nn/threads.h"
#include "core/run/training.h"
#include "core/text/m2m100_tokenizer.h"
#include "core/text/tokenizers.h"
#include "core/text/vocabulary_trainer.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

constexpr double kLearningRate = 1e-3;  // without one in the recipe

struct ModelSettings {
    std::int64_t d_model = 256, encoder_layers = 4, decoder_layers = 3, heads = 4, ffn = 1024, max_positions = 256;
    double dropout = 0.1, attention_dropout = 0.0;
    static const Fields<ModelSettings>& fields() {
        static const auto list =
            Fields<ModelSettings>()
                .add("d_model", &ModelSettings::d_model, "model width", {.min = 8, .max = 8192})
                .add("encoder_layers", &ModelSettings::encoder_layers, "encoder layers", {.min = 1, .max = 100})
                .add("decoder_layers", &ModelSettings::decoder_layers, "decoder layers", {.min = 1, .max = 100})
                .add("heads", &ModelSettings::heads, "attention heads", {.min = 1, .max = 256})
                .add("ffn", &ModelSettings::ffn, "width of the feed-forward blocks", {.min = 8, .max = 65536})
                .add("max_positions", &ModelSettings::max_positions, "longest sequence in tokens", {.min = 16, .max = 4096})
                .add("dropout", &ModelSettings::dropout, "dropout written into config.json", {.min = 0, .max = 0.9})
                .add("attention_dropout", &ModelSettings::attention_dropout, "dropout of attention weights", {.min = 0, .max = 0.9});
        return list;
    }
};

// One translation direction of the recipe.
struct Direction {
    std::string corpus, source, target;
    double weight = 1;  // multiplies the sampled share
};

struct PretrainRecipe {
    std::string name;
    std::string start;  // the model whose shape, tokenizer and weights it begins with; "": from scratch
    VocabularySettings vocabulary;
    std::int64_t vocabulary_sentences = 1000000;  // over all languages
    ModelSettings model;
    std::vector<Direction> directions;
    double temperature = 1.5;  // share of a direction ~ (sentences)^(1/temperature)
    std::int64_t epoch_examples = 200000;
    TrainingSettings training;
    std::int64_t seed = 1;
};

Json to_json(const YAML::Node& node) {
    if (node.IsMap()) {
        Json object = Json::object();
        for (const auto& entry : node) object[entry.first.as<std::string>()] = to_json(entry.second);
        return object;
    }
    if (node.IsSequence()) {
        Json array = Json::array();
        for (const auto& item : node) array.push_back(to_json(item));
        return array;
    }
    return node.IsNull() ? Json(nullptr) : Json(node.as<std::string>());
}

PretrainRecipe read_pretrain_recipe(const fs::path& file) {
    const std::string where = file.string();
    Json json;
    try {
        json = to_json(YAML::Load(read_text(file)));
    } catch (const YAML::Exception& error) {
        throw Error(ErrorKind::config, where + ":" + std::to_string(error.mark.line + 1) + ":" + std::to_string(error.mark.column + 1),
                    error.msg, "mend the recipe");
    }
    struct Top {
        std::string pretrain, start;
        double temperature = 1.5;
        std::int64_t vocabulary_sentences = 1000000, epoch_examples = 200000, seed = 1;
    };
    static const auto top_fields =
        Fields<Top>()
            .add("pretrain", &Top::pretrain, "name of the base")
            .add("start", &Top::start, "the model to begin with; without it from scratch")
            .add("temperature", &Top::temperature, "sampling temperature", {.min = 1, .max = 100})
            .add("vocabulary_sentences", &Top::vocabulary_sentences, "lines the vocabulary is trained on", {.min = 100})
            .add("epoch_examples", &Top::epoch_examples, "examples drawn per epoch", {.min = 1})
            .add("seed", &Top::seed, "seed", {.min = 0});
    PretrainRecipe recipe;
    if (!json.is_object()) throw Error(ErrorKind::config, where, "is not a recipe", "see resources/recipes/permille-small.yaml");
    Json top = Json::object();
    for (const auto& [key, value] : json.items()) {
        if (key == "vocabulary") recipe.vocabulary = VocabularySettings::fields().parse(value, where + "/vocabulary");
        else if (key == "model") recipe.model = ModelSettings::fields().parse(value, where + "/model");
        else if (key == "training") recipe.training = TrainingSettings::fields().parse(value, where + "/training");
        else if (key == "directions") {
            struct Entry {
                std::string corpus, source, target;
                double weight = 1;
            };
            static const auto entry_fields = Fields<Entry>()
                                                 .add("corpus", &Entry::corpus, "a named corpus")
                                                 .add("source", &Entry::source, "source language")
                                                 .add("target", &Entry::target, "target language")
                                                 .add("weight", &Entry::weight, "multiplies the share", {.min = 0, .max = 100});
            if (!value.is_array()) throw Error(ErrorKind::config, where + "/directions", "is not a list");
            for (std::size_t i = 0; i < value.size(); ++i) {
                const Entry entry = entry_fields.parse(value[i], where + "/directions/" + std::to_string(i));
                recipe.directions.push_back({entry.corpus, entry.source, entry.target, entry.weight});
            }
        } else top[key] = value;
    }
    const Top values = top_fields.parse(top, where);
    if (values.pretrain.empty()) throw Error(ErrorKind::config, where + "/pretrain", "missing", "give the base a name");
    if (recipe.directions.empty())
        throw Error(ErrorKind::config, where + "/directions", "empty", "name at least one corpus with source and target");
    const TrainingSettings& training = recipe.training;
    for (const auto& [name, asked] :
         {std::pair("tune_lr", training.tune_lr > 0), std::pair("teacher", !training.teacher.empty()),
          std::pair("contrast", training.contrast > 0), std::pair("select_by: bleu", training.select_by == "bleu")})
        if (asked)
            throw Error(ErrorKind::unsupported, where + "/training", std::string(name) + " is for fine-tuning",
                        "remove it from the recipe");
    for (const char* own : {"vocabulary", "model"})
        if (!values.start.empty() && json.contains(own))
            throw Error(ErrorKind::config, where + "/" + own, "is that of the model which the recipe starts from",
                        "remove it; 'permille inherit' gives a model other layers, pieces and languages");
    recipe.name = values.pretrain;
    recipe.start = values.start;
    recipe.temperature = values.temperature;
    recipe.vocabulary_sentences = values.vocabulary_sentences;
    recipe.epoch_examples = values.epoch_examples;
    recipe.seed = values.seed;
    return recipe;
}

Architecture architecture_of(const ModelSettings& model, const Tokenizer& tokenizer) {
    Architecture a;
    a.model_type = "m2m_100";
    a.d_model = model.d_model;
    a.encoder_layers = model.encoder_layers;
    a.decoder_layers = model.decoder_layers;
    a.encoder_heads = a.decoder_heads = model.heads;
    a.encoder_ffn = a.decoder_ffn = model.ffn;
    a.vocab_size = (tokenizer.size() + 7) / 8 * 8;
    a.max_positions = model.max_positions;
    a.pad_id = tokenizer.ids().pad;
    a.bos_id = tokenizer.ids().bos;
    a.eos_id = tokenizer.ids().eos;
    a.decoder_start_id = tokenizer.ids().decoder_start;
    a.dropout = model.dropout;
    a.attention_dropout = model.attention_dropout;
    return a;
}

std::vector<at::Tensor> initial_weights(const Layout& layout, std::int64_t d_model, std::int64_t pad_id, std::uint64_t seed) {
    // Xavier-uniform projections (query, key and value with gain 1/sqrt 2, as fairseq's attention), embeddings N(0, D^-0.5), norms 1 and 0.
    auto generator = at::detail::createCPUGenerator(seed);
    std::vector<at::Tensor> weights;
    for (const ParameterSpec& spec : layout.parameters) {
        at::Tensor value = at::zeros(spec.shape, at::kFloat);
        if (spec.role == ParameterRole::norm_weight) value.fill_(1.0);
        if (spec.role == ParameterRole::embedding) {
            value.normal_(0, 1.0 / std::sqrt(static_cast<double>(d_model)), generator);
            value.select(0, pad_id).zero_();
        }
        if (spec.role == ParameterRole::matrix) {
            const bool narrow = spec.name.find("q_proj") != std::string::npos || spec.name.find("k_proj") != std::string::npos ||
                                spec.name.find("v_proj") != std::string::npos;
            const double bound = std::sqrt(6.0 / static_cast<double>(spec.shape[0] + spec.shape[1])) * (narrow ? std::sqrt(0.5) : 1.0);
            value.uniform_(-bound, bound, generator);
        }
        weights.push_back(value);
    }
    return weights;
}

// The rows of one direction that are trained on and those that measure it.
struct DirectionText {
    std::vector<Row> train, valid;
};

std::vector<DirectionText> texts_of(const PretrainRecipe& recipe, const EventSink& sink, const std::stop_token& stop) {
    std::vector<DirectionText> texts;
    HeldOut held_out;
    for (const Direction& direction : recipe.directions) {
        throw_if_stopped(stop);
        held_out.add(Corpus::load(corpus_folder(data_home(), direction.corpus), false));
    }
    for (const Direction& direction : recipe.directions) {
        throw_if_stopped(stop);
        const Corpus corpus = Corpus::load(corpus_folder(data_home(), direction.corpus), false);
        DirectionText text{corpus.rows(Split::train, direction.source, direction.target),
                           corpus.rows(Split::valid, direction.source, direction.target, 200)};
        held_out.drop_from(text.train);
        log_to(sink,
               direction.corpus + " " + direction.source + "-" + direction.target + ": " + std::to_string(text.train.size()) + " pairs");
        texts.push_back(std::move(text));
    }
    return texts;
}

// Balanced over languages: every language gives the same number of lines where it has them.
void make_tokenizer(const PretrainRecipe& recipe, const std::vector<DirectionText>& texts, const fs::path& work, const fs::path& folder,
                    const std::stop_token& stop) {
    std::map<std::string, std::vector<std::string>> by_language;
    for (std::size_t d = 0; d < texts.size(); ++d)
        for (const Row& row : texts[d].train) {
            by_language[recipe.directions[d].source].push_back(row.source);
            by_language[recipe.directions[d].target].push_back(row.target);
        }
    std::vector<std::string> languages, lines;
    const auto share = static_cast<std::size_t>(recipe.vocabulary_sentences) / by_language.size();
    for (auto& [language, all] : by_language) {
        languages.push_back(language);
        SeededRandom(static_cast<std::uint64_t>(recipe.seed)).shuffle(all);
        lines.insert(lines.end(), all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(share, all.size())));
    }
    const fs::path vocabulary = work / "vocabulary.model";
    train_vocabulary(lines, recipe.vocabulary, vocabulary, stop);
    std::error_code ignored;
    fs::remove_all(folder, ignored);  // of a pretraining that was ended here
    make_whole_folder(folder,
                      [&](const fs::path& part) { save_m2m100_tokenizer(part, vocabulary, languages, recipe.model.max_positions); });
}

// Each epoch draws examples by direction in proportion to size^(1/T), walking through a shuffled order of the direction's pairs.
// ranges: of the training pairs, by direction.
EpochSampler sampler_of(const PretrainRecipe& recipe, const std::vector<std::pair<std::uint32_t, std::uint32_t>>& ranges) {
    std::vector<double> shares;
    for (std::size_t d = 0; d < ranges.size(); ++d)
        shares.push_back(recipe.directions[d].weight *
                         std::pow(static_cast<double>(ranges[d].second - ranges[d].first), 1.0 / recipe.temperature));
    const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
    return [=, seed = recipe.seed, examples = recipe.epoch_examples](std::int64_t epoch) {
        std::vector<std::uint32_t> drawn;
        for (std::size_t d = 0; d < ranges.size(); ++d) {
            const std::int64_t size = ranges[d].second - ranges[d].first;
            const auto wanted = static_cast<std::int64_t>(shares[d] / total * static_cast<double>(examples));
            std::vector<std::uint32_t> order;
            std::int64_t pass = -1;
            for (std::int64_t i = epoch * wanted; i < (epoch + 1) * wanted; ++i) {
                if (i / size != pass) {
                    pass = i / size;
                    order.resize(static_cast<std::size_t>(size));
                    std::iota(order.begin(), order.end(), ranges[d].first);
                    SeededRandom(static_cast<std::uint64_t>(seed * 7919 + pass * 131) + d).shuffle(order);
                }
                drawn.push_back(order[static_cast<std::size_t>(i % size)]);
            }
        }
        return drawn;
    };
}

// The recipe as a run: full tuning of fresh weights, or of the model that it starts from.
RunPlan plan_of(const PretrainRecipe& recipe, const fs::path& work, const DeviceSettings& settings, const EventSink& sink,
                const std::stop_token& stop) {
    const at::Device device = parse_device(settings.device);
    const at::ScalarType compute = parse_dtype(settings.dtype, device);
    use_threads(settings.threads);
    make_folder(work);
    RunPlan plan;
    plan.model.device = settings;
    plan.training = recipe.training;
    plan.seed = static_cast<std::uint64_t>(recipe.seed);

    std::vector<DirectionText> texts = texts_of(recipe, sink, stop);
    fs::path folder = work / "tokenizer";
    if (!recipe.start.empty()) {
        folder = find_model(recipe.start, sink, stop);
    } else if (!fs::exists(folder / "sentencepiece.bpe.model")) {
        log_to(sink, "training the vocabulary");
        make_tokenizer(recipe, texts, work, folder, stop);
    }
    plan.model.tokenizer = load_tokenizer(folder);

    ModelDescription description;
    std::vector<at::Tensor> weights;
    at::Tensor logits_bias;
    if (recipe.start.empty()) {
        description.architecture = architecture_of(recipe.model, *plan.model.tokenizer);
        description.config = find_family(Json{{"model_type", "m2m_100"}}, "pretrain").config(description.architecture);
        description.layout = make_layout(description.architecture);
        weights = initial_weights(description.layout, description.architecture.d_model, description.architecture.pad_id, plan.seed);
    } else {
        description = describe_model(folder);
        weights = load_weights(folder, find_family(description.config, folder.string()), description, &logits_bias);
    }
    const auto base = make_base(description, std::move(weights), logits_bias, device, compute, stop);
    base->folder = folder;
    plan.model.base = base;

    log_to(sink, "cutting the text into tokens");
    auto train = std::make_shared<TokenText>(), valid = std::make_shared<TokenText>();
    std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges;
    for (std::size_t d = 0; d < texts.size(); ++d) {
        const auto first = static_cast<std::uint32_t>(train->pairs.size());
        for (const auto& [text, rows] : {std::pair(train.get(), &texts[d].train), std::pair(valid.get(), &texts[d].valid)}) {
            auto pairs = token_pairs(*plan.model.tokenizer, *rows, recipe.directions[d].source, recipe.directions[d].target, stop);
            std::move(pairs.begin(), pairs.end(), std::back_inserter(text->pairs));
        }
        ranges.emplace_back(first, static_cast<std::uint32_t>(train->pairs.size()));
        texts[d] = {};
    }
    train->fingerprint = fingerprint_of(train->pairs);
    plan.train = train;
    plan.valid = valid;
    plan.sampler = sampler_of(recipe, ranges);
    solve_method(plan, "full", Json::object(), std::nullopt);
    plan.learning_rate = recipe.training.learning_rate > 0 ? recipe.training.learning_rate : kLearningRate;
    return plan;
}

}  // namespace

Json PretrainReport::to_json() const {
    return Json{{"folder", folder},         {"parameters", parameters}, {"updates", updates},
                {"train_loss", train_loss}, {"seconds", seconds},       {"stopped", stopped}};
}

PretrainReport pretrain(const fs::path& recipe_file, const fs::path& work, const fs::path& output, const DeviceSettings& device,
                        std::int64_t updates_limit, const EventSink& sink, std::stop_token stop) {
    const PretrainRecipe recipe = read_pretrain_recipe(recipe_file);
    PretrainReport report;
    try {
        const RunPlan plan = plan_of(recipe, work, device, sink, stop);
        // The schedule runs over all updates of the recipe, wherever this call stops.
        std::stop_source limit;
        const std::stop_callback forward(stop, [&] { limit.request_stop(); });
        std::int64_t first_update = -1;
        const EventSink counting = [&](const Event& event) {
            if (sink) sink(event);
            const auto* metric = std::get_if<StepMetric>(&event);
            if (!metric) return;
            if (first_update < 0) first_update = metric->step;
            if (updates_limit > 0 && metric->step - first_update >= updates_limit) limit.request_stop();
        };
        const TrainedRun run = train_plan(plan, work, true, {}, counting, limit.get_token());

        const BaseModel& base = *plan.model.base;
        const Seq2Seq& network = *base.network;
        const TrainingResult& result = run.result;
        Json config = base.config;
        config.erase("torch_dtype");  // the older name of what save_model writes
        config["permille"] = {{"recipe", recipe.name}, {"updates", result.updates}, {"tokens", result.tokens}, {"seed", recipe.seed}};
        if (!recipe.start.empty()) config["permille"]["start"] = recipe.start;
        const fs::path destination = result.stopped ? work / "model" : output;
        save_model(destination, config, network.layout(), run.attached.values, at::kHalf, network.logits_bias());
        copy_tokenizer(base.folder, destination);
        report = {result.updates,      network.layout().parameter_count(), result.seconds, result.last_train_loss, result.stopped,
                  destination.string()};
    } catch (const Stopped&) {
        report.stopped = true;
    }
    return report;
}

}  // namespace permille
