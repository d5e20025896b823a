// The chart of the score against trainable parameters over the database, with what to show of it, and its export.
#pragma once

#include <map>

#include "ui/pages/page.h"
#include "ui/widgets/chart_words.h"
#include "ui/widgets/render_chart.h"

class QComboBox;
class QLabel;
class QPushButton;

namespace permille::ui {

class BudgetPlot;

class ChartPage : public Page {
    Q_OBJECT
public:
    explicit ChartPage(QWidget* parent = nullptr);

    void setSnapshot(const SnapshotPtr& snapshot) override;
    bool settled() const override { return snapshot_ != nullptr; }
    // "" shows all of them.
    void showStudy(const QString& study);

    const BudgetPlot& plot() const { return *plot_; }
    QComboBox* pairs() const { return pairs_; }
    QComboBox* axis() const { return x_; }
    // Asks for a file and a size.
    void chooseExport();
    void exportTo(const QString& file, const ChartFile& options);

private:
    void refill(QComboBox* box, const QStringList& names, const QList<QVariant>& values);
    void redraw();

    SnapshotPtr snapshot_;
    QComboBox* studies_;
    QComboBox* pairs_;
    QComboBox* metrics_;
    QComboBox* x_;
    QPushButton* export_;
    QLabel* hint_;
    BudgetPlot* plot_;
};

}  // namespace permille::ui
