#include "ui/bridge/problem.h"

#include "ui/bridge/text.h"

namespace permille::ui {

using namespace Qt::StringLiterals;

QString Problem::message() const {
    QString line = where.isEmpty() ? what : where + u": "_s + what;
    return fix.isEmpty() ? line : line + u"; "_s + fix;
}

Problem problem_of(const Error& error) { return {error.kind(), text(error.where()), text(error.found()), text(error.fix())}; }

Problem problem_of(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const Error& known) {
        return problem_of(known);
    } catch (const std::exception& other) {
        return {ErrorKind::internal, {}, QString::fromLocal8Bit(other.what()), {}};
    } catch (...) {
        return {ErrorKind::internal, {}, u"an unknown failure"_s, {}};
    }
}

}  // namespace permille::ui
