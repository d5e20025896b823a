#include "ui/pages/welcome/welcome_page.h"

#include <QClipboard>
#include <QFontDatabase>
#include <QGuiApplication>
#include <QHBoxLayout>
#include <QLabel>
#include <QPushButton>
#include <QScrollArea>
#include <QVBoxLayout>

#include "core/base/files.h"
#include "core/store/store.h"
#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

QLabel* heading(const QString& title) {
    auto* label = new QLabel(title);
    label->setProperty("heading", true);
    return label;
}

QLabel* paragraph(const QString& words) {
    auto* label = new QLabel(words);
    label->setWordWrap(true);
    label->setProperty("muted", true);
    return label;
}

}  // namespace

WelcomePage::WelcomePage(std::filesystem::path example, QWidget* parent)
    : Page(parent), state_(paragraph({})), study_(new QPushButton(tr("Put a study together"))) {
    auto* content = new QWidget;
    auto* column = new QVBoxLayout(content);
    column->setContentsMargins(36, 30, 36, 30);
    column->setSpacing(8);
    auto* title = new QLabel(tr("Permille"));
    title->setProperty("figure", true);
    column->addWidget(title);
    column->addWidget(
        paragraph(tr("How much of a translation model has to be trained? Choose a base model, language pairs, methods and budgets; "
                     "the runs are recorded in a database, and the chart shows BLEU against the share of trained parameters.")));
    column->addSpacing(6);
    column->addWidget(state_);

    column->addSpacing(12);
    column->addWidget(heading(tr("1  Get parallel text")));
    column->addWidget(
        paragraph(tr("Training needs sentences with their translations. The recipe makes corpora for several languages from freely "
                     "licensed Debian packages, in a terminal; your own text may be Moses pairs, TSV, JSONL, TMX or PO files.")));
    addCommand(column, tr("Make corpora by the recipe"), recipe_);
    auto* import = new QPushButton(tr("Import your own text…"));
    connect(import, &QPushButton::clicked, this, &WelcomePage::importRequested);
    auto* import_row = new QHBoxLayout;
    import_row->addWidget(import);
    import_row->addStretch(1);
    column->addLayout(import_row);

    column->addSpacing(12);
    column->addWidget(heading(tr("2  Run a study")));
    column->addWidget(
        paragraph(tr("Start from the example that came with the program, or from an empty form. Corpora appear there as soon as they are "
                     "imported; nothing has to be restarted.")));
    auto* buttons = new QHBoxLayout;
    if (!example.empty()) {
        auto* open = new QPushButton(tr("Open the example study"));
        open->setProperty("primary", true);
        connect(open, &QPushButton::clicked, this, [this, example] { Q_EMIT exampleRequested(text(example)); });
        buttons->addWidget(open);
    }
    connect(study_, &QPushButton::clicked, this, &WelcomePage::studyRequested);
    buttons->addWidget(study_);
    buttons->addStretch(1);
    column->addLayout(buttons);

    column->addSpacing(12);
    column->addWidget(heading(tr("Have results already?")));
    auto* other = new QPushButton(tr("Open another database…"));
    connect(other, &QPushButton::clicked, this, &WelcomePage::databaseRequested);
    auto* row = new QHBoxLayout;
    row->addWidget(other);
    row->addStretch(1);
    column->addLayout(row);
    column->addStretch(1);
    content->setMaximumWidth(860);

    auto* scroll = new QScrollArea;
    content->setObjectName(u"form"_s);
    scroll->setWidget(content);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(scroll);
}

void WelcomePage::addCommand(QVBoxLayout* layout, const QString& title, QLabel*& command) {
    command = new QLabel;
    command->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
    command->setTextInteractionFlags(Qt::TextSelectableByMouse | Qt::TextSelectableByKeyboard);
    command->setProperty("code", true);
    command->setWordWrap(true);
    command->setAccessibleName(title);
    auto* copy = new QPushButton(tr("Copy"));
    copy->setAccessibleName(tr("Copy: %1").arg(title));
    connect(copy, &QPushButton::clicked, this, [this, command] {
        QGuiApplication::clipboard()->setText(command->text());
        Q_EMIT noted(tr("Copied."));
    });
    auto* row = new QHBoxLayout;
    row->addWidget(command, 1);
    row->addWidget(copy, 0, Qt::AlignTop);
    layout->addLayout(row);
}

void WelcomePage::setSnapshot(const SnapshotPtr& snapshot) {
    QString database;
    if (snapshot->file != Store::default_file()) database = u" --db '%1'"_s.arg(text(snapshot->file));
    recipe_->setText(u"packaging/fetch-texts '%1' $(permille data recipe software-texts --pairs it-en,tr-en --list-packages)\n"_s.arg(
                         text(data_home() / "packages")) +
                     u"permille data recipe software-texts --pairs it-en,tr-en"_s + database);
    const auto count = [](std::size_t number, const QString& one, const QString& many) {
        return number == 1 ? u"1 "_s + one : u"%1 "_s.arg(number) + many;
    };
    state_->setText(tr("This database (%1) holds %2, %3 and %4.")
                        .arg(text(snapshot->file), count(snapshot->corpora.size(), tr("corpus"), tr("corpora")),
                             count(snapshot->studies.size(), tr("study"), tr("studies")),
                             count(snapshot->runs.size(), tr("run"), tr("runs"))));
}

}  // namespace permille::ui
