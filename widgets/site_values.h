#pragma once

#include <QColor>
#include <QString>
#include <optional>
#include <vector>

#include "core/colour_map.h"

namespace glyphscope {

/// Where a block of sites is drawn: in a stack from the top down, or in a U, which descends on the left and ascends on the right.
enum class BlockRow { stack, down, middle, up };

/// A site as the widgets show it.
struct SiteItem {
  int index = 0;
  QString path;   ///< As diffusers spells it.
  QString block;  ///< "down 0", "mid", "up 1"
  int heads = 0;
  qint64 parameters = 0;
  double share = 0;  ///< Of the denoiser's parameters, in [0, 1].
  BlockRow row = BlockRow::stack;
};

/// A value with its 95 % interval.
struct ScoreValue {
  double mean = 0;
  std::optional<double> low, high;
  int n = 0;

  /// "0.82 [0.71, 0.90], 16 images"
  QString text() const;
};

/// viridis at a value in [0, 1].
QColor heat_colour(double value);
/// What the colours of values span.
struct ValueScale {
  ColourMap colours = ColourMap::viridis;
  double low = 0, high = 1;

  QColor colour(double value) const;
  bool operator==(const ValueScale&) const = default;
};
/// Black or white, whichever is easier to read on `background`.
QColor ink_on(const QColor& background);

}  // namespace glyphscope
