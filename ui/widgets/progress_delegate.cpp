#include "ui/widgets/progress_delegate.h"

#include <QApplication>
#include <QPainter>
#include <algorithm>

namespace permille::ui {

ProgressDelegate::ProgressDelegate(int role, QObject* parent) : QStyledItemDelegate(parent), role_(role) {}

void ProgressDelegate::paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const {
    const QVariant share = index.data(role_);
    if (!share.isValid()) return QStyledItemDelegate::paint(painter, option, index);
    QStyleOptionViewItem plain = option;
    initStyleOption(&plain, index);
    const QString caption = plain.text;
    plain.text.clear();
    QApplication::style()->drawControl(QStyle::CE_ItemViewItem, &plain, painter, plain.widget);
    const QRectF bar = QRectF(option.rect).adjusted(6, option.rect.height() / 2.0 + 6, -6, -option.rect.height() / 2.0 + 9);
    const bool selected = option.state & QStyle::State_Selected;
    QColor track = option.palette.color(selected ? QPalette::HighlightedText : QPalette::Text);
    track.setAlphaF(0.18f);
    const QColor fill = option.palette.color(selected ? QPalette::HighlightedText : QPalette::Highlight);
    painter->save();
    painter->setRenderHint(QPainter::Antialiasing);
    painter->setPen(Qt::NoPen);
    painter->setBrush(track);
    painter->drawRoundedRect(bar, 1.5, 1.5);
    QRectF done = bar;
    done.setWidth(bar.width() * std::clamp(share.toDouble(), 0.0, 1.0));
    painter->setBrush(fill);
    painter->drawRoundedRect(done, 1.5, 1.5);
    painter->setPen(option.palette.color(selected ? QPalette::HighlightedText : QPalette::Text));
    const QRect place = option.rect.adjusted(6, 0, -6, -6);
    painter->drawText(place, Qt::AlignLeft | Qt::AlignVCenter, option.fontMetrics.elidedText(caption, Qt::ElideRight, place.width()));
    painter->restore();
}

}  // namespace permille::ui
