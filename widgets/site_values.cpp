#include "widgets/site_values.h"

#include <algorithm>
#include <cmath>

namespace glyphscope {

QString ScoreValue::text() const {
  QString out = QString::number(mean, 'f', 3);
  if (low && high) out += QStringLiteral(" [%1, %2]").arg(*low, 0, 'f', 3).arg(*high, 0, 'f', 3);
  return out + QStringLiteral(", %1 image%2").arg(n).arg(n == 1 ? "" : "s");
}

QColor heat_colour(double value) {
  static const QColor stops[] = {{68, 1, 84},    {71, 44, 122}, {59, 81, 139},  {44, 113, 142}, {33, 144, 141},
                                 {39, 173, 129}, {92, 200, 99}, {170, 220, 50}, {253, 231, 37}};
  const double at = std::clamp(std::isfinite(value) ? value : 0.0, 0.0, 1.0) * 8;
  const int low = std::min(static_cast<int>(at), 7);
  auto mix = [&](int a, int b) { return static_cast<int>(std::lround(a + (at - low) * (b - a))); };
  return {mix(stops[low].red(), stops[low + 1].red()), mix(stops[low].green(), stops[low + 1].green()), mix(stops[low].blue(), stops[low + 1].blue())};
}

QColor ink_on(const QColor& background) {
  // Relative luminance, WCAG 2.1; 0.18 is where black and white have equal contrast.
  auto linear = [](double c) { return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4); };
  const double luminance = 0.2126 * linear(background.redF()) + 0.7152 * linear(background.greenF()) + 0.0722 * linear(background.blueF());
  return luminance > 0.18 ? QColor(16, 16, 20) : QColor(250, 250, 250);
}

}  // namespace glyphscope
