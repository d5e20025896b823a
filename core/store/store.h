// The database: bases, corpora, studies, runs, step metrics, evaluations with every hypothesis, artifacts. One SQLite file that several
// processes and threads use at the same time (WAL). Knows no torch.
//
// A Store is one connection and belongs to the thread that made it; another thread opens its own. All functions throw Error(database) with
// the file in it: not a database, a newer version, read-only, full disk, locked for longer than a call waits, folder missing.
// Times are seconds since 1970 (UTC) with fractions; sizes are bytes; percentages are 0-100.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/events.h"
#include "core/base/spec.h"

namespace permille {

class Database;

// queued -> running -> finished | failed | cancelled | skipped. A run that was broken off (its process died or was ended, the disk was
// full) is interrupted and may be claimed again by any worker. One that a person stopped is stopped, and only requeue() makes it claimable.
enum class RunState { queued, running, interrupted, stopped, finished, failed, cancelled, skipped };
inline constexpr std::array kRunStates = {RunState::queued,   RunState::running, RunState::interrupted, RunState::stopped,
                                          RunState::finished, RunState::failed,  RunState::skipped,     RunState::cancelled};
std::string_view to_string(RunState state);
RunState run_state(const std::string& name, const std::string& where);  // throws Error(config) with the known names
// Any worker may take it.
constexpr bool is_open(RunState state) { return state == RunState::queued || state == RunState::interrupted; }
// Nothing more will be done for it.
constexpr bool is_over(RunState state) {
    return state == RunState::finished || state == RunState::failed || state == RunState::skipped || state == RunState::cancelled;
}

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
    std::optional<Score> score = {};  // on the test split, of the main metric or the one that was asked for
    double added = 0, heartbeat = 0;
    std::optional<double> started = {}, finished = {};
    double seconds = 0;  // of work, summed over all stretches
    std::int64_t peak_memory_bytes = 0;
    std::string host;  // of the process that has or had it
    std::int64_t process = 0;
    std::int64_t claim = 0;  // number of the newest one; 0: none yet
};

// Empty fields do not filter. Rows come in the order in which they were added.
struct RunFilter {
    std::optional<std::string> study = {};  // "" is the single runs
    std::vector<RunState> states = {};
    std::string base = {}, corpus = {}, method = {};
    std::optional<std::int64_t> after_id = {};
    std::string metric = {};  // filters nothing: the rows come with the score of this metric, if they have one; "": of their main metric
};

// How a run ended.
struct RunOutcome {
    RunState state = RunState::finished;  // any but queued and running
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

// The right to write into a run. The number rises with every claim of the run, so that a worker that was asleep or cut off while another
// took its run can be told from the one that has it now.
struct Claim {
    std::int64_t run = 0, number = 0;
};

// Thrown by every write into a run whose claim is no longer the newest one, or whose run is no longer anybody's: nothing was written.
struct ClaimLost {};

// What a worker learns when it gives a sign of life.
enum class Beat { go_on, stop };  // stop: a person asked for it, see request_stop()

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
    // How long a call waits for another program's lock before it gives up; ten seconds at first.
    void wait_for_locks(std::chrono::milliseconds time);

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

    // Takes a queued or interrupted run: exactly one caller gets it, and has it as running.
    std::optional<Claim> claim(std::int64_t id, const WorkerId& worker = WorkerId::here());
    // Sends failed, cancelled, skipped, stopped or interrupted runs back to the queue; others stay as they are. Returns whether it did.
    bool requeue(std::int64_t id);
    // For runs that nobody works on: queued, interrupted or stopped -> cancelled or skipped, with the reason. Other changes are made by
    // claim() and end_run(). Returns whether it did.
    bool set_state(std::int64_t id, RunState state, const std::string& reason = {});
    // Asks the worker that has the run to save it and leave it as stopped; one that is interrupted is stopped at once.
    void request_stop(std::int64_t id);
    // Running runs without a sign of life for this long, or whose process on this host is gone, become interrupted, or stopped when that
    // was asked for. Returns how many.
    int mark_interrupted(double after_seconds = kSilenceSeconds);
    static constexpr double kSilenceSeconds = 30;

    // The writes of the worker that has the run; each throws ClaimLost instead when it has it no longer. Until another has claimed it, the
    // one that was taken for dead still has it.
    // Every second or two; a run that was taken for dead is running again.
    Beat heartbeat(const Claim& claim, const Progress& progress, std::int64_t updates_done);
    void describe_run(const Claim& claim, const RunFacts& facts);
    void end_run(const Claim& claim, const RunOutcome& outcome);
    void add_step_metrics(const Claim& claim, const std::vector<StepMetric>& metrics);  // same step and figure: replaced
    // Forgets what lies after this update: a run continued from its checkpoint writes those again.
    void drop_step_metrics(const Claim& claim, std::int64_t after_step);
    // All in one transaction; an earlier evaluation of the same run and split is replaced. The first score of split "test" becomes the
    // run's.
    std::int64_t add_evaluation(const Claim& claim, const Evaluation& evaluation, const std::vector<Hypothesis>& hypotheses);
    void put_artifact(const Claim& claim, const Artifact& artifact);  // same kind and path: replaced

    // By step; figures that this program does not know are left out.
    std::vector<StepMetric> step_metrics(std::int64_t run, std::optional<StepFigure> figure = {}, std::int64_t after_step = -1) const;

    // Adds a metric computed later, or replaces it.
    void put_score(std::int64_t evaluation, const Score& score);
    std::vector<Evaluation> evaluations(std::int64_t run) const;
    std::vector<Hypothesis> hypotheses(std::int64_t evaluation) const;
    std::vector<std::vector<double>> sentence_statistics(std::int64_t evaluation, const std::string& metric) const;

    std::vector<Artifact> artifacts(std::int64_t run) const;

private:
    std::unique_ptr<Database> database_;
};

// Now, in seconds since 1970.
double unix_now();
// "2026-11-24T23:05:00Z"
std::string iso_time(double unix_seconds);

}  // namespace permille
