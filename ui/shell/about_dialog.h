// What this program is, its version, the libraries it stands on and their licences.
#pragma once

#include <QDialog>

namespace permille::ui {

class AboutDialog : public QDialog {
    Q_OBJECT
public:
    explicit AboutDialog(QWidget* parent = nullptr);
    static QString libraries();
};

}  // namespace permille::ui
