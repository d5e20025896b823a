#include "core/store/results.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>

#include "core/base/error.h"

namespace permille {

namespace {

struct ResultColumn {
    Column column;
    std::function<Json(const RunRow&)> value;
};

template <class T>
Json or_null(const T& value) {
    return value == T() ? Json() : Json(value);
}

Json time_or_null(const std::optional<double>& time) { return time ? Json(iso_time(*time)) : Json(); }

template <class Member>
std::function<Json(const RunRow&)> of_score(Member member) {
    return [member](const RunRow& run) {
        if (!run.score) return Json();
        const auto& value = (*run.score).*member;
        if constexpr (requires { value.has_value(); }) return value ? Json(*value) : Json();
        else return Json(value);
    };
}

const std::vector<ResultColumn>& columns() {
    using Kind = ColumnKind;
    static const std::vector<ResultColumn> list = {
        {{"run", "run", Kind::whole}, [](const RunRow& run) { return Json(run.id); }},
        {{"study", "study", Kind::text, false}, [](const RunRow& run) { return or_null(run.spec.study); }},
        {{"base", "base", Kind::text}, [](const RunRow& run) { return Json(run.spec.base); }},
        {{"pair", "pair", Kind::text}, [](const RunRow& run) { return Json(run.spec.pair()); }},
        {{"method", "method", Kind::text}, [](const RunRow& run) { return Json(run.spec.method); }},
        {{"settings", "settings", Kind::other, false},
         [](const RunRow& run) { return run.facts.settings.empty() ? run.spec.method_settings : run.facts.settings; }},
        {{"budget", "budget %", Kind::percent},
         [](const RunRow& run) { return run.spec.budget_percent ? Json(*run.spec.budget_percent) : Json(); }},
        {{"trainable", "trainable", Kind::whole},
         [](const RunRow& run) { return run.facts.device.empty() ? Json() : Json(run.facts.trainable); }},
        {{"percent_base", "% of base", Kind::percent},
         [](const RunRow& run) { return run.facts.device.empty() ? Json() : Json(run.facts.percent_base); }},
        {{"train_sentences", "sentences", Kind::whole},
         [](const RunRow& run) { return or_null(run.facts.train_sentences ? run.facts.train_sentences : run.spec.train_sentences); }},
        {{"seed", "seed", Kind::whole}, [](const RunRow& run) { return Json(run.spec.seed); }},
        {{"status", "status", Kind::text}, [](const RunRow& run) { return Json(std::string(to_string(run.state))); }},
        {{"metric", "metric", Kind::text}, of_score(&Score::metric)},
        {{"signature", "signature", Kind::text, false}, of_score(&Score::signature)},
        {{"score", "score", Kind::score}, of_score(&Score::score)},
        {{"low", "low", Kind::score}, of_score(&Score::low)},
        {{"high", "high", Kind::score}, of_score(&Score::high)},
        {{"seconds", "time", Kind::seconds}, [](const RunRow& run) { return or_null(run.seconds); }},
        {{"peak_memory_bytes", "memory", Kind::bytes}, [](const RunRow& run) { return or_null(run.peak_memory_bytes); }},
        {{"started", "started", Kind::text, false}, [](const RunRow& run) { return time_or_null(run.started); }},
        {{"finished", "finished", Kind::text, false}, [](const RunRow& run) { return time_or_null(run.finished); }},
        {{"corpus", "corpus", Kind::text, false}, [](const RunRow& run) { return Json(run.spec.corpus); }},
        {{"reason", "reason", Kind::text, false}, [](const RunRow& run) { return or_null(run.reason); }},
    };
    return list;
}

Table table_of(const std::vector<ResultColumn>& list, const std::vector<RunRow>& runs) {
    Table table;
    for (const auto& entry : list) table.columns.push_back(entry.column);
    for (const auto& run : runs) {
        std::vector<Json> row;
        for (const auto& entry : list) row.push_back(entry.value(run));
        table.rows.push_back(std::move(row));
    }
    return table;
}

constexpr std::string_view kSettingPrefix = "settings.";

Json cell(const RunRow& run, const std::string& column) {
    if (column == "source") return run.spec.source_language;
    if (column == "target") return run.spec.target_language;
    if (column.starts_with(kSettingPrefix)) {
        const Json& settings = run.facts.settings.empty() ? run.spec.method_settings : run.facts.settings;
        const auto found = settings.find(column.substr(kSettingPrefix.size()));
        return found == settings.end() ? Json() : *found;
    }
    for (const auto& entry : columns())
        if (entry.column.name == column) return entry.value(run);
    return {};
}

std::optional<double> as_number(std::string text) {
    if (text.ends_with('%')) text.pop_back();
    while (!text.empty() && text.back() == ' ') text.pop_back();
    double value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || problem != std::errc() || end != text.data() + text.size()) return {};
    return value;
}

std::string lower(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

// Cuts the text of --where into conditions.
class Scanner {
public:
    explicit Scanner(const std::string& text) : text_(text) {}

    bool at_end() {
        skip_blanks();
        return next_ == text_.size();
    }
    std::string column() {
        skip_blanks();
        const std::size_t begin = next_;
        while (next_ < text_.size() &&
               (std::isalnum(static_cast<unsigned char>(text_[next_])) || text_[next_] == '_' || text_[next_] == '.'))
            ++next_;
        if (next_ == begin) fail("expected the name of a column");
        return text_.substr(begin, next_ - begin);
    }
    std::string comparison() {
        skip_blanks();
        for (const char* known : {"!=", "<=", ">=", "==", "=", "<", ">", "~"}) {
            if (text_.compare(next_, std::char_traits<char>::length(known), known) != 0) continue;
            next_ += std::char_traits<char>::length(known);
            return known;
        }
        fail("expected one of = != < <= > >= ~");
    }
    std::string value() {
        skip_blanks();
        if (next_ < text_.size() && (text_[next_] == '"' || text_[next_] == '\'')) {
            const std::size_t end = text_.find(text_[next_], next_ + 1);
            if (end == std::string::npos) fail("a quote that does not end");
            const std::string inside = text_.substr(next_ + 1, end - next_ - 1);
            next_ = end + 1;
            return inside;
        }
        const std::size_t begin = next_;
        while (next_ < text_.size() && text_[next_] != ',' && text_[next_] != ' ' && text_[next_] != '\t') ++next_;
        if (next_ == begin) fail("expected a value");
        return text_.substr(begin, next_ - begin);
    }
    // After a condition: the end, a comma or AND.
    void joint() {
        if (at_end()) return;
        if (text_[next_] == ',') {
            ++next_;
        } else if (lower(text_.substr(next_, 4)) == "and ") {
            next_ += 4;
        } else {
            fail("expected a comma or AND");
        }
        if (at_end()) fail("expected another comparison");
    }
    [[noreturn]] void fail(const std::string& what) const {
        throw Error(ErrorKind::usage, "--where", what + " at character " + std::to_string(next_ + 1) + " of '" + text_ + "'",
                    "write comparisons such as pair=it-en AND score>=20");
    }

private:
    void skip_blanks() {
        while (next_ < text_.size() && (text_[next_] == ' ' || text_[next_] == '\t')) ++next_;
    }
    const std::string& text_;
    std::size_t next_ = 0;
};

void check_column(const std::string& column) {
    std::vector<std::string> known;
    for (const auto& entry : columns()) known.push_back(entry.column.name);
    for (const char* further : {"source", "target"}) known.push_back(further);
    if (std::find(known.begin(), known.end(), column) != known.end()) return;
    if (column.starts_with(kSettingPrefix) && column.size() > kSettingPrefix.size()) return;
    const std::string near = nearest(column, known);
    throw Error(ErrorKind::usage, "--where", "there is no column '" + column + "'",
                near.empty() ? "known are " + list_some(known, 40) : "did you mean '" + near + "'?");
}

}  // namespace

Table results_table(const std::vector<RunRow>& runs) { return table_of(columns(), runs); }

Table status_table(const std::vector<RunRow>& runs) {
    using Kind = ColumnKind;
    static const std::vector<ResultColumn> list = {
        {{"run", "run", Kind::whole}, [](const RunRow& run) { return Json(run.id); }},
        {{"study", "study", Kind::text}, [](const RunRow& run) { return or_null(run.spec.study); }},
        {{"base", "base", Kind::text, false}, [](const RunRow& run) { return Json(run.spec.base); }},
        {{"pair", "pair", Kind::text}, [](const RunRow& run) { return Json(run.spec.pair()); }},
        {{"method", "method", Kind::text}, [](const RunRow& run) { return Json(run.spec.method); }},
        {{"budget", "budget %", Kind::percent},
         [](const RunRow& run) { return run.spec.budget_percent ? Json(*run.spec.budget_percent) : Json(); }},
        {{"seed", "seed", Kind::whole}, [](const RunRow& run) { return Json(run.spec.seed); }},
        {{"status", "status", Kind::text}, [](const RunRow& run) { return Json(std::string(to_string(run.state))); }},
        {{"doing", "doing", Kind::text},
         [](const RunRow& run) { return run.state == RunState::running ? or_null(run.progress.doing) : Json(); }},
        {{"done", "done", Kind::whole}, [](const RunRow& run) { return run.progress.total ? Json(run.progress.done) : Json(); }},
        {{"total", "of", Kind::whole}, [](const RunRow& run) { return or_null(run.progress.total); }},
        {{"eta_seconds", "remaining", Kind::seconds},
         [](const RunRow& run) {
             return run.state == RunState::running && run.progress.eta_seconds >= 0 ? Json(run.progress.eta_seconds) : Json();
         }},
        {{"reason", "reason", Kind::text}, [](const RunRow& run) { return or_null(run.reason); }},
    };
    return table_of(list, runs);
}

Where::Where(const std::string& text) {
    Scanner scanner(text);
    while (!scanner.at_end()) {
        Condition condition;
        condition.column = scanner.column();
        check_column(condition.column);
        const std::string sign = scanner.comparison();
        condition.comparison = sign == "!="   ? Comparison::not_equal
                               : sign == "<"  ? Comparison::less
                               : sign == "<=" ? Comparison::less_equal
                               : sign == ">"  ? Comparison::greater
                               : sign == ">=" ? Comparison::greater_equal
                               : sign == "~"  ? Comparison::contains
                                              : Comparison::equal;
        condition.value = scanner.value();
        conditions_.push_back(std::move(condition));
        scanner.joint();
    }
}

bool Where::compare(const Json& cell, const Condition& condition) {
    if (condition.comparison == Comparison::contains)
        return !cell.is_null() &&
               lower(cell.is_string() ? cell.get<std::string>() : cell.dump()).find(lower(condition.value)) != std::string::npos;
    if (cell.is_null())
        return (condition.value == "none") == (condition.comparison == Comparison::equal) &&
               (condition.comparison == Comparison::equal || condition.comparison == Comparison::not_equal);
    const auto decide = [&](auto left, auto right) {
        switch (condition.comparison) {
            case Comparison::equal: return left == right;
            case Comparison::not_equal: return left != right;
            case Comparison::less: return left < right;
            case Comparison::less_equal: return left <= right;
            case Comparison::greater: return left > right;
            case Comparison::greater_equal: return left >= right;
            case Comparison::contains: break;
        }
        return false;
    };
    if (cell.is_number()) {
        if (const auto number = as_number(condition.value)) return decide(cell.get<double>(), *number);
        return condition.comparison == Comparison::not_equal;
    }
    return decide(cell.is_string() ? cell.get<std::string>() : cell.dump(), condition.value);
}

bool Where::holds(const RunRow& run) const {
    return std::all_of(conditions_.begin(), conditions_.end(),
                       [&](const Condition& condition) { return compare(cell(run, condition.column), condition); });
}

std::vector<RunRow> Where::select(const std::vector<RunRow>& runs) const {
    std::vector<RunRow> selected;
    for (const auto& run : runs)
        if (holds(run)) selected.push_back(run);
    return selected;
}

}  // namespace permille
