#include <QCheckBox>
#include <QComboBox>
#include <QLineEdit>
#include <QSignalSpy>
#include <QSpinBox>
#include <QTest>

#include "core/study/study.h"
#include "tests/ui/ui_tests.h"
#include "ui/widgets/field_form.h"
#include "ui/widgets/list_edit.h"

namespace permille::test {

using namespace Qt::StringLiterals;
using ui::FieldForm;

namespace {

struct Settings {
    std::int64_t rank = 8;
    double dropout = 0.1;
    bool bias = false;
    std::string activation = "relu", name;
};

// QCOMPARE cannot compare JSON values themselves.
QString dumped(const Json& json) { return QString::fromStdString(json.dump()); }

std::vector<Field> fields() {
    return Fields<Settings>()
        .add("rank", &Settings::rank, "size", {.min = 1, .max = 64, .unit = "dims"})
        .add("dropout", &Settings::dropout, "probability", {.min = 0, .max = 0.9})
        .add("bias", &Settings::bias, "biases too")
        .add("activation", &Settings::activation, "between the maps", {.choices = {"relu", "gelu"}})
        .add("name", &Settings::name, "any text")
        .list();
}

}  // namespace

class FieldFormTest : public QObject {
    Q_OBJECT
private Q_SLOTS:
    void everyTypeHasItsEditor() {
        const FieldForm form(fields());
        QVERIFY(qobject_cast<QSpinBox*>(form.editor("rank")));
        QVERIFY(qobject_cast<QLineEdit*>(form.editor("dropout")));
        QVERIFY(qobject_cast<QCheckBox*>(form.editor("bias")));
        QVERIFY(qobject_cast<QComboBox*>(form.editor("activation")));
        QVERIFY(qobject_cast<QLineEdit*>(form.editor("name")));
        QVERIFY(!form.editor("nothing"));
        QCOMPARE(qobject_cast<QSpinBox*>(form.editor("rank"))->maximum(), 64);
        QCOMPARE(form.editor("rank")->accessibleName(), u"Rank"_s);
    }

    void defaultsAreLeftOut() {
        const FieldForm form(fields());
        QCOMPARE(dumped(form.values("here")), dumped(Json::object()));
        QCOMPARE(form.changedCount(), 0);
    }

    void changesComeOutInTheirTypes() {
        FieldForm form(fields());
        QSignalSpy changed(&form, &FieldForm::changed);
        qobject_cast<QSpinBox*>(form.editor("rank"))->setValue(12);
        qobject_cast<QLineEdit*>(form.editor("dropout"))->setText(u"0.25"_s);
        qobject_cast<QCheckBox*>(form.editor("bias"))->setChecked(true);
        qobject_cast<QComboBox*>(form.editor("activation"))->setCurrentIndex(1);
        QCOMPARE(dumped(form.values("here")), dumped(Json({{"rank", 12}, {"dropout", 0.25}, {"bias", true}, {"activation", "gelu"}})));
        QCOMPARE(form.changedCount(), 4);
        QCOMPARE(changed.count(), 4);
    }

    void valuesGoInAndBack() {
        FieldForm form(fields());
        const Json values = {{"dropout", 0.5}, {"name", "x"}};
        form.setValues(values);
        QCOMPARE(dumped(form.values("here")), dumped(values));
        form.setValues(Json::object());
        QCOMPARE(dumped(form.values("here")), dumped(Json::object()));
    }

    void outOfRangeNamesTheField() {
        FieldForm form(fields());
        qobject_cast<QLineEdit*>(form.editor("dropout"))->setText(u"3"_s);
        try {
            form.values("methods/lora");
            QFAIL("no error");
        } catch (const Error& error) {
            QVERIFY(error.where().find("methods/lora") != std::string::npos);
            QVERIFY(error.where().find("dropout") != std::string::npos);
        }
        QVERIFY(form.problem().startsWith(u"Dropout"_s));
        QVERIFY(form.editor("dropout")->property("wrong").toBool());
    }

    void optionalFieldMayBeEmpty() {
        FieldForm form(fields());
        form.setOptional("rank", u"from the budget"_s);
        QCOMPARE(dumped(form.values("here")), dumped(Json::object()));
        auto* edit = qobject_cast<QLineEdit*>(form.editor("rank"));
        QVERIFY(edit);
        QCOMPARE(edit->placeholderText(), u"from the budget"_s);
        edit->setText(u"8"_s);  // the default's value, but chosen
        QCOMPARE(dumped(form.values("here")), dumped(Json({{"rank", 8}})));
        edit->clear();
        QCOMPARE(dumped(form.values("here")), dumped(Json::object()));
    }

    void listsAreCheckedItemByItem() {
        ui::ListEdit edit([](const std::string& item) { parse_budget(item, "budgets"); });
        edit.setText(u"0.5%, 2 %,, 5‰, 300k, at most 2MB"_s);
        QCOMPARE(edit.items().size(), std::size_t{5});
        QVERIFY(edit.problem().isEmpty());
        edit.setText(u"0.5%, 2"_s);
        QVERIFY(!edit.problem().isEmpty());
        QVERIFY(edit.property("wrong").toBool());
    }
};

std::unique_ptr<QObject> make_field_form_test() { return std::make_unique<FieldFormTest>(); }

}  // namespace permille::test

#include "field_form_test.moc"
