#include "core/metrics/metrics.h"

#include <algorithm>
#include <cmath>

#include "core/base/json.h"
#include "core/base/stopped.h"
#include "core/metrics/bleu_tokenizers.h"
#include "core/metrics/evaluation.h"
#include "core/metrics/numpy_random.h"
#include "tests/support/test.h"

using namespace permille;
using permille::test::golden;
using permille::test::require_error;

namespace {

const Json& goldens() {
    static const Json json = read_json(golden("metrics.json"));
    return json;
}

using Lines = std::vector<std::string>;

bool is_close(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max({std::abs(a), std::abs(b), 1e-300}); }

void check_metric(const std::string& id) {
    std::size_t checked = 0;
    for (const auto& entry : goldens()["cases"]) {
        if (entry["metric"] != id) continue;
        ++checked;
        INFO(entry["corpus"] << " " << entry["settings"] << " " << entry["line"].get<std::string>());
        const Json& corpus = goldens()["corpora"][entry["corpus"].get<std::string>()];
        const auto metric = make_metric(id, entry["settings"]);
        const Resampling resampling{entry.value("samples", std::int64_t{0}), 12345};
        const auto report =
            evaluate(*metric, corpus["hypotheses"].get<Lines>(), corpus["references"].get<std::vector<Lines>>(), resampling);
        CHECK(report.signature == entry["signature"].get<std::string>());
        CHECK(report.to_line(2) == entry["line"].get<std::string>());
        CHECK(printed(report.score.value) == entry["printed"].get<std::string>());
        const double expected = entry["score"].get<double>();
        CHECK(is_close(report.score.value, expected));
        if (id == "bleu") {
            CHECK(is_close(report.score.parts["brevity_penalty"].get<double>(), entry["bp"].get<double>()));
            CHECK(report.score.parts["hypothesis_length"] == entry["lengths"][0]);
            CHECK(report.score.parts["reference_length"] == entry["lengths"][1]);
            for (std::size_t n = 0; n < 4; ++n)
                CHECK(is_close(report.score.parts["precisions"][n].get<double>(), entry["precisions"][n].get<double>()));
        }
        REQUIRE(report.confidence.has_value() == entry.contains("samples"));
        if (!report.confidence) continue;
        CHECK(is_close(report.confidence->low, entry["low"].get<double>()));
        CHECK(is_close(report.confidence->high, entry["high"].get<double>()));
        // The reference rounds the mean and the width of chrF to single precision.
        constexpr double kSingle = 1e-6;
        CHECK(std::abs(report.confidence->mean - entry["mean"].get<double>()) <= kSingle * entry["mean"].get<double>());
        CHECK(std::abs(report.confidence->half_width - entry["half_width"].get<double>()) <=
              kSingle * std::max(1.0, entry["half_width"].get<double>()));
    }
    REQUIRE(checked >= 30);
}

}  // namespace

TEST_CASE("BLEU equals sacreBLEU's score, parts, line and signature", "[metrics]") {
    REQUIRE(goldens()["cases"].size() >= 200);
    check_metric("bleu");
}

TEST_CASE("chrF equals sacreBLEU's score, line and signature", "[metrics]") { check_metric("chrf"); }

TEST_CASE("chrF++ equals sacreBLEU's score, line and signature", "[metrics]") { check_metric("chrf++"); }

TEST_CASE("TER equals sacreBLEU's score, line and signature", "[metrics]") { check_metric("ter"); }

TEST_CASE("random numbers are NumPy's", "[metrics]") {
    for (const auto& [count, expected] : goldens()["drawn"].items()) {
        INFO(count);
        NumpyRandom random(12345);
        for (const auto& number : expected)
            CHECK(random.below(static_cast<std::uint32_t>(std::stoull(count))) == number.get<std::uint32_t>());
    }
    NumpyRandom random((std::uint64_t{1} << 40) + 5);
    for (const auto& number : goldens()["drawn_large_seed"]) CHECK(random.below(1000) == number.get<std::uint32_t>());
}

TEST_CASE("the reported JSON has the promised fields", "[metrics]") {
    const auto metric = make_metric("bleu");
    const Json plain = evaluate(*metric, {"a b c d", "e"}, {{"a b c d", "e"}}).to_json();
    for (const auto* name : {"score", "signature", "precisions", "brevity_penalty", "hypothesis_length", "reference_length"})
        CHECK(plain.contains(name));
    CHECK_FALSE(plain.contains("mean"));
    CHECK(plain["score"].get<double>() > 99.99);
    const Json sure = evaluate(*metric, {"a b c d", "e"}, {{"a b c d", "e"}}, {100, 12345}).to_json();
    for (const auto* name : {"mean", "low", "high"}) CHECK(sure[name].is_number());
    CHECK(sure["signature"] == "nrefs:1|bs:100|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
}

TEST_CASE("wrong input to a metric is named", "[metrics]") {
    const auto metric = make_metric("bleu");
    require_error([&] { evaluate(*metric, {}, {{}}); }, ErrorKind::usage, {"hypotheses", "none"});
    require_error([&] { evaluate(*metric, {"a"}, {}); }, ErrorKind::usage, {"references", "none"});
    require_error([&] { evaluate(*metric, {"a", "b"}, {{"a"}}); }, ErrorKind::usage, {"1 lines", "2 hypotheses"});
    require_error([&] { evaluate(*metric, {"a", "b"}, {{"a", "b"}, {"a", "b", "c"}}); }, ErrorKind::usage, {"reference 2", "3 lines"});
    require_error([&] { evaluate(*metric, {"a", "b\xff"}, {{"a", "b"}}); }, ErrorKind::file, {"hypotheses, line 2, byte 2", "UTF-8"});
    require_error([] { make_metric("blue"); }, ErrorKind::config, {"blue", "bleu"});
    require_error([] { make_metric("bleu", {{"tokenize", "14a"}}); }, ErrorKind::config, {"14a", "13a"});
    require_error([] { make_metric("bleu", {{"lowercased", true}}); }, ErrorKind::config, {"lowercase"});
    require_error([] { make_metric("chrf", {{"char_order", 9}}); }, ErrorKind::config, {"char_order"});
}

TEST_CASE("the tokenizer is chosen by the target language", "[metrics]") {
    for (const auto& [language, expected] : std::vector<std::pair<std::string, std::string>>{{"zh", "zh"},
                                                                                             {"zh_CN", "zh"},
                                                                                             {"zho_Hans", "zh"},
                                                                                             {"yue_Hant", "zh"},
                                                                                             {"ja", "char"},
                                                                                             {"ja_XX", "char"},
                                                                                             {"jpn_Jpan", "char"},
                                                                                             {"th_TH", "char"},
                                                                                             {"tha_Thai", "char"},
                                                                                             {"km", "char"},
                                                                                             {"de", "13a"},
                                                                                             {"ko", "13a"},
                                                                                             {"eng_Latn", "13a"},
                                                                                             {"ZH-cn", "zh"},
                                                                                             {"", "13a"}}) {
        INFO(language);
        const auto choice = choose_bleu_tokenizer("auto", language);
        CHECK(choice.name == expected);
        CHECK_FALSE(choice.reason.empty());
    }
    CHECK(choose_bleu_tokenizer("intl", "zh").name == "intl");
    CHECK(make_metric("bleu", {{"tokenize", "auto"}}, "ja")->signature(1).find("tok:char") != std::string::npos);
}

TEST_CASE("an evaluation offers every metric of the table, and what of its settings concerns one reaches it", "[metrics]") {
    const auto field = [](const std::string& name) {
        for (const Field& one : evaluation_fields())
            if (one.name == name) return one;
        return Field{};
    };
    CHECK(field("metric").type == FieldType::choice);
    CHECK(field("metric").choices == metric_ids());
    CHECK(checked(field("metric"), "ter", "evaluation") == "ter");
    require_error([&] { checked(field("metric"), "blue", "evaluation"); }, ErrorKind::config, {"metric", "blue", "ter"});
    CHECK(field("metric").default_value == EvaluationSettings().metric);
    CHECK(field("tokenize").choices.front() == "auto");
    for (const auto& name : bleu_tokenizer_names()) CHECK(checked(field("tokenize"), name, "") == name);
    CHECK(evaluation_fields().size() == EvaluationSettings::fields().list().size());

    EvaluationSettings settings;
    settings.tokenize = "char";
    CHECK(evaluation_metric("bleu", settings, "de")->signature(1).find("tok:char") != std::string::npos);
    settings.tokenize = "auto";
    CHECK(evaluation_metric("bleu", settings, "zh")->signature(1).find("tok:zh") != std::string::npos);
    for (const auto& id : metric_ids()) CHECK_FALSE(evaluation_metric(id, settings, "de")->name().empty());
}

TEST_CASE("the table says which way is better and how a metric is called", "[metrics]") {
    CHECK(higher_is_better("bleu"));
    CHECK_FALSE(higher_is_better("ter"));
    CHECK(metric_name("chrf++") == "chrF++");
    CHECK(metric_name("of a later version") == "of a later version");
    CHECK(std::is_sorted(metric_table().begin(), metric_table().end(), [](const auto& a, const auto& b) { return a.id < b.id; }));
}

namespace {

// Words of the hypothesis; asks to stop when it has counted, or scored, so many times.
class Stopping final : public Metric {
public:
    Stopping(std::stop_source source, int most) : source_(std::move(source)), most_(most) {}
    std::string name() const override { return "words"; }
    std::size_t width() const override { return 1; }
    void count(std::string_view, std::span<const std::string_view>, std::span<double> row) const override {
        row[0] = 1;
        one_more();
    }
    MetricScore score(std::span<const double> sums) const override { return {sums[0], {}, {}}; }
    double resampled_score(std::span<const float> sums) const override {
        one_more();
        return static_cast<double>(sums[0]);
    }
    mutable int done = 0;

protected:
    std::string signature_settings() const override { return ""; }

private:
    void one_more() const {
        if (++done == most_) source_.request_stop();
    }
    mutable std::stop_source source_;
    int most_;
};

}  // namespace

TEST_CASE("scoring and resampling stop after the sentence and the resample in which they were asked to", "[metrics]") {
    const Lines lines(50, "a sentence");
    std::stop_source counting, resampling;
    const Stopping counted(counting, 7), resampled(resampling, 60);
    CHECK_THROWS_AS(evaluate(counted, lines, {lines}, {}, counting.get_token()), Stopped);
    CHECK(counted.done == 7);
    CHECK_THROWS_AS(evaluate(resampled, lines, {lines}, {1000, 1}, resampling.get_token()), Stopped);
    CHECK(resampled.done == 60);  // the 50 sentences and 10 resamples
}
