#include "widgets/elided_label.h"

#include <QPainter>

namespace glyphscope {

QSize ElidedLabel::minimumSizeHint() const { return {fontMetrics().averageCharWidth() * 8, QLabel::minimumSizeHint().height()}; }

void ElidedLabel::paintEvent(QPaintEvent*) {
  const QString line = QString(text()).replace('\n', ' '), shown = fontMetrics().elidedText(line, Qt::ElideRight, contentsRect().width());
  setToolTip(shown == line ? QString() : text());
  QPainter painter(this);
  painter.setPen(palette().color(isEnabled() ? QPalette::Active : QPalette::Disabled, foregroundRole()));
  painter.drawText(contentsRect(), static_cast<int>(alignment()) | Qt::TextSingleLine, shown);
}

}  // namespace glyphscope
