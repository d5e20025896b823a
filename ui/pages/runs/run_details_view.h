// Everything about one run: settings and facts, its curves while it trains, what it translated, its log.
#pragma once

#include <QWidget>

#include "ui/bridge/store_watcher.h"
#include "ui/item_models/translations_model.h"

class QLabel;
class QPlainTextEdit;
class QTabWidget;
class QTextBrowser;

namespace permille::ui {

class CurvePlot;

class RunDetailsView : public QWidget {
    Q_OBJECT
public:
    explicit RunDetailsView(QWidget* parent = nullptr);

    // Null: no run is selected.
    void setRun(const RunRow* run);
    // Ignored unless it is about the run shown.
    void setDetails(const DetailsPtr& details);
    // A line that the running study has just told.
    void addLogLine(const QString& line);

    CurvePlot* curves() const { return curves_; }
    const TranslationsModel& translations() const { return translations_; }
    QString overview() const;
    QTabWidget* tabs() const { return tabs_; }

private:
    void showOverview();
    void showLog();

    std::optional<RunRow> run_;
    DetailsPtr details_;
    QStringList live_lines_;
    QString log_file_;
    TranslationsModel translations_;
    QTabWidget* tabs_;
    QTextBrowser* overview_;
    CurvePlot* curves_;
    QLabel* scores_;
    QPlainTextEdit* log_;
};

}  // namespace permille::ui
