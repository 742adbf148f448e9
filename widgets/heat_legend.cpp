#include "widgets/heat_legend.h"

#include <QPainter>
#include <algorithm>

#include "widgets/site_values.h"

namespace glyphscope {

HeatLegend::HeatLegend(QWidget* parent) : QWidget(parent) {
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  hide();
}

void HeatLegend::show_scale(const QString& title, const QString& hatched) {
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
  const int digit = fontMetrics().horizontalAdvance('0'), height = fontMetrics().height(), length = std::min(90, width() / 4);
  const QRect bar(2 * digit, (this->height() - height * 2 / 3) / 2, length, height * 2 / 3);
  for (int x = 0; x < length; ++x) painter.fillRect(bar.left() + x, bar.top(), 1, bar.height(), heat_colour(static_cast<double>(x) / length));
  painter.setPen(palette().color(QPalette::Mid));
  painter.drawRect(bar.adjusted(-1, -1, 0, 0));
  painter.setPen(palette().color(QPalette::Text));
  painter.drawText(QRect(0, 0, 2 * digit - 3, this->height()), Qt::AlignVCenter | Qt::AlignRight, QStringLiteral("0"));
  painter.drawText(QRect(bar.right() + 4, 0, digit, this->height()), Qt::AlignVCenter, QStringLiteral("1"));
  const int left = bar.right() + 4 + 2 * digit;
  const QString text = hatched_.isEmpty() ? title_ : tr("%1; hatched: open").arg(title_);
  painter.drawText(QRect(left, 0, width() - left, this->height()), Qt::AlignVCenter, fontMetrics().elidedText(text, Qt::ElideRight, width() - left));
}

}  // namespace glyphscope
