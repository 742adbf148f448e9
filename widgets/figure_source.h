#pragma once

#include <QImage>
#include <functional>
#include <vector>

#include "plot/figure.h"

class QMenu;

namespace glyphscope {

/// A widget that shows what a figure can be made of.
class FigureSource {
 public:
  virtual ~FigureSource() = default;
  /// What it shows now, as it is described for files; empty while it shows nothing.
  virtual std::vector<Figure::Part> figure_parts() const = 0;
  /// What the window adds to its menu, beside what the widget can do itself.
  std::function<void(QMenu& menu)> more_actions;
};

Bitmap to_bitmap(const QImage& image);
QImage to_image(const Bitmap& bitmap);

}  // namespace glyphscope
