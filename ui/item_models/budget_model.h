// What the budgets of a study come to: one row per base, method and budget with the solved size, its exact count, or why it cannot be had.
#pragma once

#include <QAbstractTableModel>
#include <vector>

#include "ui/bridge/budget_solver.h"

namespace permille::ui {

class BudgetModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { method, budget, size, trainable, percent, memory, columns };
    enum class Status { pending, solved, out_of_reach, failed };
    enum Role { status_role = Qt::UserRole, reason_role };

    explicit BudgetModel(QObject* parent = nullptr);

    // Keeps the answers of questions that were there before until new ones arrive, so that the table does not flicker.
    void setQuestions(const std::vector<BudgetQuestion>& questions);
    bool holds(const std::vector<BudgetQuestion>& questions) const;
    void setReply(int index, const BudgetReply& reply);
    Status status(int row) const { return rows_[static_cast<std::size_t>(row)].status; }
    const BudgetReply& reply(int row) const { return rows_[static_cast<std::size_t>(row)].reply; }
    const BudgetQuestion& question(int row) const { return rows_[static_cast<std::size_t>(row)].question; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    struct Row {
        BudgetQuestion question;
        Status status = Status::pending;
        BudgetReply reply;
    };
    QString reason(const Row& row) const;
    std::vector<Row> rows_;
    bool several_bases_ = false;
};

}  // namespace permille::ui
