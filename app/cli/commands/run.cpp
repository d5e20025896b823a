#include <chrono>
#include <filesystem>
#include <ostream>
#include <thread>

#include "app/cli/command.h"
#include "app/cli/options.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/jobs/study_job.h"
#include "core/store/store.h"

namespace permille::cli {

namespace {

struct Options {
    std::filesystem::path study, database;
    std::string executor = "local";
    std::int64_t jobs = 0, seed = 0;
    bool resume = false;
    Json device = Json::object();
};

Json to_json(const StudyCount& count) {
    return {{"queued", count.queued},   {"running", count.running},     {"finished", count.finished},      {"failed", count.failed},
            {"skipped", count.skipped}, {"cancelled", count.cancelled}, {"interrupted", count.interrupted}};
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
           (run.spec.budget_percent ? " " + format_budget(*run.spec.budget_percent) : "") + ")";
}

std::vector<RunRow> runs_in(const Options& options, const std::string& study, const std::vector<RunState>& states) {
    RunFilter filter;
    filter.study = study;
    filter.states = states;
    return Store(options.database).runs(filter);
}

int work(const Options& options, Console& console) {
    if (options.executor != "local")
        throw Error(ErrorKind::unsupported, "--executor", "'" + options.executor + "' is not available in this version", "use --executor local");
    Study study = read_study(options.study);
    DeviceSettings::fields().apply(study.device, options.device, "");
    if (options.seed > 0) study.seeds = {options.seed};
    if (options.jobs > 0) study.jobs = options.jobs;

    const auto started = std::chrono::steady_clock::now();
    const std::int64_t number = enqueue_study(study, read_text(options.study), options.database);
    if (options.resume) {
        Store store(options.database);
        RunFilter filter;
        filter.study = study.name;
        filter.states = {RunState::failed, RunState::cancelled};
        for (const auto& run : store.runs(filter)) store.requeue(run.id);
    }
    console.say("study " + study.name + ": " + shown_count(number) + " runs, database " + options.database.string());

    const std::stop_token stop = console.stop_token();
    StudyRunner runner(options.database, study.name, study.device, study.jobs, console.sink());
    runner.start();
    bool asked = false;
    while (runner.running()) {
        if (stop.stop_requested() && !asked) {
            runner.stop();
            asked = true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    runner.wait();
    console.end_progress();

    const StudyCount count = runner.count();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    if (console.json()) {
        console.print({{"study", study.name}, {"database", options.database.string()}, {"runs", count.total()}, {"counts", to_json(count)}, {"seconds", seconds}});
    } else {
        console.out() << "study " << study.name << ": " << shown(count) << "; " << shown_duration(seconds) << std::endl;
        for (const auto& run : runs_in(options, study.name, {RunState::failed, RunState::skipped}))
            console.say(label(run) + " " + std::string(to_string(run.state)) + ": " + run.reason);
    }
    if (stop.stop_requested()) {
        console.say("interrupted; the same command continues where it stopped");
        return kInterrupted;
    }
    return count.failed > 0 ? kFailed : kDone;
}

}  // namespace

Action make_run(CLI::App& verb) {
    auto options = std::make_shared<Options>();
    verb.add_option("STUDY", options->study, "the study, a YAML file; see resources/studies")->required()->type_name("STUDY.yaml");
    add_database_option(verb, options->database);
    verb.add_flag("--resume", options->resume, "also do failed and cancelled runs again; unfinished ones are continued in any case");
    verb.add_option("--executor", options->executor, "where the runs are done: local")->capture_default_str();
    verb.add_option("--jobs,-j", options->jobs, "runs at a time; without it as the study says")->check(CLI::PositiveNumber);
    verb.add_option("--seed", options->seed, "one seed instead of the study's")->check(CLI::PositiveNumber);
    add_device_options(verb, options->device);
    verb.footer("Every run is recorded in the database while it goes. Ctrl-C saves; started again, the study continues where it stopped.");
    return [options](Console& console) { return work(*options, console); };
}

}  // namespace permille::cli
