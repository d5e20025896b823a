#include "ui/item_models/runs_filter.h"

#include <algorithm>

#include "ui/item_models/runs_model.h"

namespace permille::ui {

RunsFilter::RunsFilter(QObject* parent) : QSortFilterProxyModel(parent) {
    setSortRole(RunsModel::sort_role);
    setDynamicSortFilter(true);
}

void RunsFilter::setWords(const QString& words) {
    words_ = words.split(u' ', Qt::SkipEmptyParts);
    invalidateFilter();
}

void RunsFilter::setStudy(std::optional<QString> study) {
    study_ = std::move(study);
    invalidateFilter();
}

void RunsFilter::setState(std::optional<RunState> state) {
    state_ = state;
    invalidateFilter();
}

bool RunsFilter::filterAcceptsRow(int row, const QModelIndex& parent) const {
    const QModelIndex index = sourceModel()->index(row, 0, parent);
    if (study_ && index.data(RunsModel::study_role).toString() != *study_) return false;
    if (state_ && index.data(RunsModel::state_role).toInt() != static_cast<int>(*state_)) return false;
    if (words_.isEmpty()) return true;
    const QString line = index.data(RunsModel::search_role).toString();
    return std::all_of(words_.begin(), words_.end(), [&](const QString& word) { return line.contains(word, Qt::CaseInsensitive); });
}

}  // namespace permille::ui
