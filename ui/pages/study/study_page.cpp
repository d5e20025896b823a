#include "ui/pages/study/study_page.h"

#include <QFileDialog>
#include <QHBoxLayout>
#include <QScrollArea>
#include <QSplitter>
#include <algorithm>

#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

QString quoted(const std::filesystem::path& path) {
    QString word = text(path);
    static const QString plain_letters = u"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:@%"_s;
    const bool is_plain = std::all_of(word.begin(), word.end(), [](QChar letter) { return plain_letters.contains(letter); });
    return is_plain ? word : u'\'' + word.replace(u'\'', u"'\\''"_s) + u'\'';
}

}  // namespace

StudyPage::StudyPage(std::vector<std::string> bundled, Solve solve, QWidget* parent)
    : Page(parent), bundled_(std::move(bundled)), form_(new StudyForm), preview_(new StudyPreview(std::move(solve))) {
    auto* scroll = new QScrollArea;
    form_->setObjectName(u"form"_s);
    scroll->setWidget(form_);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    scroll->setMinimumWidth(380);
    auto* splitter = new QSplitter(Qt::Horizontal);
    splitter->addWidget(scroll);
    splitter->addWidget(preview_);
    splitter->setChildrenCollapsible(false);
    splitter->setStretchFactor(0, 5);
    splitter->setStretchFactor(1, 6);
    splitter->setSizes({520, 600});
    splitter->setHandleWidth(10);
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(14, 12, 14, 12);
    layout->addWidget(splitter);

    form_->setBases(bundled_);
    later_.setSingleShot(true);
    later_.setInterval(250);
    connect(&later_, &QTimer::timeout, this, [this] { replan(); });
    connect(form_, &StudyForm::changed, this, [this] {
        later_.start();
        Q_EMIT fileChanged();
    });
    connect(form_, &StudyForm::addFolderRequested, this, [this] { chooseFolder(); });
    connect(preview_, &StudyPreview::startRequested, this, [this] {
        replan();
        if (!plan_.problems.isEmpty()) return;
        Q_EMIT startRequested(form_->study());
    });
    connect(preview_, &StudyPreview::stopRequested, this, &StudyPage::stopRequested);
    connect(preview_, &StudyPreview::copyRequested, this, &StudyPage::copyRequested);
    if (bundled_.size() == 1) form_->addBase(bundled_.front());
    saved_ = study_to_yaml(form_->study());
}

void StudyPage::setSnapshot(const SnapshotPtr& snapshot) {
    snapshot_ = snapshot;
    std::vector<std::string> bases = bundled_;
    for (const auto& base : snapshot_->bases)
        if (std::find(bases.begin(), bases.end(), base.name) == bases.end()) bases.push_back(base.name);
    form_->setBases(bases);
    form_->setCorpora(snapshot_->corpora);
    later_.start();
}

bool StudyPage::settled() const { return snapshot_ && !later_.isActive() && preview_->idle(); }

bool StudyPage::open(const std::filesystem::path& file) {
    try {
        const Study study = read_study(file);
        form_->setStudy(study);
        file_ = file;
        saved_ = study_to_yaml(form_->study());
        Q_EMIT fileChanged();
        return true;
    } catch (...) {
        Q_EMIT failed(problem_of(std::current_exception()));
        return false;
    }
}

bool StudyPage::show(const StudyRow& stored) {
    try {
        form_->setStudy(parse_study(stored.yaml, "study " + stored.name));
        file_.clear();
        saved_ = study_to_yaml(form_->study());
        Q_EMIT fileChanged();
        return true;
    } catch (...) {
        Q_EMIT failed(problem_of(std::current_exception()));
        return false;
    }
}

bool StudyPage::save(const std::filesystem::path& file) {
    try {
        const Study study = form_->study();
        write_study(file, study);
        file_ = file;
        saved_ = study_to_yaml(study);
        Q_EMIT fileChanged();
        return true;
    } catch (...) {
        Q_EMIT failed(problem_of(std::current_exception()));
        return false;
    }
}

bool StudyPage::modified() const {
    try {
        return study_to_yaml(form_->study()) != saved_;
    } catch (const Error&) {
        return true;  // an entry that cannot be read yet
    }
}

QString StudyPage::commandFor(const std::filesystem::path& study, const std::filesystem::path& database) {
    return u"permille run %1 --db %2"_s.arg(quoted(study), quoted(database));
}

void StudyPage::replan() {
    later_.stop();
    static const StoreSnapshot kEmpty{};
    const StoreSnapshot& store = snapshot_ ? *snapshot_ : kEmpty;
    std::vector<std::string> bases = bundled_;
    for (const auto& base : store.bases) bases.push_back(base.name);
    try {
        plan_ = plan_study(form_->study(), store, bases);
    } catch (...) {
        plan_ = {};
        plan_.problems << problem_of(std::current_exception()).message();
    }
    preview_->setPlan(plan_);
}

void StudyPage::chooseFolder() {
    auto* dialog = new QFileDialog(this, tr("Add a model folder"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setFileMode(QFileDialog::Directory);
    dialog->setOption(QFileDialog::ShowDirsOnly);
    connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& folder) {
        if (!std::filesystem::exists(std::filesystem::path(plain(folder)) / "config.json")) {
            Q_EMIT failed({ErrorKind::file, folder, tr("holds no config.json"), tr("choose a model folder in Hugging Face layout")});
            return;
        }
        form_->addBase(plain(folder));
    });
    dialog->open();
}

// For the table in pages.cpp, as in every page.
PageEntry study_page() {
    return {"study", StudyPage::tr("&Study"), u"study"_s, [](PageHost& window) {
                auto* page = new StudyPage(window.bundledBases());
                QObject::connect(page, &StudyPage::startRequested, page, [&window](const Study& study) { window.startStudy(study); });
                QObject::connect(page, &StudyPage::stopRequested, page, [&window] { window.runner().stop(); });
                QObject::connect(page, &StudyPage::copyRequested, page, [&window] { window.copyCommand(); });
                QObject::connect(page, &StudyPage::fileChanged, page, [&window] { window.studyChanged(); });
                QObject::connect(&window.runner(), &RunController::stateChanged, page,
                                 [page, &window] { page->setRunning(window.runner().active(), window.runner().stopping()); });
                return page;
            }};
}

}  // namespace permille::ui
