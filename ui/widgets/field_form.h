// A form built from a field list: one row per field with the right editor, unit, range and help; what differs from the default is set in
// bold and can be put back. It knows nothing of what the fields are for, so a new method or setting appears in the window by itself.
#pragma once

#include <QWidget>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/fields.h"

class QGridLayout;
class QLabel;
class QToolButton;

namespace permille::ui {

class FieldForm : public QWidget {
    Q_OBJECT
public:
    explicit FieldForm(std::vector<Field> fields, QWidget* parent = nullptr);

    // This field may be left empty, which values() then leaves out; `placeholder` says what emptiness means ("from the budget"). It starts
    // empty. Call it before setValues().
    void setOptional(const std::string& field, const QString& placeholder);

    // A row above the fields for an editor of the caller's own; values() does not ask it.
    void setFirstRow(const QString& label, QWidget* editor);

    // What differs from the defaults, checked; throws Error(config) for an entry that is out of range, its where beginning with `where`.
    Json values(const std::string& where) const;
    // The first wrong entry, empty when all are right.
    QString problem() const;
    // Sets the fields named in the object, the others go back to their defaults. Unknown names are ignored: the study's own check tells.
    void setValues(const Json& object);
    // How many fields differ from their defaults.
    int changedCount() const;

    // The editor of a field, for tests and focus; null when there is none.
    QWidget* editor(const std::string& field) const;

Q_SIGNALS:
    void changed();

private:
    struct Row {
        Field field;
        QLabel* label = nullptr;
        QWidget* editor = nullptr;
        QToolButton* reset = nullptr;
        bool optional = false;
    };
    QWidget* makeEditor(const Field& field);
    void setEditor(const Row& row, const Json& value);
    // nullopt: an optional field that was left empty.
    std::optional<Json> entered(const Row& row, const std::string& where) const;
    void judge(std::size_t index);
    void edited(std::size_t index);

    QGridLayout* grid_;
    std::vector<Row> rows_;
    bool setting_ = false;
};

}  // namespace permille::ui
