// Beside the form: what the study comes to while it is being put together. Budgets are solved in the background.
#pragma once

#include <QWidget>

#include "ui/item_models/budget_model.h"
#include "ui/pages/study/study_plan.h"

class QLabel;
class QPushButton;
class QTableView;

namespace permille::ui {

class StudyPreview : public QWidget {
    Q_OBJECT
public:
    explicit StudyPreview(Solve solve, QWidget* parent = nullptr);

    void setPlan(const StudyPlan& plan);
    void setRunning(bool running, bool stopping);
    const BudgetModel& budgets() const { return model_; }
    bool idle() const { return solver_.idle(); }
    // The line of figures, for tests.
    QString summary() const;
    QString remarks() const;

Q_SIGNALS:
    void startRequested();
    void stopRequested();
    void copyRequested();

private:
    void tell();

    BudgetSolver solver_;
    BudgetModel model_;
    StudyPlan plan_;
    int call_ = 0;
    bool running_ = false, stopping_ = false;
    QLabel* count_;
    QLabel* detail_;
    QTableView* table_;
    QLabel* remarks_;
    QPushButton* start_;
    QPushButton* copy_;
};

}  // namespace permille::ui
