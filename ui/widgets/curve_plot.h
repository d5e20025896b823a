// The course of one run: training and validation loss on the left axis, validation BLEU on the right one.
#pragma once

#include <QWidget>
#include <vector>

#include "core/store/store.h"

class QCustomPlot;

namespace permille::ui {

class CurvePlot : public QWidget {
    Q_OBJECT
public:
    explicit CurvePlot(QWidget* parent = nullptr);
    void setMetrics(const std::vector<StepMetric>& metrics);
    // How many points are drawn of a metric.
    int points(StepFigure figure) const;
    QSize sizeHint() const override { return {480, 260}; }

protected:
    void changeEvent(QEvent* event) override;

private:
    void redraw();
    QCustomPlot* plot_;
    std::vector<StepMetric> metrics_;
};

}  // namespace permille::ui
