#pragma once

#include <QImage>
#include <QString>

namespace glyphscope {

/// Writes a PNG with `metadata` (JSON) in its text chunk "glyphscope"; all of it or nothing. False if it could not.
bool save_picture(QImage image, const QString& file, const QString& metadata);

}  // namespace glyphscope
