#include "core/run/study_run.h"

#include <c10/util/Exception.h>

#include <chrono>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/stopped.h"
#include "core/peft/adapter_file.h"
#include "core/run/evaluation.h"
#include "core/run/memory.h"
#include "core/run/plan.h"
#include "core/run/run_folder.h"
#include "core/run/training.h"

namespace permille {
namespace fs = std::filesystem;

namespace {

class StudyRun {
public:
    StudyRun(const fs::path& database, const RunRow& run, const Claim& claim, const DeviceSettings& device, Shelf& shelf, Ledger& ledger,
             MemoryMark& memory, EventSink events, std::stop_token stop)
        : spec_(run.spec),
          run_(run),
          device_(device),
          shelf_(shelf),
          ledger_(ledger),
          memory_(memory),
          events_(std::move(events)),
          stop_(std::move(stop)),
          database_(database),
          folder_(database.parent_path() / (database.stem().string() + "-runs") / std::to_string(run.id), claim.number) {}

    RunOutcome work() {
        events_(Progress{"opening the base"});
        std::optional<CorpusRow> corpus_row;
        persist({}, stop_, events_, [&] { corpus_row = Store(database_, Store::Open::existing).corpus(spec_.corpus); });
        if (!corpus_row)
            throw Error(ErrorKind::config, "corpus " + spec_.corpus, "is not in the database",
                        "import it, or make it with 'permille data recipe'");
        const OpenModel model = shelf_.base(spec_.base, device_, events_, stop_);
        memory_.add_base(*model.base->network);
        const auto corpus = shelf_.corpus(corpus_row->path, stop_);
        record_base(model);
        RunOutcome outcome;
        std::optional<Attached> attached;
        if (spec_.untouched()) {
            ledger_.describe(facts_of(model, corpus->info().fingerprint(), folder_.folder().string()));
        } else {
            attached = trained(model, *corpus, outcome);
            if (outcome.state != RunState::finished) return outcome;
        }
        const EvaluatedText evaluated =
            evaluate_test(spec_, model, attached ? attached->attachment.get() : nullptr, *corpus, events_, stop_);
        ledger_.evaluated(evaluated.evaluation, evaluated.hypotheses);
        folder_.clear();
        return outcome;
    }

    bool taken() const { return folder_.taken(); }

private:
    void record_base(const OpenModel& model) {
        const Seq2Seq& network = *model.base->network;
        persist({}, stop_, events_, [&] {
            Store(database_, Store::Open::existing)
                .put_base({spec_.base, model.base->folder.string(), network.architecture().model_type, model.base->fingerprint,
                           network.layout().parameter_count()});
        });
    }

    RunPlan plan(const OpenModel& model, const Corpus& corpus) {
        RunPlan plan;
        plan.model = model;
        plan.training = spec_.training;
        plan.seed = static_cast<std::uint64_t>(spec_.seed);
        plan.source = spec_.source_language;
        plan.target = spec_.target_language;
        solve_method(plan, spec_.method, spec_.method_settings, spec_.budget());
        events_(Progress{"cutting the text into tokens"});
        plan.train = shelf_.text(model, corpus, Split::train, plan.source, plan.target, spec_.train_sentences, stop_);
        plan.valid = shelf_.text(model, corpus, Split::valid, plan.source, plan.target, plan.training.valid_sentences, stop_);
        plan.valid_rows = corpus.rows(Split::valid, plan.source, plan.target, plan.training.valid_sentences);
        if (!plan.training.teacher.empty()) {
            const OpenModel teacher = shelf_.base(plan.training.teacher, device_, events_, stop_);
            check_teacher(plan, teacher, stop_);
            plan.teacher = teacher.base;
            if (teacher.base != model.base) memory_.add_base(*teacher.base->network);
        }
        return plan;
    }

    std::optional<Attached> trained(const OpenModel& model, const Corpus& corpus, RunOutcome& outcome) {
        const RunPlan ready = plan(model, corpus);
        const auto describe = [&](const TrainedRun& run) {
            RunFacts facts = facts_of(model, corpus.info().fingerprint(), folder_.folder().string());
            add_method_facts(facts, ready, run.attached.settings, run.attached.trainable(), run.learning_rate, run.rate_search);
            ledger_.describe(facts);
            ledger_.begins_after(run.result.updates);
        };
        const fs::path adapter = folder_.adapter();
        if (fs::exists(adapter / "permille.json")) {  // trained before, stopped while translating
            Attached attached = load_adapter(adapter, *model.base);
            const Json notes = describe_adapter(adapter)["training"];
            outcome.updates_done = notes.value("updates", std::int64_t{0});
            outcome.best_step = notes.value("best_step", std::int64_t{0});
            record_adapter(adapter);
            return attached;
        }
        TrainedRun run = train_plan(ready, folder_.work(), true, describe, events_, stop_);
        outcome.updates_done = run.result.updates;
        outcome.best_step = run.result.best_update;
        if (run.result.stopped) {
            outcome.state = RunState::interrupted;
            outcome.reason = "stopped after update " + std::to_string(run.result.updates) + "; it continues there";
            return std::nullopt;
        }
        save_trained(folder_.work() / "adapter", ready, run, {{"run", run_.id}, {"study", spec_.study}, {"corpus", spec_.corpus}});
        ledger_.confirm();
        folder_.publish("adapter");
        record_adapter(adapter);
        return std::move(run.attached);
    }

    void record_adapter(const fs::path& adapter) {
        const fs::path file = adapter / "adapter_model.safetensors";
        ledger_.made({"adapter", adapter.string(), sha256_of_file(file, stop_), static_cast<std::int64_t>(fs::file_size(file))});
    }

    const RunSpec& spec_;
    const RunRow& run_;
    const DeviceSettings& device_;
    Shelf& shelf_;
    Ledger& ledger_;
    MemoryMark& memory_;
    EventSink events_;
    std::stop_token stop_;
    fs::path database_;
    RunFolder folder_;
};

}  // namespace

RunEnd do_run(const fs::path& database, const RunRow& run, const Claim& claim, const DeviceSettings& device, Shelf& shelf,
              const EventSink& sink, const std::stop_token& stop, const Patience& patience) {
    const std::string name = "run " + std::to_string(run.id);
    const auto log = [&](const std::string& line) { log_to(sink, name + ": " + line); };
    const auto started = std::chrono::steady_clock::now();
    std::stop_source own;
    const std::stop_callback forward(stop, [&] { own.request_stop(); });
    RunEnd end;
    try {
        const EventSink lines = [&](const Event& event) {
            if (const auto* line = std::get_if<LogLine>(&event)) log(line->text);
        };
        Ledger ledger(database, claim, own, lines, patience, run.updates_done);
        const EventSink events = [&](const Event& event) {
            ledger.take(event);
            lines(event);
        };
        RunOutcome outcome;
        const auto broken_off = [&](RunState state, std::string reason) {
            outcome.state = state;
            outcome.reason = std::move(reason);
            outcome.updates_done = ledger.updates();
        };
        MemoryMark memory;
        std::optional<StudyRun> work;
        try {
            work.emplace(database, run, claim, device, shelf, ledger, memory, events, own.get_token());
            outcome = work->work();
        } catch (const ClaimLost&) {
        } catch (const Stopped&) {
            broken_off(RunState::interrupted, "stopped; it continues where it was");
        } catch (const Error& error) {
            broken_off(error.temporary() ? RunState::interrupted : RunState::failed, error.what());
            if (error.temporary()) end = {RunEnd::Kind::broken_off, error.what()};
        } catch (const c10::Error& error) {
            broken_off(RunState::failed, std::string("libtorch: ") + error.what_without_backtrace());
        } catch (const std::bad_alloc&) {
            broken_off(RunState::failed, "out of memory; use a smaller batch_tokens, or fewer runs at a time");
        } catch (const std::exception& error) {
            broken_off(RunState::failed, error.what());
        }
        outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        outcome.peak_memory_bytes = memory.peak();
        if (ledger.lost()) throw ClaimLost();
        if (work && work->taken() && outcome.state != RunState::finished) {
            ledger.confirm();  // throws when another worker has taken the folder with the run
            outcome.state = RunState::interrupted;
            outcome.reason = "its working folder was removed; what was not done yet is done again";
            end = {RunEnd::Kind::broken_off, outcome.reason};
        }
        if (outcome.state == RunState::interrupted && ledger.stop_asked() && end.kind == RunEnd::Kind::recorded)
            outcome.reason =
                "stopped by hand after update " + std::to_string(outcome.updates_done) + "; sent back to the queue, it continues there";
        ledger.end(outcome);
        if (outcome.state == RunState::failed) log("failed: " + outcome.reason);
        if (end.kind == RunEnd::Kind::broken_off) log("broken off: " + outcome.reason);
    } catch (const ClaimLost&) {
        log("another worker has it by now, or it was taken from the queue; this one leaves it");
        return {RunEnd::Kind::lost};
    } catch (const std::exception& error) {  // the end could not be recorded
        log(std::string(error.what()) + "; what is done is kept and continued later");
        return {RunEnd::Kind::broken_off, error.what()};
    }
    return end;
}

}  // namespace permille
