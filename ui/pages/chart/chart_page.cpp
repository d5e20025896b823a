#include "ui/pages/chart/chart_page.h"

#include <QComboBox>
#include <QDialog>
#include <QDialogButtonBox>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFormLayout>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QVBoxLayout>
#include <algorithm>

#include "ui/bridge/text.h"
#include "ui/widgets/budget_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

ChartPage::ChartPage(QWidget* parent)
    : Page(parent),
      studies_(new QComboBox),
      pairs_(new QComboBox),
      metrics_(new QComboBox),
      x_(new QComboBox),
      export_(new QPushButton(tr("Export…"))),
      hint_(new QLabel(tr("Hover a point to see its run, click to open it; wheel and drag to zoom and move, double click to see all."))),
      plot_(new BudgetPlot) {
    studies_->addItem(tr("All studies"));
    pairs_->addItem(tr("All pairs"));
    for (const std::string& name : against_names()) {
        const Against x = against_named(name, "axis");
        x_->addItem(axis_title(x), static_cast<int>(x));
    }
    auto* reset = new QPushButton(tr("Reset view"));
    auto* bar = new QHBoxLayout;
    const auto add = [&](const QString& name, QComboBox* box) {
        auto* label = new QLabel(name);
        label->setBuddy(box);
        box->setAccessibleName(name);
        box->setSizeAdjustPolicy(QComboBox::AdjustToContents);
        bar->addWidget(label);
        bar->addWidget(box);
        bar->addSpacing(8);
        connect(box, &QComboBox::currentIndexChanged, this, [this] { redraw(); });
    };
    add(tr("Study"), studies_);
    add(tr("Pair"), pairs_);
    add(tr("Score"), metrics_);
    add(tr("Against"), x_);
    bar->addStretch(1);
    bar->addWidget(reset);
    bar->addWidget(export_);
    hint_->setProperty("muted", true);
    hint_->setWordWrap(true);

    auto* frame = new QFrame;
    frame->setProperty("card", true);
    auto* frame_layout = new QVBoxLayout(frame);
    frame_layout->setContentsMargins(12, 8, 12, 8);
    frame_layout->addWidget(plot_);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(14, 12, 14, 12);
    layout->setSpacing(10);
    layout->addLayout(bar);
    layout->addWidget(frame, 1);
    layout->addWidget(hint_);

    connect(reset, &QPushButton::clicked, plot_, &BudgetPlot::resetView);
    connect(export_, &QPushButton::clicked, this, &ChartPage::chooseExport);
    connect(plot_, &BudgetPlot::runActivated, this, &ChartPage::runActivated);
    redraw();
}

void ChartPage::setSnapshot(const SnapshotPtr& snapshot) {
    snapshot_ = snapshot;
    QStringList names{tr("All studies")}, pairs{tr("All pairs")}, metrics;
    QList<QVariant> studies{QVariant()}, pair_values{QVariant()}, metric_values;
    for (const auto& study : snapshot->studies) {
        names << (study.name.empty() ? tr("Single runs") : text(study.name));
        studies << text(study.name);
    }
    for (const auto& run : snapshot->runs)
        if (const QString pair = shown_pair(run.spec); !pairs.contains(pair)) {
            pairs << pair;
            pair_values << pair;
        }
    for (const auto& metric : metrics_of(snapshot->runs)) {
        metrics << shown_metric(metric);
        metric_values << text(metric);
    }
    refill(studies_, names, studies);
    refill(pairs_, pairs, pair_values);
    refill(metrics_, metrics, metric_values);
    redraw();
}

void ChartPage::showStudy(const QString& study) { studies_->setCurrentIndex(std::max(0, study.isEmpty() ? 0 : studies_->findData(study))); }

void ChartPage::refill(QComboBox* box, const QStringList& names, const QList<QVariant>& values) {
    QStringList shown;
    for (int i = 0; i < box->count(); ++i) shown << box->itemText(i);
    if (shown == names) return;
    const QString chosen = box->currentText();
    const QSignalBlocker block(box);
    box->clear();
    for (int i = 0; i < names.size(); ++i) box->addItem(names[i], values[i]);
    box->setCurrentIndex(std::max(0, static_cast<int>(names.indexOf(chosen))));
    box->setEnabled(names.size() > 1);
}

void ChartPage::redraw() {
    ChartRequest request;
    request.x = static_cast<Against>(x_->currentData().toInt());
    request.metric = plain(metrics_->currentData().toString());
    std::vector<RunRow> runs;
    if (snapshot_)
        for (const auto& run : snapshot_->runs) {
            if (studies_->currentIndex() > 0 && text(run.spec.study) != studies_->currentData().toString()) continue;
            if (pairs_->currentIndex() > 0 && shown_pair(run.spec) != pairs_->currentText()) continue;
            runs.push_back(run);
        }
    plot_->setData(chart_of(runs, request));
    export_->setEnabled(!plot_->data().panels.empty());
    hint_->setVisible(!plot_->data().panels.empty());
}

void ChartPage::chooseExport() {
    if (plot_->data().panels.empty()) {
        Q_EMIT noted(tr("There is no finished run to draw yet."));
        return;
    }
    auto* dialog = new QDialog(this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setWindowTitle(tr("Export the chart"));
    auto* form = new QFormLayout(dialog);
    const auto number = [&](const QString& name, double value, double low, double high, const QString& unit) {
        auto* box = new QDoubleSpinBox;
        box->setRange(low, high);
        box->setDecimals(0);
        box->setValue(value);
        box->setSuffix(u' ' + unit);
        form->addRow(name, box);
        return box;
    };
    auto* width = number(tr("&Width"), ChartFile{}.width_mm, 20, 2000, u"mm"_s);
    auto* height = number(tr("&Height"), ChartFile{}.height_mm, 20, 2000, u"mm"_s);
    auto* dots = number(tr("&Resolution of PNG"), ChartFile{}.dots_per_inch, 36, 1200, u"dpi"_s);
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Cancel);
    buttons->addButton(tr("Choose the file…"), QDialogButtonBox::AcceptRole);
    form->addRow(buttons);
    connect(buttons, &QDialogButtonBox::rejected, dialog, &QDialog::reject);
    connect(buttons, &QDialogButtonBox::accepted, dialog, &QDialog::accept);
    connect(dialog, &QDialog::accepted, this, [this, width, height, dots] {
        const ChartFile options{width->value(), height->value(), dots->value()};
        auto* files = new QFileDialog(this, tr("Export the chart"));
        files->setAttribute(Qt::WA_DeleteOnClose);
        files->setAcceptMode(QFileDialog::AcceptSave);
        files->setNameFilters({tr("PDF (*.pdf)"), tr("SVG (*.svg)"), tr("PNG (*.png)")});
        files->setDefaultSuffix(u"pdf"_s);
        connect(files, &QFileDialog::filterSelected, files, [files](const QString& filter) {
            files->setDefaultSuffix(filter.contains(u"svg"_s) ? u"svg"_s : filter.contains(u"png"_s) ? u"png"_s : u"pdf"_s);
        });
        connect(files, &QFileDialog::fileSelected, this, [this, options](const QString& file) { exportTo(file, options); });
        files->open();
    });
    dialog->open();
}

void ChartPage::exportTo(const QString& file, const ChartFile& options) {
    try {
        write_chart(plot_->data(), plain(file), options);
        Q_EMIT noted(tr("The chart was written to %1.").arg(file));
    } catch (...) {
        Q_EMIT failed(problem_of(std::current_exception()));
    }
}

PageEntry chart_page() {
    return {"chart", ChartPage::tr("&Chart"), u"chart"_s, [](PageHost&) { return new ChartPage; }};
}

}  // namespace permille::ui
