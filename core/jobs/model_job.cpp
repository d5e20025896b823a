#include "core/jobs/model_job.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/decode/beam.h"
#include "core/decode/sample.h"
#include "core/jobs/hub.h"
#include "core/jobs/session.h"
#include "core/nn/threads.h"
#include "core/peft/adapter_file.h"
#include "core/text/tokenizers.h"
#include "core/train/trainer.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

bool blank(const std::string& line) {
    return std::all_of(line.begin(), line.end(), [](unsigned char letter) { return std::isspace(letter); });
}

fs::path bundled_folder(const std::string& name) {
    for (const auto& base : bundled_bases())
        if (base.name == name) return base.folder;
    return {};
}

// With `description_will_do` a hub that cannot be asked is no failure as long as the cache has the model's config.json.
fs::path find_folder(const std::string& model, const EventSink& sink, const std::stop_token& stop, bool description_will_do) {
    if (fs::is_directory(model)) return model;
    if (fs::path bundled = bundled_folder(model); !bundled.empty()) return bundled;
    const HubSettings hub = HubSettings::from_environment();
    const auto name = hub_name(model);
    const bool has_owner = name && name->repository.find('/') != std::string::npos;
    if (name) {
        const fs::path cached = cached_snapshot(*name, hub);
        if (!cached.empty() && (hub.offline || !has_owner || is_whole(cached))) return cached;
        if (has_owner) {
            try {
                fs::path downloaded = download_model(*name, hub, sink, stop);
                if (downloaded.empty()) throw Stopped{};
                return downloaded;
            } catch (const Error& error) {
                if (!description_will_do || error.kind() != ErrorKind::network || cached.empty() || !fs::exists(cached / "config.json"))
                    throw;
                log_to(sink, std::string(error.what()) + "; this is what the cache says");
                return cached;
            }
        }
    }
    std::vector<std::string> names;
    for (const auto& base : bundled_bases()) names.push_back(base.name);
    throw Error(ErrorKind::file, model,
                "is neither a model folder, nor a bundled base, nor a model in the Hugging Face cache (" + hub.cache.string() + ")",
                (names.empty() ? "give a folder with config.json and model.safetensors" : "bundled are " + list_some(names)) +
                    "; a model on the hub is named OWNER/NAME");
}

}  // namespace

std::vector<BundledBase> bundled_bases() {
    std::vector<BundledBase> list;
    const fs::path folder = resources_folder() / "bases";
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored))
        if (fs::exists(entry.path() / "config.json")) list.push_back({entry.path().filename().string(), entry.path()});
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return list;
}

fs::path find_model(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    return find_folder(model, sink, stop, false);
}

bool must_download(const std::string& model) {
    if (fs::is_directory(model) || !bundled_folder(model).empty()) return false;
    const auto name = hub_name(model);
    if (!name || name->repository.find('/') == std::string::npos) return false;
    const HubSettings hub = HubSettings::from_environment();
    return !hub.offline && !is_whole(cached_snapshot(*name, hub));
}

ModelInfo model_info(const std::string& model, const EventSink& sink, const std::stop_token& stop) {
    const fs::path folder = find_folder(model, sink, stop, true);
    const ModelDescription description = describe_stored(folder);
    const Architecture& a = description.architecture;
    ModelInfo info{a.model_type,
                   a.d_model,
                   a.encoder_layers,
                   a.decoder_layers,
                   a.encoder_heads,
                   a.decoder_heads,
                   a.encoder_ffn,
                   a.decoder_ffn,
                   a.vocab_size,
                   description.layout.parameter_count(),
                   {},
                   folder,
                   description.note};
    if (fs::exists(folder / "sentencepiece.bpe.model") || fs::exists(folder / "tokenizer_config.json")) {
        const auto tokenizer = load_tokenizer(folder);
        for (const auto& language : tokenizer->languages()) info.languages.push_back(language.code);
    }
    return info;
}

Json ModelInfo::to_json() const {
    return Json{{"model_type", model_type},
                {"d_model", d_model},
                {"encoder_layers", encoder_layers},
                {"decoder_layers", decoder_layers},
                {"encoder_heads", encoder_heads},
                {"decoder_heads", decoder_heads},
                {"encoder_ffn", encoder_ffn},
                {"decoder_ffn", decoder_ffn},
                {"vocab_size", vocab_size},
                {"parameters", parameters},
                {"languages", languages},
                {"folder", folder.string()},
                {"note", note}};
}

struct TextCodec::State {
    std::unique_ptr<Tokenizer> tokenizer;
};

TextCodec::TextCodec(const std::string& model, const EventSink& sink) : state_(std::make_unique<State>()) {
    state_->tokenizer = load_tokenizer(find_model(model, sink));
}
TextCodec::~TextCodec() = default;

std::vector<std::int64_t> TextCodec::encode(const std::string& line, const std::string& language, bool target) const {
    const ModelLanguage& found = state_->tokenizer->language(language);
    return target ? state_->tokenizer->encode_target(line, found) : state_->tokenizer->encode_source(line, found);
}

std::string TextCodec::decode(const std::vector<std::int64_t>& ids) const { return state_->tokenizer->decode(ids); }

OpenModel open_model(const std::string& model, const DeviceSettings& settings, const EventSink& sink, const std::stop_token& stop) {
    OpenModel open;
    open.device = settings;
    use_threads(settings.threads);
    const at::Device device = parse_device(settings.device);
    const fs::path folder = find_model(model, sink, stop);
    open.base = load_base(folder, device, parse_dtype(settings.dtype, device));
    if (!open.base->note.empty()) log_to(sink, folder.string() + ": " + open.base->note);
    open.tokenizer = load_tokenizer(folder);
    return open;
}

SearchSettings search_for(const OpenModel& model, const std::string& target_language, const DecodingSettings& settings) {
    SearchSettings search = search_settings(settings, generation_config(model.base->folder), model.base->network->architecture());
    const DecoderStart begin = model.tokenizer->decoder_start(model.tokenizer->target_language(target_language));
    if (begin.token >= 0) search.start = begin.token;
    if (begin.forced && settings.forced_bos_token_id < 0) search.forced_first = begin.forced;
    return search;
}

std::vector<Translation> translate_lines(const OpenModel& model, const Attachment* attachment, const std::vector<std::string>& lines,
                                         const std::string& source_language, const std::string& target_language,
                                         const DecodingSettings& settings, std::int64_t n_best, const EventSink& sink,
                                         std::stop_token stop) {
    return translate_lines(model, one_task_each(lines.size(), attachment), lines, source_language, target_language, settings, n_best, sink,
                           std::move(stop));
}

std::vector<Translation> translate_lines(const OpenModel& model, const std::vector<SearchTask>& tasks,
                                         const std::vector<std::string>& lines, const std::string& source_language,
                                         const std::string& target_language, const DecodingSettings& settings, std::int64_t n_best,
                                         const EventSink& sink, std::stop_token stop) {
    const Tokenizer& tokenizer = *model.tokenizer;
    const ModelLanguage &source = tokenizer.source_language(source_language), &target = tokenizer.target_language(target_language);
    SearchSettings search = search_for(model, target_language, settings);
    search.n_best = settings.sample ? n_best : std::min(n_best, settings.beam_size);

    std::vector<Tokens> sources;
    std::vector<std::optional<std::size_t>> source_of(lines.size());  // lines without text stay without translation
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (blank(lines[i])) continue;
        try {
            sources.push_back(tokenizer.encode_source(lines[i], source, target));
        } catch (const Error& error) {
            throw Error(error.kind(), "line " + std::to_string(i + 1), error.found(), error.fix());
        }
        source_of[i] = sources.size() - 1;
    }
    std::vector<SearchTask> searched;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        if (!source_of.at(tasks[i].source)) continue;
        searched.push_back({*source_of[tasks[i].source], tasks[i].attachment});
        places.push_back(i);
    }
    const auto started = std::chrono::steady_clock::now();
    const auto total = static_cast<std::int64_t>(searched.size());
    const auto progress = [&](std::int64_t done) {
        if (!sink) return;
        const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        sink({Event::Kind::progress, "translating", done, total, 0,
              elapsed / static_cast<double>(done) * static_cast<double>(total - done)});
    };
    const Seq2Seq& network = *model.base->network;
    const auto found = settings.sample ? sample(network, searched, sources, search, stop, progress)
                                       : beam_search(network, searched, sources, search, stop, progress);
    std::vector<Translation> translations(tasks.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
        std::vector<Translation> all;
        for (const Candidate& candidate : found[i]) all.push_back({tokenizer.decode(candidate.ids), candidate.ids, candidate.score, {}});
        if (all.empty()) continue;
        Translation& best = translations[places[i]];
        best = all.front();
        if (n_best > 1) best.alternatives = std::move(all);
    }
    return translations;
}

namespace {

// Batches of pairs by place. As in searches, only what is left when every adapter has had its full batches is mixed.
std::vector<BatchPlan> plan_tasks(const std::vector<TokenPair>& pairs, const std::vector<AdapterTask>& tasks, std::int64_t batch_tokens) {
    std::map<std::size_t, BatchPlan> places;  // by adapter
    for (std::size_t i = 0; i < tasks.size(); ++i) places[tasks[i].adapter].push_back(static_cast<std::uint32_t>(i));
    std::vector<BatchPlan> plans;
    BatchPlan rest;
    // Adds the batches of some places; the last, which is not full as a rule, to `unfilled`.
    const auto plan = [&](const BatchPlan& chosen, BatchPlan* unfilled) {
        std::vector<TokenPair> own;
        for (const auto place : chosen) own.push_back(pairs[place]);
        const auto batches = plan_batches_by_length(own, batch_tokens);
        for (const BatchPlan& batch : batches) {
            BatchPlan& target = unfilled && &batch == &batches.back() ? *unfilled : plans.emplace_back();
            for (const auto index : batch) target.push_back(chosen[index]);
        }
    };
    for (const auto& [adapter, chosen] : places) plan(chosen, &rest);
    const std::size_t full = plans.size();
    plan(rest, nullptr);
    for (std::size_t i = full; i < plans.size(); ++i)
        std::stable_sort(plans[i].begin(), plans[i].end(), [&](auto a, auto b) { return tasks[a].adapter < tasks[b].adapter; });
    return plans;
}

}  // namespace

struct ModelSession::State {
    OpenModel model;
    std::vector<std::optional<Attached>> adapters;
    std::vector<SearchTask> tasks(const std::vector<AdapterTask>& asked) const {
        std::vector<SearchTask> list;
        for (const AdapterTask& task : asked) {
            const auto& adapter = adapters.at(task.adapter);
            list.push_back({task.line, adapter ? adapter->attachment.get() : nullptr});
        }
        return list;
    }
};

ModelSession::ModelSession(const std::string& model, const std::vector<std::optional<fs::path>>& adapters, const DeviceSettings& device,
                           const EventSink& sink)
    : state_(std::make_unique<State>()) {
    state_->model = open_model(model, device, sink);
    for (const auto& adapter : adapters) {
        state_->adapters.emplace_back();
        if (adapter) state_->adapters.back() = load_adapter(*adapter, *state_->model.base, sink);
    }
}
ModelSession::ModelSession(const std::string& model, const std::optional<fs::path>& adapter, const DeviceSettings& device,
                           const EventSink& sink)
    : ModelSession(model, std::vector{adapter}, device, sink) {}
ModelSession::~ModelSession() = default;

std::vector<Translation> ModelSession::translate(const std::vector<std::string>& lines, const std::string& source_language,
                                                 const std::string& target_language, const DecodingSettings& settings, std::int64_t n_best,
                                                 const EventSink& sink, std::stop_token stop) const {
    std::vector<AdapterTask> tasks(lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) tasks[i].line = i;
    return translate(lines, tasks, source_language, target_language, settings, n_best, sink, std::move(stop));
}

std::vector<Translation> ModelSession::translate(const std::vector<std::string>& lines, const std::vector<AdapterTask>& tasks,
                                                 const std::string& source_language, const std::string& target_language,
                                                 const DecodingSettings& settings, std::int64_t n_best, const EventSink& sink,
                                                 std::stop_token stop) const {
    try {
        return translate_lines(state_->model, state_->tasks(tasks), lines, source_language, target_language, settings, n_best, sink, stop);
    } catch (const Stopped&) {
        return {};
    }
}

std::vector<ScoredPair> ModelSession::score(const std::vector<std::pair<std::string, std::string>>& pairs,
                                            const std::vector<AdapterTask>& tasks, const std::string& source_language,
                                            const std::string& target_language, std::int64_t batch_tokens) const {
    const Tokenizer& tokenizer = *state_->model.tokenizer;
    const ModelLanguage &source = tokenizer.source_language(source_language), &target = tokenizer.target_language(target_language);
    std::vector<TokenPair> encoded, wanted;
    for (const auto& [from, to] : pairs) {
        const auto source_ids = tokenizer.encode_source(from, source, target), labels = tokenizer.encode_target(to, target);
        encoded.push_back({{source_ids.begin(), source_ids.end()}, {labels.begin(), labels.end()}});
    }
    const std::vector<SearchTask> searched = state_->tasks(tasks);
    for (const SearchTask& task : searched) wanted.push_back(encoded.at(task.source));
    std::vector<ScoredPair> scores(tasks.size());
    const Seq2Seq& network = *state_->model.base->network;
    const c10::InferenceMode guard;
    for (const BatchPlan& plan : plan_tasks(wanted, tasks, batch_tokens)) {
        std::vector<SearchTask> together;
        for (const auto index : plan) together.push_back(searched[index]);
        const Forward forward = network.inference(shares_of(together));
        const TensorBatch batch = collate(wanted, plan, network.architecture(), network.device());
        const at::Tensor states = network.decode(forward, network.encode(forward, batch.source), batch.target);
        const at::Tensor log_p = network.log_probabilities(forward, states, batch.labels).to(at::kCPU);
        std::int64_t row = 0;
        for (const auto index : plan) {
            const auto tokens = static_cast<std::int64_t>(wanted[index].labels.size());
            scores[index] = {log_p.narrow(0, row, tokens).sum(at::kDouble).item<double>(), tokens};
            row += tokens;
        }
    }
    return scores;
}

Json adapter_info(const fs::path& folder) { return describe_adapter(folder); }

}  // namespace permille
