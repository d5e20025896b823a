// The bases of this machine for views.
#pragma once

#include <QAbstractTableModel>
#include <vector>

#include "core/bases/known_bases.h"

namespace permille::ui {

class BasesModel : public QAbstractTableModel {
    Q_OBJECT
public:
    enum Column { name, family, languages, parameters, size, place, folder, state, columns };
    enum Role { sort_role = Qt::UserRole };
    explicit BasesModel(QObject* parent = nullptr);

    void setBases(std::vector<KnownBase> bases);
    const std::vector<KnownBase>& bases() const { return bases_; }
    // Null for an index of another model or none.
    const KnownBase* base(const QModelIndex& index) const;
    // -1 when there is none of this name.
    int rowOf(const std::string& base) const;

    int rowCount(const QModelIndex& parent = {}) const override;
    int columnCount(const QModelIndex& parent = {}) const override;
    QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
    QVariant headerData(int section, Qt::Orientation orientation, int role = Qt::DisplayRole) const override;

private:
    std::vector<KnownBase> bases_;
};

// "with the program", "folder", "hub cache"
QString shown_place(BasePlace place);

}  // namespace permille::ui
