// Puts a study together, opens and saves it as YAML, and starts it.
#pragma once

#include <QTimer>
#include <filesystem>
#include <functional>

#include "ui/pages/page.h"
#include "ui/pages/study/study_form.h"
#include "ui/pages/study/study_preview.h"

namespace permille::ui {

class StudyPage : public Page {
    Q_OBJECT
public:
    // `bundled` names the bases that came with the program; without a function budgets are solved by core.
    explicit StudyPage(std::vector<std::string> bundled, Solve solve = {}, QWidget* parent = nullptr);

    void setSnapshot(const SnapshotPtr& snapshot) override;
    bool settled() const override;
    void setRunning(bool running, bool stopping) { preview_->setRunning(running, stopping); }

    // Each tells through failed() when it does not work and returns whether it did.
    bool open(const std::filesystem::path& file);
    // A study as the database keeps it; it has no file.
    bool show(const StudyRow& stored);
    bool save(const std::filesystem::path& file);
    const std::filesystem::path& file() const { return file_; }
    // Differs from what was opened or saved last.
    bool modified() const;

    StudyForm* form() const { return form_; }
    StudyPreview* preview() const { return preview_; }
    const StudyPlan& plan() const { return plan_; }
    // What "Copy as command" copies.
    static QString commandFor(const std::filesystem::path& study, const std::filesystem::path& database);

Q_SIGNALS:
    void startRequested(const permille::Study& study);
    void stopRequested();
    // Wants the study in a file first.
    void copyRequested();
    void fileChanged();

private:
    void replan();
    void chooseFolder();

    std::vector<std::string> bundled_;
    StudyForm* form_;
    StudyPreview* preview_;
    SnapshotPtr snapshot_;
    StudyPlan plan_;
    QTimer later_;  // waits until typing pauses
    std::filesystem::path file_;
    std::string saved_;  // as YAML
};

}  // namespace permille::ui
