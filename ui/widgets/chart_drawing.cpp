#include "ui/widgets/chart_drawing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "ui/bridge/text.h"
#include "ui/widgets/custom_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// Ticks of a logarithmic axis at 1, 2 and 5 of each decade, written plainly: 0.05, 2, 50, 20k.
class DecadeTicker : public QCPAxisTicker {
protected:
    double getTickStep(const QCPRange&) override { return 1; }
    int getSubTickCount(double) override { return 0; }
    QVector<double> createTickVector(double, const QCPRange& range) override {
        const double low = std::max(range.lower, 1e-12), high = std::max(range.upper, low);
        const double decades = std::log10(high / low);
        std::vector<double> steps = decades > 4     ? std::vector<double>{1}
                                    : decades > 0.9 ? std::vector<double>{1, 2, 5}
                                                    : std::vector<double>{1, 1.5, 2, 3, 4, 5, 6, 8};
        QVector<double> ticks;
        for (double decade = std::pow(10, std::floor(std::log10(low))); decade <= high; decade *= 10)
            for (const double step : steps)
                if (decade * step >= low * 0.999 && decade * step <= high * 1.001) ticks << decade * step;
        return ticks;
    }
    QString getTickLabel(double tick, const QLocale&, QChar, int) override {
        if (tick >= 1e6) return QString::number(tick / 1e6, 'g', 4) + u'M';
        if (tick >= 1e4) return QString::number(tick / 1e3, 'g', 4) + u'k';
        return QString::number(tick, 'g', 4);
    }
};

constexpr int kShapes = 8;

QCPScatterStyle scatter(int style, const QColor& colour, const QColor& rim, double size) {
    static const QCPScatterStyle::ScatterShape shapes[] = {
        QCPScatterStyle::ssCircle,           QCPScatterStyle::ssSquare, QCPScatterStyle::ssTriangle, QCPScatterStyle::ssDiamond,
        QCPScatterStyle::ssTriangleInverted, QCPScatterStyle::ssCross,  QCPScatterStyle::ssPlus,     QCPScatterStyle::ssStar};
    static_assert(std::size(shapes) == kShapes);
    const auto shape = shapes[ChartStyle::shape_of_series(style)];
    const bool strokes = shape == QCPScatterStyle::ssCross || shape == QCPScatterStyle::ssPlus || shape == QCPScatterStyle::ssStar;
    return QCPScatterStyle(shape, QPen(strokes ? colour : rim, strokes ? 2 : 1), QBrush(colour), size);
}

int columns_for(std::size_t panels, int width) {
    const int wanted = panels <= 1 ? 1 : panels <= 4 ? 2 : 3;
    return std::clamp(width / 230, 1, wanted);
}

}  // namespace

ChartStyle ChartStyle::light() {
    ChartStyle style;
    style.background = Qt::white;
    style.text = QColor(0x22, 0x26, 0x2b);
    style.muted = QColor(0x5c, 0x63, 0x6b);
    style.grid = QColor(0xe7, 0xe9, 0xec);
    style.frame = QColor(0x9a, 0xa1, 0xa9);
    style.series = {QColor(0x00, 0x72, 0xb2), QColor(0xd5, 0x5e, 0x00), QColor(0x00, 0x9e, 0x73), QColor(0xcc, 0x79, 0xa7),
                    QColor(0xe6, 0x9f, 0x00), QColor(0x56, 0xb4, 0xe9), QColor(0x6b, 0x4f, 0x9e), QColor(0x55, 0x55, 0x55)};
    return style;
}

ChartStyle ChartStyle::dark() {
    ChartStyle style;
    style.background = QColor(0x1b, 0x1e, 0x23);
    style.text = QColor(0xe4, 0xe7, 0xea);
    style.muted = QColor(0xa0, 0xa8, 0xb1);
    style.grid = QColor(0x2e, 0x33, 0x3a);
    style.frame = QColor(0x60, 0x68, 0x72);
    style.series = {QColor(0x56, 0xb4, 0xe9), QColor(0xf0, 0x80, 0x30), QColor(0x20, 0xc0, 0x95), QColor(0xe2, 0x93, 0xbf),
                    QColor(0xf0, 0xc0, 0x30), QColor(0x4a, 0x8f, 0xe0), QColor(0xa8, 0x8f, 0xe0), QColor(0xb8, 0xbc, 0xc2)};
    return style;
}

ChartStyle ChartStyle::of(const QPalette& palette) {
    const QColor base = palette.color(QPalette::Base);
    ChartStyle style = base.lightnessF() < 0.5f ? dark() : light();
    style.background = base;
    return style;
}

QColor ChartStyle::of_series(int style) const { return series[static_cast<std::size_t>(style) % series.size()]; }

int ChartStyle::shape_of_series(int style) { return (style + style / kShapes) % kShapes; }

void ChartDrawing::draw(const Chart& data, const ChartStyle& style, int width) {
    data_ = data;
    marks_.clear();
    ranges_.clear();
    plot_.clearItems();
    plot_.clearPlottables();
    plot_.legend = nullptr;
    plot_.plotLayout()->clear();
    plot_.setBackground(style.background);
    if (data_.panels.empty()) return draw_empty(style);

    log_x_ = true;
    for (const auto& panel : data_.panels)
        for (const auto& series : panel.series)
            for (const auto& point : series.points) log_x_ = log_x_ && point.x > 0;

    const int columns = columns_for(data_.panels.size(), width);
    ChartStyle fitted = style;
    if (width / columns < 340) fitted.marker_pixels = 7;
    const int rows = static_cast<int>((data_.panels.size() + static_cast<std::size_t>(columns) - 1) / static_cast<std::size_t>(columns));
    auto* grid = new QCPLayoutGrid;
    grid->setRowSpacing(10);
    grid->setColumnSpacing(14);
    plot_.plotLayout()->addElement(0, 0, grid);
    plot_.plotLayout()->setRowSpacing(4);
    for (std::size_t i = 0; i < data_.panels.size(); ++i) {
        auto* rect = new QCPAxisRect(&plot_, true);
        grid->addElement(static_cast<int>(i) / columns, static_cast<int>(i) % columns, rect);
        draw_panel(*rect, data_.panels[i], fitted);
        // A title per axis would repeat itself: only the outer panels have one.
        rect->axis(QCPAxis::atBottom)
            ->setLabel(static_cast<int>(i) / columns == rows - 1 || i + static_cast<std::size_t>(columns) >= data_.panels.size()
                           ? axis_title(data_.x)
                           : QString());
        rect->axis(QCPAxis::atLeft)->setLabel(static_cast<int>(i) % columns == 0 ? score_title(data_) : QString());
    }
    draw_legend(fitted, width);
    if (const QString words = text(note_of(data_)); !words.isEmpty()) {
        QFont font = plot_.font();
        font.setPixelSize(style.font_pixels - 2);
        auto* note = new QCPTextElement(&plot_, words, font);
        note->setTextColor(style.muted);
        note->setTextFlags(Qt::AlignCenter | Qt::TextWordWrap);
        const QFontMetrics metrics(font);
        const QRect box = metrics.boundingRect(QRect(0, 0, std::max(100, width - 24), 1000), Qt::AlignCenter | Qt::TextWordWrap, words);
        note->setMinimumSize(10, box.height() + 4);
        note->setMaximumSize(QWIDGETSIZE_MAX, box.height() + 4);
        plot_.plotLayout()->addElement(plot_.plotLayout()->rowCount(), 0, note);
    }
    reset_ranges();
}

void ChartDrawing::draw_empty(const ChartStyle& style) {
    QFont font = plot_.font();
    font.setPixelSize(style.font_pixels + 3);
    auto* message = new QCPTextElement(&plot_, u"No finished runs to show yet"_s, font);
    message->setTextColor(style.muted);
    plot_.plotLayout()->addElement(0, 0, message);
}

void ChartDrawing::draw_panel(QCPAxisRect& rect, const ChartPanel& panel, const ChartStyle& style) {
    QFont font = plot_.font();
    font.setPixelSize(style.font_pixels);
    QFont small = font;
    small.setPixelSize(style.font_pixels - 1);
    QFont bold = font;
    bold.setBold(true);

    rect.setupFullAxesBox(false);
    rect.setRangeDrag(Qt::Horizontal | Qt::Vertical);
    rect.setRangeZoom(Qt::Horizontal | Qt::Vertical);
    for (auto* axis : rect.axes()) {
        axis->setBasePen(QPen(style.frame, 1));
        axis->setTickPen(QPen(style.frame, 1));
        axis->setSubTickPen(Qt::NoPen);
        axis->setSubTicks(false);
        axis->setTickLength(0, 4);
        axis->setTickLabelColor(style.muted);
        axis->setTickLabelFont(small);
        axis->setLabelColor(style.text);
        axis->setLabelFont(font);
        axis->grid()->setPen(QPen(style.grid, 1));
        axis->grid()->setSubGridVisible(false);
        axis->grid()->setZeroLinePen(Qt::NoPen);
        axis->setLayer(u"axes"_s);
        axis->grid()->setLayer(u"grid"_s);
    }
    for (const auto side : {QCPAxis::atTop, QCPAxis::atRight}) {
        rect.axis(side)->setTicks(false);
        rect.axis(side)->setTickLabels(false);
        rect.axis(side)->setBasePen(QPen(style.grid, 1));
        rect.axis(side)->grid()->setVisible(false);
    }
    auto* x = rect.axis(QCPAxis::atBottom);
    auto* y = rect.axis(QCPAxis::atLeft);
    if (log_x_) {
        x->setScaleType(QCPAxis::stLogarithmic);
        x->setTicker(QSharedPointer<DecadeTicker>::create());
    }
    y->ticker()->setTickCount(6);

    double x_low = std::numeric_limits<double>::max(), x_high = std::numeric_limits<double>::lowest();
    double y_low = x_low, y_high = x_high;
    const auto widen = [&](const ChartPoint& point) {
        y_low = std::min({y_low, point.score.mean, point.score.low.value_or(point.score.mean)});
        y_high = std::max({y_high, point.score.mean, point.score.high.value_or(point.score.mean)});
    };
    for (const auto& series : panel.series) {
        draw_series(rect, series, style);
        for (const auto& point : series.points) {
            x_low = std::min(x_low, point.x);
            x_high = std::max(x_high, point.x);
            widen(point);
        }
    }
    for (const auto& reference : panel.references) {
        draw_reference(rect, reference, style);
        y_low = std::min(y_low, reference.point.score.mean);
        y_high = std::max(y_high, reference.point.score.mean);
    }
    if (x_low > x_high) x_low = 0.1, x_high = 10;
    if (y_low > y_high) y_low = 0, y_high = 1;
    // Up is always the better score. Above there is room for the words at a reference line.
    y->setRangeReversed(!data_.higher_is_better);
    const double y_margin = std::max(0.5, (y_high - y_low) * 0.08), words_margin = y_margin * (panel.references.empty() ? 1 : 2);
    const double below = data_.higher_is_better ? y_margin : words_margin, above = data_.higher_is_better ? words_margin : y_margin;
    Ranges ranges{&rect, 0, 0, std::max(-0.04 * (y_high + y_margin), y_low - below), y_high + above};
    if (log_x_) {
        // At least a third of a decade, so that one point alone has an axis too.
        const double spread = std::max(0.17, 0.08 * std::log10(x_high / x_low));
        ranges.x_low = x_low * std::pow(10, -spread);
        ranges.x_high = x_high * std::pow(10, spread);
    } else {
        const double margin = std::max(1e-9, (x_high - x_low) * 0.06);
        ranges.x_low = x_low - margin;
        ranges.x_high = x_high + margin;
    }
    ranges_.push_back(ranges);

    if (!panel.title.empty()) {
        auto* title = new QCPItemText(&plot_);
        title->setClipToAxisRect(false);
        title->setPositionAlignment(Qt::AlignHCenter | Qt::AlignBottom);
        title->position->setType(QCPItemPosition::ptAxisRectRatio);
        title->position->setAxisRect(&rect);
        title->position->setCoords(0.5, 0);
        title->setPadding(QMargins(0, 0, 0, 6));  // in pixels: a share of the height would leave tall charts
        title->setText(text(panel.title));
        title->setFont(bold);
        title->setColor(style.text);
        rect.setMinimumMargins(QMargins(0, style.font_pixels + 12, 4, 0));
    } else {
        rect.setMinimumMargins(QMargins(0, 8, 4, 0));
    }
}

void ChartDrawing::draw_series(QCPAxisRect& rect, const ChartSeries& series, const ChartStyle& style) {
    const QColor colour = style.of_series(series.style);
    QVector<double> xs, ys, below, above;
    bool bars = false;
    for (const auto& point : series.points) {
        xs << point.x;
        const Estimate& score = point.score;
        ys << score.mean;
        below << score.mean - score.low.value_or(score.mean);
        above << score.high.value_or(score.mean) - score.mean;
        bars = bars || score.low || score.high;
    }
    auto* graph = new QCPGraph(rect.axis(QCPAxis::atBottom), rect.axis(QCPAxis::atLeft));
    graph->setName(text(series.name));
    graph->setPen(QPen(colour, 1.8));
    graph->setScatterStyle(scatter(series.style, colour, style.background, style.marker_pixels));
    graph->setData(xs, ys);
    graph->setSelectable(QCP::stNone);
    if (bars) {
        auto* errors = new QCPErrorBars(rect.axis(QCPAxis::atBottom), rect.axis(QCPAxis::atLeft));
        errors->removeFromLegend();
        errors->setDataPlottable(graph);
        errors->setErrorType(QCPErrorBars::etValueError);
        errors->setData(below, above);
        QColor pale = colour;
        pale.setAlphaF(0.75f);
        errors->setPen(QPen(pale, 1.2));
        errors->setWhiskerWidth(7);
        errors->setSymbolGap(style.marker_pixels - 2);
        errors->setSelectable(QCP::stNone);
    }
    for (const auto& point : series.points) marks_.push_back({&rect, &point, false});
}

void ChartDrawing::draw_reference(QCPAxisRect& rect, const ChartReference& reference, const ChartStyle& style) {
    const bool whole_base = reference.kind == ChartReference::Kind::whole_base;
    auto* line = new QCPItemStraightLine(&plot_);
    line->setClipAxisRect(&rect);
    for (auto* position : {line->point1, line->point2}) {
        position->setAxisRect(&rect);
        position->setAxes(rect.axis(QCPAxis::atBottom), rect.axis(QCPAxis::atLeft));
        position->setTypeX(QCPItemPosition::ptAxisRectRatio);
        position->setTypeY(QCPItemPosition::ptPlotCoords);
    }
    line->point1->setCoords(0, reference.point.score.mean);
    line->point2->setCoords(1, reference.point.score.mean);
    QPen pen(style.muted, 1.5);
    pen.setDashPattern(whole_base ? QVector<qreal>{6, 3} : QVector<qreal>{1.5, 3});
    line->setPen(pen);
    line->setLayer(u"grid"_s);

    auto* label = new QCPItemText(&plot_);
    label->setClipAxisRect(&rect);
    label->position->setAxisRect(&rect);
    label->position->setAxes(rect.axis(QCPAxis::atBottom), rect.axis(QCPAxis::atLeft));
    label->position->setTypeX(QCPItemPosition::ptAxisRectRatio);
    label->position->setTypeY(QCPItemPosition::ptPlotCoords);
    label->position->setCoords(0.012, reference.point.score.mean);
    label->setPositionAlignment(Qt::AlignLeft | Qt::AlignBottom);
    label->setPadding(QMargins(0, 2, 0, 2));
    label->setText(u"%1 %2"_s.arg(text(reference.name)).arg(reference.point.score.mean, 0, 'f', 1));
    QFont font = plot_.font();
    font.setPixelSize(style.font_pixels - 1);
    label->setFont(font);
    label->setColor(style.muted);
    marks_.push_back({&rect, &reference.point, true});
}

void ChartDrawing::draw_legend(const ChartStyle& style, int width) {
    std::map<int, std::pair<QString, QCPAbstractPlottable*>> entries;
    for (int i = 0; i < plot_.plottableCount(); ++i) {
        auto* graph = qobject_cast<QCPGraph*>(plot_.plottable(i));
        if (!graph) continue;
        for (const auto& panel : data_.panels)
            for (const auto& series : panel.series)
                if (text(series.name) == graph->name()) entries.try_emplace(series.style, graph->name(), graph);
    }
    if (entries.empty()) return;
    auto* legend = new QCPLegend;
    plot_.plotLayout()->addElement(1, 0, legend);
    legend->setLayer(u"legend"_s);
    QFont font = plot_.font();
    font.setPixelSize(style.font_pixels);
    legend->setFont(font);
    legend->setTextColor(style.text);
    legend->setBrush(Qt::NoBrush);
    legend->setBorderPen(Qt::NoPen);
    legend->setFillOrder(QCPLayoutGrid::foColumnsFirst);
    legend->setColumnSpacing(14);
    legend->setRowSpacing(2);
    legend->setIconSize(26, style.font_pixels + 4);
    const QFontMetrics metrics(font);
    int widest = 0;
    for (const auto& [key, entry] : entries) widest = std::max(widest, metrics.horizontalAdvance(entry.first));
    const int each = widest + 26 + 14 + 16;
    const int columns = std::clamp((width - 20) / each, 1, static_cast<int>(entries.size()));
    legend->setWrap(columns);
    for (const auto& [key, entry] : entries) legend->addItem(new QCPPlottableLegendItem(legend, entry.second));
    // Entries would spread over the whole width: keep them together in the middle.
    const int side = std::max(4, (width - columns * each) / 2);
    legend->setMargins(QMargins(side, 2, side, 2));
    plot_.plotLayout()->setRowStretchFactor(1, 0.001);
}

void ChartDrawing::reset_ranges() {
    for (const auto& ranges : ranges_) {
        ranges.rect->axis(QCPAxis::atBottom)->setRange(ranges.x_low, ranges.x_high);
        ranges.rect->axis(QCPAxis::atLeft)->setRange(ranges.y_low, ranges.y_high);
    }
}

ChartDrawing::Hit ChartDrawing::hit(const QPointF& position, double reach) const {
    Hit best;
    double nearest_distance = reach;
    for (const auto& mark : marks_) {
        if (!mark.rect->rect().contains(position.toPoint())) continue;
        const double y = mark.rect->axis(QCPAxis::atLeft)->coordToPixel(mark.point->score.mean);
        // Points win over the lines behind them.
        const double x = mark.line ? position.x() : mark.rect->axis(QCPAxis::atBottom)->coordToPixel(mark.point->x);
        const double distance = mark.line ? std::abs(y - position.y()) + reach / 2 : std::hypot(x - position.x(), y - position.y());
        if (distance > nearest_distance) continue;
        nearest_distance = distance;
        best = {mark.point, QPointF(x, y)};
    }
    return best;
}

}  // namespace permille::ui
