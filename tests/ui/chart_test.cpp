#include <QFile>
#include <QImage>
#include <QSignalSpy>
#include <QTest>
#include <QXmlStreamReader>
#include <cmath>
#include <set>

#include "tests/ui/filled_store.h"
#include "tests/ui/ui_tests.h"
#include "ui/bridge/text.h"
#include "ui/widgets/budget_plot.h"
#include "ui/widgets/chart_drawing.h"
#include "ui/widgets/chart_words.h"
#include "ui/widgets/custom_plot.h"
#include "ui/widgets/render_chart.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::plain;

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
    void hoveringTellsTheSpreadAndTheRuns() {
        const auto told = [](const std::vector<RunRow>& runs) {
            const Chart chart = ui::chart_of(runs);
            return ui::told_about(chart.panels.at(0).series.at(0).points.at(0), chart);
        };
        const QString seeds = told({run(1, "lora", 2, 18, 1), run(2, "lora", 2, 20, 2), run(3, "lora", 2, 22, 3)});
        QVERIFY2(seeds.contains(u"BLEU 20.0 ± 2.0 (3 seeds)"_s) && seeds.contains(u"runs #1, #2, #3"_s), qPrintable(seeds));
        const QString one = told({run(1, "lora", 2, 18)});
        QVERIFY2(one.contains(u"BLEU 18.0 (17.0 to 20.0)"_s) && one.contains(u"run #1"_s), qPrintable(one));
    }

    void aMethodThatAddsAsMuchAsTheBaseIsAPoint() {
        // 100.2 % of the base, and yet not the base: trained copies of its feed-forward blocks.
        const auto chart = ui::chart_of({run(1, "full", 100, 25), run(2, "experts", 100.2, 22), run(3, "lora", 2, 18)});
        const auto& panel = chart.panels.at(0);
        QCOMPARE(panel.references.size(), std::size_t{1});
        QCOMPARE(panel.references[0].name, plain(ui::shown_method("full")));
        QCOMPARE(panel.series.size(), std::size_t{2});
    }

    void upIsTheBetterScore() {
        auto ter = run(1, "lora", 2, 60), worse = run(2, "lora", 0.5, 80), untouched = run(3, "none", 0, 90);
        for (RunRow* row : {&ter, &worse, &untouched}) row->score->metric = "ter";
        for (const bool rising : {true, false}) {
            const auto chart =
                rising ? ui::chart_of({run(1, "lora", 2, 18), run(2, "lora", 0.5, 8)}) : ui::chart_of({ter, worse, untouched});
            QCOMPARE(ui::score_title(chart).contains(u"lower is better"_s), !rising);
            QCustomPlot plot;
            plot.resize(600, 400);
            ui::ChartDrawing drawing(plot);
            drawing.draw(chart, ui::ChartStyle::light(), 600);
            plot.replot();
            const auto* axis = plot.axisRect()->axis(QCPAxis::atLeft);
            const double good = rising ? 18 : 60, bad = rising ? 8 : 80;
            QVERIFY(axis->coordToPixel(good) < axis->coordToPixel(bad));  // pixels count from the top
            for (const double value : {good, bad}) QVERIFY(axis->range().contains(value));
        }
    }

    void noTwoSeriesLookTheSame() {
        for (const auto& style : {ui::ChartStyle::light(), ui::ChartStyle::dark()}) {
            std::set<std::pair<QRgb, int>> looks;
            for (int i = 0; i < 64; ++i) looks.emplace(style.of_series(i).rgb(), ui::ChartStyle::shape_of_series(i));
            QCOMPARE(looks.size(), std::size_t{64});
        }
    }

    void titlesOfPanelsStayInTheChartHoweverTall() {
        const auto chart = ui::chart_of({run(1, "bitfit", 0.1, 9, 1, "it"), run(2, "lora", 2, 8, 1, "tr")});
        for (const int height : {300, 3000}) {
            QCustomPlot plot;
            plot.resize(800, height);
            ui::ChartDrawing drawing(plot);
            drawing.draw(chart, ui::ChartStyle::light(), 800);
            plot.replot();
            int titles = 0;
            for (int i = 0; i < plot.itemCount(); ++i) {
                const auto* text = qobject_cast<QCPItemText*>(plot.item(i));
                if (!text || (plain(text->text()) != chart.panels[0].title && plain(text->text()) != chart.panels[1].title)) continue;
                ++titles;
                QVERIFY2(text->topLeft->pixelPosition().y() >= 0, qPrintable(text->text()));
                const auto* rect = text->position->axisRect();
                QVERIFY(text->bottomLeft->pixelPosition().y() <= rect->top() + 1);
            }
            QCOMPARE(titles, 2);
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
        plot.setData(ui::chart_of({run(1, "lora", 2, 18), run(2, "lora", 0.5, 15)}));
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
