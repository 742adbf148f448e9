#include "widgets/plot_style.h"

#include <qcustomplot.h>

namespace glyphscope {

void style_plot(QCustomPlot* plot, const std::vector<QCPAxis*>& axes, const QWidget& widget) {
  const QPalette& palette = widget.palette();
  const QColor text = palette.color(QPalette::Text), line = palette.color(QPalette::Mid);
  plot->setBackground(palette.color(QPalette::Window));
  for (auto* rect : plot->axisRects()) rect->setBackground(palette.color(QPalette::Base));
  for (auto* axis : axes) {
    axis->setBasePen(QPen(line));
    axis->setTickPen(QPen(line));
    axis->setSubTickPen(QPen(line));
    axis->grid()->setPen(QPen(palette.color(QPalette::Midlight), 1));
    axis->setTickLabelColor(text);
    axis->setLabelColor(text);
    axis->setTickLabelFont(widget.font());
    axis->setLabelFont(widget.font());
  }
}

}  // namespace glyphscope
