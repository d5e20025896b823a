// The form that a study is put together with: bases, language pairs, methods, the grid, and the settings of training, decoding, evaluation
// and device.
#pragma once

#include <QWidget>
#include <string>
#include <vector>

#include "core/store/store.h"
#include "core/study/study.h"

class QCheckBox;
class QComboBox;
class QLineEdit;
class QListWidget;
class QSpinBox;
class QTreeWidget;
class QTreeWidgetItem;

namespace permille::ui {

class FieldForm;
class ListEdit;
class MethodList;
class Section;

class StudyForm : public QWidget {
    Q_OBJECT
public:
    explicit StudyForm(QWidget* parent = nullptr);

    // What can be chosen from; choices made so far stay, also those that are not among these.
    void setBases(const std::vector<std::string>& names);
    void setCorpora(const std::vector<CorpusRow>& corpora);

    // As entered; throws Error(config) for an entry that cannot be read. Whether it makes sense as a whole validate_study() tells.
    Study study() const;
    void setStudy(const Study& study);

    MethodList* methods() const { return methods_; }
    // Adds the folder to the bases, ticked.
    void addBase(const std::string& folder);

Q_SIGNALS:
    void changed();
    void addFolderRequested();

private:
    QWidget* makeBases();
    QWidget* makePairs();
    QWidget* makeGrid();
    void addSettings(const QString& title, FieldForm* form, Section*& section);
    std::vector<std::string> chosenBases() const;
    std::vector<StudyPair> chosenPairs() const;
    void choosePairs(const std::vector<StudyPair>& pairs);
    void tell();

    QLineEdit* name_;
    QListWidget* bases_;
    QTreeWidget* pairs_;
    MethodList* methods_;
    ListEdit* budgets_;
    ListEdit* data_sizes_;
    ListEdit* seeds_;
    QCheckBox* untouched_;
    QSpinBox* jobs_;
    QComboBox* executor_;
    FieldForm* training_;
    FieldForm* decoding_;
    FieldForm* evaluation_;
    FieldForm* device_;
    std::vector<std::pair<Section*, FieldForm*>> folded_;
    std::vector<CorpusRow> corpora_;
    bool setting_ = false;
};

}  // namespace permille::ui
