// An error as the window shows it: a copy of permille::Error that may cross threads.
#pragma once

#include <QMetaType>
#include <QString>
#include <exception>

#include "core/base/error.h"

namespace permille::ui {

struct Problem {
    ErrorKind kind = ErrorKind::internal;
    QString where, what, fix;
    // "where: what; fix"
    QString message() const;
};

Problem problem_of(const Error& error);
// Any exception; one that is not ours becomes kind internal.
Problem problem_of(const std::exception_ptr& error);

}  // namespace permille::ui

Q_DECLARE_METATYPE(permille::ui::Problem)
