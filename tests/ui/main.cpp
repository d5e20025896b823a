// Runs every test object; names of test functions on the command line choose among them, as QtTest reads them.
#include <QApplication>
#include <QTest>

#include "tests/ui/ui_tests.h"
#include "ui/shell/theme.h"

int main(int argc, char** argv) {
    if (!qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
    QApplication application(argc, argv);
    permille::ui::use_resources();
    permille::ui::apply_theme(application, permille::ui::Theme::light);
    using namespace permille::test;
    int failures = 0;
    for (const auto make : {make_bases_test, make_chart_test, make_field_form_test, make_item_models_test, make_pages_test,
                            make_watcher_test, make_window_test}) {
        const auto test = make();
        failures += QTest::qExec(test.get(), argc, argv);
    }
    return failures == 0 ? 0 : 1;
}
