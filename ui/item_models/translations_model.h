// What a run translated: source, reference and hypothesis of each test sentence.
#pragma once

#include <QAbstractTableModel>
#include <vector>

#include "core/store/store.h"

namespace permille::ui {

class TranslationsModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { source, reference, hypothesis, columns };
    explicit TranslationsModel(QObject* parent = nullptr);

    void setHypotheses(const std::vector<Hypothesis>& hypotheses);

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    std::vector<Hypothesis> hypotheses_;
};

}  // namespace permille::ui
