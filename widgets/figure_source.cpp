#include "widgets/figure_source.h"

#include <cstddef>

namespace glyphscope {

Bitmap to_bitmap(const QImage& image) {
  const QImage rgb = image.convertToFormat(QImage::Format_RGB888);
  Bitmap out{rgb.width(), rgb.height(), {}};
  out.rgb.reserve(static_cast<size_t>(rgb.width()) * static_cast<size_t>(rgb.height()) * 3);
  for (int y = 0; y < rgb.height(); ++y) out.rgb.insert(out.rgb.end(), rgb.constScanLine(y), rgb.constScanLine(y) + std::ptrdiff_t{3} * rgb.width());
  return out;
}

QImage to_image(const Bitmap& bitmap) {
  return QImage(bitmap.rgb.data(), bitmap.width, bitmap.height, qsizetype{3} * bitmap.width, QImage::Format_RGB888).copy();
}

}  // namespace glyphscope
