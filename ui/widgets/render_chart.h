// Writes a chart into a file: PDF and SVG as vectors, PNG as pixels, always on white, with the size that it has on paper. Needs a
// QApplication (the offscreen platform will do).
#pragma once

#include <filesystem>
#include <vector>

#include "ui/widgets/chart_words.h"

namespace permille::ui {

struct ChartFile {
    double width_mm = 160, height_mm = 100;  // 20 to 2000
    double dots_per_inch = 200;              // of PNG; 36 to 1200
};

// The format is that of the file's ending: .pdf, .svg or .png. Throws Error(usage) for others and for sizes out of range, Error(config)
// when the chart is empty, Error(file) when it cannot be written. Written beside and renamed.
void write_chart(const Chart& chart, const std::filesystem::path& file, const ChartFile& options = {});

// chart_of() and write_chart() in one.
void render_chart(const std::vector<RunRow>& runs, const std::filesystem::path& file, const ChartRequest& request = {},
                  const ChartFile& options = {});

}  // namespace permille::ui
