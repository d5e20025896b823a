// The runs of the database as a table for views. Fed with whole snapshots, it tells views only what has changed, so that selections and
// scroll positions stay while runs go on.
#pragma once

#include <QAbstractTableModel>
#include <vector>

#include "core/store/store.h"

namespace permille::ui {

// "Interrupted"
QString shown_state(RunState state);
// One line for a run: "LoRA 0.5 % · it → en · seed 1".
QString shown_run(const RunRow& run);

class RunsModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { id, state, study, pair, method, budget, trainable, sentences, seed, progress, score, time, base, columns };
    enum Role { sort_role = Qt::UserRole, id_role, state_role, study_role, share_role, search_role };

    explicit RunsModel(QObject* parent = nullptr);

    void setRuns(const std::vector<RunRow>& runs);
    const std::vector<RunRow>& runs() const { return runs_; }
    // Null when there is no such run.
    const RunRow* find(std::int64_t id) const;
    QModelIndex indexOf(std::int64_t id) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    QString shown(const RunRow& run, int column) const;
    QVariant sortable(const RunRow& run, int column) const;

    std::vector<RunRow> runs_;
};

}  // namespace permille::ui
