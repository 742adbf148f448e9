#include "widgets/heat_legend.h"

#include <QLocale>
#include <QPainter>
#include <algorithm>

namespace glyphscope {

HeatLegend::HeatLegend(QWidget* parent) : QWidget(parent) {
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  hide();
}

void HeatLegend::show_scale(const QString& title, const QString& hatched, const ValueScale& scale) {
  scale_ = scale;
  title_ = title;
  hatched_ = hatched;
  setToolTip(hatched.isEmpty() ? title : tr("%1\nHatched: %2").arg(title, hatched));
  setAccessibleName(toolTip());
  setVisible(!title.isEmpty());
  update();
}

QSize HeatLegend::sizeHint() const { return {200, fontMetrics().height() + 4}; }

QSize HeatLegend::minimumSizeHint() const { return {80, sizeHint().height()}; }

void HeatLegend::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QString low = QLocale().toString(scale_.low, 'g', 2), high = QLocale().toString(scale_.high, 'g', 2);
  const int digit = fontMetrics().horizontalAdvance('0'), height = fontMetrics().height(), length = std::min(90, width() / 4);
  const int before = fontMetrics().horizontalAdvance(low) + digit, after = fontMetrics().horizontalAdvance(high);
  const QRect bar(before, (this->height() - height * 2 / 3) / 2, length, height * 2 / 3);
  for (int x = 0; x < length; ++x)
    painter.fillRect(bar.left() + x, bar.top(), 1, bar.height(), scale_.colour(scale_.low + (scale_.high - scale_.low) * x / length));
  painter.setPen(palette().color(QPalette::Mid));
  painter.drawRect(bar.adjusted(-1, -1, 0, 0));
  painter.setPen(palette().color(QPalette::Text));
  painter.drawText(QRect(0, 0, before - 3, this->height()), Qt::AlignVCenter | Qt::AlignRight, low);
  painter.drawText(QRect(bar.right() + 4, 0, after + 2, this->height()), Qt::AlignVCenter, high);
  const int left = bar.right() + 4 + after + digit;
  const QString text = hatched_.isEmpty() ? title_ : tr("%1; hatched: open").arg(title_);
  painter.drawText(QRect(left, 0, width() - left, this->height()), Qt::AlignVCenter, fontMetrics().elidedText(text, Qt::ElideRight, width() - left));
}

}  // namespace glyphscope
