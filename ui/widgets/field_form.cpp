#include "ui/widgets/field_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QEvent>
#include <QGridLayout>
#include <QLabel>
#include <QLineEdit>
#include <QSignalBlocker>
#include <QSpinBox>
#include <QToolButton>
#include <climits>

#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// Scrolling a page must not change the values that pass under the pointer.
class WheelGuard : public QObject {
public:
    using QObject::QObject;
    bool eventFilter(QObject* object, QEvent* event) override {
        auto* widget = qobject_cast<QWidget*>(object);
        if (event->type() != QEvent::Wheel || !widget || widget->hasFocus()) return false;
        event->ignore();
        return true;
    }
};

bool fits_spin_box(const Field& field) { return field.min && *field.min >= INT_MIN && (!field.max || *field.max <= INT_MAX); }

QString range_text(const Field& field) {
    const auto number = [](double value) { return QString::number(value, 'g', 10); };
    if (field.min && field.max) return u"%1 to %2"_s.arg(number(*field.min), number(*field.max));
    if (field.min) return u"%1 or more"_s.arg(number(*field.min));
    if (field.max) return u"%1 or less"_s.arg(number(*field.max));
    return {};
}

QString tip_of(const Field& field) {
    QString tip = text(field.help);
    if (!tip.isEmpty()) tip[0] = tip[0].toUpper();
    if (const QString range = range_text(field); !range.isEmpty()) tip += u" ("_s + range + u')';
    if (const QString usual = shown_value(field.default_value); !usual.isEmpty()) tip += u". Default: "_s + usual;
    return u"<p>"_s + tip.toHtmlEscaped() + u"</p>"_s;
}

}  // namespace

FieldForm::FieldForm(std::vector<Field> fields, QWidget* parent) : QWidget(parent), grid_(new QGridLayout(this)) {
    grid_->setContentsMargins(0, 0, 0, 0);
    grid_->setHorizontalSpacing(12);
    grid_->setVerticalSpacing(6);
    grid_->setColumnStretch(1, 1);
    for (auto& field : fields) {
        Row row;
        row.field = std::move(field);
        const int line = static_cast<int>(rows_.size());
        row.label = new QLabel(shown_name(row.field.name));
        row.editor = makeEditor(row.field);
        row.reset = new QToolButton;
        row.reset->setText(u"↺"_s);
        row.reset->setAutoRaise(true);
        row.reset->setToolTip(tr("Back to the default"));
        row.reset->setAccessibleName(tr("%1: back to the default").arg(shown_name(row.field.name)));
        row.reset->setFocusPolicy(Qt::TabFocus);
        QSizePolicy keep = row.reset->sizePolicy();
        keep.setRetainSizeWhenHidden(true);
        row.reset->setSizePolicy(keep);
        const QString tip = tip_of(row.field);
        row.label->setToolTip(tip);
        row.label->setBuddy(row.editor);
        row.editor->setToolTip(tip);
        row.editor->setAccessibleName(shown_name(row.field.name));
        row.editor->setAccessibleDescription(text(row.field.help));
        // Line 0 is that of setFirstRow().
        grid_->addWidget(row.label, line + 1, 0);
        grid_->addWidget(row.editor, line + 1, 1);
        grid_->addWidget(row.reset, line + 1, 2);
        const auto index = static_cast<std::size_t>(line);
        connect(row.reset, &QToolButton::clicked, this, [this, index] {
            setEditor(rows_[index], rows_[index].optional ? Json() : rows_[index].field.default_value);
            edited(index);
        });
        if (auto* box = qobject_cast<QCheckBox*>(row.editor)) connect(box, &QCheckBox::toggled, this, [this, index] { edited(index); });
        if (auto* combo = qobject_cast<QComboBox*>(row.editor))
            connect(combo, &QComboBox::currentIndexChanged, this, [this, index] { edited(index); });
        if (auto* spin = qobject_cast<QSpinBox*>(row.editor))
            connect(spin, &QSpinBox::valueChanged, this, [this, index] { edited(index); });
        if (auto* line_edit = qobject_cast<QLineEdit*>(row.editor))
            connect(line_edit, &QLineEdit::textChanged, this, [this, index] { edited(index); });
        rows_.push_back(row);
        setEditor(rows_.back(), rows_.back().field.default_value);
        judge(index);
    }
}

QWidget* FieldForm::makeEditor(const Field& field) {
    if (field.type == FieldType::boolean) return new QCheckBox;
    if (field.type == FieldType::choice) {
        auto* combo = new QComboBox;
        for (const auto& choice : field.choices) combo->addItem(text(choice));
        combo->installEventFilter(new WheelGuard(combo));
        combo->setFocusPolicy(Qt::StrongFocus);
        return combo;
    }
    if (field.type == FieldType::integer && fits_spin_box(field)) {
        auto* spin = new QSpinBox;
        spin->setRange(static_cast<int>(*field.min), field.max ? static_cast<int>(*field.max) : INT_MAX);
        spin->setGroupSeparatorShown(true);
        spin->setStepType(QAbstractSpinBox::AdaptiveDecimalStepType);
        if (!field.unit.empty()) spin->setSuffix(u' ' + text(field.unit));
        spin->installEventFilter(new WheelGuard(spin));
        spin->setFocusPolicy(Qt::StrongFocus);
        return spin;
    }
    return new QLineEdit;
}

void FieldForm::setFirstRow(const QString& label, QWidget* editor) {
    auto* words = new QLabel(label);
    words->setBuddy(editor);
    grid_->addWidget(words, 0, 0);
    grid_->addWidget(editor, 0, 1);
    if (!rows_.empty()) setTabOrder(editor, rows_.front().editor);
}

void FieldForm::setOptional(const std::string& field, const QString& placeholder) {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        Row& row = rows_[i];
        if (row.field.name != field) continue;
        auto* edit = qobject_cast<QLineEdit*>(row.editor);
        if (!edit) {
            edit = new QLineEdit;
            edit->setToolTip(row.editor->toolTip());
            edit->setAccessibleName(row.editor->accessibleName());
            edit->setAccessibleDescription(row.editor->accessibleDescription());
            delete layout()->replaceWidget(row.editor, edit);
            setTabOrder(row.editor, edit);
            row.editor->deleteLater();
            row.editor = edit;
            row.label->setBuddy(edit);
            connect(edit, &QLineEdit::textChanged, this, [this, i] { edited(i); });
        }
        row.optional = true;
        const QSignalBlocker block(edit);
        edit->setPlaceholderText(placeholder);
        edit->clear();
        judge(i);
    }
}

void FieldForm::setEditor(const Row& row, const Json& value) {
    if (auto* box = qobject_cast<QCheckBox*>(row.editor)) box->setChecked(value.is_boolean() && value.get<bool>());
    if (auto* combo = qobject_cast<QComboBox*>(row.editor)) combo->setCurrentIndex(combo->findText(shown_value(value)));
    if (auto* spin = qobject_cast<QSpinBox*>(row.editor)) spin->setValue(value.is_number() ? value.get<int>() : spin->minimum());
    if (auto* edit = qobject_cast<QLineEdit*>(row.editor)) edit->setText(value.is_null() ? QString() : shown_value(value));
}

std::optional<Json> FieldForm::entered(const Row& row, const std::string& where) const {
    Json value;
    if (auto* box = qobject_cast<QCheckBox*>(row.editor)) value = box->isChecked();
    if (auto* combo = qobject_cast<QComboBox*>(row.editor)) value = plain(combo->currentText());
    if (auto* spin = qobject_cast<QSpinBox*>(row.editor)) value = spin->value();
    if (auto* edit = qobject_cast<QLineEdit*>(row.editor)) {
        const QString entry = edit->text().trimmed();
        if (entry.isEmpty() && row.optional) return std::nullopt;
        value = plain(entry);
    }
    return checked(row.field, value, where);
}

Json FieldForm::values(const std::string& where) const {
    Json object = Json::object();
    for (const auto& row : rows_) {
        const auto value = entered(row, where);
        if (value && (row.optional || *value != row.field.default_value)) object[row.field.name] = *value;
    }
    return object;
}

QString FieldForm::problem() const {
    for (const auto& row : rows_) {
        try {
            entered(row, {});
        } catch (const Error& error) {
            return shown_name(row.field.name) + u": "_s + text(error.found());
        }
    }
    return {};
}

void FieldForm::setValues(const Json& object) {
    setting_ = true;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        const Row& row = rows_[i];
        const bool named = object.is_object() && object.contains(row.field.name);
        setEditor(row, named ? object.at(row.field.name) : row.optional ? Json() : row.field.default_value);
        judge(i);
    }
    setting_ = false;
    Q_EMIT changed();
}

int FieldForm::changedCount() const {
    int count = 0;
    for (const auto& row : rows_) {
        // Not isVisible(): that also asks whether the form itself is shown.
        if (!row.reset->isHidden()) ++count;
    }
    return count;
}

QWidget* FieldForm::editor(const std::string& field) const {
    for (const auto& row : rows_)
        if (row.field.name == field) return row.editor;
    return nullptr;
}

void FieldForm::judge(std::size_t index) {
    const Row& row = rows_[index];
    bool wrong = false, differs = false;
    QString tip = tip_of(row.field);
    try {
        const auto value = entered(row, {});
        differs = value && (row.optional || *value != row.field.default_value);
    } catch (const Error& error) {
        wrong = differs = true;
        tip = u"<p>"_s + text(error.found()).toHtmlEscaped() + u". "_s + text(error.fix()).toHtmlEscaped() + u"</p>"_s + tip;
    }
    QFont font = row.label->font();
    font.setBold(differs);
    row.label->setFont(font);
    row.reset->setVisible(differs);
    row.editor->setToolTip(tip);
    // The style sheet frames editors with this property in red.
    if (row.editor->property("wrong").toBool() != wrong) {
        row.editor->setProperty("wrong", wrong);
        row.editor->setStyleSheet(row.editor->styleSheet());
    }
}

void FieldForm::edited(std::size_t index) {
    if (setting_) return;
    judge(index);
    Q_EMIT changed();
}

}  // namespace permille::ui
