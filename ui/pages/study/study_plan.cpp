#include "ui/pages/study/study_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/bases/find.h"
#include "core/peft/catalog.h"
#include "core/study/budgets.h"
#include "core/study/check_corpora.h"
#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

const CorpusRow* corpus_of(const StoreSnapshot& store, const std::string& name) {
    const auto found = std::find_if(store.corpora.begin(), store.corpora.end(), [&](const CorpusRow& row) { return row.name == name; });
    return found == store.corpora.end() ? nullptr : &*found;
}

// What has not been filled in yet, said as a hint rather than as an error of the study file.
QStringList missing_parts(const Study& study) {
    QStringList missing;
    if (study.name.empty()) missing << u"Give the study a name."_s;
    if (study.bases.empty()) missing << u"Choose a base model."_s;
    if (study.pairs.empty()) missing << u"Choose a language pair."_s;
    if (study.methods.empty() && !study.include_untouched) missing << u"Choose a method."_s;
    if (study.data_sizes.empty()) missing << u"Give a data size, or “all”."_s;
    if (study.seeds.empty()) missing << u"Give a seed."_s;
    return missing;
}

void add_warnings(StudyPlan& plan, const Study& study, const StoreSnapshot& store, const std::vector<std::string>& bases) {
    for (const auto& pair : study.pairs) {
        const CorpusRow* corpus = corpus_of(store, pair.corpus);
        if (!corpus) continue;
        for (const auto size : study.data_sizes)
            if (size > corpus->train_sentences)
                plan.warnings << u"%1 has %2 training sentences, fewer than the %3 asked for."_s.arg(
                    text(pair.corpus), shown_count(corpus->train_sentences), shown_count(size));
    }
    for (const auto& base : study.bases)
        if (std::find(bases.begin(), bases.end(), base) == bases.end() && base.find('/') == std::string::npos)
            plan.warnings << u"The base %1 is neither bundled nor in this database."_s.arg(text(base));
    if (study.seeds.size() == 1 && !study.methods.empty())
        plan.warnings << u"One seed: differences between methods can be chance; two or more show the spread."_s;
}

}  // namespace

StudyPlan plan_study(const Study& study, const StoreSnapshot& store, const std::vector<std::string>& bases) {
    StudyPlan plan;
    // Counts and file sizes need the base's config.json; while one fills in a form nothing is downloaded for it.
    const BudgetShare share = [](const Budget& budget, const std::string& base, const std::string& method, const Json& settings) {
        if (budget.unit != Budget::Unit::percent && must_download(base))
            throw Error(ErrorKind::config, base, "is not on this machine yet, and the budget " + format_budget(budget) + " depends on it",
                        "download it on the page of bases");
        return budget_percent(budget, base, method, settings);
    };
    plan.problems = missing_parts(study);
    for (const auto& pair : study.pairs)
        if (!corpus_of(store, pair.corpus))
            plan.problems << u"This database has no corpus %1: import it first (permille data import, permille data recipe)."_s.arg(
                text(pair.corpus));
    if (plan.problems.isEmpty()) {
        try {
            validate_study(study);
            check_corpora(study, store.corpora);
            plan.runs = expand(
                study,
                [&](const std::string& name) -> std::pair<std::string, std::string> {
                    const CorpusRow* corpus = corpus_of(store, name);
                    if (!corpus) return {};
                    return {corpus->source_language, corpus->target_language};
                },
                share);
        } catch (...) {
            plan.problems << problem_of(std::current_exception()).message();
        }
    }
    add_warnings(plan, study, store, bases);

    std::map<std::string, RunState> known;
    for (const auto& run : store.runs)
        if (run.spec.study == study.name) known[run.key] = run.state;

    // Every method on every base, also before pairs are chosen: how big things get does not depend on the language.
    std::map<std::string, std::size_t> question_of;
    const auto key_of = [](const std::string& base, const std::string& method, const Json& settings, const std::optional<Budget>& budget) {
        return Json::array({base, method, settings, budget ? Json(format_budget(*budget)) : Json()}).dump();
    };
    // As the runs have it, in percent.
    const auto of_run = [&](const std::string& base, const StudyMethod& method, std::optional<Budget> budget) {
        if (!budget || plan.runs.empty()) return budget;
        return std::optional(Budget(share(*budget, base, method.id, method.settings), Budget::Unit::percent, budget->at_most));
    };
    for (const auto& base : study.bases)
        for (const auto& method : study.methods) {
            const auto& catalog = method_catalog();
            const auto info = std::find_if(catalog.begin(), catalog.end(), [&](const MethodInfo& entry) { return entry.id == method.id; });
            if (info == catalog.end()) continue;
            const bool sized = !info->size_knob.empty() && !method.settings.contains(info->size_knob);
            std::vector<std::optional<Budget>> budgets;
            if (sized)
                for (const Budget& budget : method.budgets.empty() ? study.budgets : method.budgets) budgets.emplace_back(budget);
            else budgets.emplace_back(std::nullopt);
            TrainingSettings training = study.training;
            try {
                TrainingSettings::fields().apply(training, method.training, "training");
            } catch (const Error&) {
                // validate_study() has told about it.
            }
            for (const auto& budget : budgets) {
                if (!question_of.try_emplace(key_of(base, method.id, method.settings, of_run(base, method, budget)), plan.questions.size())
                         .second)
                    continue;
                plan.questions.push_back({base, method.id, method.settings, budget, training, study.device});
            }
        }
    plan.uses.assign(plan.questions.size(), 0);
    for (const auto& run : plan.runs) {
        const auto state = known.find(run.key());
        if (state != known.end()) ++(state->second == RunState::finished ? plan.finished : plan.started);
        if (state != known.end() && state->second == RunState::finished) continue;
        const auto question = question_of.find(key_of(run.base, run.method, run.method_settings, run.budget()));
        if (question != question_of.end()) ++plan.uses[question->second];
    }
    return plan;
}

}  // namespace permille::ui
