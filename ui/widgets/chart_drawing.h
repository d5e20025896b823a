// Draws chart data into a QCustomPlot: the only place that knows both. Used by the window's plot and by the export, which differ in colours
// and size alone.
#pragma once

#include <QColor>
#include <QPointF>
#include <vector>

#include "ui/widgets/chart_words.h"

class QCPAxisRect;
class QCustomPlot;
class QPalette;

namespace permille::ui {

// Colours of Okabe and Ito (2008), which people with any kind of colour vision can tell apart; every series has a shape of its own too,
// and when the colours begin anew they go with other shapes: 64 looks in all.
struct ChartStyle {
    QColor background, text, muted, grid, frame;
    std::vector<QColor> series;
    int font_pixels = 12, marker_pixels = 10;
    static ChartStyle light();
    static ChartStyle dark();
    // Light or dark, whichever goes with the palette; with its own background.
    static ChartStyle of(const QPalette& palette);
    QColor of_series(int style) const;
    static int shape_of_series(int style);  // 0 to 7
};

class ChartDrawing {
public:
    // `plot` must outlive the drawing.
    explicit ChartDrawing(QCustomPlot& plot) : plot_(plot) {}

    // Throws away what the plot holds and draws anew; `width` in pixels is what the legend has to fit into. Does not replot.
    void draw(const Chart& data, const ChartStyle& style, int width);
    // Axis ranges as draw() chose them.
    void reset_ranges();

    struct Hit {
        const ChartPoint* point = nullptr;  // of the data given to draw()
        QPointF position;                   // pixels
    };
    // The point or reference line nearest to a position and within `reach` pixels of it.
    Hit hit(const QPointF& position, double reach) const;

private:
    // The parameters of the private functions point into data_.
    struct Mark {
        QCPAxisRect* rect = nullptr;
        const ChartPoint* point = nullptr;
        bool line = false;
    };
    struct Ranges {
        QCPAxisRect* rect = nullptr;
        double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
    };
    void draw_empty(const ChartStyle& style);
    void draw_panel(QCPAxisRect& rect, const ChartPanel& panel, const ChartStyle& style);
    void draw_series(QCPAxisRect& rect, const ChartSeries& series, const ChartStyle& style);
    void draw_reference(QCPAxisRect& rect, const ChartReference& reference, const ChartStyle& style);
    void draw_legend(const ChartStyle& style, int width);

    QCustomPlot& plot_;
    Chart data_;
    std::vector<Mark> marks_;
    std::vector<Ranges> ranges_;
    bool log_x_ = true;
};

}  // namespace permille::ui
