#include "ui/pages/results/results_page.h"

#include <QCheckBox>
#include <QComboBox>
#include <QFileDialog>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

#include "core/base/files.h"
#include "core/store/results.h"
#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

TableFormat format_of(const QString& file) {
    const QString ending = file.section(u'/', -1).section(u'.', -1).toLower();
    if (ending == u"tex") return TableFormat::latex;
    if (ending == u"markdown") return TableFormat::md;
    return table_format(plain(ending), plain(file));
}

}  // namespace

ResultsPage::ResultsPage(QWidget* parent)
    : Page(parent),
      studies_(new QComboBox),
      finished_(new QCheckBox(tr("Finished runs only"))),
      where_(new QLineEdit),
      count_(new QLabel),
      export_(new QPushButton(tr("Export…"))),
      table_(new QTableView) {
    studies_->addItem(tr("All studies"));
    studies_->setAccessibleName(tr("Study"));
    studies_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    finished_->setChecked(true);
    where_->setPlaceholderText(tr("Condition, for example: pair=it-en AND percent_base<=2%"));
    where_->setClearButtonEnabled(true);
    where_->setAccessibleName(tr("Condition on the results"));
    count_->setProperty("muted", true);
    export_->setToolTip(tr("CSV, TSV, Markdown, LaTeX or JSON"));
    auto* bar = new QHBoxLayout;
    bar->addWidget(studies_);
    bar->addWidget(where_, 1);
    bar->addWidget(finished_);
    bar->addWidget(count_);
    bar->addWidget(export_);

    proxy_.setSourceModel(&model_);
    proxy_.setSortRole(ResultsModel::sort_role);
    table_->setModel(&proxy_);
    table_->setAccessibleName(tr("Results"));
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSortingEnabled(true);
    table_->setAlternatingRowColors(true);
    table_->setShowGrid(false);
    table_->setWordWrap(false);
    table_->setTabKeyNavigation(false);
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(28);
    table_->horizontalHeader()->setHighlightSections(false);
    table_->horizontalHeader()->setMaximumSectionSize(280);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(14, 12, 14, 12);
    layout->setSpacing(10);
    layout->addLayout(bar);
    layout->addWidget(table_, 1);

    connect(studies_, &QComboBox::currentIndexChanged, this, [this] { refill(); });
    connect(finished_, &QCheckBox::toggled, this, [this] { refill(); });
    connect(where_, &QLineEdit::textChanged, this, [this] { refill(); });
    connect(export_, &QPushButton::clicked, this, &ResultsPage::chooseExport);
    connect(table_, &QTableView::activated, this,
            [this](const QModelIndex& index) { Q_EMIT runActivated(index.data(ResultsModel::id_role).toLongLong()); });
}

void ResultsPage::setSnapshot(const SnapshotPtr& snapshot) {
    snapshot_ = snapshot;
    QStringList names;
    for (const auto& study : snapshot->studies) names << text(study.name);
    QStringList shown;
    for (int i = 1; i < studies_->count(); ++i) shown << studies_->itemData(i).toString();
    if (names != shown) {
        const QVariant chosen = studies_->currentIndex() > 0 ? studies_->currentData() : QVariant();
        const QSignalBlocker block(studies_);
        while (studies_->count() > 1) studies_->removeItem(1);
        for (const QString& name : names) studies_->addItem(name.isEmpty() ? tr("Single runs") : name, name);
        studies_->setCurrentIndex(std::max(0, chosen.isValid() ? studies_->findData(chosen) : 0));
    }
    refill();
}

void ResultsPage::refill() {
    if (!snapshot_) return;
    std::vector<RunRow> runs;
    for (const auto& run : snapshot_->runs) {
        if (studies_->currentIndex() > 0 && text(run.spec.study) != studies_->currentData().toString()) continue;
        if (finished_->isChecked() && run.state != RunState::finished) continue;
        runs.push_back(run);
    }
    QString wrong;
    try {
        if (const QString condition = where_->text().trimmed(); !condition.isEmpty()) runs = Where(plain(condition)).select(runs);
    } catch (const Error& error) {
        // While one types most conditions are unfinished: say so at the field, show everything.
        wrong = text(error.found()) + (error.fix().empty() ? QString() : u"; "_s + text(error.fix()));
    }
    where_->setToolTip(wrong);
    if (where_->property("wrong").toBool() == wrong.isEmpty()) {
        where_->setProperty("wrong", !wrong.isEmpty());
        where_->setStyleSheet(where_->styleSheet());
    }
    const bool first = model_.columnCount() == 0;
    model_.setTable(results_table(runs));
    if (first) table_->sortByColumn(0, Qt::AscendingOrder);
    table_->resizeColumnsToContents();
    count_->setText(runs.size() == 1 ? tr("1 run") : tr("%1 runs").arg(runs.size()));
    export_->setEnabled(!runs.empty());
}

void ResultsPage::chooseExport() {
    if (model_.rowCount() == 0) {
        Q_EMIT noted(tr("There are no results to export yet."));
        return;
    }
    auto* files = new QFileDialog(this, tr("Export the table"));
    files->setAttribute(Qt::WA_DeleteOnClose);
    files->setAcceptMode(QFileDialog::AcceptSave);
    files->setNameFilters(
        {tr("CSV (*.csv)"), tr("Tab-separated (*.tsv)"), tr("Markdown (*.md)"), tr("LaTeX (*.tex)"), tr("JSON (*.json)")});
    files->setDefaultSuffix(u"csv"_s);
    connect(files, &QFileDialog::filterSelected, files,
            [files](const QString& filter) { files->setDefaultSuffix(filter.section(u"*."_s, 1).section(u')', 0, 0)); });
    connect(files, &QFileDialog::fileSelected, this, &ResultsPage::exportTo);
    files->open();
}

void ResultsPage::exportTo(const QString& file) {
    try {
        write_text(plain(file), permille::render(model_.table(), format_of(file)));
        Q_EMIT noted(tr("The table was written to %1.").arg(file));
    } catch (...) {
        Q_EMIT failed(problem_of(std::current_exception()));
    }
}

PageEntry results_page() {
    return {"results", ResultsPage::tr("&Results"), u"results"_s, [](PageHost&) { return new ResultsPage; }};
}

}  // namespace permille::ui
