// The first page while the database is empty: what this is and what to do next.
#pragma once

#include <filesystem>

#include "ui/pages/page.h"

class QLabel;
class QPushButton;
class QVBoxLayout;

namespace permille::ui {

class WelcomePage : public Page {
    Q_OBJECT
public:
    // `example`: the bundled study, empty when there is none.
    explicit WelcomePage(std::filesystem::path example, QWidget* parent = nullptr);
    void setSnapshot(const SnapshotPtr& snapshot) override;

Q_SIGNALS:
    void exampleRequested(const QString& file);
    void databaseRequested();
    void importRequested();
    void studyRequested();

private:
    void addCommand(QVBoxLayout* layout, const QString& title, QLabel*& command);

    QLabel* state_;
    QLabel* recipe_ = nullptr;
    QPushButton* study_;
};

}  // namespace permille::ui
