// Narrows and sorts the table of runs: by words that must all occur, by study and by state.
#pragma once

#include <QSortFilterProxyModel>
#include <optional>

#include "core/store/store.h"

namespace permille::ui {

class RunsFilter : public QSortFilterProxyModel {
    Q_OBJECT
public:
    explicit RunsFilter(QObject* parent = nullptr);
    void setWords(const QString& words);
    void setStudy(std::optional<QString> study);
    void setState(std::optional<RunState> state);

protected:
    bool filterAcceptsRow(int row, const QModelIndex& parent) const override;

private:
    QStringList words_;
    std::optional<QString> study_;
    std::optional<RunState> state_;
};

}  // namespace permille::ui
