#pragma once

#include <vector>

class QCPAxis;
class QCustomPlot;
class QWidget;

namespace glyphscope {

/// Gives a plot's background and these axes the widget's colours and font.
void style_plot(QCustomPlot* plot, const std::vector<QCPAxis*>& axes, const QWidget& widget);

}  // namespace glyphscope
