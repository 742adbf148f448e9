#pragma once

#include <QWidget>
#include <optional>
#include <vector>

#include "widgets/figure_source.h"

class QCPAxisRect;
class QCPGraph;
class QCPItemStraightLine;
class QCPLegend;
class QCustomPlot;

namespace glyphscope {

/// Numbers over the steps of a training: losses above, with a linear or logarithmic scale, shares from 0 to 1 below. The wheel zooms into steps, a drag
/// moves, a double click shows all. Hovering tells the values at the nearest step.
class StepCurves : public QWidget, public FigureSource {
  Q_OBJECT
 public:
  enum class Panel { losses, shares };
  struct Curve {
    QString name;
    QColor colour;
    Panel panel = Panel::losses;
    bool dots = true;  ///< Few values, of which each counts; else a thin line.
  };
  explicit StepCurves(const std::vector<Curve>& curves, QWidget* parent = nullptr);

  /// A curve's value at a step; replaces the one that was there.
  void set_value(int curve, double step, double value);
  /// Draws what was set.
  void refresh();
  void clear();
  void set_logarithmic(bool on);
  /// Shows all values again.
  void fit();
  /// Marks a step by a line.
  void mark(std::optional<double> step);
  /// Steps that are shown.
  double first_step() const;
  double last_step() const;
  /// What hovering at a step says: the values at, or just before it.
  QString tip(double step) const;
  std::vector<Figure::Part> figure_parts() const override;

 protected:
  void changeEvent(QEvent*) override;
  void contextMenuEvent(QContextMenuEvent*) override;

 private:
  void apply_palette();
  void fit_values();

  std::vector<Curve> curves_;
  QCustomPlot* plot_;
  QCPAxisRect* rects_[2];
  QCPLegend* legends_[2];
  std::vector<QCPGraph*> graphs_;
  QCPItemStraightLine* marks_[2];
  bool zoomed_ = false;
};

}  // namespace glyphscope
