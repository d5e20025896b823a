// The base models of this machine: what there is, where it lives and what it takes, adding by folder or by hub name, removing, using in a
// study.
#pragma once

#include <QSortFilterProxyModel>
#include <functional>

#include "ui/bridge/base_keeper.h"
#include "ui/item_models/bases_model.h"
#include "ui/pages/page.h"

class QLabel;
class QLineEdit;
class QProgressBar;
class QPushButton;
class QTableView;

namespace permille::ui {

class BasesPage : public Page {
    Q_OBJECT
public:
    explicit BasesPage(BaseWork work = {}, QWidget* parent = nullptr);

    // The folders are read when the page is first seen.
    void setSnapshot(const SnapshotPtr& snapshot) override;
    bool settled() const override { return snapshot_ && listed_ && !keeper_.listing(); }

    const BasesModel& bases() const { return model_; }
    QTableView* table() const { return table_; }
    void select(const std::string& base);
    void addFolder(const QString& folder);
    void download(const QString& name);
    void removeSelected();

Q_SIGNALS:
    void useRequested(const QString& base);
    // Wants the user to agree first.
    void questionAsked(const QString& question, const QString& yes, const std::function<void()>& then);
    void changeWanted(const std::function<void(permille::Store&)>& change);

protected:
    void showEvent(QShowEvent* event) override;

private:
    void makeLayout();
    void connectKeeper();
    void refresh();
    void updateButtons();
    void chooseFolder();
    void setDownloading(bool downloading);
    const KnownBase* selected() const;

    BaseKeeper keeper_;
    SnapshotPtr snapshot_;
    bool listed_ = false;
    std::string wanted_;  // to be selected once it is in the list
    BasesModel model_;
    QSortFilterProxyModel proxy_;
    QTableView* table_;
    QLineEdit* name_;
    QLabel *count_, *doing_;
    QProgressBar* progress_;
    QPushButton *download_, *cancel_, *folder_, *remove_, *use_;
    QWidget* progress_row_;
};

}  // namespace permille::ui
