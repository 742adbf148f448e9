#include "widgets/plot_style.h"

#include <qcustomplot.h>

#include <QSvgGenerator>

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

bool save_plot(QCustomPlot* plot, const QString& file, QSize size) {
  if (size.isEmpty()) size = plot->size();
  if (file.endsWith(".pdf", Qt::CaseInsensitive)) return plot->savePdf(file, size.width(), size.height());
  QSvgGenerator svg;
  svg.setFileName(file);
  svg.setSize(size);
  svg.setViewBox(QRect(QPoint(0, 0), size));
  svg.setTitle("Glyphscope");
  QCPPainter painter;
  if (!painter.begin(&svg)) return false;
  painter.setMode(QCPPainter::pmVectorized);
  plot->toPainter(&painter, size.width(), size.height());
  return painter.end();
}

}  // namespace glyphscope
