// The results as a table, the same as `permille results` prints, and its export.
#pragma once

#include <QSortFilterProxyModel>

#include "ui/item_models/results_model.h"
#include "ui/pages/page.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTableView;

namespace permille::ui {

class ResultsPage : public Page {
    Q_OBJECT
public:
    explicit ResultsPage(QWidget* parent = nullptr);

    void setSnapshot(const SnapshotPtr& snapshot) override;
    bool settled() const override { return snapshot_ != nullptr; }
    const ResultsModel& results() const { return model_; }
    QLineEdit* condition() const { return where_; }
    // Asks for a file.
    void chooseExport();
    // The format is that of the file's ending: csv, tsv, md, tex or json.
    void exportTo(const QString& file);

private:
    void refill();

    SnapshotPtr snapshot_;
    ResultsModel model_;
    QSortFilterProxyModel proxy_;
    QComboBox* studies_;
    QCheckBox* finished_;
    QLineEdit* where_;
    QLabel* count_;
    QPushButton* export_;
    QTableView* table_;
};

}  // namespace permille::ui
