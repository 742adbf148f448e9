#pragma once

#include <QPlainTextEdit>

namespace glyphscope {

/// A field for several lines of plain text. Qt 6.4's own crashes when something is pasted from a clipboard that holds nothing.
class PlainTextField : public QPlainTextEdit {
  Q_OBJECT
 public:
  using QPlainTextEdit::QPlainTextEdit;

 protected:
  bool canInsertFromMimeData(const QMimeData* source) const override;
  void insertFromMimeData(const QMimeData* source) override;
};

}  // namespace glyphscope
