// All runs of the database, live, whoever started them; and what can be done with the selected ones.
#pragma once

#include "ui/item_models/runs_filter.h"
#include "ui/item_models/runs_model.h"
#include "ui/pages/page.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QTableView;

namespace permille::ui {

class RunDetailsView;

class RunsPage : public Page {
    Q_OBJECT
public:
    explicit RunsPage(QWidget* parent = nullptr);

    void setSnapshot(const SnapshotPtr& snapshot) override;
    void setDetails(const DetailsPtr& details);
    bool settled() const override;
    // Selects the run, taking back filters that would hide it.
    void showRun(std::int64_t run);
    void addLogLine(const QString& line);

    const RunsModel& runs() const { return model_; }
    QTableView* table() const { return table_; }
    QLineEdit* filter() const { return words_; }
    RunDetailsView* details() const { return details_; }
    QPushButton* stopButton() const { return stop_; }
    QPushButton* requeueButton() const { return requeue_; }

Q_SIGNALS:
    // The run whose details are wanted; -1: none.
    void runSelected(qint64 run);
    // A running run is asked to stop, a waiting one is cancelled.
    void stopRequested(const QList<qint64>& runs);
    void requeueRequested(const QList<qint64>& runs);

private:
    QList<qint64> selected(const std::vector<RunState>& states) const;
    void select();
    void follow(const StoreSnapshot& snapshot);
    void selectRow(const QModelIndex& source);
    void updateButtons();
    void updateStudies(const StoreSnapshot& snapshot);
    void updateCount();

    RunsModel model_;
    RunsFilter proxy_;
    QLineEdit* words_;
    QComboBox* studies_;
    QComboBox* states_;
    QLabel* count_;
    QTableView* table_;
    RunDetailsView* details_;
    QPushButton* stop_;
    QPushButton* requeue_;
    std::int64_t current_ = -1, wanted_ = -1, answered_ = -1;
    bool loaded_ = false, chosen_ = false;  // chosen: by the user or another page, not by following what runs
};

}  // namespace permille::ui
