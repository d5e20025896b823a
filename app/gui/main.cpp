// The program `permille-workbench`: opens the window on a database, and on request on a study and a page; or renders a page into a picture.
#include <unistd.h>

#include <QApplication>
#include <QCommandLineParser>
#include <QElapsedTimer>
#include <QFileInfo>
#include <QSettings>
#include <QTimer>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <optional>
#include <string_view>

#include "core/base/files.h"
#include "core/base/process.h"
#include "core/bases/find.h"
#include "core/store/store.h"
#include "ui/bridge/text.h"
#include "ui/pages/pages.h"
#include "ui/shell/main_window.h"
#include "ui/shell/theme.h"

namespace {

using namespace Qt::StringLiterals;
using permille::Error;
using permille::ErrorKind;
using permille::ui::plain;
using permille::ui::text;

constexpr int kFailed = 1, kWrongUsage = 2;
constexpr qint64 kScreenshotLimitMs = 30000;

int fail(const std::exception& error, int code) {
    std::cerr << "permille-workbench: " << error.what() << std::endl;
    return code;
}

// Qt ends the program with abort() when it cannot reach a display. A core dump helps nobody: say it and leave with an exit code.
void explain_fatal(QtMsgType type, const QMessageLogContext&, const QString& message) {
    if (type == QtDebugMsg || type == QtInfoMsg || type == QtWarningMsg) return;
    std::cerr << "permille-workbench: " << plain(message) << std::endl;
    if (type != QtFatalMsg) return;
    std::cerr
        << "permille-workbench: start it where there is a display, or use the command line: permille run, permille results, permille plot"
        << std::endl;
    std::_Exit(kFailed);
}

bool has_argument(int argc, char** argv, std::string_view name) {
    for (int i = 1; i < argc; ++i)
        if (std::string_view(argv[i]).substr(0, name.size()) == name) return true;
    return false;
}

// Chooses Qt's platform before it starts. False when there is none to show a window on.
bool prepare_display(int argc, char** argv) {
    if (qEnvironmentVariableIsSet("QT_QPA_PLATFORM") || has_argument(argc, argv, "-platform") || has_argument(argc, argv, "--platform"))
        return true;
    // Pictures, help and version need no display.
    for (const char* name : {"--screenshot", "--help", "-h", "--version", "-v"})
        if (has_argument(argc, argv, name)) {
            qputenv("QT_QPA_PLATFORM", "offscreen");
            return true;
        }
#ifdef Q_OS_LINUX
    return !qEnvironmentVariableIsEmpty("DISPLAY") || !qEnvironmentVariableIsEmpty("WAYLAND_DISPLAY");
#else
    return true;
#endif
}

QSize parse_size(const QString& words) {
    const QStringList parts = words.split(u'x');
    const QSize size = parts.size() == 2 ? QSize(parts[0].toInt(), parts[1].toInt()) : QSize();
    if (size.width() < 640 || size.height() < 400 || size.width() > 8000 || size.height() > 8000)
        throw Error(ErrorKind::usage, "--size", "'" + plain(words) + "' is no size",
                    "give WIDTHxHEIGHT from 640x400 to 8000x8000, such as 1280x800");
    return size;
}

// Opens the file to see that it can be read. A database that the user did not name is merely left aside.
std::filesystem::path choose_database(const QString& named, const QSettings& settings, std::optional<permille::ui::Problem>& remark) {
    if (!named.isEmpty()) {
        const std::filesystem::path file = std::filesystem::absolute(plain(named));
        permille::Store(file, permille::Store::Open::create);
        return file;
    }
    const QString last = settings.value(u"database"_s).toString();
    if (!last.isEmpty() && QFileInfo::exists(last)) {
        try {
            permille::Store(plain(last), permille::Store::Open::existing);
            return plain(last);
        } catch (...) {
            remark = permille::ui::problem_of(std::current_exception());
        }
    }
    const auto file = permille::Store::default_file();
    permille::Store(file, permille::Store::Open::create);
    return file;
}

// Saves a picture of the window once everything on it has been worked out, then quits.
void take_screenshot(permille::ui::MainWindow& window, const QString& file) {
    struct Waiting {
        QElapsedTimer clock;
        int calm = 0;
    };
    auto waiting = std::make_shared<Waiting>();
    waiting->clock.start();
    auto* timer = new QTimer(&window);
    timer->setInterval(100);
    QObject::connect(timer, &QTimer::timeout, &window, [&window, file, waiting, timer] {
        // A few quiet moments in a row: one part may wake another.
        waiting->calm = window.settled() ? waiting->calm + 1 : 0;
        if (waiting->calm < 5 && waiting->clock.elapsed() < kScreenshotLimitMs) return;
        timer->stop();
        const bool saved = window.grab().save(file);
        if (!saved)
            std::cerr << "permille-workbench: " << plain(file)
                      << ": the picture cannot be written; end the name with .png and choose a folder that exists" << std::endl;
        QCoreApplication::exit(saved ? 0 : kFailed);
    });
    timer->start();
}

int run(QApplication& application) {
    QCommandLineParser parser;
    parser.setApplicationDescription(u"The window of Permille: studies, runs and charts of parameter-efficient fine-tuning."_s);
    const QCommandLineOption database(u"db"_s, u"The database to open; the one of last time, else the user's own, without it."_s,
                                      u"FILE"_s);
    const QCommandLineOption study(u"study"_s, u"A study to open: a file, or the name of one in the database."_s, u"FILE.yaml|NAME"_s);
    const QCommandLineOption page(u"page"_s, u"The page to show: %1."_s.arg(text(permille::list_some(permille::ui::page_ids()))),
                                  u"PAGE"_s);
    const QCommandLineOption screenshot(u"screenshot"_s, u"Save a picture of the window and quit; needs no display."_s, u"FILE.png"_s);
    const QCommandLineOption size(u"size"_s, u"Size of the window in pixels."_s, u"WIDTHxHEIGHT"_s);
    const QCommandLineOption theme(u"theme"_s, u"light, dark or system, for this start."_s, u"THEME"_s);
    parser.addOptions({database, study, page, screenshot, size, theme});
    parser.addHelpOption();
    parser.addVersionOption();
    if (!parser.parse(QApplication::arguments()))
        throw Error(ErrorKind::usage, {}, plain(parser.errorText()), "permille-workbench --help lists the options");
    parser.process(application);  // --help and --version

    QSettings settings;
    const bool picture = parser.isSet(screenshot);
    permille::ui::apply_theme(application,
                              permille::ui::theme_named(parser.isSet(theme) ? parser.value(theme) : settings.value(u"theme"_s).toString()));

    std::optional<permille::ui::Problem> remark;
    const auto file = choose_database(parser.value(database), settings, remark);
    permille::ui::MainWindow::Parts parts;
    for (const auto& base : permille::bundled_bases()) parts.bundled_bases.push_back(base.name);
    const auto example = permille::resources_folder() / "studies" / "first-look.yaml";
    std::error_code ignored;
    if (std::filesystem::exists(example, ignored)) parts.example = example;
    if (!picture) parts.settings = &settings;

    permille::ui::MainWindow window(std::move(parts));
    if (parser.isSet(size)) window.resize(parse_size(parser.value(size)));
    window.openDatabase(file);
    std::optional<std::string> first_page;
    if (parser.isSet(page)) first_page = permille::ui::find_page(plain(parser.value(page)), "--page").id;
    // An empty argument is what a desktop entry without a file gives; a word that is no file names a study of the database.
    if (const QString named = parser.value(study); !named.isEmpty()) {
        const bool is_file = QFileInfo::exists(named) || named.contains(u'/') || named.endsWith(u".yaml"_s) || named.endsWith(u".yml"_s);
        if (!is_file) window.openStoredStudy(plain(named), first_page);
        else if (!window.openStudy(plain(named))) throw Error(ErrorKind::config, "--study", plain(window.message()));
    }
    if (first_page) window.showPage(*first_page);
    if (remark) window.showProblem(*remark);
    if (picture) take_screenshot(window, parser.value(screenshot));
    window.show();
    return QApplication::exec();
}

}  // namespace

int main(int argc, char** argv) {
    permille::prepare_process();
    qInstallMessageHandler(explain_fatal);
    if (!prepare_display(argc, argv)) {
        std::cerr
            << "permille-workbench: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set); start it on a desktop, or use the "
               "command line: permille run, permille results, permille plot"
            << std::endl;
        return kFailed;
    }
    try {
        QApplication application(argc, argv);
        QApplication::setApplicationName(u"permille-workbench"_s);
        QApplication::setApplicationDisplayName(u"Permille"_s);
        QApplication::setOrganizationName(u"permille"_s);
        QApplication::setDesktopFileName(u"permille-workbench"_s);
        QApplication::setApplicationVersion(QStringLiteral(PERMILLE_VERSION));
        permille::ui::use_resources();
        return run(application);
    } catch (const Error& error) {
        return fail(error, error.kind() == ErrorKind::usage ? kWrongUsage : kFailed);
    } catch (const std::exception& error) {
        return fail(error, kFailed);
    }
}
