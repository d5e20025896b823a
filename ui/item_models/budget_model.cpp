#include "ui/item_models/budget_model.h"

#include <QFont>
#include <QGuiApplication>
#include <QPalette>
#include <algorithm>

#include "core/peft/catalog.h"
#include "ui/bridge/text.h"
#include "ui/widgets/chart_words.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

// "rank 12": the knob that was solved; all knobs when the method has no size.
QString solved_size(const BudgetReply& reply) {
    if (!reply.answer.solved) return {};
    const auto& methods = method_catalog();
    const auto found = std::find_if(methods.begin(), methods.end(), [&](const MethodInfo& info) { return info.id == reply.answer.method; });
    if (found == methods.end() || found->size_knob.empty() || !reply.answer.solved->contains(found->size_knob)) return u"fixed"_s;
    return shown_name(found->size_knob).toLower() + u' ' + shown_value(reply.answer.solved->at(found->size_knob));
}

}  // namespace

BudgetModel::BudgetModel(QObject* parent) : QAbstractTableModel(parent) {}

void BudgetModel::setQuestions(const std::vector<BudgetQuestion>& questions) {
    beginResetModel();
    std::vector<Row> rows;
    for (const auto& question : questions) {
        Row row{question, Status::pending, {}};
        row.reply.answer.method = question.method;
        for (const auto& old : rows_)
            if (old.question == question) row = {question, old.status, old.reply};
        rows.push_back(std::move(row));
    }
    rows_ = std::move(rows);
    several_bases_ =
        std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) { return row.question.base != rows_.front().question.base; });
    endResetModel();
}

bool BudgetModel::holds(const std::vector<BudgetQuestion>& questions) const {
    const auto same = [](const Row& row, const BudgetQuestion& question) { return row.question == question; };
    return std::equal(rows_.begin(), rows_.end(), questions.begin(), questions.end(), same);
}

void BudgetModel::setReply(int index, const BudgetReply& reply) {
    if (index < 0 || index >= rowCount()) return;
    Row& row = rows_[static_cast<std::size_t>(index)];
    row.reply = reply;
    row.status = reply.problem ? Status::failed : reply.answer.solved ? Status::solved : Status::out_of_reach;
    Q_EMIT dataChanged(this->index(index, 0), this->index(index, columns - 1));
}

int BudgetModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(rows_.size()); }

int BudgetModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : columns; }

QString BudgetModel::reason(const Row& row) const {
    if (row.status == Status::failed) return row.reply.problem->message();
    if (row.status != Status::out_of_reach) return {};
    return row.reply.answer.reason.empty() ? tr("out of reach") : text(row.reply.answer.reason);
}

QVariant BudgetModel::data(const QModelIndex& index, int role) const {
    if (!index.isValid() || index.row() >= rowCount()) return {};
    const Row& row = rows_[static_cast<std::size_t>(index.row())];
    const BudgetAnswer& answer = row.reply.answer;
    const bool refused = row.status == Status::out_of_reach || row.status == Status::failed;
    switch (role) {
        case Qt::DisplayRole:
            switch (index.column()) {
                case method:
                    return several_bases_ ? shown_method(row.question.method) + u" · "_s + text(row.question.base).section(u'/', -1)
                                          : shown_method(row.question.method);
                case budget: return row.question.budget ? shown_budget(*row.question.budget) : u"–"_s;
                case size:
                    if (row.status == Status::pending) return u"…"_s;
                    if (row.status == Status::failed) return tr("not known");
                    if (row.status == Status::out_of_reach && answer.min_percent && answer.max_percent)
                        return tr("only %1 – %2").arg(shown_percent(*answer.min_percent), shown_percent(*answer.max_percent));
                    return refused ? tr("out of reach") : solved_size(row.reply);
                case trainable: return row.status == Status::solved ? shown_count(answer.trainable) : QString();
                case percent: return row.status == Status::solved ? shown_percent(answer.percent_base) : QString();
                case memory:
                    return row.status == Status::solved && answer.peak_memory_bytes > 0 ? shown_bytes(answer.peak_memory_bytes) : QString();
                default: return {};
            }
        case Qt::ToolTipRole: {
            if (refused) return reason(row);
            if (row.status != Status::solved) return tr("being worked out");
            QString tip = shown_settings(*answer.solved);
            if (answer.seconds_per_1000_updates > 0)
                tip += u"\n"_s + tr("about %1 per 1,000 updates on this machine").arg(shown_duration(answer.seconds_per_1000_updates));
            return tip;
        }
        case Qt::FontRole: {
            if (!refused || index.column() > budget) return {};
            QFont font;
            font.setStrikeOut(true);
            return font;
        }
        case Qt::ForegroundRole:
            return refused ? QVariant(QGuiApplication::palette().color(QPalette::Disabled, QPalette::Text)) : QVariant();
        case Qt::TextAlignmentRole:
            return QVariant((index.column() == method || index.column() == size ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
        case status_role: return static_cast<int>(row.status);
        case reason_role: return reason(row);
        default: return {};
    }
}

QVariant BudgetModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole)
        return QVariant((section == method || section == size ? Qt::AlignLeft : Qt::AlignRight) | Qt::AlignVCenter);
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case method: return tr("Method");
        case budget: return tr("Budget");
        case size: return tr("Size");
        case trainable: return tr("Trainable");
        case percent: return tr("Of base");
        case memory: return tr("Memory");
        default: return {};
    }
}

}  // namespace permille::ui
