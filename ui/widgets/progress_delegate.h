// Draws a share (0 to 1 under a role of the model) as a bar behind the cell's text.
#pragma once

#include <QStyledItemDelegate>

namespace permille::ui {

class ProgressDelegate : public QStyledItemDelegate {
    Q_OBJECT
public:
    // Cells whose data under `role` is no number are drawn as usual.
    explicit ProgressDelegate(int role, QObject* parent = nullptr);
    void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override;

private:
    int role_;
};

}  // namespace permille::ui
