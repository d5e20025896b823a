// The results table of core/store for views: the same columns and figures as `permille results`.
#pragma once

#include <QAbstractTableModel>
#include <vector>

#include "core/store/table.h"

namespace permille::ui {

class ResultsModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Role { sort_role = Qt::UserRole, id_role };
    explicit ResultsModel(QObject* parent = nullptr);

    void setTable(Table table);
    const Table& table() const { return table_; }

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    Table table_;
    std::vector<std::size_t> columns_;  // those for people
    std::size_t run_column_ = 0;
};

}  // namespace permille::ui
