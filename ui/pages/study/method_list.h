// The methods of a study: every method of the table with a tick, and for the selected one its settings, budgets of its own and learning
// rate. Made from the method table alone. A method may be in a study several times with different settings: "Add variant" makes another
// line of it.
#pragma once

#include <QWidget>
#include <vector>

#include "core/study/study.h"

class QLabel;
class QPushButton;
class QTreeWidget;
class QTreeWidgetItem;
class QVBoxLayout;

namespace permille::ui {

class FieldForm;
class ListEdit;
class MethodPanel;

class MethodList : public QWidget {
    Q_OBJECT
public:
    explicit MethodList(QWidget* parent = nullptr);

    // The ticked ones; throws Error(config) for a wrong entry.
    std::vector<StudyMethod> methods() const;
    void setMethods(const std::vector<StudyMethod>& methods);
    // Ticks or clears all lines of the method.
    void setChecked(const std::string& id, bool checked);
    // The settings form of the first line of the method; null when there is none.
    FieldForm* settings(const std::string& id) const;

Q_SIGNALS:
    void changed();

private:
    struct Line {
        std::string id;
        QTreeWidgetItem* item = nullptr;
        MethodPanel* panel = nullptr;
        bool extra = false;
    };
    Line& addLine(const std::string& id, bool extra);
    void select();
    void addVariant();
    void removeExtras();
    void tell();

    QTreeWidget* tree_;
    QVBoxLayout* panels_;
    QPushButton* variant_;
    std::vector<Line> lines_;
    bool setting_ = false;
};

}  // namespace permille::ui
