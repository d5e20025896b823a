// The database: bases, corpora, studies, runs, step metrics, evaluations with every hypothesis, artifacts. One SQLite file that several
// processes and threads use at the same time (WAL). Knows no torch.
//
// A Store is one connection and belongs to the thread that made it; another thread opens its own. All functions throw Error(database) with
// the file in it: not a database, a newer version, read-only, full disk, locked for more than ten seconds, folder missing.
// Times are seconds since 1970 (UTC) with fractions; sizes are bytes; percentages are 0-100.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/spec.h"

namespace permille {

class Database;

// queued -> running -> finished | failed | cancelled | skipped; a running one whose process died is interrupted and may be claimed again.
enum class RunState { queued, running, interrupted, finished, failed, cancelled, skipped };
std::string_view to_string(RunState state);
RunState run_state(const std::string& name, const std::string& where);  // throws Error(config) with the known names

struct BaseRow {
    std::string name;         // unique: as a study names it
    std::string path;         // the model folder
    std::string family;       // model_type
    std::string fingerprint;  // sha256 over its weights
    std::int64_t parameters = 0;
    std::vector<std::string> languages = {};
    double added = 0;  // set by the store
};

struct CorpusRow {
    std::string name;  // unique: as a study names it
    std::string source_language, target_language;
    std::string path;  // folder with the splits
    std::string fingerprint;
    std::int64_t train_sentences = 0, valid_sentences = 0, test_sentences = 0;
    std::string licence = {};
    Json details = Json::object();  // origin, checksums of the files, counts per cleaning reason
    double added = 0;               // set by the store
};

struct StudyRow {
    std::int64_t id = 0;
    std::string name;  // "" gathers the single runs
    std::string yaml;  // as last started
    double added = 0;
    std::int64_t runs = 0, finished = 0;
};

struct Progress {
    std::string doing = {};  // "training", "translating the test set"
    std::int64_t done = 0, total = 0;
    double eta_seconds = -1;  // of the whole run; -1: not known
};

// What is known about a run once its model is loaded and the method attached.
struct RunFacts {
    Json settings = Json::object();  // the method's knobs as solved, all of them
    std::int64_t trainable = 0;
    double percent_base = 0;
    std::int64_t train_sentences = 0;  // as used
    std::string base_fingerprint, corpus_fingerprint;
    std::string device;              // "cpu, 2 threads, float32"
    Json versions = Json::object();  // program and libraries
    std::string folder;              // checkpoints and adapter
};

// One metric of one set of translations.
struct Score {
    std::string metric, signature;              // "bleu", sacreBLEU's signature
    double score = 0;                           // NaN is kept
    std::optional<double> low = {}, high = {};  // 95 % bootstrap interval
    // Per sentence, as the metric's own list of figures; so intervals and paired tests need no second pass. May be empty. Not read back by
    // evaluations(): see sentence_statistics().
    std::vector<std::vector<double>> statistics = {};
};

struct Hypothesis {
    std::string source, reference;  // kept once per distinct test set
    std::string text;
    double log_probability = 0;  // the decoder's score; NaN when not known
};

// One translation of one split.
struct Evaluation {
    std::int64_t id = 0, run = 0;  // set by the store
    std::string split = "test";
    std::string test_set = {};       // sha256 of sources and references, set by the store: equal ones may be compared pairwise
    std::int64_t sentences = 0;      // set by the store
    double seconds = 0;              // of decoding
    double added = 0;                // set by the store
    std::vector<Score> scores = {};  // the main metric first
};

struct StepMetric {
    std::int64_t step = 0;  // updates done
    std::string name;       // "train_loss", "valid_loss", "valid_bleu", "learning_rate", "tokens_per_second"
    double value = 0;       // NaN and infinities are kept
};

struct Artifact {
    std::string kind;  // "adapter", "checkpoint", "log"
    std::string path;
    std::string sha256 = {};
    std::int64_t bytes = 0;
    double added = 0;  // set by the store
};

struct RunRow {
    std::int64_t id = 0;
    RunSpec spec;
    std::string key;
    RunState state = RunState::queued;
    std::string reason;  // why it failed or was skipped, or that it was interrupted
    RunFacts facts;      // all empty before describe_run()
    Progress progress;
    std::int64_t updates_done = 0;
    std::optional<std::int64_t> best_step = {};
    std::optional<Score> score = {};  // main metric on the test split
    double added = 0, heartbeat = 0;
    std::optional<double> started = {}, finished = {};
    double seconds = 0;  // of work, summed over all stretches
    std::int64_t peak_memory_bytes = 0;
    std::string host;  // of the process that has or had it
    std::int64_t process = 0;
};

// Empty fields do not filter. Rows come in the order in which they were added.
struct RunFilter {
    std::optional<std::string> study = {};  // "" is the single runs
    std::vector<RunState> states = {};
    std::string base = {}, corpus = {}, method = {};
    std::optional<std::int64_t> after_id = {};
};

// How a run ended.
struct RunOutcome {
    RunState state = RunState::finished;  // finished, failed, cancelled, skipped or interrupted (stopped, to be continued)
    std::string reason = {};
    std::int64_t updates_done = 0;
    std::optional<std::int64_t> best_step = {};
    double seconds = 0;  // of this stretch of work; added to what is recorded
    std::int64_t peak_memory_bytes = 0;
};

// What one process says of itself when it claims runs.
struct WorkerId {
    std::string host;
    std::int64_t process = 0;
    static WorkerId here();
};

class Store {
public:
    // Opens the file and migrates an older one after copying it to FILE.v<N>.bak; create: makes it and its folder when it does not exist.
    enum class Open { existing, create, read_only };
    explicit Store(const std::filesystem::path& file, Open mode = Open::create);
    ~Store();
    Store(Store&&) noexcept;
    Store& operator=(Store&&) noexcept;

    static std::filesystem::path default_file();  // data_home()/permille.db
    static int newest_version();
    const std::filesystem::path& file() const;

    // Changes when another connection has changed the database: cheap to ask several times a second.
    std::int64_t data_version() const;

    // Bases and corpora: inserted, or replaced under the same name.
    void put_base(const BaseRow& base);
    void remove_base(const std::string& name);
    std::vector<BaseRow> bases() const;
    std::optional<BaseRow> base(const std::string& name) const;
    void put_corpus(const CorpusRow& corpus);
    std::vector<CorpusRow> corpora() const;
    std::optional<CorpusRow> corpus(const std::string& name) const;

    // Remembers the study's YAML; an existing one of that name is kept and its text replaced when not empty. Returns its id.
    std::int64_t find_or_add_study(const std::string& name, const std::string& yaml = {});
    std::vector<StudyRow> studies() const;

    // Adds a queued run to the study that the spec names, or finds the one with the same key there. Returns its id.
    std::int64_t add_run(const RunSpec& spec);
    std::vector<std::int64_t> add_runs(const std::vector<RunSpec>& specs);  // in one transaction
    RunRow run(std::int64_t id) const;
    std::vector<RunRow> runs(const RunFilter& filter = {}) const;

    // Takes a queued or interrupted run: true for exactly one caller, which then has it as running.
    bool claim(std::int64_t id, const WorkerId& worker = WorkerId::here());
    // Sends failed, cancelled, skipped or interrupted runs back to the queue; others stay as they are. Returns whether it did.
    bool requeue(std::int64_t id);
    // For runs that nobody works on: queued or interrupted -> cancelled or skipped, with the reason. Other changes are made by claim() and
    // end_run(). Returns whether it did.
    bool set_state(std::int64_t id, RunState state, const std::string& reason = {});
    // Every few seconds from the process that claimed it. False when it should stop: somebody called request_stop(), or another worker has
    // the run by now, because this one had given no sign for too long. When nobody has taken it meanwhile, it is running again.
    bool heartbeat(std::int64_t id, const Progress& progress, std::int64_t updates_done, const WorkerId& worker = WorkerId::here());
    void request_stop(std::int64_t id);
    void describe_run(std::int64_t id, const RunFacts& facts);
    // False, and nothing is recorded, when another worker has the run by now.
    bool end_run(std::int64_t id, const RunOutcome& outcome, const WorkerId& worker = WorkerId::here());
    // Running runs without a sign of life for this long, or whose process on this host is gone, become interrupted. Returns how many.
    int mark_interrupted(double after_seconds = 30);

    void add_step_metrics(std::int64_t run, const std::vector<StepMetric>& metrics);  // one transaction; same step and name: replaced
    // Forgets what lies after this update: a run continued from its checkpoint writes those again.
    void drop_step_metrics(std::int64_t run, std::int64_t after_step);
    // By step; name "": all.
    std::vector<StepMetric> step_metrics(std::int64_t run, const std::string& name = {}, std::int64_t after_step = -1) const;

    // All in one transaction; an earlier evaluation of the same run and split is replaced. The first score of split "test" becomes the
    // run's.
    std::int64_t add_evaluation(std::int64_t run, const Evaluation& evaluation, const std::vector<Hypothesis>& hypotheses);
    // Adds a metric computed later, or replaces it.
    void put_score(std::int64_t evaluation, const Score& score);
    std::vector<Evaluation> evaluations(std::int64_t run) const;
    std::vector<Hypothesis> hypotheses(std::int64_t evaluation) const;
    std::vector<std::vector<double>> sentence_statistics(std::int64_t evaluation, const std::string& metric) const;

    void put_artifact(std::int64_t run, const Artifact& artifact);  // same kind and path: replaced
    std::vector<Artifact> artifacts(std::int64_t run) const;

private:
    std::unique_ptr<Database> database_;
};

// Now, in seconds since 1970.
double unix_now();
// "2026-11-24T23:05:00Z"
std::string iso_time(double unix_seconds);

}  // namespace permille
