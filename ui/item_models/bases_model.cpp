#include "ui/item_models/bases_model.h"

#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// A figure that is not known is left empty rather than 0.
QString count_or_nothing(std::int64_t count) { return count > 0 ? shown_count(count) : QString(); }

bool is_figure(int column) { return column == BasesModel::languages || column == BasesModel::parameters || column == BasesModel::size; }

}  // namespace

QString shown_place(BasePlace place) {
    switch (place) {
        case BasePlace::bundled: return BasesModel::tr("with the program");
        case BasePlace::folder: return BasesModel::tr("folder");
        case BasePlace::cache: return BasesModel::tr("hub cache");
    }
    return {};
}

BasesModel::BasesModel(QObject* parent) : QAbstractTableModel(parent) {}

void BasesModel::setBases(std::vector<KnownBase> bases) {
    beginResetModel();
    bases_ = std::move(bases);
    endResetModel();
}

const KnownBase* BasesModel::base(const QModelIndex& index) const {
    return index.isValid() && index.model() == this && index.row() < rowCount() ? &bases_[static_cast<std::size_t>(index.row())] : nullptr;
}

int BasesModel::rowOf(const std::string& base) const {
    for (std::size_t row = 0; row < bases_.size(); ++row)
        if (bases_[row].name == base) return static_cast<int>(row);
    return -1;
}

int BasesModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(bases_.size()); }

int BasesModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : columns; }

QVariant BasesModel::data(const QModelIndex& index, int role) const {
    const KnownBase* base = this->base(index);
    if (!base) return {};
    if (role == Qt::TextAlignmentRole) return QVariant((is_figure(index.column()) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    if (role == Qt::ToolTipRole) return base->problem.empty() ? text(base->folder) : text(base->folder) + u"\n"_s + text(base->problem);
    if (role != Qt::DisplayRole && role != sort_role) return {};
    const bool sorting = role == sort_role;
    switch (index.column()) {
        case name: return text(base->name);
        case family: return text(base->family);
        case languages: return sorting ? QVariant(static_cast<qlonglong>(base->languages)) : QVariant(count_or_nothing(base->languages));
        case parameters: return sorting ? QVariant(static_cast<qlonglong>(base->parameters)) : QVariant(count_or_nothing(base->parameters));
        case size:
            return sorting ? QVariant(static_cast<qlonglong>(base->bytes))
                           : QVariant(base->bytes > 0 ? shown_bytes(base->bytes) : QString());
        case place: return shown_place(base->place);
        case folder: return text(base->folder);
        case state: return base->problem.empty() ? tr("ready") : text(base->problem);
        default: return {};
    }
}

QVariant BasesModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal || section < 0 || section >= columns) return {};
    if (role == Qt::TextAlignmentRole) return QVariant((is_figure(section) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    if (role != Qt::DisplayRole) return {};
    const QString titles[columns] = {tr("Base"),    tr("Family"), tr("Languages"), tr("Parameters"),
                                     tr("On disk"), tr("Lives"),  tr("Folder"),    tr("State")};
    return titles[section];
}

}  // namespace permille::ui
