#include "ui/pages/runs/runs_page.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QMenu>
#include <QPushButton>
#include <QScrollBar>
#include <QSplitter>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>

#include "ui/bridge/text.h"
#include "ui/pages/runs/run_details_view.h"
#include "ui/widgets/progress_delegate.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

const std::vector<RunState> kStoppable = {RunState::running, RunState::queued, RunState::interrupted};
const std::vector<RunState> kRequeueable = {RunState::failed, RunState::cancelled, RunState::skipped, RunState::stopped,
                                            RunState::interrupted};

}  // namespace

RunsPage::RunsPage(QWidget* parent)
    : Page(parent),
      words_(new QLineEdit),
      studies_(new QComboBox),
      states_(new QComboBox),
      count_(new QLabel),
      table_(new QTableView),
      details_(new RunDetailsView),
      stop_(new QPushButton(tr("Stop"))),
      requeue_(new QPushButton(tr("Run again"))) {
    words_->setPlaceholderText(tr("Filter: method, pair, state, …"));
    words_->setClearButtonEnabled(true);
    words_->setAccessibleName(tr("Filter the runs"));
    studies_->setAccessibleName(tr("Study"));
    studies_->addItem(tr("All studies"));
    studies_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    states_->setAccessibleName(tr("State"));
    states_->addItem(tr("Any state"));
    for (const RunState state : kRunStates) states_->addItem(shown_state(state), static_cast<int>(state));
    count_->setProperty("muted", true);
    stop_->setToolTip(tr("Asks the selected runs to save and stop; waiting ones are cancelled"));
    requeue_->setToolTip(tr("Puts failed, cancelled, skipped, stopped or interrupted runs back into the queue of their study"));
    auto* bar = new QHBoxLayout;
    bar->addWidget(words_, 1);
    bar->addWidget(studies_);
    bar->addWidget(states_);
    bar->addWidget(count_);
    bar->addSpacing(8);
    bar->addWidget(stop_);
    bar->addWidget(requeue_);

    proxy_.setSourceModel(&model_);
    table_->setModel(&proxy_);
    table_->setAccessibleName(tr("Runs"));
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSelectionMode(QAbstractItemView::ExtendedSelection);
    table_->setSortingEnabled(true);
    table_->sortByColumn(RunsModel::id, Qt::AscendingOrder);
    table_->setAlternatingRowColors(true);
    table_->setShowGrid(false);
    table_->setWordWrap(false);
    table_->setTabKeyNavigation(false);
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(28);
    table_->setContextMenuPolicy(Qt::CustomContextMenu);
    table_->setItemDelegateForColumn(RunsModel::progress, new ProgressDelegate(RunsModel::share_role, table_));
    auto* header = table_->horizontalHeader();
    header->setHighlightSections(false);
    header->setStretchLastSection(false);
    const std::pair<int, int> widths[] = {{RunsModel::id, 56},     {RunsModel::state, 104},    {RunsModel::study, 90},
                                          {RunsModel::base, 112},  {RunsModel::pair, 72},      {RunsModel::method, 134},
                                          {RunsModel::budget, 62}, {RunsModel::trainable, 78}, {RunsModel::sentences, 82},
                                          {RunsModel::seed, 48},   {RunsModel::score, 56},     {RunsModel::time, 84}};
    for (const auto& [column, width] : widths) header->resizeSection(column, width);
    header->resizeSection(RunsModel::progress, 180);
    header->setMinimumSectionSize(40);

    auto* splitter = new QSplitter(Qt::Vertical);
    splitter->addWidget(table_);
    splitter->addWidget(details_);
    splitter->setChildrenCollapsible(false);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 3);
    splitter->setHandleWidth(10);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(14, 12, 14, 12);
    layout->setSpacing(10);
    layout->addLayout(bar);
    layout->addWidget(splitter, 1);

    connect(words_, &QLineEdit::textChanged, this, [this](const QString& words) {
        proxy_.setWords(words);
        updateCount();
    });
    connect(studies_, &QComboBox::currentIndexChanged, this, [this](int index) {
        proxy_.setStudy(index > 0 ? std::optional(studies_->itemData(index).toString()) : std::nullopt);
        updateCount();
    });
    connect(states_, &QComboBox::currentIndexChanged, this, [this](int index) {
        proxy_.setState(index > 0 ? std::optional(static_cast<RunState>(states_->itemData(index).toInt())) : std::nullopt);
        updateCount();
    });
    connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, [this] { select(); });
    connect(stop_, &QPushButton::clicked, this, [this] { Q_EMIT stopRequested(selected(kStoppable)); });
    connect(requeue_, &QPushButton::clicked, this, [this] { Q_EMIT requeueRequested(selected(kRequeueable)); });
    connect(table_, &QWidget::customContextMenuRequested, this, [this](const QPoint& place) {
        auto* menu = new QMenu(table_);
        menu->setAttribute(Qt::WA_DeleteOnClose);
        menu->addAction(stop_->text(), stop_, &QPushButton::click)->setEnabled(stop_->isEnabled());
        menu->addAction(requeue_->text(), requeue_, &QPushButton::click)->setEnabled(requeue_->isEnabled());
        menu->popup(table_->viewport()->mapToGlobal(place));
    });
    updateButtons();
}

void RunsPage::setSnapshot(const SnapshotPtr& snapshot) {
    loaded_ = true;
    model_.setRuns(snapshot->runs);
    updateStudies(*snapshot);
    updateCount();
    if (wanted_ >= 0) showRun(wanted_);
    if (!chosen_) follow(*snapshot);
    details_->setRun(model_.find(current_));
    updateButtons();
}

void RunsPage::setDetails(const DetailsPtr& details) {
    answered_ = details->run;
    details_->setDetails(details);
}

bool RunsPage::settled() const { return loaded_ && wanted_ < 0 && (current_ < 0 || answered_ == current_); }

void RunsPage::follow(const StoreSnapshot& snapshot) {
    const auto& runs = snapshot.runs;
    if (runs.empty()) return;
    auto shown = std::find_if(runs.begin(), runs.end(), [](const RunRow& run) { return run.state == RunState::running; });
    if (shown == runs.end()) {
        // Nothing goes on: what is shown stays, or the last one that is done is.
        if (current_ >= 0 && model_.find(current_)) return;
        const auto last = std::find_if(runs.rbegin(), runs.rend(), [](const RunRow& run) { return run.state == RunState::finished; });
        shown = last == runs.rend() ? runs.begin() : std::prev(last.base());
    }
    if (shown->id == current_) return;
    const QModelIndex row = model_.indexOf(shown->id);
    if (!proxy_.mapFromSource(row).isValid()) return;  // filtered out: the user is looking for something else
    selectRow(row);
    chosen_ = false;
}

void RunsPage::showRun(std::int64_t run) {
    const QModelIndex source = model_.indexOf(run);
    if (!source.isValid()) {
        wanted_ = run;  // the snapshot with it is still on its way
        return;
    }
    wanted_ = -1;
    chosen_ = true;
    if (!proxy_.mapFromSource(source).isValid()) {
        words_->clear();
        studies_->setCurrentIndex(0);
        states_->setCurrentIndex(0);
    }
    selectRow(source);
}

void RunsPage::selectRow(const QModelIndex& source) {
    const QModelIndex shown = proxy_.mapFromSource(source);
    table_->selectionModel()->setCurrentIndex(shown, QItemSelectionModel::ClearAndSelect | QItemSelectionModel::Rows);
    table_->scrollTo(shown);
}

void RunsPage::addLogLine(const QString& line) { details_->addLogLine(line); }

QList<qint64> RunsPage::selected(const std::vector<RunState>& states) const {
    QList<qint64> ids;
    for (const QModelIndex& index : table_->selectionModel()->selectedRows()) {
        const RunRow* run = model_.find(index.data(RunsModel::id_role).toLongLong());
        if (run && std::find(states.begin(), states.end(), run->state) != states.end()) ids << run->id;
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

void RunsPage::select() {
    const auto rows = table_->selectionModel()->selectedRows();
    const std::int64_t run = rows.isEmpty() ? -1 : rows.last().data(RunsModel::id_role).toLongLong();
    if (run != current_) {
        current_ = run;
        chosen_ = run >= 0;
        details_->setRun(model_.find(run));
        Q_EMIT runSelected(run);
    }
    updateButtons();
}

void RunsPage::updateButtons() {
    stop_->setEnabled(!selected(kStoppable).isEmpty());
    requeue_->setEnabled(!selected(kRequeueable).isEmpty());
}

void RunsPage::updateStudies(const StoreSnapshot& snapshot) {
    QStringList names;
    for (const auto& study : snapshot.studies) names << text(study.name);
    QStringList shown;
    for (int i = 1; i < studies_->count(); ++i) shown << studies_->itemData(i).toString();
    if (names == shown) return;
    const QVariant chosen = studies_->currentIndex() > 0 ? studies_->currentData() : QVariant();
    const QSignalBlocker block(studies_);
    while (studies_->count() > 1) studies_->removeItem(1);
    for (const QString& name : names) studies_->addItem(name.isEmpty() ? tr("Single runs") : name, name);
    const int place = chosen.isValid() ? studies_->findData(chosen) : 0;
    studies_->setCurrentIndex(std::max(0, place));
    if (place < 0) proxy_.setStudy(std::nullopt);
}

void RunsPage::updateCount() {
    const int shown = proxy_.rowCount(), all = model_.rowCount();
    count_->setText(shown == all ? tr("%n run(s)", nullptr, all).replace(u"(s)"_s, all == 1 ? QString() : u"s"_s)
                                 : tr("%1 of %2 runs").arg(shown).arg(all));
}

PageEntry runs_page() {
    return {"runs", RunsPage::tr("R&uns"), u"runs"_s, [](PageHost& window) {
                auto* page = new RunsPage;
                QObject::connect(&window.watcher(), &StoreWatcher::detailsChanged, page, &RunsPage::setDetails);
                QObject::connect(&window.runner(), &RunController::logLine, page, &RunsPage::addLogLine);
                QObject::connect(page, &RunsPage::runSelected, page, [&window](qint64 run) {
                    window.watcher().watchRun(run < 0 ? std::nullopt : std::optional<std::int64_t>(run));
                });
                QObject::connect(page, &RunsPage::stopRequested, page, [&window](const QList<qint64>& runs) {
                    window.watcher().post([runs](Store& store) {
                        for (const qint64 id : runs) {
                            if (store.run(id).state == RunState::running) store.request_stop(id);
                            else store.set_state(id, RunState::cancelled, "cancelled by hand");
                        }
                    });
                });
                QObject::connect(page, &RunsPage::requeueRequested, page, [&window](const QList<qint64>& runs) {
                    window.watcher().post([runs](Store& store) {
                        for (const qint64 id : runs) store.requeue(id);
                    });
                    if (!window.runner().active()) window.note(RunsPage::tr("Queued again; Run > Resume works through the queue."), 8000);
                });
                return page;
            }};
}

}  // namespace permille::ui
