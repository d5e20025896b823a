#include "ui/item_models/translations_model.h"

#include "ui/bridge/text.h"

namespace permille::ui {

TranslationsModel::TranslationsModel(QObject* parent) : QAbstractTableModel(parent) {}

void TranslationsModel::setHypotheses(const std::vector<Hypothesis>& hypotheses) {
    bool same = hypotheses.size() == hypotheses_.size();
    for (std::size_t i = 0; same && i < hypotheses.size(); ++i)
        same = hypotheses[i].text == hypotheses_[i].text && hypotheses[i].source == hypotheses_[i].source;
    if (same) return;
    beginResetModel();
    hypotheses_ = hypotheses;
    endResetModel();
}

int TranslationsModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(hypotheses_.size()); }

int TranslationsModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : columns; }

QVariant TranslationsModel::data(const QModelIndex& index, int role) const {
    if (!index.isValid() || index.row() >= rowCount()) return {};
    const Hypothesis& row = hypotheses_[static_cast<std::size_t>(index.row())];
    if (role == Qt::TextAlignmentRole) return QVariant(Qt::AlignLeft | Qt::AlignTop);
    if (role != Qt::DisplayRole && role != Qt::ToolTipRole) return {};
    switch (index.column()) {
        case source: return text(row.source);
        case reference: return text(row.reference);
        case hypothesis: return text(row.text);
        default: return {};
    }
}

QVariant TranslationsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (role == Qt::DisplayRole && orientation == Qt::Vertical) return section + 1;
    if (role == Qt::TextAlignmentRole && orientation == Qt::Horizontal) return QVariant(Qt::AlignLeft | Qt::AlignVCenter);
    if (role != Qt::DisplayRole || orientation != Qt::Horizontal) return {};
    switch (section) {
        case source: return tr("Source");
        case reference: return tr("Reference");
        case hypothesis: return tr("Hypothesis");
        default: return {};
    }
}

}  // namespace permille::ui
