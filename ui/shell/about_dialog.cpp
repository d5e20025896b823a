#include "ui/shell/about_dialog.h"

#include <QDialogButtonBox>
#include <QLabel>
#include <QVBoxLayout>

#include "core/store/store.h"
#include "ui/bridge/text.h"
#include "ui/widgets/custom_plot.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

QString AboutDialog::libraries() {
    struct Library {
        QString name, licence;
    };
    const Library all[] = {{u"Qt %1"_s.arg(QString::fromLatin1(qVersion())), u"LGPL-3.0"_s},
                           {u"QCustomPlot %1"_s.arg(QString::fromLatin1(QCUSTOMPLOT_VERSION_STR)), u"GPL-3.0-or-later"_s},
                           {u"libtorch (PyTorch)"_s, u"BSD-3-Clause"_s},
                           {u"SentencePiece"_s, u"Apache-2.0"_s},
                           {u"SQLite, through SQLiteCpp"_s, u"public domain, MIT"_s},
                           {u"nlohmann/json, yaml-cpp"_s, u"MIT"_s},
                           {u"ICU"_s, u"Unicode licence"_s},
                           {u"libxml2"_s, u"MIT"_s},
                           {u"OpenSSL"_s, u"Apache-2.0"_s},
                           {u"libcurl"_s, u"curl licence (MIT-like)"_s}};
    QString rows;
    for (const auto& library : all)
        rows += u"<tr><td style='padding-right:24px'>%1</td><td>%2</td></tr>"_s.arg(library.name.toHtmlEscaped(),
                                                                                    library.licence.toHtmlEscaped());
    return u"<table cellpadding='1'>%1</table>"_s.arg(rows);
}

AboutDialog::AboutDialog(QWidget* parent) : QDialog(parent) {
    setWindowTitle(tr("About Permille"));
    auto* words = new QLabel;
    words->setTextFormat(Qt::RichText);
    words->setWordWrap(true);
    words->setTextInteractionFlags(Qt::TextBrowserInteraction);
    words->setText(u"<h2>Permille %1</h2><p>%2</p><p>%3</p><p><b>%4</b></p>%5<p>%6</p>"_s.arg(
        QStringLiteral(PERMILLE_VERSION), tr("A workbench for parameter-efficient fine-tuning in machine translation."),
        tr("Free software under the GNU General Public License, version 3 or later. It comes with no warranty."), tr("Built on"),
        libraries(), tr("Database schema %1.").arg(Store::newest_version())));
    auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    auto* layout = new QVBoxLayout(this);
    layout->addWidget(words);
    layout->addWidget(buttons);
    setMinimumWidth(460);
}

}  // namespace permille::ui
