#include "ui/pages/bases/bases_page.h"

#include <QFileDialog>
#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QProgressBar>
#include <QPushButton>
#include <QShowEvent>
#include <QTableView>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>

#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

bool same_rows(const std::vector<BaseRow>& a, const std::vector<BaseRow>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const BaseRow& x, const BaseRow& y) { return x.name == y.name && x.path == y.path; });
}

}  // namespace

BasesPage::BasesPage(BaseWork work, QWidget* parent)
    : Page(parent),
      keeper_(std::move(work)),
      table_(new QTableView),
      name_(new QLineEdit),
      count_(new QLabel),
      doing_(new QLabel),
      progress_(new QProgressBar),
      download_(new QPushButton(tr("Download"))),
      cancel_(new QPushButton(tr("Cancel"))),
      folder_(new QPushButton(tr("Add folder…"))),
      remove_(new QPushButton(tr("Remove…"))),
      use_(new QPushButton(tr("Use in study"))),
      progress_row_(new QWidget) {
    proxy_.setSourceModel(&model_);
    proxy_.setSortRole(BasesModel::sort_role);
    makeLayout();
    connectKeeper();
    connect(name_, &QLineEdit::returnPressed, this, [this] { download(name_->text().trimmed()); });
    connect(name_, &QLineEdit::textChanged, this, [this] { updateButtons(); });
    connect(download_, &QPushButton::clicked, this, [this] { download(name_->text().trimmed()); });
    connect(cancel_, &QPushButton::clicked, this, [this] {
        cancel_->setEnabled(false);
        keeper_.cancel();
    });
    connect(folder_, &QPushButton::clicked, this, [this] { chooseFolder(); });
    connect(remove_, &QPushButton::clicked, this, [this] { removeSelected(); });
    connect(use_, &QPushButton::clicked, this, [this] {
        if (const KnownBase* base = selected()) Q_EMIT useRequested(text(base->name));
    });
    connect(table_, &QTableView::activated, use_, &QPushButton::click);
    connect(table_->selectionModel(), &QItemSelectionModel::selectionChanged, this, [this] { updateButtons(); });
    setDownloading(false);
}

void BasesPage::makeLayout() {
    name_->setPlaceholderText(tr("From the hub: OWNER/NAME, for example facebook/m2m100_418M"));
    name_->setClearButtonEnabled(true);
    name_->setAccessibleName(tr("Name of a model on the hub"));
    download_->setToolTip(tr("Configuration, tokenizer and weights, into the cache that other programs share"));
    folder_->setToolTip(tr("A model folder in Hugging Face layout"));
    count_->setProperty("muted", true);
    use_->setProperty("primary", true);
    auto* bar = new QHBoxLayout;
    bar->addWidget(name_, 1);
    bar->addWidget(download_);
    bar->addWidget(folder_);
    bar->addWidget(count_);
    bar->addSpacing(8);
    bar->addWidget(remove_);
    bar->addWidget(use_);

    progress_->setRange(0, 1000);
    progress_->setTextVisible(false);
    progress_->setMaximumHeight(12);
    progress_->setAccessibleName(tr("Progress of the download"));
    doing_->setTextFormat(Qt::PlainText);
    auto* row = new QHBoxLayout(progress_row_);
    row->setContentsMargins(0, 0, 0, 0);
    row->addWidget(doing_);
    row->addWidget(progress_, 1);
    row->addWidget(cancel_);

    table_->setModel(&proxy_);
    table_->setAccessibleName(tr("Bases"));
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setSelectionMode(QAbstractItemView::SingleSelection);
    table_->setSortingEnabled(true);
    table_->sortByColumn(BasesModel::name, Qt::AscendingOrder);
    table_->setAlternatingRowColors(true);
    table_->setShowGrid(false);
    table_->setWordWrap(false);
    table_->setTextElideMode(Qt::ElideMiddle);
    table_->setTabKeyNavigation(false);
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(28);
    auto* header = table_->horizontalHeader();
    header->setHighlightSections(false);
    header->setStretchLastSection(true);
    const std::pair<int, int> widths[] = {{BasesModel::name, 220},       {BasesModel::family, 84}, {BasesModel::languages, 86},
                                          {BasesModel::parameters, 112}, {BasesModel::size, 80},   {BasesModel::place, 126},
                                          {BasesModel::folder, 230}};
    for (const auto& [column, width] : widths) header->resizeSection(column, width);

    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(14, 12, 14, 12);
    layout->setSpacing(10);
    layout->addLayout(bar);
    layout->addWidget(progress_row_);
    layout->addWidget(table_, 1);
}

void BasesPage::connectKeeper() {
    connect(&keeper_, &BaseKeeper::listed, this, [this](const std::vector<KnownBase>& bases) {
        const KnownBase* before = selected();
        const std::string chosen = !wanted_.empty() ? wanted_ : before ? before->name : std::string();
        model_.setBases(bases);
        listed_ = true;
        if (model_.rowOf(chosen) >= 0) {
            select(chosen);
            wanted_.clear();
        }
        updateButtons();
    });
    connect(&keeper_, &BaseKeeper::described, this, [this](const BaseRow& row) {
        if (model_.rowOf(row.name) >= 0) select(row.name);
        else wanted_ = row.name;
        Q_EMIT changeWanted([row](Store& store) { store.put_base(row); });
        Q_EMIT noted(tr("%1 was added.").arg(text(row.name)));
    });
    connect(&keeper_, &BaseKeeper::removed, this, [this](const QString& name) {
        Q_EMIT changeWanted([name = plain(name)](Store& store) { store.remove_base(name); });
        Q_EMIT noted(tr("%1 was deleted.").arg(name));
        refresh();
    });
    connect(&keeper_, &BaseKeeper::progress, this, [this](const QString& doing, qint64 done, qint64 total, double eta_seconds) {
        if (total <= 0) return;
        progress_->setRange(0, 1000);
        progress_->setValue(static_cast<int>(1000.0 * static_cast<double>(done) / static_cast<double>(total)));
        const QString left = shown_duration(eta_seconds);
        doing_->setText(tr("%1 of %2").arg(shown_bytes(done), shown_bytes(total)) +
                        (left.isEmpty() ? QString() : tr(", %1 left").arg(left)));
        doing_->setToolTip(doing);
    });
    connect(&keeper_, &BaseKeeper::downloaded, this, [this](const QString& name, bool stopped) {
        setDownloading(false);
        if (stopped) {
            Q_EMIT noted(tr("Stopped. What arrived is kept; the next download continues there."));
            return;
        }
        wanted_ = plain(name);
        name_->clear();
        Q_EMIT noted(tr("%1 was downloaded.").arg(name));
        refresh();
    });
    connect(&keeper_, &BaseKeeper::failed, this, [this](const Problem& problem) {
        if (!keeper_.downloading()) setDownloading(false);
        listed_ = true;
        updateButtons();
        Q_EMIT failed(problem);
    });
}

void BasesPage::setSnapshot(const SnapshotPtr& snapshot) {
    const bool changed = !snapshot_ || !same_rows(snapshot_->bases, snapshot->bases);
    snapshot_ = snapshot;
    if (!changed) return;
    listed_ = false;
    if (isVisible()) refresh();
}

void BasesPage::showEvent(QShowEvent* event) {
    Page::showEvent(event);
    refresh();  // the cache may have changed since
}

void BasesPage::refresh() {
    if (snapshot_) keeper_.list(snapshot_->bases);
    updateButtons();
}

const KnownBase* BasesPage::selected() const {
    const auto rows = table_->selectionModel()->selectedRows();
    return rows.isEmpty() ? nullptr : model_.base(proxy_.mapToSource(rows.first()));
}

void BasesPage::select(const std::string& base) {
    const int row = model_.rowOf(base);
    if (row >= 0) table_->selectRow(proxy_.mapFromSource(model_.index(row, 0)).row());
}

void BasesPage::updateButtons() {
    const KnownBase* base = selected();
    const bool bundled = base && base->place == BasePlace::bundled;
    remove_->setEnabled(base && !bundled);
    remove_->setToolTip(bundled ? tr("This base came with the program and cannot be removed")
                                : tr("Deletes the selected base from the cache, or forgets its folder"));
    use_->setEnabled(base && base->problem.empty());
    use_->setToolTip(base && !base->problem.empty() ? text(base->problem) : tr("Adds the selected base to the study"));
    download_->setEnabled(!keeper_.downloading() && !name_->text().trimmed().isEmpty());
    const int count = model_.rowCount();
    count_->setText(!listed_ ? tr("reading…") : count == 1 ? tr("1 base") : tr("%1 bases").arg(count));
}

void BasesPage::addFolder(const QString& folder) { keeper_.addFolder(folder); }

void BasesPage::download(const QString& name) {
    if (keeper_.downloading() || name.isEmpty()) return;
    keeper_.download(name);
    setDownloading(true);
    doing_->setText(tr("asking for %1").arg(name));
}

void BasesPage::setDownloading(bool downloading) {
    progress_row_->setVisible(downloading);
    progress_->setRange(0, 0);  // until the size is known
    cancel_->setEnabled(downloading);
    name_->setEnabled(!downloading);
    updateButtons();
}

void BasesPage::removeSelected() {
    const KnownBase* base = selected();
    if (!base || base->place == BasePlace::bundled) return;
    const QString name = text(base->name);
    if (base->place == BasePlace::cache) {
        Q_EMIT questionAsked(tr("Delete %1 from the cache (%2)? Other programs use this cache too; all its revisions go.")
                                 .arg(name, shown_bytes(base->bytes)),
                             tr("Delete it"), [this, name] { keeper_.removeCached(name); });
        return;
    }
    Q_EMIT questionAsked(tr("Forget %1? The folder itself stays, and so do the runs that were made with it.").arg(name), tr("Forget it"),
                         [this, name] {
                             Q_EMIT changeWanted([name = plain(name)](Store& store) { store.remove_base(name); });
                             Q_EMIT noted(tr("%1 is forgotten.").arg(name));
                         });
}

void BasesPage::chooseFolder() {
    auto* dialog = new QFileDialog(this, tr("Add a model folder"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setFileMode(QFileDialog::Directory);
    dialog->setOption(QFileDialog::ShowDirsOnly);
    connect(dialog, &QFileDialog::fileSelected, this, &BasesPage::addFolder);
    dialog->open();
}

PageEntry bases_page() {
    return {"bases", BasesPage::tr("&Bases"), u"bases"_s, [](PageHost& window) {
                auto* page = new BasesPage;
                QObject::connect(page, &BasesPage::useRequested, page, [&window](const QString& base) { window.useBase(plain(base)); });
                QObject::connect(page, &BasesPage::questionAsked, page,
                                 [&window](const QString& question, const QString& yes, const std::function<void()>& then) {
                                     window.ask(question, yes, then);
                                 });
                QObject::connect(page, &BasesPage::changeWanted, page,
                                 [&window](const std::function<void(Store&)>& change) { window.watcher().post(change); });
                return page;
            }};
}

}  // namespace permille::ui
