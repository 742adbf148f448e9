#pragma once

#include <QString>
#include <vector>

class QCPAxis;
class QCustomPlot;
class QWidget;

namespace glyphscope {

/// Gives a plot's background and these axes the widget's colours and font.
void style_plot(QCustomPlot* plot, const std::vector<QCPAxis*>& axes, const QWidget& widget);

/// Writes a plot as vectors: .pdf by the file's ending, else SVG. False if it could not be written.
bool save_plot(QCustomPlot* plot, const QString& file);

}  // namespace glyphscope
