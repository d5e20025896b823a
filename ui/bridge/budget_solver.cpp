#include "ui/bridge/budget_solver.h"

#include <map>

#include "core/bases/find.h"

namespace permille::ui {

namespace {

std::string key_of(const BudgetQuestion& question) {
    return Json::array({question.base, question.method, question.settings, question.budget ? Json(format_budget(*question.budget)) : Json(),
                        TrainingSettings::fields().to_json(question.training), DeviceSettings::fields().to_json(question.device)})
        .dump();
}

}  // namespace

bool BudgetQuestion::operator==(const BudgetQuestion& other) const { return key_of(*this) == key_of(other); }

class BudgetSolver::Worker : public QObject {
public:
    Worker(BudgetSolver* owner, Solve solve) : owner_(owner), newest_(owner->newest_), solve_(std::move(solve)) {}

    void work(int call, const std::vector<BudgetQuestion>& questions) {
        for (std::size_t i = 0; i < questions.size(); ++i) {
            if (*newest_ != call) return;
            const std::string key = key_of(questions[i]);
            auto known = known_.find(key);
            if (known == known_.end()) known = known_.emplace(key, reply_to(questions[i])).first;
            Q_EMIT owner_->answered(call, static_cast<int>(i), known->second);
        }
        Q_EMIT owner_->finished(call);
    }

private:
    BudgetReply reply_to(const BudgetQuestion& question) const {
        BudgetReply reply;
        try {
            reply.answer = solve_(question);
        } catch (...) {
            reply.problem = problem_of(std::current_exception());
            reply.answer.method = question.method;
            reply.answer.budget = question.budget;
        }
        return reply;
    }

    BudgetSolver* owner_;
    std::shared_ptr<std::atomic<int>> newest_;
    Solve solve_;
    std::map<std::string, BudgetReply> known_;
};

BudgetSolver::BudgetSolver(Solve solve, QObject* parent) : QObject(parent) {
    qRegisterMetaType<BudgetReply>();
    if (!solve)
        solve = [](const BudgetQuestion& q) {
            // While one fills in a form nothing is downloaded.
            for (const std::string& model : {q.base, q.training.teacher})
                if (!model.empty() && must_download(model))
                    throw Error(ErrorKind::config, model, "is not on this machine yet", "download it on the page of bases");
            return solve_budget(q.base, q.method, q.settings, q.budget, q.training, q.device);
        };
    worker_ = new Worker(this, std::move(solve));
    worker_->moveToThread(&thread_);
    connect(&thread_, &QThread::finished, worker_, &QObject::deleteLater);
    connect(this, &BudgetSolver::finished, this, [this](int call) {
        if (call == *newest_) open_ = 0;
    });
    thread_.setObjectName(QStringLiteral("budgets"));
    thread_.start();
}

BudgetSolver::~BudgetSolver() {
    ++*newest_;
    thread_.quit();
    thread_.wait();
}

int BudgetSolver::ask(std::vector<BudgetQuestion> questions) {
    const int call = ++*newest_;
    open_ = call;
    QMetaObject::invokeMethod(
        worker_, [worker = worker_, call, questions = std::move(questions)] { worker->work(call, questions); }, Qt::QueuedConnection);
    return call;
}

}  // namespace permille::ui
