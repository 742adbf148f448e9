#include "widgets/plain_text_field.h"

#include <QMimeData>

namespace glyphscope {

bool PlainTextField::canInsertFromMimeData(const QMimeData* source) const { return source && QPlainTextEdit::canInsertFromMimeData(source); }

void PlainTextField::insertFromMimeData(const QMimeData* source) {
  if (source) QPlainTextEdit::insertFromMimeData(source);
}

}  // namespace glyphscope
