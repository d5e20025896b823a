// Studies as YAML text.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "core/base/files.h"
#include "core/study/study.h"
#include "core/study/study_check.h"

namespace permille {

namespace {

class Reader {
public:
    explicit Reader(std::string file) : file_(std::move(file)) {}

    Study read(const std::string& yaml);

private:
    using Entry = std::pair<YAML::Node, YAML::Node>;

    std::string place(const YAML::Mark& mark) const {
        if (mark.is_null()) return file_;
        return file_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
    }
    std::string place(const YAML::Node& node) const { return place(node.Mark()); }
    [[noreturn]] void fail(const YAML::Node& node, const std::string& what, const std::string& fix) const {
        throw Error(ErrorKind::config, place(node), what, fix);
    }
    void remember(const std::string& path, const YAML::Node& node) { places_[path] = place(node); }
    // The place of the path, or of the nearest thing around it that the file names.
    std::string locate(std::string path) const {
        while (true) {
            if (const auto found = places_.find(path); found != places_.end()) return found->second;
            const std::size_t slash = path.rfind('/');
            if (slash == std::string::npos) return file_;
            path.resize(slash);
        }
    }

    std::string text(const YAML::Node& node, const std::string& what) const {
        if (!node.IsScalar()) fail(node, what + ": expected a single value, found " + kind(node), "write one value");
        return node.Scalar();
    }
    // The value of an entry; an empty one has no place of its own.
    std::string given(const YAML::Node& key, const YAML::Node& value) const {
        if (value.IsNull()) fail(key, key.Scalar() + ": no value is given", "write one, or remove the line");
        return text(value, key.Scalar());
    }
    static std::string kind(const YAML::Node& node) {
        return node.IsMap()        ? "'name: value' settings"
               : node.IsSequence() ? "a list"
               : node.IsScalar()   ? "the text '" + node.Scalar() + "'"
                                   : "nothing";
    }
    std::int64_t whole(const YAML::Node& node, const std::string& what) const {
        const std::string digits = text(node, what);
        std::int64_t value = 0;
        const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (problem != std::errc() || end != digits.data() + digits.size())
            fail(node, what + ": '" + digits + "' is not a whole number", "write a whole number");
        return value;
    }

    // The items of a list; a single value stands for a list of one.
    std::vector<YAML::Node> items(const YAML::Node& key, const YAML::Node& node) {
        const std::string name = key.Scalar();
        if (node.IsNull()) fail(key, name + ": the list is empty", "give it at least one item, or remove the line");
        if (node.IsMap()) fail(node, name + ": expected a list, found 'name: value' settings", "begin each item with '- '");
        std::vector<YAML::Node> list;
        if (node.IsSequence())
            for (const auto& item : node) list.push_back(item);
        else list.push_back(node);
        if (list.empty()) fail(node, name + ": the list is empty", "give it at least one item, or remove the line");
        for (std::size_t i = 0; i < list.size(); ++i) {
            if (list[i].IsNull()) fail(list[i], name + ": item " + std::to_string(i + 1) + " is empty", "write a value or remove the item");
            remember(name + "/" + std::to_string(i), list[i]);
        }
        return list;
    }

    // The entries of a map, each key once.
    std::vector<Entry> entries(const YAML::Node& node, const std::string& what) const {
        if (node.IsNull()) return {};
        if (!node.IsMap()) fail(node, what + ": expected 'name: value' settings, found " + kind(node), "write " + what + ": {name: value}");
        std::vector<Entry> list;
        std::map<std::string, YAML::Mark> seen;
        for (const auto& entry : node) {
            const std::string name = text(entry.first, what);
            const auto [earlier, is_new] = seen.emplace(name, entry.first.Mark());
            if (!is_new)
                fail(entry.first, "'" + name + "' is given twice",
                     "remove this one or that of line " + std::to_string(earlier->second.line + 1));
            list.emplace_back(entry.first, entry.second);
        }
        return list;
    }

    template <class Settings>
    void settings(const YAML::Node& key, const YAML::Node& node, Settings& into) {
        const std::string section = key.Scalar();
        const auto& fields = Settings::fields().list();
        for (const auto& [name, value] : entries(node, section)) {
            const std::string setting = name.Scalar();
            remember(section + "/" + setting, value);
            const bool known = std::any_of(fields.begin(), fields.end(), [&](const Field& field) { return field.name == setting; });
            const Json wanted = known ? Json(given(name, value)) : Json();
            at_place(place(known ? value : name), [&](const std::string& where) {
                Settings::fields().apply(into, Json{{setting, wanted}}, where);
                return 0;
            });
        }
    }

    StudyPair pair(const YAML::Node& node) const;
    StudyMethod method(const YAML::Node& node, const std::string& path);
    void top(Study& study, const YAML::Node& key, const YAML::Node& value);

    std::string file_;
    std::map<std::string, std::string> places_;  // path in the study -> FILE:LINE:COLUMN
};

const std::vector<std::string> kKeys = {
    "study",    "bases",    "pairs",      "methods", "budgets", "data_sizes", "seeds", "include_untouched",
    "training", "decoding", "evaluation", "device",  "jobs",    "executor"};

StudyPair Reader::pair(const YAML::Node& node) const {
    StudyPair pair;
    if (node.IsScalar()) {
        pair.corpus = node.Scalar();
        return pair;
    }
    const std::vector<std::string> known = {"corpus", "source", "target"};
    for (const auto& [key, value] : entries(node, "pairs")) {
        const std::string name = key.Scalar();
        if (name == "corpus") pair.corpus = given(key, value);
        else if (name == "source") pair.source_language = given(key, value);
        else if (name == "target") pair.target_language = given(key, value);
        else fail(key, "'" + name + "' is not a setting of a pair", "known are " + list_some(known));
    }
    if (pair.corpus.empty()) fail(node, "a pair without its corpus", "write {corpus: NAME, source: CODE, target: CODE}");
    return pair;
}

StudyMethod Reader::method(const YAML::Node& node, const std::string& path) {
    StudyMethod method;
    if (node.IsScalar()) {
        method.id = node.Scalar();
        return method;
    }
    const auto named = entries(node, "methods");
    if (named.size() != 1)
        fail(node, "a method is one name with its settings, found " + std::to_string(named.size()) + " names",
             "write '- lora: {rank: 8}', the settings indented below the name or in braces");
    method.id = named.front().first.Scalar();
    for (const auto& [key, value] : entries(named.front().second, method.id)) {
        const std::string name = key.Scalar();
        remember(path + "/" + name, key);
        if (name == "budgets") {
            std::size_t i = 0;
            for (const auto& item : items(key, value)) {
                method.budgets.push_back(parse_budget(text(item, name), place(item)));
                remember(path + "/budgets/" + std::to_string(i++), item);
            }
        } else if (name == "learning_rate") {
            method.training[name] = given(key, value);
            remember(path + "/training/" + name, value);
        } else if (name == "training") {
            for (const auto& [field, setting] : entries(value, name)) {
                if (method.training.contains(field.Scalar()))
                    fail(field, "'" + field.Scalar() + "' is given twice for " + method.id, "remove one of the two");
                method.training[field.Scalar()] = given(field, setting);
                remember(path + "/training/" + field.Scalar(), field);
            }
        } else {
            method.settings[name] = given(key, value);
        }
    }
    return method;
}

void Reader::top(Study& study, const YAML::Node& key, const YAML::Node& value) {
    const std::string name = key.Scalar();
    remember(name, key);
    if (name == "study") study.name = given(key, value);
    else if (name == "bases")
        for (const auto& item : items(key, value)) study.bases.push_back(text(item, name));
    else if (name == "pairs")
        for (const auto& item : items(key, value)) study.pairs.push_back(pair(item));
    else if (name == "methods")
        for (const auto& item : items(key, value)) study.methods.push_back(method(item, "methods/" + std::to_string(study.methods.size())));
    else if (name == "budgets")
        for (const auto& item : items(key, value)) study.budgets.push_back(parse_budget(text(item, name), place(item)));
    else if (name == "data_sizes") {
        study.data_sizes.clear();
        for (const auto& item : items(key, value))
            study.data_sizes.push_back(item.IsScalar() && item.Scalar() == "all" ? 0 : whole(item, name));
    } else if (name == "seeds") {
        study.seeds.clear();
        for (const auto& item : items(key, value)) study.seeds.push_back(whole(item, name));
    } else if (name == "include_untouched") {
        const Field field{name, FieldType::boolean, true, {}, {}, {}, {}, {}};
        const std::string wanted = given(key, value);
        study.include_untouched =
            at_place(place(value), [&](const std::string& where) { return checked(field, wanted, where); }).get<bool>();
    } else if (name == "training") settings(key, value, study.training);
    else if (name == "decoding") settings(key, value, study.decoding);
    else if (name == "evaluation") settings(key, value, study.evaluation);
    else if (name == "device") settings(key, value, study.device);
    else if (name == "jobs") study.jobs = whole(value.IsNull() ? key : value, name);
    else if (name == "executor") study.executor = given(key, value);
    else {
        const std::string near = nearest(name, kKeys);
        fail(key, "'" + name + "' is not part of a study",
             near.empty() ? "known are " + list_some(kKeys, 30) : "did you mean '" + near + "'?");
    }
}

Study Reader::read(const std::string& yaml) {
    std::vector<YAML::Node> documents;
    try {
        documents = YAML::LoadAll(yaml);
    } catch (const YAML::ParserException& error) {
        // yaml-cpp speaks of an unexpected token where the trouble is a tab.
        std::size_t begin = 0;
        for (int line = 0; line < error.mark.line && begin < yaml.size(); ++line)
            begin = std::min(yaml.find('\n', begin), yaml.size() - 1) + 1;
        const std::string line = yaml.substr(begin, std::min(yaml.find('\n', begin), yaml.size()) - begin);
        if (const std::size_t tab = line.find('\t'); tab != std::string::npos)
            throw Error(ErrorKind::config, file_ + ":" + std::to_string(error.mark.line + 1) + ":" + std::to_string(tab + 1),
                        "not YAML: a tab character", "indent with spaces");
        throw Error(ErrorKind::config, place(error.mark), "not YAML (" + error.msg + ")", "mend this line or the one before it");
    } catch (const YAML::Exception& error) {
        throw Error(ErrorKind::config, place(error.mark), "not YAML (" + error.msg + ")", "mend this line or the one before it");
    }
    if (documents.empty() || documents.front().IsNull())
        throw Error(ErrorKind::config, file_, "the study is empty", "begin with 'study: NAME', then bases, pairs and methods");
    if (documents.size() > 1) fail(documents[1], "a second document in the file", "keep one study per file");
    if (!documents.front().IsMap())
        fail(documents.front(), "not a study: expected 'study: NAME' and further settings, found " + kind(documents.front()),
             "begin with 'study: NAME'");
    Study study;
    for (const auto& [key, value] : entries(documents.front(), "study")) top(study, key, value);
    for (const char* needed : {"study", "bases", "pairs"})
        if (!places_.contains(needed))
            throw Error(ErrorKind::config, file_, std::string("'") + needed + "' is missing",
                        std::string("add a line '") + needed + ": ...'");
    check_study(study, [this](const std::string& path) { return locate(path); });
    return study;
}

std::string scalar(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void write_map(YAML::Emitter& out, const Json& values) {
    for (const auto& [name, value] : values.items()) out << YAML::Key << name << YAML::Value << scalar(value);
}

template <class Settings>
void write_settings(YAML::Emitter& out, const char* section, const Settings& settings) {
    const Json values = Settings::fields().to_json(settings);
    Json changed = Json::object();
    for (const auto& field : Settings::fields().list())
        if (values[field.name] != field.default_value) changed[field.name] = values[field.name];
    if (changed.empty()) return;
    out << YAML::Key << section << YAML::Value << YAML::BeginMap;
    write_map(out, changed);
    out << YAML::EndMap;
}

template <class T, class Shown>
void write_list(YAML::Emitter& out, const char* name, const std::vector<T>& list, Shown shown) {
    if (list.empty()) return;
    out << YAML::Key << name << YAML::Value << YAML::Flow << YAML::BeginSeq;
    for (const auto& item : list) out << shown(item);
    out << YAML::EndSeq;
}

void write_method(YAML::Emitter& out, const StudyMethod& method) {
    if (method.settings.empty() && method.budgets.empty() && method.training.empty()) {
        out << method.id;
        return;
    }
    out << YAML::BeginMap << YAML::Key << method.id << YAML::Value << YAML::Flow << YAML::BeginMap;
    write_map(out, method.settings);
    Json training = method.training;
    if (training.contains("learning_rate")) {
        out << YAML::Key << "learning_rate" << YAML::Value << scalar(training["learning_rate"]);
        training.erase("learning_rate");
    }
    write_list(out, "budgets", method.budgets, format_budget);
    if (!training.empty()) {
        out << YAML::Key << "training" << YAML::Value << YAML::BeginMap;
        write_map(out, training);
        out << YAML::EndMap;
    }
    out << YAML::EndMap << YAML::EndMap;
}

}  // namespace

Study parse_study(const std::string& yaml, const std::string& where) { return Reader(where).read(yaml); }

Study read_study(const std::filesystem::path& file) { return parse_study(read_text(file), file.string()); }

std::string study_to_yaml(const Study& study) {
    const auto as_is = [](const std::string& text) { return text; };
    YAML::Emitter out;
    out << YAML::BeginMap << YAML::Key << "study" << YAML::Value << study.name;
    write_list(out, "bases", study.bases, as_is);
    out << YAML::Key << "pairs" << YAML::Value << YAML::BeginSeq;
    for (const auto& pair : study.pairs) {
        if (pair.source_language.empty()) out << pair.corpus;
        else
            out << YAML::Flow << YAML::BeginMap << YAML::Key << "corpus" << YAML::Value << pair.corpus << YAML::Key << "source"
                << YAML::Value << pair.source_language << YAML::Key << "target" << YAML::Value << pair.target_language << YAML::EndMap;
    }
    out << YAML::EndSeq;
    if (!study.methods.empty()) {
        out << YAML::Key << "methods" << YAML::Value << YAML::BeginSeq;
        for (const auto& method : study.methods) write_method(out, method);
        out << YAML::EndSeq;
    }
    write_list(out, "budgets", study.budgets, format_budget);
    write_list(out, "data_sizes", study.data_sizes,
               [](std::int64_t size) { return size == 0 ? std::string("all") : std::to_string(size); });
    write_list(out, "seeds", study.seeds, [](std::int64_t seed) { return seed; });
    out << YAML::Key << "include_untouched" << YAML::Value << study.include_untouched;
    write_settings(out, "training", study.training);
    write_settings(out, "decoding", study.decoding);
    write_settings(out, "evaluation", study.evaluation);
    write_settings(out, "device", study.device);
    out << YAML::Key << "jobs" << YAML::Value << study.jobs;
    if (study.executor != Study().executor) out << YAML::Key << "executor" << YAML::Value << study.executor;
    out << YAML::EndMap;
    return std::string(out.c_str()) + "\n";
}

void write_study(const std::filesystem::path& file, const Study& study) { write_text(file, study_to_yaml(study)); }

}  // namespace permille
