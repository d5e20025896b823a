#include "ui/pages/study/study_preview.h"

#include <QHBoxLayout>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QTableView>
#include <QVBoxLayout>

#include "ui/bridge/text.h"
#include "ui/widgets/section.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

StudyPreview::StudyPreview(Solve solve, QWidget* parent)
    : QWidget(parent),
      solver_(std::move(solve)),
      count_(new QLabel),
      detail_(new QLabel),
      table_(new QTableView),
      remarks_(new QLabel),
      start_(new QPushButton(tr("Start study"))),
      copy_(new QPushButton(tr("Copy as command"))) {
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(10);

    auto* figures = new QWidget;
    auto* figures_layout = new QVBoxLayout(figures);
    figures_layout->setContentsMargins(0, 0, 0, 0);
    figures_layout->setSpacing(2);
    count_->setProperty("figure", true);
    count_->setAccessibleName(tr("Number of runs"));
    detail_->setProperty("muted", true);
    detail_->setWordWrap(true);
    start_->setProperty("primary", true);
    start_->setAutoDefault(false);
    copy_->setToolTip(tr("The command that does the same in a terminal, without the window"));
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(8);
    buttons->addWidget(start_);
    buttons->addWidget(copy_);
    buttons->addStretch(1);
    figures_layout->addWidget(count_);
    figures_layout->addWidget(detail_);
    figures_layout->addSpacing(6);
    figures_layout->addLayout(buttons);
    layout->addWidget(new Section(tr("Runs"), figures));

    table_->setModel(&model_);
    table_->setAccessibleName(tr("Solved budgets"));
    table_->setSelectionMode(QAbstractItemView::SingleSelection);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(26);
    table_->setShowGrid(false);
    table_->setAlternatingRowColors(true);
    table_->setWordWrap(false);
    table_->setTabKeyNavigation(false);
    table_->horizontalHeader()->setHighlightSections(false);
    table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
    table_->horizontalHeader()->setSectionResizeMode(BudgetModel::size, QHeaderView::Stretch);
    auto* budgets = new Section(tr("Solved budgets"), table_);
    layout->addWidget(budgets, 1);

    remarks_->setWordWrap(true);
    remarks_->setTextFormat(Qt::RichText);
    remarks_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    remarks_->setAccessibleName(tr("Remarks on the study"));
    layout->addWidget(new Section(tr("Remarks"), remarks_));

    connect(start_, &QPushButton::clicked, this, [this] { running_ ? Q_EMIT stopRequested() : Q_EMIT startRequested(); });
    connect(copy_, &QPushButton::clicked, this, &StudyPreview::copyRequested);
    connect(&solver_, &BudgetSolver::answered, this, [this](int call, int index, const BudgetReply& reply) {
        if (call == call_) model_.setReply(index, reply);
    });
    connect(&solver_, &BudgetSolver::finished, this, [this](int call) {
        if (call == call_) tell();
    });
    setPlan({});
}

void StudyPreview::setPlan(const StudyPlan& plan) {
    plan_ = plan;
    // While runs go on the database changes all the time and the questions do not.
    if (!model_.holds(plan_.questions)) {
        model_.setQuestions(plan_.questions);
        call_ = solver_.ask(plan_.questions);
    }
    tell();
}

void StudyPreview::setRunning(bool running, bool stopping) {
    running_ = running;
    stopping_ = stopping;
    tell();
}

QString StudyPreview::summary() const { return count_->text() + u'\n' + detail_->text(); }

QString StudyPreview::remarks() const { return remarks_->text(); }

void StudyPreview::tell() {
    const std::size_t total = plan_.runs.size(), left = total - plan_.finished;
    count_->setText(total == 1 ? tr("1 run") : tr("%1 runs").arg(shown_count(static_cast<std::int64_t>(total))));
    QStringList parts;
    if (total > 0) {
        if (plan_.finished > 0) parts << tr("%1 done, %2 to do").arg(plan_.finished).arg(left);
        double seconds = 0;
        for (int i = 0; i < model_.rowCount(); ++i) {
            const auto& question = model_.question(i);
            seconds += static_cast<double>(plan_.uses[static_cast<std::size_t>(i)]) * model_.reply(i).answer.seconds_per_1000_updates *
                       static_cast<double>(question.training.updates) / 1000;
        }
        if (seconds > 0) parts << tr("about %1 of training on this machine").arg(shown_duration(seconds));
    } else {
        parts << tr("nothing to run yet");
    }
    detail_->setText(parts.join(u" · "_s));

    int out_of_reach = 0;
    QString first_failure, first_reason;
    for (int i = 0; i < model_.rowCount(); ++i) {
        const QString reason = model_.index(i, 0).data(BudgetModel::reason_role).toString();
        if (model_.status(i) == BudgetModel::Status::out_of_reach) {
            ++out_of_reach;
            if (first_reason.isEmpty()) first_reason = reason;
        }
        if (model_.status(i) == BudgetModel::Status::failed && first_failure.isEmpty()) first_failure = reason;
    }
    QString html;
    const auto item = [&](const QString& mark, const QString& line) {
        html += u"<p style='margin:2px 0'>"_s + mark + u' ' + line.toHtmlEscaped() + u"</p>"_s;
    };
    const QString wrong = u"<span style='color:#d04a3a'>●</span>"_s, doubt = u"<span style='color:#d99a1e'>●</span>"_s;
    for (const QString& problem : plan_.problems) item(wrong, problem);
    if (!first_failure.isEmpty()) item(wrong, first_failure);
    if (out_of_reach > 0)
        item(doubt, (out_of_reach == 1 ? tr("One budget is out of reach and will be skipped: ")
                                       : tr("%1 budgets are out of reach and will be skipped. The first: ").arg(out_of_reach)) +
                        first_reason);
    for (const QString& warning : plan_.warnings) item(doubt, warning);
    if (html.isEmpty()) html = tr("Nothing to remark.");
    remarks_->setText(html);

    start_->setText(running_                             ? (stopping_ ? tr("Stopping…") : tr("Stop"))
                    : plan_.finished + plan_.started > 0 ? tr("Continue study")
                                                         : tr("Start study"));
    start_->setEnabled(running_ ? !stopping_ : plan_.problems.isEmpty() && left > 0);
    copy_->setEnabled(plan_.problems.isEmpty());
}

}  // namespace permille::ui
