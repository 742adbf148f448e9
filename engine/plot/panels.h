#pragma once

#include "plot/canvas.h"
#include "plot/figure.h"

namespace glyphscope {

/// The colours of a figure's paper and ink.
struct PlotInk {
  Colour paper, ink, soft, grid;

  static PlotInk of(const FigureStyle& style);
};

/// What a panel is drawn with.
struct PlotPen {
  Canvas& canvas;
  const FigureStyle& style;
  PlotInk ink;

  Canvas::Font font(double share = 1, bool bold = false) const { return {style.letters * share, bold, {}}; }
  double em() const { return style.letters; }
};

/// How wide a panel is read best.
double natural_width(const PlotPen& pen, const HeatPanel& panel);
double natural_width(const PlotPen& pen, const LinePanel& panel);
double natural_width(const PlotPen& pen, const IntervalPanel& panel);
double natural_width(const PlotPen& pen, const PicturePanel& panel);
double natural_width(const PlotPen& pen, const MapPanel& panel);

/// Draws a panel of this width from a top left corner. Returns its height.
double draw_panel(const PlotPen& pen, const HeatPanel& panel, const Point& at, double width);
double draw_panel(const PlotPen& pen, const LinePanel& panel, const Point& at, double width);
double draw_panel(const PlotPen& pen, const IntervalPanel& panel, const Point& at, double width);
double draw_panel(const PlotPen& pen, const PicturePanel& panel, const Point& at, double width);
double draw_panel(const PlotPen& pen, const MapPanel& panel, const Point& at, double width);

/// A number as an axis has it.
std::string axis_number(double value);
/// Round numbers from low to high, about so many; on a logarithmic axis 1, 2 and 5 of each decade.
std::vector<double> axis_ticks(double low, double high, int about, bool logarithmic = false);

}  // namespace glyphscope
