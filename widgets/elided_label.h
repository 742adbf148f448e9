#pragma once

#include <QLabel>

namespace glyphscope {

/// One line of plain text that takes the room there is: what does not fit is cut, and told by hovering. A window is never wider for it.
class ElidedLabel : public QLabel {
  Q_OBJECT
 public:
  using QLabel::QLabel;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent*) override;
};

}  // namespace glyphscope
