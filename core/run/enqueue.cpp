#include "core/base/error.h"
#include "core/bases/find.h"
#include "core/run/study_runner.h"
#include "core/store/store.h"
#include "core/study/budgets.h"
#include "core/study/check_corpora.h"

namespace permille {

std::int64_t enqueue_study(const Study& study, const std::string& yaml, const std::filesystem::path& database, const EventSink& sink) {
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

StudyCount count_runs(const std::filesystem::path& database, const std::string& study) {
    StudyCount count;
    for (const RunRow& row : Store(database, Store::Open::existing).runs({study})) switch (row.state) {
            case RunState::queued: ++count.queued; break;
            case RunState::running: ++count.running; break;
            case RunState::interrupted: ++count.interrupted; break;
            case RunState::stopped: ++count.stopped; break;
            case RunState::finished: ++count.finished; break;
            case RunState::failed: ++count.failed; break;
            case RunState::cancelled: ++count.cancelled; break;
            case RunState::skipped: ++count.skipped; break;
        }
    return count;
}

}  // namespace permille
