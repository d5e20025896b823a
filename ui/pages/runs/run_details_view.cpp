#include "ui/pages/runs/run_details_view.h"

#include <QFile>
#include <QFontDatabase>
#include <QHeaderView>
#include <QLabel>
#include <QPlainTextEdit>
#include <QScrollBar>
#include <QTabWidget>
#include <QTableView>
#include <QTextBrowser>
#include <QVBoxLayout>

#include "ui/bridge/text.h"
#include "ui/item_models/runs_model.h"
#include "ui/widgets/chart_words.h"
#include "ui/widgets/curve_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

constexpr qint64 kLogBytes = 200'000;  // of the end of a log file

// Two columns of names and values.
class Sheet {
public:
    void heading(const QString& title) {
        html_ += u"<tr><td colspan='2' style='padding-top:8px'><b>%1</b></td></tr>"_s.arg(title.toHtmlEscaped());
    }
    void row(const QString& name, const QString& value) {
        if (value.isEmpty()) return;
        html_ += u"<tr><td style='padding-right:18px'>%1</td><td>%2</td></tr>"_s.arg(name.toHtmlEscaped(), value.toHtmlEscaped());
    }
    QString html() const { return u"<table cellspacing='0' cellpadding='1'>"_s + html_ + u"</table>"_s; }

private:
    QString html_;
};

QString shown_score(const Score& score) {
    QString line = u"%1 %2"_s.arg(shown_metric(score.metric)).arg(score.score, 0, 'f', 2);
    if (score.low && score.high) line += u" (95 % interval %1 to %2)"_s.arg(*score.low, 0, 'f', 2).arg(*score.high, 0, 'f', 2);
    return line;
}

QString tail_of(const QString& path) {
    QFile file(path);
    if (!file.open(QIODevice::ReadOnly)) return {};
    if (file.size() > kLogBytes) file.seek(file.size() - kLogBytes);
    return QString::fromUtf8(file.readAll());
}

}  // namespace

RunDetailsView::RunDetailsView(QWidget* parent)
    : QWidget(parent),
      tabs_(new QTabWidget),
      overview_(new QTextBrowser),
      curves_(new CurvePlot),
      scores_(new QLabel),
      log_(new QPlainTextEdit) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(tabs_);
    tabs_->setDocumentMode(true);

    overview_->setFrameShape(QFrame::NoFrame);
    overview_->setAccessibleName(tr("Facts of the run"));
    tabs_->addTab(overview_, tr("Overview"));
    tabs_->addTab(curves_, tr("Curves"));

    auto* translated = new QWidget;
    auto* translated_layout = new QVBoxLayout(translated);
    translated_layout->setContentsMargins(0, 6, 0, 0);
    scores_->setProperty("muted", true);
    scores_->setWordWrap(true);
    auto* table = new QTableView;
    table->setModel(&translations_);
    table->setAccessibleName(tr("Translations of the test set"));
    table->setWordWrap(true);
    table->setShowGrid(false);
    table->setAlternatingRowColors(true);
    table->setTabKeyNavigation(false);
    table->setFrameShape(QFrame::NoFrame);
    table->setVerticalScrollMode(QAbstractItemView::ScrollPerPixel);
    table->horizontalHeader()->setSectionResizeMode(QHeaderView::Stretch);
    table->verticalHeader()->setDefaultSectionSize(40);
    translated_layout->addWidget(scores_);
    translated_layout->addWidget(table, 1);
    tabs_->addTab(translated, tr("Translations"));

    log_->setReadOnly(true);
    log_->setFrameShape(QFrame::NoFrame);
    log_->setLineWrapMode(QPlainTextEdit::NoWrap);
    log_->setMaximumBlockCount(5000);
    log_->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
    log_->setAccessibleName(tr("Log of the run"));
    tabs_->addTab(log_, tr("Log"));
    setRun(nullptr);
}

void RunDetailsView::setRun(const RunRow* run) {
    const bool other = !run || !run_ || run->id != run_->id;
    if (run) run_ = *run;
    else run_.reset();
    if (other) {
        details_.reset();
        log_file_.clear();
        curves_->setMetrics({});
        translations_.setHypotheses({});
        scores_->setText(run ? tr("Not translated yet.") : QString());
        tabs_->setEnabled(run != nullptr);
        showLog();
    }
    showOverview();
}

void RunDetailsView::setDetails(const DetailsPtr& details) {
    if (!run_ || details->run != run_->id) return;
    details_ = details;
    curves_->setMetrics(details->metrics);
    translations_.setHypotheses(details->hypotheses);
    QStringList scores;
    for (const auto& evaluation : details->evaluations) {
        if (evaluation.split != "test") continue;
        scores << tr("%1 test sentences").arg(shown_count(evaluation.sentences));
        if (evaluation.seconds > 0) scores << tr("decoded in %1").arg(shown_duration(evaluation.seconds));
        for (const auto& score : evaluation.scores) scores << shown_score(score);
    }
    scores_->setText(scores.isEmpty() ? tr("Not translated yet.") : scores.join(u" · "_s));
    for (const auto& artifact : details->artifacts)
        if (artifact.kind == "log") log_file_ = text(artifact.path);
    showOverview();
    showLog();
}

void RunDetailsView::addLogLine(const QString& line) {
    live_lines_ << line;
    if (live_lines_.size() > 2000) live_lines_.removeFirst();
    if (run_ && log_file_.isEmpty() && run_->state == RunState::running) log_->appendPlainText(line);
}

QString RunDetailsView::overview() const { return overview_->toPlainText(); }

void RunDetailsView::showOverview() {
    if (!run_) {
        overview_->setHtml(u"<p>%1</p>"_s.arg(tr("Select a run to see its settings, curves and translations.")));
        return;
    }
    const RunRow& run = *run_;
    Sheet sheet;
    sheet.heading(tr("Run %1: %2").arg(run.id).arg(shown_run(run)));
    QString state = shown_state(run.state);
    if (run.state == RunState::running && !run.progress.doing.empty()) {
        state += u" · "_s + text(run.progress.doing);
        if (run.progress.total > 0) state += u" %1/%2"_s.arg(run.progress.done).arg(run.progress.total);
        if (run.progress.eta_seconds >= 0) state += u" · "_s + tr("%1 left").arg(shown_duration(run.progress.eta_seconds));
    }
    sheet.row(tr("State"), state);
    sheet.row(tr("Reason"), text(run.reason));
    if (run.score) {
        sheet.row(tr("Score"), shown_score(*run.score));
        sheet.row(tr("Signature"), text(run.score->signature));
    }
    sheet.row(tr("Study"), run.spec.study.empty() ? tr("single run") : text(run.spec.study));
    sheet.row(tr("Base"), text(run.spec.base));
    sheet.row(
        tr("Corpus"),
        tr("%1, %2 to %3").arg(text(run.spec.corpus), shown_language(run.spec.source_language), shown_language(run.spec.target_language)));
    if (run.facts.trainable > 0)
        sheet.row(tr("Trainable"),
                  tr("%1 parameters, %2 of the base").arg(shown_count(run.facts.trainable), shown_percent(run.facts.percent_base)));
    if (run.spec.budget_percent) sheet.row(tr("Budget asked for"), shown_percent(*run.spec.budget_percent));
    if (run.facts.train_sentences > 0) sheet.row(tr("Training sentences"), shown_count(run.facts.train_sentences));
    if (!run.spec.untouched()) {
        sheet.row(tr("Seed"), QString::number(run.spec.seed));
        sheet.row(tr("Updates"), tr("%1 of %2").arg(shown_count(run.updates_done), shown_count(run.spec.training.updates)));
    }
    if (run.best_step) sheet.row(tr("Best checkpoint"), tr("update %1").arg(*run.best_step));

    const Json& knobs = run.facts.settings.empty() ? run.spec.method_settings : run.facts.settings;
    if (knobs.is_object() && !knobs.empty()) {
        sheet.heading(tr("Settings of the method"));
        for (const auto& [key, value] : knobs.items()) sheet.row(shown_name(key), shown_value(value));
    }
    if (!run.spec.untouched()) {
        sheet.heading(tr("Training"));
        for (const auto& field : TrainingSettings::fields().list()) {
            const Json value = TrainingSettings::fields().to_json(run.spec.training).at(field.name);
            if (value != field.default_value || field.name == "updates" || field.name == "batch_tokens")
                sheet.row(shown_name(field.name), shown_value(value));
        }
    }
    sheet.heading(tr("How it went"));
    sheet.row(tr("Started"), shown_time(run.started.value_or(0)));
    sheet.row(tr("Finished"), shown_time(run.finished.value_or(0)));
    sheet.row(tr("Time of work"), run.seconds > 0 ? shown_duration(run.seconds) : QString());
    sheet.row(tr("Peak memory"), run.peak_memory_bytes > 0 ? shown_bytes(run.peak_memory_bytes) : QString());
    sheet.row(tr("Device"), text(run.facts.device));
    if (run.process > 0) sheet.row(tr("Process"), tr("%1 on %2").arg(run.process).arg(text(run.host)));
    sheet.row(tr("Folder"), text(run.facts.folder));
    sheet.row(tr("Versions"), shown_settings(run.facts.versions));
    if (details_)
        for (const auto& artifact : details_->artifacts) sheet.row(shown_name(artifact.kind), text(artifact.path));
    const QString html = sheet.html();
    if (overview_->property("shown").toString() == html) return;
    overview_->setProperty("shown", html);
    const int place = overview_->verticalScrollBar()->value();
    overview_->setHtml(html);
    overview_->verticalScrollBar()->setValue(place);
}

void RunDetailsView::showLog() {
    QString content;
    if (!log_file_.isEmpty()) content = tail_of(log_file_);
    else if (run_ && run_->state == RunState::running) content = live_lines_.join(u'\n');
    else if (run_ && !run_->reason.empty()) content = text(run_->reason);
    if (content.isEmpty()) content = run_ ? tr("No log.") : QString();
    if (log_->toPlainText() == content) return;
    const bool at_end = log_->verticalScrollBar()->value() >= log_->verticalScrollBar()->maximum() - 2;
    log_->setPlainText(content);
    if (at_end) log_->verticalScrollBar()->setValue(log_->verticalScrollBar()->maximum());
}

}  // namespace permille::ui
