#pragma once

#include <QFrame>

class QLabel;

namespace glyphscope {

/// A sentence in place, above what it is about; it goes when it is closed or when the next one comes.
class MessageStrip : public QFrame {
  Q_OBJECT
 public:
  enum class Kind { note, error };
  explicit MessageStrip(QWidget* parent = nullptr);
  void show_message(Kind kind, const QString& text);
  QString text() const;

 protected:
  void paintEvent(QPaintEvent*) override;

 private:
  QLabel* label_;
  Kind kind_ = Kind::note;
};

}  // namespace glyphscope
