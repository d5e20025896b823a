// The chart of the window: score against trainable parameters. Hovering tells about a point, a click names its run, wheel and drag zoom and
// move, a double click shows everything again.
#pragma once

#include <QWidget>
#include <memory>

#include "ui/widgets/chart_words.h"

class QCustomPlot;

namespace permille::ui {

class ChartDrawing;

class BudgetPlot : public QWidget {
    Q_OBJECT
public:
    explicit BudgetPlot(QWidget* parent = nullptr);
    ~BudgetPlot() override;

    // Keeps the zoom when the panels stay the same.
    void setData(const Chart& data);
    const Chart& data() const { return data_; }
    void resetView();
    QSize sizeHint() const override { return {720, 460}; }

Q_SIGNALS:
    // A point or a reference line was clicked: the first of its runs.
    void runActivated(qint64 run);

protected:
    void changeEvent(QEvent* event) override;
    void resizeEvent(QResizeEvent* event) override;

private:
    void redraw();
    void hover(const QPointF& position);
    void activate(const QPointF& position);

    QCustomPlot* plot_;
    std::unique_ptr<ChartDrawing> drawing_;
    Chart data_;
    bool zoomed_ = false, drawing_now_ = false;
    QPointF pressed_;
};

}  // namespace permille::ui
