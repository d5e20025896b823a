// The window's part that has to do with files: databases, studies, texts and exports. Questions are asked without a nested event loop.
#include <QApplication>
#include <QClipboard>
#include <QFileDialog>
#include <QMessageBox>
#include <QPushButton>
#include <QStatusBar>

#include "ui/bridge/text.h"
#include "ui/pages/chart/chart_page.h"
#include "ui/pages/results/results_page.h"
#include "ui/pages/study/study_page.h"
#include "ui/shell/import_dialog.h"
#include "ui/shell/main_window.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

void MainWindow::copyCommand() {
    const auto copy = [this] {
        const QString command = StudyPage::commandFor(study_page_->file(), database_);
        QApplication::clipboard()->setText(command);
        statusBar()->showMessage(tr("Copied: %1").arg(command), 10000);
    };
    // The command names the study's file, so there has to be one and it has to be up to date.
    if (study_page_->file().empty() || study_page_->modified()) saveStudy(copy);
    else copy();
}

void MainWindow::ask(const QString& question, const QString& yes, const std::function<void()>& then) {
    if (parts_.confirm) {
        if (parts_.confirm(question)) then();
        return;
    }
    auto* box = new QMessageBox(QMessageBox::Question, tr("Permille"), question, QMessageBox::Cancel, this);
    box->setAttribute(Qt::WA_DeleteOnClose);
    QAbstractButton* agree = box->addButton(yes, QMessageBox::AcceptRole);
    box->setDefaultButton(QMessageBox::Cancel);
    connect(agree, &QAbstractButton::clicked, this, then);
    box->open();
}

void MainWindow::unlessModified(const std::function<void()>& then) {
    if (study_page_->file().empty() || !study_page_->modified()) return then();
    ask(tr("The study has changes that are not saved."), tr("Discard them"), then);
}

void MainWindow::importTexts() {
    auto* dialog = new ImportDialog(database_, {}, this);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    connect(dialog, &ImportDialog::imported, this, [this](const QString& name) {
        watcher_.refresh();
        statusBar()->showMessage(tr("The corpus %1 can be chosen on the Study page.").arg(name), 10000);
    });
    dialog->open();
}

void MainWindow::chooseDatabase() {
    if (runner_.active()) {
        showProblem({ErrorKind::usage, {}, tr("A study is running"), tr("stop it before opening another database")});
        return;
    }
    auto* dialog = new QFileDialog(this, tr("Open or create a database"), text(database_.parent_path()));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    // A name that does not exist yet makes a new database; an existing one is opened, not overwritten.
    dialog->setAcceptMode(QFileDialog::AcceptSave);
    dialog->setOption(QFileDialog::DontConfirmOverwrite);
    dialog->setLabelText(QFileDialog::Accept, tr("Open"));
    dialog->setNameFilters({tr("Databases (*.db *.sqlite)"), tr("All files (*)")});
    dialog->setDefaultSuffix(u"db"_s);
    connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& file) { openDatabase(plain(file)); });
    dialog->open();
}

void MainWindow::chooseStudy() {
    unlessModified([this] {
        const auto start = study_page_->file().empty() ? parts_.example.parent_path() : study_page_->file().parent_path();
        auto* dialog = new QFileDialog(this, tr("Open a study"), text(start));
        dialog->setAttribute(Qt::WA_DeleteOnClose);
        dialog->setFileMode(QFileDialog::ExistingFile);
        dialog->setNameFilters({tr("Studies (*.yaml *.yml)"), tr("All files (*)")});
        connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& file) { openStudy(plain(file)); });
        dialog->open();
    });
}

void MainWindow::saveStudy(const std::function<void()>& then) {
    // The studies that came with the program are examples: changes to them go into a file of the user's own.
    const bool own = !study_page_->file().empty() && study_page_->file().parent_path() != parts_.example.parent_path();
    if (!own) return saveStudyAs(then);
    if (study_page_->save(study_page_->file())) {
        statusBar()->showMessage(tr("Saved %1.").arg(text(study_page_->file())), 6000);
        if (then) then();
    }
}

void MainWindow::saveStudyAs(const std::function<void()>& then) {
    auto* dialog = new QFileDialog(this, tr("Save the study"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setAcceptMode(QFileDialog::AcceptSave);
    dialog->setNameFilters({tr("Studies (*.yaml)")});
    dialog->setDefaultSuffix(u"yaml"_s);
    connect(dialog, &QFileDialog::fileSelected, this, [this, then](const QString& file) {
        if (study_page_->save(plain(file)) && then) then();
    });
    dialog->open();
}

void MainWindow::exportChart() {
    showPage<ChartPage>();
    page<ChartPage>()->chooseExport();
}

void MainWindow::exportTable() {
    showPage<ResultsPage>();
    page<ResultsPage>()->chooseExport();
}

}  // namespace permille::ui
