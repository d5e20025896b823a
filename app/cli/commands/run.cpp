#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <ostream>
#include <thread>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "app/cli/programs.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/run/executors/executor.h"
#include "core/run/study_runner.h"
#include "core/store/store.h"

namespace permille::cli {

namespace {

struct Options {
    std::filesystem::path study, database;
    std::string executor;
    std::int64_t jobs = 0, seed = 0;
    bool resume = false, part = false;
    Json device = Json::object();
};

Json to_json(const StudyCount& count) {
    return {{"queued", count.queued},   {"running", count.running},     {"finished", count.finished},       {"failed", count.failed},
            {"skipped", count.skipped}, {"cancelled", count.cancelled}, {"interrupted", count.interrupted}, {"stopped", count.stopped}};
}

std::string shown(const StudyCount& count) {
    const Json counts = to_json(count);
    std::string text = shown_count(count.total()) + " runs:";
    bool first = true;
    for (const auto& [name, number] : counts.items()) {
        if (number == 0) continue;
        text += (first ? " " : ", ") + number.dump() + " " + name;
        first = false;
    }
    return text;
}

std::string label(const RunRow& run) {
    return "run " + std::to_string(run.id) + " (" + run.spec.base + ", " + run.spec.pair() + ", " + run.spec.method +
           (run.spec.budget() ? " " + format_budget(*run.spec.budget()) : "") + ")";
}

std::vector<RunRow> runs_in(const Options& options, const std::string& study, const std::vector<RunState>& states) {
    RunFilter filter;
    filter.study = study;
    filter.states = states;
    return Store(options.database).runs(filter);
}

// What the study is doing, out of the database: there every worker says how far it is, those of other processes too.
class StudyProgress {
public:
    StudyProgress(const Options& options, std::string study, std::int64_t jobs)
        : store_(options.database, Store::Open::existing), study_(std::move(study)), jobs_(std::max<std::int64_t>(1, jobs)) {}

    void show(Console& console) {
        const auto version = store_.data_version();
        if (version == version_) return;
        version_ = version;
        RunFilter filter;
        filter.study = study_;
        const auto runs = store_.runs(filter);
        std::size_t done = 0;
        std::string key, doing;
        for (const auto& run : runs) {
            if (is_over(run.state)) ++done;
            if (run.state != RunState::running) continue;
            key += std::to_string(run.id) + run.progress.doing;
            doing += "; " + short_label(run) + (run.progress.doing.empty() ? "" : ": " + run.progress.doing);
            if (run.progress.total > 0) doing += " " + shown_count(run.progress.done) + " of " + shown_count(run.progress.total);
        }
        if (doing.empty()) return;
        const double remains = remaining(runs);
        console.show_status(key, std::to_string(done) + " of " + std::to_string(runs.size()) + " runs" + doing +
                                     (remains >= 0 ? "; ETA " + shown_duration(remains) : ""));
    }

private:
    static std::string short_label(const RunRow& run) {
        return run.spec.pair() + " " + (run.spec.untouched() ? "untouched" : run.spec.method) +
               (run.spec.budget() ? " " + format_budget(*run.spec.budget()) : "");
    }

    // A run that is still to come takes as long as finished ones of its method did, or as the average; -1 as long as there is nothing to go
    // by.
    double remaining(const std::vector<RunRow>& runs) const {
        std::map<std::string, std::pair<double, int>> by_method;
        for (const auto& run : runs) {
            if (run.state != RunState::finished || run.seconds <= 0) continue;
            for (const auto& key : {run.spec.method, std::string()}) {
                // The untouched base is only evaluated; it tells nothing of those that are trained.
                if (key.empty() && run.spec.untouched()) continue;
                by_method[key].first += run.seconds;
                ++by_method[key].second;
            }
        }
        const auto mean = [&](const std::string& method) {
            auto found = by_method.find(method);
            if (found == by_method.end()) found = by_method.find("");
            return found == by_method.end() ? -1.0 : found->second.first / found->second.second;
        };
        double seconds = 0;
        for (const auto& run : runs) {
            if (!is_open(run.state) && run.state != RunState::running) continue;
            const double expected =
                run.state == RunState::running && run.progress.eta_seconds >= 0 ? run.progress.eta_seconds : mean(run.spec.method);
            if (expected < 0) return -1;
            seconds += expected;
        }
        return seconds / static_cast<double>(jobs_);
    }

    Store store_;
    std::string study_;
    std::int64_t jobs_ = 1, version_ = -1;
};

int work(const Options& options, Console& console) {
    if (!options.executor.empty()) find_executor(options.executor, "--executor", ErrorKind::usage);
    Study study = read_study(options.study);
    if (!options.executor.empty()) study.executor = options.executor;
    const Executor& executor = find_executor(study.executor, options.study.string() + ", executor", ErrorKind::config);
    DeviceSettings::fields().apply(study.device, options.device, "");
    if (options.seed > 0) study.seeds = {options.seed};
    if (options.jobs > 0) study.jobs = options.jobs;

    const auto started = std::chrono::steady_clock::now();
    const std::int64_t number = enqueue_study(study, read_text(options.study), options.database, console.sink());
    if (options.resume) {
        Store store(options.database);
        RunFilter filter;
        filter.study = study.name;
        filter.states = {RunState::failed, RunState::cancelled, RunState::stopped};
        for (const auto& run : store.runs(filter)) store.requeue(run.id);
    }
    console.say("study " + study.name + ": " + shown_count(number) + " runs, database " + options.database.string());

    const std::stop_token stop = console.stop_token();
    const EventSink messages = [sink = console.sink()](const Event& event) {
        if (std::holds_alternative<LogLine>(event)) sink(event);  // the progress is read from the database
    };
    const StudyWork order{study, options.database, program_file(Program::light, Program::engine)};
    const auto execution = executor.begin(order, messages);
    if (const auto place = execution->elsewhere()) {
        const std::string database = std::filesystem::absolute(options.database).string();
        Json document = {{"study", study.name}, {"database", database}};
        document.update(place->details);
        if (console.json()) console.print(document);
        else
            console.out() << place->text << " (study " << study.name << "); permille status --db " << database << " shows how far it is"
                          << std::endl;
        return kDone;
    }
    StudyProgress progress(options, study.name, study.jobs);
    bool asked = false;
    while (execution->running()) {
        if (stop.stop_requested() && !asked) {
            execution->stop();
            asked = true;
        }
        try {
            progress.show(console);
        } catch (const Error& error) {
            if (!error.temporary()) throw;  // the work goes on; it is shown again when the database can be read
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    execution->wait();
    console.end_progress();

    const auto trouble = execution->trouble();
    const StudyCount count = count_runs(options.database, study.name);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    if (console.json()) {
        console.print({{"study", study.name},
                       {"database", options.database.string()},
                       {"runs", count.total()},
                       {"counts", to_json(count)},
                       {"trouble", trouble},
                       {"seconds", seconds}});
    } else {
        console.out() << "study " << study.name << ": " << shown(count) << "; " << shown_duration(seconds) << std::endl;
        for (const auto& run : runs_in(options, study.name, {RunState::failed, RunState::skipped}))
            console.say(label(run) + " " + std::string(to_string(run.state)) + ": " + run.reason);
    }
    for (const std::string& line : trouble) console.complain(line);
    if (stop.stop_requested()) {
        if (count.left() > 0) console.say("interrupted; the same command continues where it stopped");
        return kInterrupted;
    }
    if (count.stopped > 0) console.say(shown_count(count.stopped) + " stopped by hand; --resume takes them up again");
    if (count.running > 0) console.say(shown_count(count.running) + " still being done by another process");
    if (count.left() > count.stopped) console.say("work is left; the same command continues");
    const bool all_done = count.left() == 0 && (count.running == 0 || options.part);
    return count.failed == 0 && all_done && trouble.empty() ? kDone : kFailed;
}

std::string list_of_executors(const std::string& between) {
    std::string list;
    for (const Executor& executor : executors()) list += (list.empty() ? "" : between) + executor.id;
    return list;
}

std::string executor_help() {
    std::string help = "where the runs are done, instead of as the study says";
    const char* before = ": ";
    for (const Executor& executor : executors()) {
        help += before + executor.id + ", " + executor.help;
        before = "; ";
    }
    return help;
}

}  // namespace

Action make_run(CLI::App& verb) {
    auto options = std::make_shared<Options>();
    verb.add_option("STUDY", options->study, "the study, a YAML file; see resources/studies")->required()->type_name("STUDY.yaml");
    add_database_option(verb, options->database);
    verb.add_flag("--resume", options->resume,
                  "also do failed, cancelled and stopped runs again; interrupted ones are continued in any case");
    verb.add_option("--executor", options->executor, executor_help())->type_name(list_of_executors("|"))->capture_default_str();
    verb.add_flag("--part", options->part,
                  "this is one of several processes at the study: runs that others are still doing are no reason for exit code 1");
    verb.add_option("--jobs,-j", options->jobs, "runs at a time; without it as the study says")->check(above_zero());
    verb.add_option("--seed", options->seed, "one seed instead of the study's")->check(above_zero());
    add_device_options(verb, options->device);
    verb.footer(
        "Every run is recorded in the database while it goes. Ctrl-C saves; started again, the study continues where it stopped.\n"
        "With 'training: {tune_lr: 5}' in the study every run first tries five learning rates around its method's default, with its own "
        "seed and\n"
        "batches, and takes that of the lowest validation loss; the trials are kept with the run's settings.");
    return [options](Console& console) { return work(*options, console); };
}

}  // namespace permille::cli
