#include <QFile>
#include <QImage>
#include <QSignalSpy>
#include <QTest>
#include <QXmlStreamReader>
#include <cmath>
#include <set>

#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/widgets/budget_plot.h"
#include "ui/widgets/chart_data.h"
#include "ui/widgets/chart_drawing.h"
#include "ui/widgets/custom_plot.h"
#include "ui/widgets/render_chart.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::ChartReference;

namespace {

RunRow run(std::int64_t id, const char* method, double percent, double score, std::int64_t seed = 1, const char* source = "it") {
    RunRow row;
    row.id = id;
    row.state = RunState::finished;
    row.spec.base = "base";
    row.spec.corpus = std::string(source) + "-en";
    row.spec.source_language = source;
    row.spec.target_language = "en";
    row.spec.method = method;
    row.spec.seed = seed;
    row.spec.train_sentences = row.spec.method == "none" ? 0 : 1000;
    if (percent > 0 && percent < 99) row.spec.budget_percent = percent;
    row.facts.percent_base = percent;
    row.facts.trainable = static_cast<std::int64_t>(percent * 1000);
    row.facts.train_sentences = row.spec.train_sentences;
    row.score = Score{"bleu", "sig", score, score - 1, score + 2};
    return row;
}

const ui::ChartSeries* series(const ui::ChartPanel& panel, const QString& start) {
    for (const auto& entry : panel.series)
        if (entry.name.startsWith(start)) return &entry;
    return nullptr;
}

QByteArray content(const std::filesystem::path& file) {
    QFile opened(QString::fromStdString(file.string()));
    return opened.open(QIODevice::ReadOnly) ? opened.readAll() : QByteArray();
}

// The words of an SVG.
QString words(const QByteArray& svg, bool& parses) {
    QXmlStreamReader reader(svg);
    QString all;
    while (!reader.atEnd())
        if (reader.readNext() == QXmlStreamReader::Characters) all += reader.text().toString() + u'\n';
    parses = !reader.hasError();
    return all;
}

}  // namespace

class ChartTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void oneSeriesPerMethodAndReferenceLines() {
        const auto chart = ui::chart_data(
            {run(1, "none", 0, 5), run(2, "full", 100, 25), run(3, "lora", 2, 18), run(4, "lora", 0.5, 12), run(5, "bitfit", 0.1, 9)});
        QCOMPARE(chart.panels.size(), std::size_t{1});
        const auto& panel = chart.panels.front();
        QCOMPARE(panel.series.size(), std::size_t{2});
        const auto* lora = series(panel, ui::shown_method("lora"));
        QVERIFY(lora);
        QCOMPARE(lora->points.size(), std::size_t{2});
        QCOMPARE(lora->points[0].x, 0.5);  // by x, not by run
        QCOMPARE(lora->points[0].y, 12.0);
        QCOMPARE(lora->points[0].runs, std::vector<std::int64_t>{4});
        QCOMPARE(panel.references.size(), std::size_t{2});
        QCOMPARE(panel.references[0].kind, ChartReference::Kind::full);
        QCOMPARE(panel.references[0].point.y, 25.0);
        QCOMPARE(panel.references[1].kind, ChartReference::Kind::untouched);
        QCOMPARE(panel.references[1].point.y, 5.0);
        QCOMPARE(chart.y_title, u"BLEU"_s);
    }

    void oneSeedHasItsBootstrapInterval() {
        const auto chart = ui::chart_data({run(1, "lora", 2, 18)});
        const auto& point = chart.panels.front().series.front().points.front();
        QCOMPARE(point.low.value(), 17.0);
        QCOMPARE(point.high.value(), 20.0);
        QVERIFY(chart.note.contains(u"bootstrap"_s) && chart.note.contains(u"N = 1"_s));
    }

    void severalSeedsAreOnePointWithTheirSpread() {
        const auto chart = ui::chart_data({run(1, "lora", 2, 18, 1), run(2, "lora", 2, 20, 2), run(3, "lora", 2, 22, 3)});
        const auto& points = chart.panels.front().series.front().points;
        QCOMPARE(points.size(), std::size_t{1});
        QCOMPARE(points[0].y, 20.0);
        QCOMPARE(points[0].low.value(), 18.0);  // the sample standard deviation of 18, 20, 22 is 2
        QCOMPARE(points[0].high.value(), 22.0);
        QCOMPARE(points[0].runs, (std::vector<std::int64_t>{1, 2, 3}));
        QVERIFY(chart.note.contains(u"N = 3"_s));
        QVERIFY(points[0].text.contains(u"3 seeds"_s));
    }

    void theSameExperimentOfTwoStudiesCountsOnce() {
        auto first = run(1, "lora", 2, 18), second = run(2, "lora", 2, 18.5);
        first.spec.study = "a";
        second.spec.study = "b";
        const auto chart = ui::chart_data({first, second});
        const auto& points = chart.panels.front().series.front().points;
        QCOMPARE(points.size(), std::size_t{1});
        QCOMPARE(points[0].runs, std::vector<std::int64_t>{2});
    }

    void noTwoSeriesLookTheSame() {
        for (const auto& style : {ui::ChartStyle::light(), ui::ChartStyle::dark()}) {
            std::set<std::pair<QRgb, int>> looks;
            for (int i = 0; i < 64; ++i) looks.emplace(style.of_series(i).rgb(), ui::ChartStyle::shape_of_series(i));
            QCOMPARE(looks.size(), std::size_t{64});
        }
    }

    void pairsGetPanelsAndMethodsKeepTheirLook() {
        const auto chart = ui::chart_data({run(1, "bitfit", 0.1, 9, 1, "it"), run(2, "lora", 2, 18, 1, "it"), run(3, "lora", 2, 8, 1, "tr"),
                                           run(4, "none", 0, 3, 1, "tr")});
        QCOMPARE(chart.panels.size(), std::size_t{2});
        QCOMPARE(chart.panels[0].title, u"it → en"_s);
        QCOMPARE(chart.panels[1].title, u"tr → en"_s);
        const auto lora = ui::shown_method("lora");
        QCOMPARE(series(chart.panels[0], lora)->style, series(chart.panels[1], lora)->style);
        QVERIFY(chart.panels[0].references.empty());
        QCOMPARE(chart.panels[1].references.size(), std::size_t{1});
    }

    void titlesOfPanelsStayInTheChartHoweverTall() {
        const auto chart = ui::chart_data({run(1, "bitfit", 0.1, 9, 1, "it"), run(2, "lora", 2, 8, 1, "tr")});
        for (const int height : {300, 3000}) {
            QCustomPlot plot;
            plot.resize(800, height);
            ui::ChartDrawing drawing(plot);
            drawing.draw(chart, ui::ChartStyle::light(), 800);
            plot.replot();
            int titles = 0;
            for (int i = 0; i < plot.itemCount(); ++i) {
                const auto* text = qobject_cast<QCPItemText*>(plot.item(i));
                if (!text || (text->text() != chart.panels[0].title && text->text() != chart.panels[1].title)) continue;
                ++titles;
                QVERIFY2(text->topLeft->pixelPosition().y() >= 0, qPrintable(text->text()));
                const auto* rect = text->position->axisRect();
                QVERIFY(text->bottomLeft->pixelPosition().y() <= rect->top() + 1);
            }
            QCOMPARE(titles, 2);
        }
    }

    void dataSizesAreNeverMixedInOnePanel() {
        auto small = run(1, "lora", 2, 10), large = run(2, "lora", 2, 18), untouched = run(3, "none", 0, 4);
        small.spec.train_sentences = small.facts.train_sentences = 500;
        const auto chart = ui::chart_data({small, large, untouched});
        QCOMPARE(chart.panels.size(), std::size_t{2});
        for (const auto& panel : chart.panels) {
            QCOMPARE(panel.series.front().points.size(), std::size_t{1});
            QCOMPARE(panel.references.size(), std::size_t{1});  // the untouched base belongs to both
        }
    }

    void dataSizesCanBeTheAxis() {
        auto small = run(1, "lora", 2, 10), large = run(2, "lora", 2, 18), full = run(3, "full", 100, 20);
        small.spec.train_sentences = small.facts.train_sentences = 500;
        ui::ChartRequest request;
        request.x = ui::ChartX::train_sentences;
        const auto chart = ui::chart_data({small, large, full}, request);
        QCOMPARE(chart.panels.size(), std::size_t{1});
        QCOMPARE(chart.panels[0].series.size(), std::size_t{2});  // full fine-tuning is a series here
        QCOMPARE(series(chart.panels[0], ui::shown_method("lora"))->points.size(), std::size_t{2});
    }

    void unfinishedAndUnscoredRunsAreLeftOut() {
        auto failed = run(1, "lora", 2, 18), nan = run(2, "lora", 0.5, std::nan(""));
        failed.state = RunState::failed;
        QVERIFY(ui::chart_data({failed, nan}).panels.empty());
        QVERIFY(ui::chart_data({}).panels.empty());
    }

    void wrongNamesTellTheKnownOnes() {
        try {
            ui::chart_x("size", "--x");
            QFAIL("no error");
        } catch (const Error& error) {
            QCOMPARE(error.kind(), ErrorKind::usage);
            QVERIFY(error.fix().find("trainable_percent") != std::string::npos);
        }
    }

    void svgHoldsTheLabels() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const auto runs = Store(in(folder, "a.db")).runs();
        ui::render_chart(runs, in(folder, "chart.svg"));
        bool parses = false;
        const QByteArray svg = content(in(folder, "chart.svg"));
        const QString all = words(svg, parses);
        QVERIFY(parses);
        for (const QString& word : {u"it → en"_s, u"tr → en"_s, ui::shown_method("lora"), ui::shown_method("bottleneck"),
                                    ui::shown_method("bitfit"), u"BLEU"_s, u"Untouched base 6.4"_s, u"0.5"_s, u"10"_s})
            QVERIFY2(all.contains(word), qPrintable(word));
        QVERIFY(svg.contains("width=\"160"));  // millimetres
    }

    void pdfAndPngAreWritten() {
        const QTemporaryDir folder;
        fill_store(in(folder, "a.db"));
        const auto runs = Store(in(folder, "a.db")).runs();
        ui::ChartFile options;
        options.width_mm = 80;
        options.height_mm = 60;
        options.dots_per_inch = 254;
        ui::render_chart(runs, in(folder, "chart.pdf"), {}, options);
        const QByteArray pdf = content(in(folder, "chart.pdf"));
        QVERIFY(pdf.startsWith("%PDF-"));
        QVERIFY(pdf.size() > 3000);
        ui::render_chart(runs, in(folder, "chart.png"), {}, options);
        const QImage image(QString::fromStdString(in(folder, "chart.png").string()));
        QVERIFY(std::abs(image.width() - 800) < 8);
        QVERIFY(std::abs(image.height() - 600) < 8);
        QCOMPARE(image.pixelColor(1, 1), QColor(Qt::white));
    }

    void badFilesAreRefused() {
        const QTemporaryDir folder;
        const auto kind_of = [&](const std::vector<RunRow>& runs, const char* name, const ui::ChartFile& options = {}) {
            try {
                ui::render_chart(runs, in(folder, name), {}, options);
            } catch (const Error& error) {
                return error.kind();
            }
            return ErrorKind::internal;
        };
        const std::vector<RunRow> some{run(1, "lora", 2, 18)};
        QCOMPARE(kind_of(some, "chart.docx"), ErrorKind::usage);
        QFile occupied(folder.filePath(u"occupied"_s));
        QVERIFY(occupied.open(QIODevice::WriteOnly));
        QCOMPARE(kind_of(some, "occupied/chart.svg"), ErrorKind::file);
        QCOMPARE(kind_of({}, "chart.svg"), ErrorKind::config);
        ui::ChartFile tiny;
        tiny.width_mm = 1;
        QCOMPARE(kind_of(some, "chart.svg", tiny), ErrorKind::usage);
    }

    void plotDrawsAndKeepsItsData() {
        ui::BudgetPlot plot;
        plot.resize(600, 400);
        plot.setData(ui::chart_data({run(1, "lora", 2, 18), run(2, "lora", 0.5, 15)}));
        plot.show();
        QVERIFY(QTest::qWaitForWindowExposed(&plot));
        QSignalSpy clicked(&plot, &ui::BudgetPlot::runActivated);
        QCOMPARE(plot.data().panels.size(), std::size_t{1});
        // Somewhere on the picture a click finds each of the two points.
        QSet<qint64> found;
        auto* canvas = plot.findChildren<QWidget*>().front();
        for (int y = 0; y < canvas->height(); y += 7)
            for (int x = 0; x < canvas->width(); x += 7) {
                QTest::mouseClick(canvas, Qt::LeftButton, Qt::NoModifier, QPoint(x, y));
                while (!clicked.isEmpty()) found << clicked.takeFirst().first().toLongLong();
            }
        QCOMPARE(found, (QSet<qint64>{1, 2}));
    }
};

std::unique_ptr<QObject> make_chart_test() { return std::make_unique<ChartTest>(); }

}  // namespace permille::test

#include "chart_test.moc"
