#pragma once

#include <QImage>
#include <QString>

class QWidget;

namespace glyphscope {

/// Writes a PNG with `metadata` (JSON) in its text chunk "glyphscope"; all of it or nothing. False if it could not.
bool save_picture(QImage image, const QString& file, const QString& metadata);

/// Asks for a file to be written; a name without one of the filter's endings gets this one, and one that is there is asked about. Empty: none was chosen.
QString ask_where_to_save(QWidget* parent, const QString& title, const QString& proposed, const QString& filter, const QString& ending);

}  // namespace glyphscope
