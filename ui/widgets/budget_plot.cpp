#include "ui/widgets/budget_plot.h"

#include <QToolTip>
#include <QVBoxLayout>

#include "ui/widgets/chart_drawing.h"
#include "ui/widgets/custom_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// The visible part of every panel, to be put back after redrawing.
std::vector<std::pair<QCPRange, QCPRange>> visible_ranges(QCustomPlot& plot) {
    std::vector<std::pair<QCPRange, QCPRange>> ranges;
    for (auto* rect : plot.axisRects()) ranges.emplace_back(rect->axis(QCPAxis::atBottom)->range(), rect->axis(QCPAxis::atLeft)->range());
    return ranges;
}

}  // namespace

BudgetPlot::BudgetPlot(QWidget* parent) : QWidget(parent), plot_(new QCustomPlot(this)), drawing_(std::make_unique<ChartDrawing>(*plot_)) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->addWidget(plot_);
    setAccessibleName(tr("Chart of the score against trainable parameters"));
    setAccessibleDescription(tr("The same figures stand in the table of the Results page."));
    plot_->setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
    plot_->setMouseTracking(true);
    connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
        if (event->buttons() == Qt::NoButton) hover(event->position());
        else if (event->buttons() & Qt::LeftButton) zoomed_ = true;
    });
    connect(plot_, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) { pressed_ = event->position(); });
    connect(plot_, &QCustomPlot::mouseRelease, this, [this](QMouseEvent* event) {
        if (event->button() == Qt::LeftButton && (event->position() - pressed_).manhattanLength() < 5) activate(event->position());
    });
    connect(plot_, &QCustomPlot::mouseWheel, this, [this] { zoomed_ = true; });
    connect(plot_, &QCustomPlot::mouseDoubleClick, this, [this] { resetView(); });
    redraw();
}

BudgetPlot::~BudgetPlot() = default;

void BudgetPlot::setData(const Chart& data) {
    bool same = data.panels.size() == data_.panels.size() && data.x == data_.x && data.metric == data_.metric;
    for (std::size_t i = 0; same && i < data.panels.size(); ++i) same = data.panels[i].title == data_.panels[i].title;
    if (!same) zoomed_ = false;
    data_ = data;
    redraw();
}

void BudgetPlot::resetView() {
    zoomed_ = false;
    drawing_->reset_ranges();
    plot_->replot();
}

void BudgetPlot::redraw() {
    if (drawing_now_) return;
    drawing_now_ = true;
    const auto before = visible_ranges(*plot_);
    drawing_->draw(data_, ChartStyle::of(palette()), width());
    const auto rects = plot_->axisRects();
    if (zoomed_ && before.size() == static_cast<std::size_t>(rects.size())) {
        for (int i = 0; i < rects.size(); ++i) {
            rects[i]->axis(QCPAxis::atBottom)->setRange(before[static_cast<std::size_t>(i)].first);
            rects[i]->axis(QCPAxis::atLeft)->setRange(before[static_cast<std::size_t>(i)].second);
        }
    }
    plot_->replot();
    drawing_now_ = false;
}

void BudgetPlot::hover(const QPointF& position) {
    const auto hit = drawing_->hit(position, 12);
    plot_->setCursor(hit.point ? Qt::PointingHandCursor : Qt::ArrowCursor);
    if (hit.point) {
        QToolTip::showText(plot_->mapToGlobal(hit.position.toPoint() + QPoint(8, 8)), told_about(*hit.point, data_), plot_);
    } else {
        QToolTip::hideText();
    }
}

void BudgetPlot::activate(const QPointF& position) {
    const auto hit = drawing_->hit(position, 12);
    if (hit.point && !hit.point->runs.empty()) Q_EMIT runActivated(hit.point->runs.front());
}

void BudgetPlot::changeEvent(QEvent* event) {
    QWidget::changeEvent(event);
    if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange) redraw();
}

void BudgetPlot::resizeEvent(QResizeEvent* event) {
    QWidget::resizeEvent(event);
    redraw();
}

}  // namespace permille::ui
