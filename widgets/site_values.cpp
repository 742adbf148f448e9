#include "widgets/site_values.h"

namespace glyphscope {

QString ScoreValue::text() const {
  QString out = QString::number(mean, 'f', 3);
  if (low && high) out += QStringLiteral(" [%1, %2]").arg(*low, 0, 'f', 3).arg(*high, 0, 'f', 3);
  return out + QStringLiteral(", %1 image%2").arg(n).arg(n == 1 ? "" : "s");
}

QColor heat_colour(double value) {
  const auto [red, green, blue] = heat_rgb(value);
  return {red, green, blue};
}

QColor ValueScale::colour(double value) const {
  const auto [red, green, blue] = colour_of(colours, high > low ? (value - low) / (high - low) : 0);
  return {red, green, blue};
}

QColor ink_on(const QColor& background) {
  const auto [red, green, blue] = ink_on(Colour{background.red(), background.green(), background.blue()});
  return {red, green, blue};
}

}  // namespace glyphscope
