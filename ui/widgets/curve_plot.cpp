#include "ui/widgets/curve_plot.h"

#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "ui/bridge/text.h"
#include "ui/widgets/chart_drawing.h"
#include "ui/widgets/custom_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

struct Curve {
    StepFigure figure;
    const char* title;
    bool right_axis;
    int colour;
};
constexpr Curve kCurves[] = {{StepFigure::train_loss, QT_TRANSLATE_NOOP("Curves", "Training loss"), false, 0},
                             {StepFigure::valid_loss, QT_TRANSLATE_NOOP("Curves", "Validation loss"), false, 1},
                             {StepFigure::valid_bleu, QT_TRANSLATE_NOOP("Curves", "Validation BLEU"), true, 2}};

}  // namespace

CurvePlot::CurvePlot(QWidget* parent) : QWidget(parent), plot_(new QCustomPlot(this)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(plot_);
    setAccessibleName(tr("Loss and validation BLEU by update"));
    plot_->setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    // Above the curves: wherever it stood among them, it would hide one.
    plot_->plotLayout()->insertRow(0);
    plot_->plotLayout()->addElement(0, 0, plot_->legend);
    plot_->plotLayout()->setRowStretchFactor(0, 0.001);
    plot_->legend->setFillOrder(QCPLayoutGrid::foColumnsFirst);
    plot_->legend->setBorderPen(Qt::NoPen);
    plot_->legend->setBrush(Qt::NoBrush);
    plot_->axisRect()->setRangeDrag(Qt::Horizontal);
    plot_->axisRect()->setRangeZoom(Qt::Horizontal);
    connect(plot_, &QCustomPlot::mouseDoubleClick, this, [this] { redraw(); });
    redraw();
}

void CurvePlot::setMetrics(const std::vector<StepMetric>& metrics) {
    metrics_ = metrics;
    redraw();
}

int CurvePlot::points(StepFigure figure) const {
    return static_cast<int>(std::count_if(metrics_.begin(), metrics_.end(), [&](const StepMetric& metric) {
        return metric.figure == figure && std::isfinite(metric.value);
    }));
}

void CurvePlot::redraw() {
    const ChartStyle style = ChartStyle::of(palette());
    plot_->clearPlottables();
    plot_->clearItems();
    plot_->setBackground(style.background);
    QFont font = plot_->font();
    font.setPixelSize(12);
    for (auto* axis : {plot_->xAxis, plot_->yAxis, plot_->yAxis2}) {
        axis->setBasePen(QPen(style.frame, 1));
        axis->setTickPen(QPen(style.frame, 1));
        axis->setSubTicks(false);
        axis->setTickLength(0, 4);
        axis->setTickLabelColor(style.muted);
        axis->setTickLabelFont(font);
        axis->setLabelColor(style.text);
        axis->setLabelFont(font);
        axis->grid()->setPen(QPen(style.grid, 1));
        axis->grid()->setZeroLinePen(Qt::NoPen);
    }
    plot_->yAxis2->grid()->setVisible(false);
    plot_->xAxis->setLabel(tr("Updates"));
    plot_->xAxis->setNumberFormat(u"f"_s);
    plot_->xAxis->setNumberPrecision(0);
    plot_->yAxis->setLabel(tr("Loss (nats per token)"));
    bool any = false, right = false;
    for (const auto& curve : kCurves) {
        QVector<double> steps, values;
        for (const auto& metric : metrics_)
            if (metric.figure == curve.figure && std::isfinite(metric.value)) {
                steps << static_cast<double>(metric.step);
                values << metric.value;
            }
        if (steps.isEmpty()) continue;
        any = true;
        right = right || curve.right_axis;
        auto* graph = plot_->addGraph(plot_->xAxis, curve.right_axis ? plot_->yAxis2 : plot_->yAxis);
        graph->setName(QCoreApplication::translate("Curves", curve.title));
        graph->setData(steps, values);
        const QColor colour = style.of_series(curve.colour);
        graph->setPen(QPen(colour, curve.colour == 0 ? 1.2 : 1.8));
        graph->setSelectable(QCP::stNone);
        // Validations are few: their points are marked, so that one alone can be seen.
        if (curve.colour > 0 || steps.size() < 3)
            graph->setScatterStyle(
                QCPScatterStyle(curve.right_axis ? QCPScatterStyle::ssSquare : QCPScatterStyle::ssCircle, colour, colour, 6));
    }
    plot_->yAxis2->setVisible(right);
    plot_->yAxis2->setLabel(right ? tr("BLEU") : QString());
    plot_->legend->setVisible(any);
    plot_->legend->setFont(font);
    plot_->legend->setTextColor(style.text);
    if (any) {
        plot_->rescaleAxes();
        for (auto* axis : {plot_->yAxis, plot_->yAxis2})
            axis->setRange(axis->range().lower - axis->range().size() * 0.06 - 1e-3,
                           axis->range().upper + axis->range().size() * 0.12 + 1e-3);
        plot_->xAxis->setRange(0, std::max(1.0, plot_->xAxis->range().upper * 1.02));
    } else {
        auto* message = new QCPItemText(plot_);
        message->position->setType(QCPItemPosition::ptAxisRectRatio);
        message->position->setCoords(0.5, 0.5);
        message->setText(tr("No figures from training yet"));
        message->setFont(font);
        message->setColor(style.muted);
        plot_->xAxis->setRange(0, 1);
        plot_->yAxis->setRange(0, 1);
    }
    plot_->replot();
}

void CurvePlot::changeEvent(QEvent* event) {
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange) redraw();
}

}  // namespace permille::ui
