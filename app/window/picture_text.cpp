#include "app/window/picture_text.h"

#include <QObject>

#include "metrics/scores.h"

namespace glyphscope {

QImage to_image(const Picture& picture) {
  if (!picture.rgb) return {};
  return QImage(picture.rgb->data(), picture.width, picture.height, qsizetype{3} * picture.width, QImage::Format_RGB888).copy();
}

QRect to_rect(const PixelBox& box) { return {box.left, box.top, box.right - box.left, box.bottom - box.top}; }

QString picture_caption(const Picture& picture, bool compared) {
  QString text;
  if (picture.read) text = picture.read->empty() ? QObject::tr("no text read") : QObject::tr("reads \u201c%1\u201d").arg(QString::fromStdString(*picture.read));
  if (!compared) return text;
  const auto add = [&](const char* name, const QString& what) {
    if (const auto score = picture.scores.find(name); score != picture.scores.end())
      text += (text.isEmpty() ? what.mid(what.indexOf(' ', 1) + 1) : what).arg(score->second, 0, 'f', 2);
  };
  add("target_f1", QObject::tr(" \u00b7 F1 %1"));
  add("ssim_outside_text", QObject::tr(" \u00b7 background %1"));
  return text;
}

QString score_lines(const Picture& picture) {
  QStringList out;
  for (const ScoreInfo& info : score_table())
    if (const auto score = picture.scores.find(std::string(info.key)); score != picture.scores.end() && *info.sentence)
      out << QObject::tr("%1: %2%3").arg(QObject::tr(info.sentence)).arg(score->second, 0, 'f', info.digits).arg(QString::fromUtf8(info.unit));
  return out.join("\n");
}

}  // namespace glyphscope
