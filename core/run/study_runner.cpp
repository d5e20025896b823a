#include "core/run/study_runner.h"

#include <ATen/ATen.h>
#include "core/bases/find.h"
#include "core/run/translate.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/data/corpus.h"
#include "core/decode/beam.h"
#include "core/metrics/evaluation.h"
#include "core/metrics/metrics.h"
#include "core/nn/threads.h"
#include "core/peft/adapter_file.h"
#include "core/run/negatives.h"
#include "core/run/run_work.h"
#include "core/store/store.h"
#include "core/study/budgets.h"
#include "core/study/check_corpora.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

// What several runs of a study share: texts as tokens, made once.
class SharedTexts {
public:
    using Tokens = std::shared_ptr<const std::vector<TokenPair>>;
    Tokens get(const std::string& key, const std::function<std::vector<TokenPair>()>& make) {
        const std::lock_guard lock(mutex_);
        if (auto found = texts_[key].lock()) return found;
        auto made = std::make_shared<const std::vector<TokenPair>>(make());
        texts_[key] = made;
        kept_.push_back(made);
        if (kept_.size() > 6) kept_.erase(kept_.begin());  // the last few stay between runs
        return made;
    }

private:
    std::mutex mutex_;
    std::map<std::string, std::weak_ptr<const std::vector<TokenPair>>> texts_;
    std::vector<Tokens> kept_;
};

// Tells the database every second or two, from a thread and connection of its own, that the run is alive and how far it is; passes a stop
// request on.
class Pulse {
public:
    Pulse(const fs::path& database, std::int64_t run, std::stop_source& stop)
        : store_(database, Store::Open::existing), run_(run), stop_(stop) {
        thread_ = std::jthread([this](const std::stop_token& end) { beat(end); });
    }
    ~Pulse() { finish(); }

    void metric(const Event& event) {
        const std::lock_guard lock(mutex_);
        metrics_.push_back({event.step, event.text, event.value});
        updates_ = std::max(updates_, event.step);
    }
    void progress(const Event& event) {
        const std::lock_guard lock(mutex_);
        progress_ = {event.text, event.step, event.total, event.eta_seconds};
    }
    void finish() {
        if (!thread_.joinable()) return;
        thread_.request_stop();
        thread_.join();
        flush();
    }

private:
    void beat(const std::stop_token& end) {
        std::mutex sleep;
        std::condition_variable_any wake;
        while (!end.stop_requested()) {
            flush();
            std::unique_lock lock(sleep);
            wake.wait_for(lock, end, std::chrono::milliseconds(1000), [] { return false; });
        }
    }
    void flush() {
        std::vector<StepMetric> metrics;
        Progress progress;
        std::int64_t updates = 0;
        {
            const std::lock_guard lock(mutex_);
            metrics.swap(metrics_);
            progress = progress_;
            updates = updates_;
        }
        try {
            if (!metrics.empty()) store_.add_step_metrics(run_, metrics);
            if (!store_.heartbeat(run_, progress, updates)) stop_.request_stop();
        } catch (const Error&) {  // a busy or full disk: the figures are kept for the next beat
            const std::lock_guard lock(mutex_);
            metrics_.insert(metrics_.begin(), metrics.begin(), metrics.end());
        }
    }

    Store store_;
    std::int64_t run_;
    std::stop_source& stop_;
    std::mutex mutex_;
    std::vector<StepMetric> metrics_;
    Progress progress_;
    std::int64_t updates_ = 0;
    std::jthread thread_;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// One run, from its claim to its end. Never throws: whatever happens is the run's outcome.
class RunWork {
public:
    RunWork(const fs::path& database, Store& store, const RunRow& run, const DeviceSettings& device, SharedTexts& texts,
            const EventSink& sink)
        : database_(database),
          store_(store),
          run_(run),
          spec_(run.spec),
          device_(device),
          texts_(texts),
          sink_(sink),
          folder_(database.parent_path() / (database.stem().string() + "-runs") / std::to_string(run.id)) {}

    void execute(const std::stop_token& stop) {
        const auto started = std::chrono::steady_clock::now();
        RunOutcome outcome;
        std::stop_source own;
        const std::stop_callback forward(stop, [&] { own.request_stop(); });
        {
            std::optional<Pulse> pulse;
            try {
                pulse.emplace(database_, run_.id, own);
                outcome = work(*pulse, own.get_token());
            } catch (const Stopped&) {
                outcome.state = RunState::interrupted;
                outcome.reason = "stopped; it continues where it was";
            } catch (const Error& error) {
                outcome.state = RunState::failed;
                outcome.reason = error.what();
            } catch (const c10::Error& error) {
                outcome.state = RunState::failed;
                outcome.reason = std::string("libtorch: ") + error.what_without_backtrace();
            } catch (const std::exception& error) {
                outcome.state = RunState::failed;
                outcome.reason = error.what();
            }
        }
        outcome.seconds = seconds_since(started);
        outcome.peak_memory_bytes = peak_memory();
        if (outcome.state == RunState::failed && own.stop_requested() && stop.stop_requested()) outcome.state = RunState::interrupted;
        try {
            store_.end_run(run_.id, outcome);
        } catch (const Error& error) {
            log_to(sink_, std::string("run ") + std::to_string(run_.id) + ": " + error.what());
        }
        if (outcome.state == RunState::failed) log_to(sink_, "run " + std::to_string(run_.id) + " failed: " + outcome.reason);
    }

private:
    RunOutcome work(Pulse& pulse, const std::stop_token& stop) {
        const EventSink events = [&](const Event& event) {
            if (event.kind == Event::Kind::metric) pulse.metric(event);
            if (event.kind == Event::Kind::progress) pulse.progress(event);
            if (event.kind == Event::Kind::log) log_to(sink_, "run " + std::to_string(run_.id) + ": " + event.text);
        };
        pulse.progress({Event::Kind::progress, "opening the base"});
        const auto corpus_row = store_.corpus(spec_.corpus);
        if (!corpus_row)
            throw Error(ErrorKind::config, "corpus " + spec_.corpus, "is not in the database",
                        "import it, or make it with 'permille data recipe'");
        const OpenModel model = open_model(spec_.base, device_, events, stop);
        const Seq2Seq& network = *model.base->network;
        store_.put_base({spec_.base, model.base->folder.string(), network.architecture().model_type, model.base->fingerprint,
                         network.layout().parameter_count()});
        const Corpus corpus = Corpus::load(corpus_row->path);
        const std::string source = spec_.source_language, target = spec_.target_language;
        reset_peak_memory();

        RunFacts facts;
        facts.base_fingerprint = model.base->fingerprint;
        facts.corpus_fingerprint = corpus.info().fingerprint();
        facts.device = describe_device(model);
        facts.versions = program_versions();
        facts.folder = folder_.string();
        RunOutcome outcome;
        std::optional<Attached> attached;
        if (!spec_.untouched()) {
            TunedMethod tuned = tune_method(spec_.base, spec_.method, spec_.method_settings, spec_.budget(), spec_.training);
            attached =
                attach_method(find_method_by_id(spec_.method, "method"), network, tuned.settings, static_cast<std::uint64_t>(spec_.seed));
            const std::string key = model.base->fingerprint + "|" + facts.corpus_fingerprint + "|" + source + "|" + target + "|";
            const auto train = texts_.get(key + "train" + std::to_string(spec_.train_sentences), [&] {
                return tokenise(*model.tokenizer, corpus.rows(Split::train, source, target, spec_.train_sentences), source, target);
            });
            const auto valid_rows = corpus.rows(Split::valid, source, target, spec_.training.valid_sentences);
            const auto valid = texts_.get(key + "valid" + std::to_string(spec_.training.valid_sentences),
                                          [&] { return tokenise(*model.tokenizer, valid_rows, source, target); });
            make_folder(folder_);
            const fs::path adapter = folder_ / "adapter", checkpoint = folder_ / "checkpoint.safetensors";
            TrainerHooks hooks;
            hooks.sink = events;
            const auto teacher = open_teacher(spec_.training, model, valid_rows, source, target, events, stop);
            if (teacher) hooks.teacher = teacher->network.get();
            const auto contrast =
                find_negatives(model, *train, target, spec_.training, static_cast<std::uint64_t>(spec_.seed), folder_, events, stop);
            hooks.contrast = contrast.get();
            if (!search_learning_rate(tuned, network, spec_.method, *train, *valid, spec_.training, static_cast<std::uint64_t>(spec_.seed),
                                      folder_, hooks, stop)) {
                outcome.state = RunState::interrupted;
                outcome.reason = "stopped while learning rates were tried; it continues there";
                return outcome;
            }
            facts.settings = attached->settings;
            facts.settings["learning_rate"] = tuned.learning_rate;
            if (!tuned.rate_search.is_null()) facts.settings["rate_search"] = tuned.rate_search;
            if (const std::int64_t pruned = attached->method->pruned(network.layout(), attached->settings); pruned > 0)
                facts.settings["pruned_weights"] = pruned;
            facts.trainable = attached->trainable();
            facts.percent_base = 100.0 * static_cast<double>(facts.trainable) / static_cast<double>(network.layout().parameter_count());
            facts.train_sentences = static_cast<std::int64_t>(train->size());
            store_.describe_run(run_.id, facts);

            if (fs::exists(adapter / "permille.json")) {  // trained before, stopped while translating
                attached = load_adapter(adapter, *model.base);
                const Json notes = describe_adapter(adapter)["training"];
                outcome.updates_done = notes.value("updates", std::int64_t{0});
                outcome.best_step = notes.value("best_step", std::int64_t{0});
            } else {
                if (spec_.training.select_by == "bleu") hooks.bleu = validation_bleu(model, *attached, valid_rows, source, target, stop);
                Trainer trainer(network, *attached, *train, *valid, spec_.training, tuned.learning_rate,
                                static_cast<std::uint64_t>(spec_.seed), checkpoint, hooks);
                if (trainer.resume()) log_to(events, "continues from its checkpoint");
                const TrainingResult result = trainer.run(stop);
                outcome.updates_done = result.updates;
                outcome.best_step = result.best_update;
                if (result.stopped) {
                    outcome.state = RunState::interrupted;
                    outcome.reason = "stopped after update " + std::to_string(result.updates) + "; it continues there";
                    return outcome;
                }
                save_adapter(adapter, *attached, *model.base,
                             {{"run", run_.id},
                              {"study", spec_.study},
                              {"updates", result.updates},
                              {"best_step", result.best_update},
                              {"best_valid_loss", result.best_loss ? Json(*result.best_loss) : Json(nullptr)},
                              {"learning_rate", tuned.learning_rate},
                              {"rate_search", tuned.rate_search},
                              {"seed", spec_.seed},
                              {"corpus", spec_.corpus},
                              {"training", TrainingSettings::fields().to_json(spec_.training)},
                              {"versions", program_versions()}});
            }
            store_.put_artifact(run_.id, {"adapter", adapter.string(), sha256_of_file(adapter / "adapter_model.safetensors"),
                                          static_cast<std::int64_t>(fs::file_size(adapter / "adapter_model.safetensors"))});
        } else {
            store_.describe_run(run_.id, facts);
        }
        evaluate_test(model, attached ? attached->attachment.get() : nullptr, corpus, events, stop);
        std::error_code ignored;
        fs::remove(folder_ / "checkpoint.safetensors", ignored);
        return outcome;
    }

    void evaluate_test(const OpenModel& model, const Attachment* attachment, const Corpus& corpus, const EventSink& events,
                       const std::stop_token& stop) {
        const auto rows = corpus.rows(Split::test, spec_.source_language, spec_.target_language, spec_.evaluation.test_sentences);
        std::vector<std::string> sources, references, texts;
        for (const Row& row : rows) {
            sources.push_back(row.source);
            references.push_back(row.target);
        }
        events({Event::Kind::progress, "translating the test set", 0, static_cast<std::int64_t>(rows.size())});
        const auto started = std::chrono::steady_clock::now();
        const auto translations =
            translate_lines(model, attachment, sources, spec_.source_language, spec_.target_language, spec_.decoding, 1, events, stop);
        Evaluation evaluation;
        evaluation.split = "test";
        evaluation.seconds = seconds_since(started);
        std::vector<Hypothesis> hypotheses;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            texts.push_back(translations[i].text);
            hypotheses.push_back({sources[i], references[i], translations[i].text, translations[i].score});
        }
        std::vector<std::string> metrics = {spec_.evaluation.metric};
        for (const char* other : {"bleu", "chrf"})
            if (other != spec_.evaluation.metric) metrics.push_back(other);
        for (const auto& id : metrics) {
            const auto metric = evaluation_metric(id, spec_.evaluation, spec_.target_language);
            const MetricReport report = evaluate(*metric, texts, {references}, Resampling{1000, 12345});
            Score score{id, report.signature, report.score.value};
            if (report.confidence) {
                score.low = report.confidence->low;
                score.high = report.confidence->high;
            }
            const Statistics statistics = count_all(*metric, texts, {references});
            for (std::size_t i = 0; i < statistics.segments(); ++i)
                score.statistics.emplace_back(statistics.row(i).begin(), statistics.row(i).end());
            evaluation.scores.push_back(std::move(score));
        }
        store_.add_evaluation(run_.id, evaluation, hypotheses);
    }

    const fs::path& database_;
    Store& store_;
    const RunRow& run_;
    const RunSpec& spec_;
    const DeviceSettings& device_;
    SharedTexts& texts_;
    const EventSink& sink_;
    fs::path folder_;
};

}  // namespace

std::int64_t enqueue_study(const Study& study, const std::string& yaml, const fs::path& database, const EventSink& sink) {
    Store store(database, Store::Open::create);
    store.mark_interrupted();
    for (const auto& pair : study.pairs)
        if (!store.corpus(pair.corpus)) {
            std::vector<std::string> names;
            for (const auto& corpus : store.corpora()) names.push_back(corpus.name);
            const std::string near = nearest(pair.corpus, names);
            throw Error(ErrorKind::config, "pairs/" + pair.corpus, "is not a corpus of " + database.string(),
                        !near.empty()   ? "did you mean '" + near + "'?"
                        : names.empty() ? "make or import corpora first: permille data --help"
                                        : "known are " + list_some(names));
        }
    for (const auto& base : study.bases) {
        const ModelInfo info = model_info(base, sink);  // says at once when a base is missing
        store.put_base({base, info.folder.string(), info.model_type, {}, info.parameters, info.languages});
    }
    const auto specs = expand(study, [&](const std::string& name) -> std::pair<std::string, std::string> {
        const auto corpus = store.corpus(name);
        return corpus ? std::pair(corpus->source_language, corpus->target_language) : std::pair<std::string, std::string>();
    });
    check_corpora(study, store.corpora());
    store.find_or_add_study(study.name, yaml);
    const auto ids = store.add_runs(specs);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const RunSpec& spec = specs[i];
        if (spec.untouched() || store.run(ids[i]).state != RunState::queued) continue;
        const BudgetAnswer answer = solve_size(spec.base, spec.method, spec.method_settings, spec.budget());
        if (!answer.solved) store.set_state(ids[i], RunState::skipped, answer.reason);
    }
    return static_cast<std::int64_t>(ids.size());
}

struct StudyRunner::State {
    fs::path database;
    std::string study;
    DeviceSettings device;
    std::int64_t jobs;
    EventSink sink;
    SharedTexts texts;
    std::vector<std::jthread> workers;
    std::stop_source stop;
    std::atomic<std::int64_t> active{0};

    void work() {
        try {
            use_threads(device.threads);
            Store store(database, Store::Open::existing);
            while (!stop.stop_requested()) {
                std::optional<RunRow> taken;
                for (const RunRow& row : store.runs({study, {RunState::queued, RunState::interrupted}}))
                    if (store.claim(row.id)) {
                        taken = store.run(row.id);
                        break;
                    }
                if (!taken) break;
                const RunSpec& spec = taken->spec;
                log_to(sink, "run " + std::to_string(taken->id) + ": " + spec.pair() + " " + spec.method +
                                 (spec.budget() ? " " + format_budget(*spec.budget()) : ""));
                RunWork(database, store, *taken, device, texts, sink).execute(stop.get_token());
                report(store, taken->id);
            }
        } catch (const std::exception& error) {
            log_to(sink, error.what());
        }
        --active;
    }

    void report(Store& store, std::int64_t id) {
        const RunRow row = store.run(id);
        std::string line = "run " + std::to_string(id) + " " + std::string(to_string(row.state));
        if (row.score) {
            char score[64];
            std::snprintf(score, sizeof score, ": %s %.1f", row.score->metric.c_str(), row.score->score);
            line += score;
        }
        log_to(sink, line);
        const auto rows = store.runs({study});
        std::int64_t done = 0;
        double seconds = 0;
        for (const RunRow& other : rows)
            if (other.state == RunState::finished || other.state == RunState::failed || other.state == RunState::skipped ||
                other.state == RunState::cancelled) {
                ++done;
                seconds += other.seconds;
            }
        const auto total = static_cast<std::int64_t>(rows.size());
        if (sink)
            sink({Event::Kind::progress, "runs", done, total, 0,
                  done ? seconds / static_cast<double>(done) * static_cast<double>(total - done) / static_cast<double>(jobs) : -1});
    }
};

StudyRunner::StudyRunner(fs::path database, std::string study, DeviceSettings device, std::int64_t jobs, EventSink sink)
    : state_(std::make_unique<State>()) {
    state_->database = std::move(database);
    state_->study = std::move(study);
    state_->device = std::move(device);
    state_->jobs = std::max<std::int64_t>(1, jobs);
    if (state_->device.threads == 0)
        state_->device.threads = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::thread::hardware_concurrency()) / state_->jobs);
    state_->sink = std::move(sink);
}

StudyRunner::~StudyRunner() {
    stop();
    wait();
}

void StudyRunner::start() {
    if (running()) return;
    wait();
    state_->stop = std::stop_source();
    state_->active = state_->jobs;
    for (std::int64_t i = 0; i < state_->jobs; ++i) state_->workers.emplace_back([state = state_.get()] { state->work(); });
}

void StudyRunner::stop() { state_->stop.request_stop(); }
bool StudyRunner::running() const { return state_->active > 0; }
void StudyRunner::wait() { state_->workers.clear(); }

StudyCount StudyRunner::count() const {
    StudyCount count;
    for (const RunRow& row : Store(state_->database, Store::Open::existing).runs({state_->study})) switch (row.state) {
            case RunState::queued: ++count.queued; break;
            case RunState::running: ++count.running; break;
            case RunState::interrupted: ++count.interrupted; break;
            case RunState::finished: ++count.finished; break;
            case RunState::failed: ++count.failed; break;
            case RunState::cancelled: ++count.cancelled; break;
            case RunState::skipped: ++count.skipped; break;
        }
    return count;
}

}  // namespace permille
