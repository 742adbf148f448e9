#pragma once

#include <QFrame>

class QLabel;

namespace glyphscope {

/// A sentence at the lower edge of its parent, over what is there: nothing moves under the mouse. It goes when it is closed or when the next one comes.
class MessageStrip : public QFrame {
  Q_OBJECT
 public:
  enum class Kind { note, error };
  explicit MessageStrip(QWidget* parent);
  void show_message(Kind kind, const QString& text);
  QString text() const;

 protected:
  void paintEvent(QPaintEvent*) override;
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void place();

  QLabel* label_;
  Kind kind_ = Kind::note;
};

}  // namespace glyphscope
