#include "ui/pages/study/method_list.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTreeWidget>
#include <QVBoxLayout>
#include <algorithm>

#include "core/peft/catalog.h"
#include "ui/bridge/text.h"
#include "ui/widgets/field_form.h"
#include "ui/widgets/list_edit.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

constexpr char kLearningRate[] = "learning_rate";

}  // namespace

// The settings of one line.
class MethodPanel : public QWidget {
public:
    MethodPanel(const MethodInfo& info, const std::function<void()>& changed)
        : info_(info),
          form_(new FieldForm(with_learning_rate(info.knobs))),
          budgets_(new ListEdit([](const std::string& item) { parse_budget(item, "budgets"); })),
          also_(new QLabel) {
        auto* layout = new QVBoxLayout(this);
        layout->setContentsMargins(0, 6, 0, 0);
        QString about = u"<b>%1</b>"_s.arg(text(info.name).toHtmlEscaped());
        if (!info.summary.empty()) about += u" – "_s + text(info.summary).toHtmlEscaped();
        if (!info.paper.empty()) about += u"<br>"_s + text(info.paper).toHtmlEscaped();
        auto* label = new QLabel(about);
        label->setWordWrap(true);
        label->setProperty("muted", true);
        layout->addWidget(label);
        if (!info.size_knob.empty()) {
            form_->setOptional(info.size_knob, QObject::tr("from the budget"));
            budgets_->setPlaceholderText(QObject::tr("those of the study"));
            budgets_->setToolTip(QObject::tr("Budgets for this method instead of the study's, for example 0.5%, 300k, at most 2MB"));
            budgets_->setAccessibleName(QObject::tr("Budgets for this method"));
            form_->setFirstRow(QObject::tr("Budgets"), budgets_);
        } else {
            budgets_->hide();
            budgets_->setParent(this);
        }
        form_->setOptional(kLearningRate, info.default_learning_rate > 0
                                              ? QObject::tr("method's default, %1").arg(info.default_learning_rate)
                                              : QObject::tr("as the study says"));
        layout->addWidget(form_);
        also_->setProperty("muted", true);
        also_->setWordWrap(true);
        also_->hide();
        layout->addWidget(also_);
        layout->addStretch(1);
        QObject::connect(form_, &FieldForm::changed, this, changed);
        QObject::connect(budgets_, &QLineEdit::textChanged, this, changed);
    }

    FieldForm* form() const { return form_; }

    StudyMethod method(const std::string& where) const {
        StudyMethod method;
        method.id = info_.id;
        method.settings = form_->values(where);
        for (const auto& item : budgets_->items()) method.budgets.push_back(parse_budget(item, where + "/budgets"));
        method.training = other_training_;
        if (method.settings.contains(kLearningRate)) {
            method.training[kLearningRate] = method.settings[kLearningRate];
            method.settings.erase(kLearningRate);
        }
        return method;
    }

    void setMethod(const StudyMethod& method) {
        Json values = method.settings.is_object() ? method.settings : Json::object();
        other_training_ = method.training.is_object() ? method.training : Json::object();
        if (other_training_.contains(kLearningRate)) values[kLearningRate] = other_training_[kLearningRate];
        form_->setValues(values);
        QStringList budgets;
        for (const Budget& budget : method.budgets) budgets << text(format_budget(budget));
        budgets_->setText(budgets.join(u", "_s));
        other_training_.erase(kLearningRate);
        // Set in the study file; shown so that nothing acts unseen.
        also_->setText(QObject::tr("Also for this method: %1").arg(shown_settings(other_training_)));
        also_->setVisible(!other_training_.empty());
    }

private:
    // The one setting of training that nearly every method wants for itself stands among its knobs.
    static std::vector<Field> with_learning_rate(std::vector<Field> knobs) {
        for (const auto& field : TrainingSettings::fields().list())
            if (field.name == kLearningRate) knobs.push_back(field);
        return knobs;
    }

    const MethodInfo& info_;
    FieldForm* form_;
    ListEdit* budgets_;
    QLabel* also_;
    Json other_training_ = Json::object();
};

MethodList::MethodList(QWidget* parent)
    : QWidget(parent), tree_(new QTreeWidget), panels_(new QVBoxLayout), variant_(new QPushButton(tr("Add variant"))) {
    tree_->setColumnCount(2);
    tree_->setHeaderLabels({tr("Method"), tr("Size")});
    tree_->setRootIsDecorated(false);
    tree_->setUniformRowHeights(true);
    tree_->setAccessibleName(tr("Methods of the study"));
    tree_->setSizeAdjustPolicy(QAbstractScrollArea::AdjustToContents);
    tree_->setMinimumHeight(120);
    tree_->setMaximumHeight(260);
    tree_->header()->setStretchLastSection(false);
    tree_->header()->setSectionResizeMode(0, QHeaderView::Stretch);
    tree_->header()->setSectionResizeMode(1, QHeaderView::ResizeToContents);
    variant_->setToolTip(tr("The selected method once more, with settings of its own"));
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(tree_);
    auto* buttons = new QHBoxLayout;
    buttons->addStretch(1);
    buttons->addWidget(variant_);
    layout->addLayout(buttons);
    layout->addLayout(panels_);
    for (const auto& info : method_catalog()) addLine(info.id, false);
    connect(tree_, &QTreeWidget::currentItemChanged, this, [this] { select(); });
    connect(tree_, &QTreeWidget::itemChanged, this, [this] { tell(); });
    connect(variant_, &QPushButton::clicked, this, [this] { addVariant(); });
    if (!lines_.empty()) tree_->setCurrentItem(lines_.front().item);
}

MethodList::Line& MethodList::addLine(const std::string& id, bool extra) {
    const MethodInfo& info = find_method(id, "methods");
    Line line;
    line.id = id;
    line.extra = extra;
    line.item = new QTreeWidgetItem({text(info.name), info.size_knob.empty() ? tr("fixed") : shown_name(info.size_knob).toLower()});
    line.item->setToolTip(0, text(info.paper));
    line.item->setCheckState(0, Qt::Unchecked);
    line.panel = new MethodPanel(info, [this] { tell(); });
    // Variants stand below the line they come from.
    const auto after = std::find_if(lines_.rbegin(), lines_.rend(), [&](const Line& other) { return other.id == id; });
    const auto place = after == lines_.rend() ? lines_.end() : after.base();
    const auto row = place - lines_.begin();
    tree_->insertTopLevelItem(static_cast<int>(row), line.item);
    line.panel->hide();
    panels_->addWidget(line.panel);
    return *lines_.insert(place, line);
}

void MethodList::select() {
    const auto line = std::find_if(lines_.begin(), lines_.end(), [&](const Line& other) { return other.item == tree_->currentItem(); });
    if (line == lines_.end()) return;
    for (const Line& other : lines_) other.panel->setVisible(&other == &*line);
}

void MethodList::addVariant() {
    const auto line = std::find_if(lines_.begin(), lines_.end(), [&](const Line& other) { return other.item == tree_->currentItem(); });
    if (line == lines_.end()) return;
    const std::string id = line->id;
    setting_ = true;
    auto& added = addLine(id, true);
    added.item->setText(0, added.item->text(0) + tr(" (variant)"));
    added.item->setCheckState(0, Qt::Checked);
    setting_ = false;
    tree_->setCurrentItem(added.item);
    tell();
}

void MethodList::removeExtras() {
    for (auto line = lines_.begin(); line != lines_.end();) {
        if (!line->extra) {
            ++line;
            continue;
        }
        delete line->item;
        delete line->panel;
        line = lines_.erase(line);
    }
}

std::vector<StudyMethod> MethodList::methods() const {
    std::vector<StudyMethod> methods;
    for (const auto& line : lines_)
        if (line.item->checkState(0) == Qt::Checked) methods.push_back(line.panel->method("methods/" + line.id));
    return methods;
}

void MethodList::setMethods(const std::vector<StudyMethod>& methods) {
    setting_ = true;
    removeExtras();
    for (auto& line : lines_) {
        line.item->setCheckState(0, Qt::Unchecked);
        line.panel->setMethod({});
    }
    QTreeWidgetItem* first = nullptr;
    for (const auto& method : methods) {
        auto free = std::find_if(lines_.begin(), lines_.end(),
                                 [&](const Line& line) { return line.id == method.id && line.item->checkState(0) == Qt::Unchecked; });
        Line* line = free != lines_.end() ? &*free : nullptr;
        if (!line) {
            line = &addLine(method.id, true);
            line->item->setText(0, line->item->text(0) + tr(" (variant)"));
        }
        line->item->setCheckState(0, Qt::Checked);
        line->panel->setMethod(method);
        if (!first) first = line->item;
    }
    if (first) tree_->setCurrentItem(first);
    setting_ = false;
    tell();
}

void MethodList::setChecked(const std::string& id, bool checked) {
    for (auto& line : lines_)
        if (line.id == id) line.item->setCheckState(0, checked ? Qt::Checked : Qt::Unchecked);
}

FieldForm* MethodList::settings(const std::string& id) const {
    for (const auto& line : lines_)
        if (line.id == id) return line.panel->form();
    return nullptr;
}

void MethodList::tell() {
    if (!setting_) Q_EMIT changed();
}

}  // namespace permille::ui
