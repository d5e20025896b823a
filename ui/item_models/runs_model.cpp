#include "ui/item_models/runs_model.h"

#include <QColor>
#include <QIcon>
#include <QPainter>
#include <QPixmap>
#include <algorithm>
#include <cmath>
#include <map>

#include "core/study/study.h"
#include "ui/bridge/text.h"
#include "ui/widgets/chart_words.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

namespace {

QColor colour_of(RunState state) {
    switch (state) {
        case RunState::finished: return QColor(0x2f, 0x9e, 0x6e);
        case RunState::running: return QColor(0x2f, 0x7f, 0xd0);
        case RunState::failed: return QColor(0xd0, 0x4a, 0x3a);
        case RunState::interrupted:
        case RunState::stopped: return QColor(0xd9, 0x9a, 0x1e);
        case RunState::queued: return QColor(0x96, 0x9d, 0xa6);
        case RunState::cancelled:
        case RunState::skipped: return QColor(0x96, 0x9d, 0xa6, 0);
    }
    return {};
}

// A dot whose filling tells the state; a ring for what will not run.
QIcon dot(RunState state) {
    static std::map<RunState, QIcon> made;
    auto known = made.find(state);
    if (known != made.end()) return known->second;
    QPixmap pixmap(32, 32);
    pixmap.fill(Qt::transparent);
    QPainter painter(&pixmap);
    painter.setRenderHint(QPainter::Antialiasing);
    const QColor colour = colour_of(state);
    painter.setPen(QPen(colour.alpha() == 0 ? QColor(0x96, 0x9d, 0xa6) : colour, 3));
    painter.setBrush(colour);
    painter.drawEllipse(QRectF(8, 8, 16, 16));
    painter.end();
    return made.emplace(state, QIcon(pixmap)).first->second;
}

QString remaining(const RunRow& run) {
    return run.progress.eta_seconds >= 0 ? u"%1 left"_s.arg(shown_duration(run.progress.eta_seconds)) : QString();
}

bool is_number(int column) {
    switch (column) {
        case RunsModel::budget:
        case RunsModel::trainable:
        case RunsModel::sentences:
        case RunsModel::seed:
        case RunsModel::score:
        case RunsModel::time: return true;
        default: return false;
    }
}

bool same(const RunRow& a, const RunRow& b) {
    const auto score = [](const RunRow& run) { return run.score ? run.score->score : -1e300; };
    return a.id == b.id && a.state == b.state && a.reason == b.reason && a.progress.doing == b.progress.doing &&
           a.progress.done == b.progress.done && a.progress.eta_seconds == b.progress.eta_seconds && a.seconds == b.seconds &&
           a.facts.trainable == b.facts.trainable && a.updates_done == b.updates_done && score(a) == score(b) && a.finished == b.finished;
}

}  // namespace

QString shown_state(RunState state) {
    QString name = text(to_string(state));
    name[0] = name[0].toUpper();
    return name;
}

QString shown_run(const RunRow& run) {
    QString line = shown_method(run.spec.method);
    if (run.spec.budget_percent) line += u' ' + shown_percent(*run.spec.budget_percent);
    line += u" · "_s + shown_pair(run.spec);
    if (!run.spec.untouched()) line += u" · seed %1"_s.arg(run.spec.seed);
    return line;
}

RunsModel::RunsModel(QObject* parent) : QAbstractTableModel(parent) {}

void RunsModel::setRuns(const std::vector<RunRow>& runs) {
    // Rows are only ever added at the end, unless another database was opened.
    bool grown = runs.size() >= runs_.size();
    for (std::size_t i = 0; grown && i < runs_.size(); ++i) grown = runs[i].id == runs_[i].id && runs[i].key == runs_[i].key;
    if (!grown) {
        beginResetModel();
        runs_ = runs;
        endResetModel();
        return;
    }
    for (std::size_t i = 0; i < runs_.size(); ++i) {
        if (same(runs_[i], runs[i])) continue;
        runs_[i] = runs[i];
        const int row = static_cast<int>(i);
        Q_EMIT dataChanged(index(row, 0), index(row, columns - 1));
    }
    if (runs.size() > runs_.size()) {
        beginInsertRows({}, static_cast<int>(runs_.size()), static_cast<int>(runs.size()) - 1);
        runs_.insert(runs_.end(), runs.begin() + static_cast<std::ptrdiff_t>(runs_.size()), runs.end());
        endInsertRows();
    }
}

const RunRow* RunsModel::find(std::int64_t wanted) const {
    const auto found = std::find_if(runs_.begin(), runs_.end(), [&](const RunRow& run) { return run.id == wanted; });
    return found == runs_.end() ? nullptr : &*found;
}

QModelIndex RunsModel::indexOf(std::int64_t wanted) const {
    const RunRow* found = find(wanted);
    return found ? index(static_cast<int>(found - runs_.data()), 0) : QModelIndex();
}

int RunsModel::rowCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : static_cast<int>(runs_.size()); }

int RunsModel::columnCount(const QModelIndex& parent) const { return parent.isValid() ? 0 : columns; }

QString RunsModel::shown(const RunRow& run, int column) const {
    switch (column) {
        case id: return QString::number(run.id);
        case state: return shown_state(run.state);
        case study: return run.spec.study.empty() ? tr("single run") : text(run.spec.study);
        case base: return text(run.spec.base);
        case pair: return shown_pair(run.spec);
        case method: return shown_method(run.spec.method);
        case budget: return run.spec.budget_percent ? shown_percent(*run.spec.budget_percent) : QString();
        case trainable: return run.facts.trainable > 0 ? shown_percent(run.facts.percent_base) : QString();
        case sentences: {
            if (run.spec.untouched()) return {};
            const auto used = run.facts.train_sentences > 0 ? run.facts.train_sentences : run.spec.train_sentences;
            return used > 0 ? shown_count(used) : tr("all");
        }
        case seed: return run.spec.untouched() ? QString() : QString::number(run.spec.seed);
        case progress: {
            if (run.state == RunState::running) {
                QString line = text(run.progress.doing);
                if (run.progress.total > 0) line += u" %1/%2"_s.arg(run.progress.done).arg(run.progress.total);
                const QString rest = remaining(run);
                return rest.isEmpty() ? line : line + u" · "_s + rest;
            }
            if (run.state == RunState::interrupted || run.state == RunState::stopped) return tr("%1 updates done").arg(run.updates_done);
            return text(run.reason).section(u'\n', 0, 0);
        }
        case score: return run.score ? u"%1"_s.arg(run.score->score, 0, 'f', 1) : QString();
        case time: return run.seconds > 0 ? shown_duration(run.seconds) : QString();
        default: return {};
    }
}

QVariant RunsModel::sortable(const RunRow& run, int column) const {
    switch (column) {
        case id: return static_cast<qlonglong>(run.id);
        case state: return static_cast<int>(run.state);
        case budget: return run.spec.budget_percent.value_or(-1);
        case trainable: return run.facts.percent_base;
        case sentences: return static_cast<qlonglong>(run.facts.train_sentences > 0 ? run.facts.train_sentences : run.spec.train_sentences);
        case seed: return static_cast<qlonglong>(run.spec.seed);
        case progress:
            return run.progress.total > 0 ? static_cast<double>(run.progress.done) / static_cast<double>(run.progress.total) : -1.0;
        case score: return run.score ? run.score->score : -1.0;
        case time: return run.seconds;
        default: return shown(run, column);
    }
}

QVariant RunsModel::data(const QModelIndex& index, int role) const {
    if (!index.isValid() || index.row() >= rowCount()) return {};
    const RunRow& run = runs_[static_cast<std::size_t>(index.row())];
    const int column = index.column();
    switch (role) {
        case Qt::DisplayRole: return shown(run, column);
        case Qt::ToolTipRole: {
            if ((column == state || column == progress) && !run.reason.empty()) return text(run.reason);
            if (column == trainable && run.facts.trainable > 0) return tr("%1 parameters").arg(shown_count(run.facts.trainable));
            if (column == score && run.score && run.score->low && run.score->high)
                return tr("95 % interval %1 to %2; %3")
                    .arg(*run.score->low, 0, 'f', 1)
                    .arg(*run.score->high, 0, 'f', 1)
                    .arg(text(run.score->signature));
            if (column == pair)
                return tr("%1 to %2, corpus %3")
                    .arg(shown_language(run.spec.source_language), shown_language(run.spec.target_language), text(run.spec.corpus));
            return {};
        }
        case Qt::DecorationRole: return column == state ? QVariant(dot(run.state)) : QVariant();
        case Qt::TextAlignmentRole: return QVariant((is_number(column) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
        case sort_role: return sortable(run, column);
        case id_role: return static_cast<qlonglong>(run.id);
        case state_role: return static_cast<int>(run.state);
        case study_role: return text(run.spec.study);
        case share_role:
            if (column != progress || run.state != RunState::running || run.progress.total <= 0) return {};
            return static_cast<double>(run.progress.done) / static_cast<double>(run.progress.total);
        case search_role: {
            QStringList words;
            for (int i = 0; i < columns; ++i) words << shown(run, i);
            words << text(run.spec.corpus) << text(run.spec.method) << text(run.spec.source_language + "-" + run.spec.target_language);
            return words.join(u' ');
        }
        default: return {};
    }
}

QVariant RunsModel::headerData(int section, Qt::Orientation orientation, int role) const {
    if (orientation != Qt::Horizontal) return {};
    if (role == Qt::TextAlignmentRole) return QVariant((is_number(section) ? Qt::AlignRight : Qt::AlignLeft) | Qt::AlignVCenter);
    if (role != Qt::DisplayRole) return {};
    switch (section) {
        case id: return tr("Run");
        case state: return tr("State");
        case study: return tr("Study");
        case base: return tr("Base");
        case pair: return tr("Pair");
        case method: return tr("Method");
        case budget: return tr("Budget");
        case trainable: return tr("Trainable");
        case sentences: return tr("Sentences");
        case seed: return tr("Seed");
        case progress: return tr("Progress");
        case score: return tr("Score");
        case time: return tr("Time");
        default: return {};
    }
}

}  // namespace permille::ui
