// Brings the user's own parallel text into the database as a named corpus.
#pragma once

#include <QDialog>
#include <filesystem>

#include "ui/bridge/corpus_importer.h"

class QCheckBox;
class QComboBox;
class QDialogButtonBox;
class QLabel;
class QLineEdit;
class QProgressBar;
class QPushButton;
class QWidget;

namespace permille::ui {

class FieldForm;

class ImportDialog : public QDialog {
    Q_OBJECT
public:
    explicit ImportDialog(std::filesystem::path database, ImportText import = {}, QWidget* parent = nullptr);

    void setFiles(const QStringList& files);
    // As entered; throws Error that names the field which is wrong or missing.
    ImportRequest request() const;
    void start();
    QString message() const;

Q_SIGNALS:
    // The database has a new corpus.
    void imported(const QString& name);

public Q_SLOTS:
    // While it works: stops it; then closes.
    void reject() override;

private:
    void chooseFiles();
    void chooseFolder();
    void suggestName();
    void setWorking(bool working);
    void say(const QString& words, bool wrong);

    std::filesystem::path database_;
    CorpusImporter importer_;
    QString suggested_;
    QWidget* fields_;
    QLineEdit* files_;
    QComboBox* format_;
    QLineEdit* source_;
    QLineEdit* target_;
    QLineEdit* name_;
    QLineEdit* licence_;
    QCheckBox* replace_;
    FieldForm* clean_;
    FieldForm* split_;
    QLabel* message_;
    QProgressBar* progress_;
    QPushButton* import_;
    QPushButton* close_;
};

}  // namespace permille::ui
