#include "ui/item_models/results_model.h"

#include "ui/bridge/text.h"

namespace permille::ui {

ResultsModel::ResultsModel(QObject* parent) : QAbstractTableModel(parent) {}

void ResultsModel::setTable(Table table) {
    const bool same_shape = table.rows.size() == table_.rows.size() && table.columns.size() == table_.columns.size();
    if (same_shape) {
        bool changed = false;
        for (std::size_t i = 0; i < table.rows.size(); ++i) changed = changed || table.rows[i] != table_.rows[i];
        if (!changed) return;
        table_ = std::move(table);
        Q_EMIT dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
        return;
    }
    beginResetModel();
    table_ = std::move(table);
    columns_.clear();
    for (std::size_t i = 0; i < table_.columns.size(); ++i) {
        if (table_.columns[i].for_people) columns_.push_back(i);
        if (table_.columns[i].name == "run") run_column_ = i;
    }
    endResetModel();
}

int ResultsModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(table_.rows.size()); }

int ResultsModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(columns_.size()); }

QVariant ResultsModel::data(const QModelIndex& index, int role) const {
    if (!index.isValid() || index.row() >= rowCount()) return {};
    const std::size_t column = columns_[static_cast<std::size_t>(index.column())];
    const auto& row = table_.rows[static_cast<std::size_t>(index.row())];
    const Json& cell = row[column];
    switch (role) {
        case Qt::DisplayRole: return text(shown(cell, table_.columns[column].kind));
        case Qt::TextAlignmentRole: return QVariant((cell.is_number() ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
        case sort_role:
            if (cell.is_number()) return cell.get<double>();
            if (cell.is_null()) return QVariant();
            return text(shown(cell, table_.columns[column].kind));
        case id_role:
            return row[run_column_].is_number() ? QVariant(static_cast<qlonglong>(row[run_column_].get<std::int64_t>())) : QVariant();
        default: return {};
    }
}

QVariant ResultsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || section >= columnCount()) return {};
    const Column& column = table_.columns[columns_[static_cast<std::size_t>(section)]];
    if (role == Qt::TextAlignmentRole)
        return QVariant((column.kind == ColumnKind::text ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
    return role == Qt::DisplayRole ? QVariant(text(column.title)) : QVariant();
}

}  // namespace permille::ui
