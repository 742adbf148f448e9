#pragma once

#include <QSize>
#include <QString>
#include <vector>

class QCPAxis;
class QCustomPlot;
class QWidget;

namespace glyphscope {

/// Gives a plot's background and these axes the widget's colours and font.
void style_plot(QCustomPlot* plot, const std::vector<QCPAxis*>& axes, const QWidget& widget);

/// Writes a plot as vectors: .pdf by the file's ending, else SVG; as large as on the screen, or as given. False if it could not be written.
bool save_plot(QCustomPlot* plot, const QString& file, QSize size = {});

}  // namespace glyphscope
