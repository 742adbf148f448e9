#pragma once

#include <QWidget>

#include "widgets/site_values.h"

namespace glyphscope {

/// What the colours of a map stand for: the scale, the score's name, which end is good, and what hatching means.
class HeatLegend : public QWidget {
  Q_OBJECT
 public:
  explicit HeatLegend(QWidget* parent = nullptr);
  /// Empty: nothing is coloured. hatched: what is not known of hatched cells; empty if none can be.
  void show_scale(const QString& title, const QString& hatched, const ValueScale& scale = {});

  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent*) override;

 private:
  QString title_, hatched_;
  ValueScale scale_;
};

}  // namespace glyphscope
