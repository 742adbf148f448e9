#include "app/window/picture_text.h"

#include <QObject>

namespace glyphscope {

QImage to_image(const Picture& picture) {
  if (!picture.rgb) return {};
  return QImage(picture.rgb->data(), picture.width, picture.height, 3 * picture.width, QImage::Format_RGB888).copy();
}

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
  struct Line {
    const char *name, *text;
    int digits;
  };
  static const Line kLines[] = {{"target_f1", QT_TRANSLATE_NOOP("QObject", "characters of the target's text (F1): %1"), 2},
                                {"word_accuracy", QT_TRANSLATE_NOOP("QObject", "the target's text exactly: %1"), 0},
                                {"source_f1", QT_TRANSLATE_NOOP("QObject", "characters of the source's text (F1): %1"), 2},
                                {"ssim", QT_TRANSLATE_NOOP("QObject", "SSIM to the source: %1"), 3},
                                {"psnr", QT_TRANSLATE_NOOP("QObject", "PSNR: %1 dB"), 1},
                                {"mse", QT_TRANSLATE_NOOP("QObject", "mean squared error: %1"), 1},
                                {"ssim_outside_box", QT_TRANSLATE_NOOP("QObject", "SSIM outside the box: %1"), 3},
                                {"psnr_outside_box", QT_TRANSLATE_NOOP("QObject", "PSNR outside the box: %1 dB"), 1},
                                {"ssim_inside_box", QT_TRANSLATE_NOOP("QObject", "SSIM inside: %1"), 3},
                                {"psnr_inside_box", QT_TRANSLATE_NOOP("QObject", "PSNR inside: %1 dB"), 1}};
  QStringList out;
  for (const auto& [name, text, digits] : kLines)
    if (const auto score = picture.scores.find(name); score != picture.scores.end()) out << QObject::tr(text).arg(score->second, 0, 'f', digits);
  return out.join("\n");
}

}  // namespace glyphscope
