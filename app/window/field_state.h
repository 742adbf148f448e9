#pragma once

#include <QJsonObject>
#include <QStringList>

class QWidget;

namespace glyphscope {

/// What the user has set in the fields below a widget, by their names. Fields without a name, and what only looks at something (a search, a slider that
/// swipes), are not among them.
QJsonObject fields_of(const QWidget& root);

/// Sets them as they were. Returns the names that there are no fields for, or none of that kind.
QStringList set_fields(QWidget& root, const QJsonObject& fields);

}  // namespace glyphscope
