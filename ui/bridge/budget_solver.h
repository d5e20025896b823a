// Solves budgets on a thread of its own, so that the study page can show them while one types. Answers are remembered: what was asked
// before is answered at once.
#pragma once

#include <QObject>
#include <QThread>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/study/budgets.h"
#include "ui/bridge/problem.h"

namespace permille::ui {

struct BudgetQuestion {
    std::string base, method;
    Json settings = Json::object();
    std::optional<Budget> budget;
    TrainingSettings training;
    DeviceSettings device;
    // Whether the answer must be the same.
    bool operator==(const BudgetQuestion& other) const;
};

struct BudgetReply {
    BudgetAnswer answer;
    std::optional<Problem> problem;  // when it could not be solved at all: no such model, a wrong setting
};

// Called on the solver's thread; throws Error.
using Solve = std::function<BudgetAnswer(const BudgetQuestion&)>;

class BudgetSolver : public QObject {
    Q_OBJECT
public:
    // Without a function: core's solve_budget().
    explicit BudgetSolver(Solve solve = {}, QObject* parent = nullptr);
    ~BudgetSolver() override;

    // Replaces whatever was asked before; unanswered questions of earlier calls are dropped. Returns the number of this call.
    int ask(std::vector<BudgetQuestion> questions);
    bool idle() const { return open_ == 0; }

Q_SIGNALS:
    // `index` counts the questions of call number `call`.
    void answered(int call, int index, const permille::ui::BudgetReply& reply);
    void finished(int call);

private:
    class Worker;
    QThread thread_;
    Worker* worker_;  // lives on thread_, deleted when it ends
    std::shared_ptr<std::atomic<int>> newest_ = std::make_shared<std::atomic<int>>(0);
    int open_ = 0;
};

}  // namespace permille::ui

Q_DECLARE_METATYPE(permille::ui::BudgetReply)
