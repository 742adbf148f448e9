#pragma once

#include <QImage>
#include <QRect>
#include <QString>

#include "tasks/events.h"

namespace glyphscope {

/// A copy that Qt can draw; null of an empty picture.
QImage to_image(const Picture& picture);
QRect to_rect(const PixelBox& box);
/// What OCR read in it; compared: and how much of the source's background it keeps.
QString picture_caption(const Picture& picture, bool compared);
/// All its scores against the source, a line each.
QString score_lines(const Picture& picture);

}  // namespace glyphscope
