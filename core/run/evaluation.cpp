#include "core/run/evaluation.h"

#include <chrono>

#include "core/metrics/evaluation.h"
#include "core/metrics/metrics.h"
#include "core/run/translate.h"

namespace permille {

namespace {

constexpr Resampling kResampling{1000, 12345};

Score scored(const std::string& id, const RunSpec& spec, const std::vector<std::string>& texts,
             const std::vector<std::vector<std::string>>& references, const std::stop_token& stop) {
    const auto metric = evaluation_metric(id, spec.evaluation, spec.target_language);
    const Statistics statistics = count_all(*metric, texts, references, stop);
    const MetricReport report = evaluate_counts(*metric, statistics, kResampling, stop);
    Score score{id, report.signature, report.score.value};
    if (report.confidence) {
        score.low = report.confidence->low;
        score.high = report.confidence->high;
    }
    for (std::size_t i = 0; i < statistics.segments(); ++i)
        score.statistics.emplace_back(statistics.row(i).begin(), statistics.row(i).end());
    return score;
}

}  // namespace

EvaluatedText evaluate_test(const RunSpec& spec, const OpenModel& model, const Attachment* attachment, const Corpus& corpus,
                            const EventSink& sink, const std::stop_token& stop) {
    const auto rows = corpus.rows(Split::test, spec.source_language, spec.target_language, spec.evaluation.test_sentences);
    std::vector<std::string> sources, references, texts;
    for (const auto& row : rows) {
        sources.push_back(row.source);
        references.push_back(row.target);
    }
    if (sink) sink(Progress{"translating the test set", 0, static_cast<std::int64_t>(rows.size())});
    const auto started = std::chrono::steady_clock::now();
    const auto translations =
        translate_lines(model, attachment, sources, spec.source_language, spec.target_language, spec.decoding, 1, sink, stop);
    EvaluatedText evaluated;
    evaluated.evaluation.split = "test";
    evaluated.evaluation.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    for (std::size_t i = 0; i < rows.size(); ++i) {
        texts.push_back(translations[i].text);
        evaluated.hypotheses.push_back({sources[i], references[i], translations[i].text, translations[i].score});
    }
    if (sink) sink(Progress{"scoring the test set", 0, 0});
    std::vector<std::string> metrics = {spec.evaluation.metric};
    for (const char* other : {"bleu", "chrf"})
        if (other != spec.evaluation.metric) metrics.push_back(other);
    for (const auto& id : metrics) evaluated.evaluation.scores.push_back(scored(id, spec, texts, {references}, stop));
    return evaluated;
}

}  // namespace permille
