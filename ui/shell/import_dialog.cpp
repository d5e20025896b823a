#include "ui/shell/import_dialog.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QFileDialog>
#include <QFormLayout>
#include <QLabel>
#include <QLineEdit>
#include <QProgressBar>
#include <QPushButton>
#include <QScrollArea>
#include <QVBoxLayout>

#include "core/base/files.h"
#include "ui/bridge/text.h"
#include "ui/widgets/field_form.h"
#include "ui/widgets/section.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// Files are shown and typed with a semicolon between them.
QStringList parts_of(const QString& files) {
    QStringList parts;
    for (const QString& part : files.split(u';', Qt::SkipEmptyParts))
        if (!part.trimmed().isEmpty()) parts << part.trimmed();
    return parts;
}

void require(bool given, const QString& field, const QString& fix) {
    if (!given) throw Error(ErrorKind::config, plain(field), "is empty", plain(fix));
}

}  // namespace

ImportDialog::ImportDialog(std::filesystem::path database, ImportText import, QWidget* parent)
    : QDialog(parent),
      database_(std::move(database)),
      importer_(std::move(import)),
      fields_(new QWidget),
      files_(new QLineEdit),
      format_(new QComboBox),
      source_(new QLineEdit),
      target_(new QLineEdit),
      name_(new QLineEdit),
      licence_(new QLineEdit),
      replace_(new QCheckBox(tr("Replace a corpus of this name"))),
      clean_(new FieldForm(CleanSettings::fields().list())),
      split_(new FieldForm(SplitSettings::fields().list())),
      message_(new QLabel),
      progress_(new QProgressBar) {
    setWindowTitle(tr("Import texts"));
    files_->setPlaceholderText(tr("a file in one of the formats below; several with “;” between"));
    format_->addItem(tr("by the file names"), QString());
    for (const TextFormat& format : text_formats()) {
        format_->addItem(text(format.id), text(format.id));
        format_->setItemData(format_->count() - 1, text(format.help), Qt::ToolTipRole);
    }
    source_->setPlaceholderText(u"de"_s);
    target_->setPlaceholderText(u"en"_s);
    name_->setPlaceholderText(u"de-en"_s);
    licence_->setPlaceholderText(tr("kept with the corpus; may stay empty"));

    auto* browse = new QPushButton(tr("Files…"));
    auto* folder = new QPushButton(tr("Folder…"));
    folder->setToolTip(tr("A folder of texts, such as PO or MO catalogs"));
    auto* files_row = new QHBoxLayout;
    files_row->addWidget(files_, 1);
    files_row->addWidget(browse);
    files_row->addWidget(folder);
    auto* languages = new QHBoxLayout;
    languages->addWidget(source_);
    languages->addWidget(new QLabel(u"→"_s));
    languages->addWidget(target_);
    auto* form = new QFormLayout;
    form->setLabelAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    form->addRow(tr("Text"), files_row);
    form->addRow(tr("F&ormat"), format_);
    form->addRow(tr("Languages"), languages);
    form->addRow(tr("&Name"), name_);
    form->addRow(tr("L&icence"), licence_);
    form->addRow(QString(), replace_);
    source_->setAccessibleName(tr("Source language"));
    target_->setAccessibleName(tr("Target language"));
    files_->setAccessibleName(tr("Text files"));
    auto* clean = new Section(tr("Cleaning"), clean_);
    auto* split = new Section(tr("Training, validation and test"), split_);
    clean->setFoldable(false);
    split->setFoldable(false);
    auto* inner = new QVBoxLayout(fields_);
    inner->addLayout(form);
    inner->addWidget(clean);
    inner->addWidget(split);
    inner->addStretch(1);
    fields_->setObjectName(u"form"_s);

    auto* scroll = new QScrollArea;
    scroll->setWidget(fields_);
    scroll->setWidgetResizable(true);
    scroll->setFrameShape(QFrame::NoFrame);
    message_->setWordWrap(true);
    message_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    message_->hide();
    progress_->hide();
    auto* buttons = new QDialogButtonBox;
    import_ = buttons->addButton(tr("Import"), QDialogButtonBox::ActionRole);
    import_->setProperty("primary", true);
    import_->setDefault(true);
    close_ = buttons->addButton(QDialogButtonBox::Close);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(scroll, 1);
    layout->addWidget(message_);
    layout->addWidget(progress_);
    layout->addWidget(buttons);
    resize(640, 520);

    connect(browse, &QPushButton::clicked, this, [this] { chooseFiles(); });
    connect(folder, &QPushButton::clicked, this, [this] { chooseFolder(); });
    connect(source_, &QLineEdit::textChanged, this, [this] { suggestName(); });
    connect(target_, &QLineEdit::textChanged, this, [this] { suggestName(); });
    connect(import_, &QPushButton::clicked, this, [this] { start(); });
    connect(close_, &QPushButton::clicked, this, [this] { reject(); });
    connect(&importer_, &CorpusImporter::progress, this, [this](const QString& doing, qint64 done, qint64 total) {
        progress_->setRange(0, total > 0 ? 1000 : 0);
        if (total > 0) progress_->setValue(static_cast<int>(1000 * done / total));
        say(doing, false);
    });
    connect(&importer_, &CorpusImporter::failed, this, [this](const Problem& problem) {
        setWorking(false);
        say(problem.message(), true);
    });
    connect(&importer_, &CorpusImporter::finished, this, [this](const QString& report, bool stopped) {
        setWorking(false);
        say(stopped ? tr("Stopped.") : report, false);
        if (!stopped) Q_EMIT imported(name_->text().trimmed());
    });
}

void ImportDialog::setFiles(const QStringList& files) { files_->setText(files.join(u"; "_s)); }

ImportRequest ImportDialog::request() const {
    const QStringList files = parts_of(files_->text());
    require(!files.isEmpty(), tr("Text"), tr("choose the files that hold it"));
    require(!source_->text().trimmed().isEmpty(), tr("Source language"), tr("give its code, such as de"));
    require(!target_->text().trimmed().isEmpty(), tr("Target language"), tr("give its code, such as en"));
    require(!name_->text().trimmed().isEmpty(), tr("Name"), tr("say how studies shall call the corpus"));
    ImportRequest request;
    request.name = plain(name_->text().trimmed());
    for (const QString& file : files) request.text.files.emplace_back(plain(file));
    const std::string format = plain(format_->currentData().toString());
    request.text.format = format.empty() ? guess_format(request.text.files).id : format;
    request.text.source_language = plain(source_->text().trimmed());
    request.text.target_language = plain(target_->text().trimmed());
    request.licence = plain(licence_->text().trimmed());
    request.clean = CleanSettings::fields().parse(clean_->values("cleaning"), "cleaning");
    request.split = SplitSettings::fields().parse(split_->values("splits"), "splits");
    request.replace = replace_->isChecked();
    request.home = data_home();
    request.database = database_;
    return request;
}

void ImportDialog::start() {
    if (importer_.running()) return;
    try {
        importer_.start(request());
        setWorking(true);
        say(tr("Reading…"), false);
    } catch (...) {
        say(problem_of(std::current_exception()).message(), true);
    }
}

QString ImportDialog::message() const { return message_->text(); }

void ImportDialog::reject() {
    if (importer_.running()) {
        importer_.stop();
        say(tr("Stopping…"), false);
        return;
    }
    QDialog::reject();
}

void ImportDialog::chooseFiles() {
    auto* dialog = new QFileDialog(this, tr("Choose text files"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setFileMode(QFileDialog::ExistingFiles);
    connect(dialog, &QFileDialog::filesSelected, this, &ImportDialog::setFiles);
    dialog->open();
}

void ImportDialog::chooseFolder() {
    auto* dialog = new QFileDialog(this, tr("Choose a folder of texts"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setFileMode(QFileDialog::Directory);
    dialog->setOption(QFileDialog::ShowDirsOnly);
    connect(dialog, &QFileDialog::filesSelected, this, &ImportDialog::setFiles);
    dialog->open();
}

void ImportDialog::suggestName() {
    // Only while the user has not given one.
    if (name_->text() != suggested_) return;
    const QString source = source_->text().trimmed(), target = target_->text().trimmed();
    suggested_ = source.isEmpty() || target.isEmpty() ? QString() : source + u'-' + target;
    name_->setText(suggested_);
}

void ImportDialog::setWorking(bool working) {
    fields_->setEnabled(!working);
    import_->setEnabled(!working);
    close_->setText(working ? tr("Stop") : tr("Close"));
    progress_->setRange(0, 0);
    progress_->setVisible(working);
}

void ImportDialog::say(const QString& words, bool wrong) {
    message_->setVisible(true);
    message_->setTextFormat(Qt::PlainText);
    message_->setStyleSheet(wrong ? u"color: #d04a3a"_s : QString());
    message_->setText(words);
}

}  // namespace permille::ui
