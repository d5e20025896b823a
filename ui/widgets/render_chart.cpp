#include "ui/widgets/render_chart.h"

#include <QBuffer>
#include <QPdfWriter>
#include <QSvgGenerator>
#include <cmath>

#include "core/base/files.h"
#include "ui/bridge/text.h"
#include "ui/widgets/chart_drawing.h"
#include "ui/widgets/custom_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// Drawing is planned in CSS pixels: 96 to the inch, so that 12 of them are 9 points on paper.
constexpr double kPixelsPerInch = 96, kMillimetresPerInch = 25.4;

void check_range(double value, double low, double high, const char* name, const char* unit) {
    if (value >= low && value <= high) return;
    throw Error(ErrorKind::usage, name, plain(u"%1 %2 is out of range"_s.arg(value).arg(QString::fromLatin1(unit))),
                plain(u"give %1 to %2"_s.arg(low).arg(high)));
}

QByteArray as_pdf(QCustomPlot& plot, const QSize& size, const ChartFile& options) {
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    QPdfWriter writer(&buffer);
    writer.setResolution(static_cast<int>(kPixelsPerInch));
    writer.setCreator(u"Permille"_s);
    writer.setTitle(u"Score against trained parameters"_s);
    writer.setPageMargins(QMarginsF());
    writer.setPageSize(QPageSize(QSizeF(options.width_mm, options.height_mm), QPageSize::Millimeter, {}, QPageSize::ExactMatch));
    QCPPainter painter;
    painter.begin(&writer);
    painter.setMode(QCPPainter::pmVectorized);
    plot.toPainter(&painter, size.width(), size.height());
    painter.end();
    return bytes;
}

QByteArray as_svg(QCustomPlot& plot, const QSize& size) {
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    QSvgGenerator generator;
    generator.setOutputDevice(&buffer);
    generator.setResolution(static_cast<int>(kPixelsPerInch));
    generator.setSize(size);
    generator.setViewBox(QRect(QPoint(0, 0), size));
    generator.setTitle(u"Score against trained parameters"_s);
    QCPPainter painter;
    painter.begin(&generator);
    painter.setMode(QCPPainter::pmVectorized);
    plot.toPainter(&painter, size.width(), size.height());
    painter.end();
    return bytes;
}

QByteArray as_png(QCustomPlot& plot, const QSize& size, const ChartFile& options) {
    const double scale = options.dots_per_inch / kPixelsPerInch;
    QImage image = plot.toPixmap(size.width(), size.height(), scale).toImage();
    const int dots_per_metre = static_cast<int>(std::lround(options.dots_per_inch / kMillimetresPerInch * 1000));
    image.setDotsPerMeterX(dots_per_metre);
    image.setDotsPerMeterY(dots_per_metre);
    QByteArray bytes;
    QBuffer buffer(&bytes);
    buffer.open(QIODevice::WriteOnly);
    image.save(&buffer, "PNG");
    return bytes;
}

}  // namespace

void write_chart(const Chart& chart, const std::filesystem::path& file, const ChartFile& options) {
    const std::string ending = plain(text(file.extension()).toLower());
    if (ending != ".pdf" && ending != ".svg" && ending != ".png")
        throw Error(ErrorKind::usage, file.string(), "a chart cannot be written as '" + ending + "'",
                    "end the name with .pdf, .svg or .png");
    check_range(options.width_mm, 20, 2000, "width", "mm");
    check_range(options.height_mm, 20, 2000, "height", "mm");
    check_range(options.dots_per_inch, 36, 1200, "dpi", "dots per inch");
    if (chart.panels.empty())
        throw Error(ErrorKind::config, file.string(),
                    "there is nothing to draw: no finished run has a score in " + plain(shown_metric(chart.metric)),
                    "finish a study first, or choose another metric");

    const auto pixels = [](double mm) { return static_cast<int>(std::lround(mm / kMillimetresPerInch * kPixelsPerInch)); };
    const QSize size(pixels(options.width_mm), pixels(options.height_mm));
    QCustomPlot plot;
    plot.resize(size);
    ChartDrawing drawing(plot);
    drawing.draw(chart, ChartStyle::light(), size.width());
    const QByteArray bytes = ending == ".pdf"   ? as_pdf(plot, size, options)
                             : ending == ".svg" ? as_svg(plot, size)
                                                : as_png(plot, size, options);
    if (bytes.isEmpty()) throw Error(ErrorKind::internal, file.string(), "drawing gave nothing");
    write_text(file, std::string_view(bytes.constData(), static_cast<std::size_t>(bytes.size())));
}

void render_chart(const std::vector<RunRow>& runs, const std::filesystem::path& file, const ChartRequest& request,
                  const ChartFile& options) {
    write_chart(chart_of(runs, request), file, options);
}

}  // namespace permille::ui
