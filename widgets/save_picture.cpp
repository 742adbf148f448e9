#include "widgets/save_picture.h"

#include <QSaveFile>

namespace glyphscope {

bool save_picture(QImage image, const QString& file, const QString& metadata) {
  image.setText("glyphscope", metadata);
  QSaveFile out(file);
  return out.open(QIODevice::WriteOnly) && image.save(&out, "PNG") && out.commit();
}

}  // namespace glyphscope
