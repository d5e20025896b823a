#include "core/study/study.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/metrics/evaluation.h"
#include "core/peft/catalog.h"
#include "core/study/budgets.h"
#include "core/study/study_check.h"

namespace permille {

namespace {

std::string numbered(const char* list, std::size_t index) { return std::string(list) + "/" + std::to_string(index); }

void check_text(const std::string& text, const char* what, const std::string& place) {
    if (text.empty()) throw Error(ErrorKind::config, place, std::string("the name of ") + what + " is empty", "write a name");
    for (const char c : text)
        if (static_cast<unsigned char>(c) < 32)
            throw Error(ErrorKind::config, place, std::string("the name of ") + what + " holds a control character", "write a plain name");
}

template <class T>
void check_filled(const std::vector<T>& list, const char* name, const char* example, const Locate& locate) {
    if (list.empty())
        throw Error(ErrorKind::config, locate(name), std::string(name) + ": the list is empty",
                    std::string("write for example '") + name + ": [" + example + "]'");
}

void check_budgets(const std::vector<Budget>& budgets, const std::string& path, const Locate& locate) {
    for (std::size_t i = 0; i < budgets.size(); ++i)
        if (!(budgets[i].amount > 0 && (budgets[i].unit != Budget::Unit::percent || budgets[i].amount <= 100)))
            throw Error(ErrorKind::config, locate(numbered(path.c_str(), i)), format_budget(budgets[i]) + " is not a budget",
                        "write more than 0 % and at most 100 %");
}

template <class Settings>
void check_settings(const Settings& settings, const char* section, const Locate& locate,
                    const std::vector<Field>& fields = Settings::fields().list()) {
    const Json values = Settings::fields().to_json(settings);
    for (const auto& field : fields)
        at_place(locate(std::string(section) + "/" + field.name),
                 [&](const std::string& where) { return checked(field, values[field.name], where); });
}

void check_method(StudyMethod& method, const std::string& path, const Locate& locate) {
    if (method.id == RunSpec::kUntouched)
        throw Error(ErrorKind::config, locate(path), "'" + method.id + "' is not a method",
                    "write 'include_untouched: true' to evaluate the untouched base");
    const MethodInfo& info = find_method(method.id, locate(path));
    for (auto& [name, value] : method.settings.items()) {
        const auto knob =
            std::find_if(info.knobs.begin(), info.knobs.end(), [&, &key = name](const Field& field) { return field.name == key; });
        const std::string place = locate(path + "/" + name);
        if (knob == info.knobs.end()) {
            std::vector<std::string> known;
            for (const auto& field : info.knobs) known.push_back(field.name);
            for (const char* own : {"budgets", "learning_rate", "training"}) known.push_back(own);
            const std::string near = nearest(name, known);
            throw Error(ErrorKind::config, place, "'" + name + "' is not a setting of " + method.id,
                        near.empty() ? "known are " + list_some(known, 30) : "did you mean '" + near + "'?");
        }
        value = at_place(place, [&](const std::string& where) { return checked(*knob, value, where); });
    }
    for (const auto& [name, value] : method.training.items()) {
        TrainingSettings scratch;
        at_place(locate(path + "/training/" + name), [&, &key = name, &given = value](const std::string& where) {
            TrainingSettings::fields().apply(scratch, Json{{key, given}}, where);
            return 0;
        });
    }
    check_budgets(method.budgets, path + "/budgets", locate);
    if (method.budgets.empty()) return;
    if (info.size_knob.empty())
        throw Error(ErrorKind::config, locate(path + "/budgets"), "the size of " + method.id + " is fixed: it takes no budgets",
                    "remove its budgets");
    if (method.settings.contains(info.size_knob))
        throw Error(ErrorKind::config, locate(path + "/budgets"),
                    "both budgets and " + info.size_knob + " say how large " + method.id + " is", "remove one of the two");
}

// "it-en" and "it-en-games" are Italian to English.
std::pair<std::string, std::string> languages_in_name(const std::string& corpus) {
    const std::size_t first = corpus.find('-');
    if (first == std::string::npos) return {};
    const std::string source = corpus.substr(0, first), target = corpus.substr(first + 1, corpus.find('-', first + 1) - first - 1);
    const auto is_code = [](const std::string& text) {
        return text.size() >= 2 && text.size() <= 12 &&
               std::all_of(text.begin(), text.end(), [](char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; });
    };
    if (!is_code(source) || !is_code(target)) return {};
    return {source, target};
}

StudyPair with_languages(const StudyPair& pair, const CorpusLanguages& languages, const std::string& place) {
    if (!pair.source_language.empty()) return pair;
    auto [source, target] = languages ? languages(pair.corpus) : std::pair<std::string, std::string>();
    if (source.empty() || target.empty()) std::tie(source, target) = languages_in_name(pair.corpus);
    if (source.empty())
        throw Error(ErrorKind::config, place, "the languages of the corpus '" + pair.corpus + "' are not known",
                    "import it with 'permille data import', or write {corpus: " + pair.corpus + ", source: ..., target: ...}");
    return {pair.corpus, source, target};
}

class Expansion {
public:
    void add(const RunSpec& spec) {
        if (keys_.insert(spec.key()).second) runs_.push_back(spec);
    }
    std::vector<RunSpec> take() { return std::move(runs_); }

private:
    std::set<std::string> keys_;
    std::vector<RunSpec> runs_;
};

void add_method(const Study& study, const StudyMethod& method, const BudgetShare& share, RunSpec spec, Expansion& runs) {
    const MethodInfo& info = find_method(method.id, "methods");
    spec.method = method.id;
    spec.method_settings = method.settings;
    TrainingSettings::fields().apply(spec.training, method.training, "training");
    const bool by_budget = !info.size_knob.empty() && !method.settings.contains(info.size_knob);
    const auto& budgets = method.budgets.empty() ? study.budgets : method.budgets;
    if (!by_budget || budgets.empty()) return runs.add(spec);
    for (const Budget& budget : budgets) {
        spec.budget_percent = budget.unit == Budget::Unit::percent ? budget.amount : share(budget, spec.base, method.id, method.settings);
        spec.budget_at_most = budget.at_most;
        runs.add(spec);
    }
}

}  // namespace

void check_study(Study& study, const Locate& locate) {
    check_text(study.name, "the study", locate("study"));
    check_filled(study.bases, "bases", "permille-small", locate);
    check_filled(study.pairs, "pairs", "it-en", locate);
    if (!study.include_untouched) check_filled(study.methods, "methods", "full, lora", locate);
    check_filled(study.data_sizes, "data_sizes", "all", locate);
    check_filled(study.seeds, "seeds", "1", locate);
    for (std::size_t i = 0; i < study.bases.size(); ++i) check_text(study.bases[i], "a base", locate(numbered("bases", i)));
    for (std::size_t i = 0; i < study.pairs.size(); ++i) {
        const std::string place = locate(numbered("pairs", i));
        check_text(study.pairs[i].corpus, "a corpus", place);
        if (study.pairs[i].source_language.empty() != study.pairs[i].target_language.empty())
            throw Error(ErrorKind::config, place, "one of the two languages is missing", "write both source and target, or neither");
    }
    for (std::size_t i = 0; i < study.methods.size(); ++i) check_method(study.methods[i], numbered("methods", i), locate);
    check_budgets(study.budgets, "budgets", locate);
    for (std::size_t i = 0; i < study.data_sizes.size(); ++i)
        if (study.data_sizes[i] < 0)
            throw Error(ErrorKind::config, locate(numbered("data_sizes", i)), "a negative number of sentences", "write a number, or all");
    for (std::size_t i = 0; i < study.seeds.size(); ++i)
        if (study.seeds[i] < 0) throw Error(ErrorKind::config, locate(numbered("seeds", i)), "a negative seed", "write 0 or more");
    if (study.jobs < 1 || study.jobs > 1024)
        throw Error(ErrorKind::config, locate("jobs"), std::to_string(study.jobs) + " runs at a time", "write 1 to 1024");
    check_text(study.executor, "the executor", locate("executor"));
    check_settings(study.training, "training", locate);
    check_settings(study.decoding, "decoding", locate);
    check_settings(study.evaluation, "evaluation", locate, evaluation_fields());
    check_settings(study.device, "device", locate);
}

void validate_study(const Study& study) {
    Study copy = study;
    check_study(copy, [](const std::string& path) { return path; });
}

std::vector<RunSpec> expand(const Study& given, const CorpusLanguages& languages, const BudgetShare& given_share) {
    const BudgetShare share = given_share ? given_share : BudgetShare(budget_percent);
    Study study = given;
    check_study(study, [](const std::string& path) { return path; });
    std::stable_partition(study.methods.begin(), study.methods.end(),
                          [](const StudyMethod& method) { return !find_method(method.id, "methods").trains_whole_base; });
    Expansion runs;
    for (const auto& base : study.bases) {
        for (std::size_t i = 0; i < study.pairs.size(); ++i) {
            const StudyPair pair = with_languages(study.pairs[i], languages, numbered("pairs", i));
            RunSpec spec;
            spec.study = study.name;
            spec.base = base;
            spec.corpus = pair.corpus;
            spec.source_language = pair.source_language;
            spec.target_language = pair.target_language;
            spec.training = study.training;
            spec.decoding = study.decoding;
            spec.evaluation = study.evaluation;
            if (study.include_untouched) {
                spec.method = RunSpec::kUntouched;
                runs.add(spec);
            }
            for (const auto& method : study.methods) {
                for (const auto size : study.data_sizes) {
                    for (const auto seed : study.seeds) {
                        spec.train_sentences = size;
                        spec.seed = seed;
                        add_method(study, method, share, spec, runs);
                    }
                }
            }
        }
    }
    return runs.take();
}

bool operator==(const Study& a, const Study& b) {
    const auto same = [](const auto& x, const auto& y) { return x.fields().to_json(x) == y.fields().to_json(y); };
    return a.name == b.name && a.bases == b.bases && a.pairs == b.pairs && a.methods == b.methods && a.budgets == b.budgets &&
           a.data_sizes == b.data_sizes && a.seeds == b.seeds && a.include_untouched == b.include_untouched && a.jobs == b.jobs &&
           a.executor == b.executor && same(a.training, b.training) && same(a.decoding, b.decoding) && same(a.evaluation, b.evaluation) &&
           same(a.device, b.device);
}

}  // namespace permille
