// The only include of QCustomPlot. Its header is written with Qt's keywords, which this project builds without (libtorch has a name
// `slots`).
#pragma once

#define signals Q_SIGNALS
#define slots Q_SLOTS
#define foreach Q_FOREACH
#include <qcustomplot.h>
#undef signals
#undef slots
#undef foreach
