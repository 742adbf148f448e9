#include "app/window/picture_text.h"

#include <QObject>

namespace glyphscope {

QImage to_image(const Picture& picture) {
  if (!picture.rgb) return {};
  return QImage(picture.rgb->data(), picture.width, picture.height, 3 * picture.width, QImage::Format_RGB888).copy();
}

QString picture_caption(const Picture& picture, bool compared) {
  QString text = picture.read.empty() ? QObject::tr("no text read") : QObject::tr("reads \u201c%1\u201d").arg(QString::fromStdString(picture.read));
  if (!compared) return text;
  const auto add = [&](const char* name, const QString& what) {
    if (const auto score = picture.scores.find(name); score != picture.scores.end()) text += what.arg(score->second, 0, 'f', 2);
  };
  add("target_f1", QObject::tr(" \u00b7 F1 %1"));
  add("ssim_outside_text", QObject::tr(" \u00b7 background %1"));
  return text;
}

}  // namespace glyphscope
