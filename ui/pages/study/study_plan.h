// What a study comes to, as plain values: its runs, how many of them are done, the budgets to solve, and what is wrong or doubtful about
// it.
#pragma once

#include <QStringList>
#include <vector>

#include "core/study/study.h"
#include "ui/bridge/budget_solver.h"
#include "ui/bridge/store_watcher.h"

namespace permille::ui {

struct StudyPlan {
    std::vector<RunSpec> runs;              // empty when there is a problem
    std::size_t finished = 0, started = 0;  // of them, in the database: finished; known but not finished
    std::vector<BudgetQuestion> questions;  // one per base, method and budget
    std::vector<std::size_t> uses;          // how many runs not yet finished each question stands for
    QStringList problems;                   // why it cannot be started
    QStringList warnings;
};

// `bases` are the names that can be had. Throws nothing: what is wrong becomes a problem.
StudyPlan plan_study(const Study& study, const StoreSnapshot& store, const std::vector<std::string>& bases);

}  // namespace permille::ui
