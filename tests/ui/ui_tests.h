// One function per test file; main.cpp runs them all.
#pragma once

#include <QObject>
#include <QTemporaryDir>
#include <filesystem>
#include <memory>

namespace permille::test {

std::unique_ptr<QObject> make_bases_test();
std::unique_ptr<QObject> make_chart_test();
std::unique_ptr<QObject> make_field_form_test();
std::unique_ptr<QObject> make_item_models_test();
std::unique_ptr<QObject> make_pages_test();
std::unique_ptr<QObject> make_watcher_test();
std::unique_ptr<QObject> make_window_test();

inline std::filesystem::path in(const QTemporaryDir& folder, const char* name) {
    return std::filesystem::path(folder.path().toStdString()) / name;
}

}  // namespace permille::test
