#include "widgets/site_values.h"

#include <cmath>

#include "engine/core/heat_colour.h"

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

QColor ink_on(const QColor& background) {
  // Relative luminance, WCAG 2.1; 0.18 is where black and white have equal contrast.
  auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
  const double luminance = 0.2126 * linear(background.redF()) + 0.7152 * linear(background.greenF()) + 0.0722 * linear(background.blueF());
  return luminance > 0.18 ? QColor(16, 16, 20) : QColor(250, 250, 250);
}

}  // namespace glyphscope
