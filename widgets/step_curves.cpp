#include "widgets/step_curves.h"

#include <qcustomplot.h>

#include <QContextMenuEvent>
#include <QMenu>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "widgets/plot_style.h"

namespace glyphscope {

StepCurves::StepCurves(const std::vector<Curve>& curves, QWidget* parent) : QWidget(parent), curves_(curves), plot_(new QCustomPlot(this)) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(plot_);
  plot_->plotLayout()->clear();
  auto* margins = new QCPMarginGroup(plot_);
  for (int panel = 0; panel < 2; ++panel) {
    auto* rect = new QCPAxisRect(plot_);
    rects_[panel] = rect;
    // A legend in a row of its own hides no value.
    auto* legend = new QCPLegend;
    legends_[panel] = legend;
    auto* line = new QCPLayoutGrid;
    plot_->plotLayout()->addElement(2 * panel, 0, line);
    plot_->plotLayout()->addElement(2 * panel + 1, 0, rect);
    plot_->plotLayout()->setRowStretchFactor(2 * panel, 0.001);
    line->setMargins(QMargins(40, 0, 0, 0));
    line->addElement(0, 0, legend);
    line->addElement(0, 1, new QCPLayoutElement);
    line->setColumnStretchFactor(0, 0.001);
    legend->setLayer("legend");
    legend->setFillOrder(QCPLegend::foColumnsFirst);
    legend->setMargins(QMargins(4, 0, 4, 0));
    rect->setMinimumMargins(QMargins(0, 2, 12, 0));
    rect->setMarginGroup(QCP::msLeft | QCP::msRight, margins);
    rect->setRangeDrag(Qt::Horizontal);
    rect->setRangeZoom(Qt::Horizontal);
    rect->axis(QCPAxis::atBottom)->setTickLabels(panel == 1);
    marks_[panel] = new QCPItemStraightLine(plot_);
    marks_[panel]->setClipAxisRect(rect);
    for (auto* at : {marks_[panel]->point1, marks_[panel]->point2}) at->setAxes(rect->axis(QCPAxis::atBottom), rect->axis(QCPAxis::atLeft));
    marks_[panel]->setVisible(false);
  }
  plot_->plotLayout()->setRowStretchFactor(1, 1.3);
  plot_->plotLayout()->setRowSpacing(2);
  rects_[1]->axis(QCPAxis::atBottom)->setLabel(tr("step"));
  rects_[0]->axis(QCPAxis::atLeft)->setLabel(tr("loss"));
  rects_[1]->axis(QCPAxis::atLeft)->setLabel(tr("samples"));
  rects_[1]->axis(QCPAxis::atLeft)->setRange(-0.03, 1.03);
  plot_->setAutoAddPlottableToLegend(false);
  for (const auto& curve : curves_) {
    const auto panel = static_cast<size_t>(curve.panel);
    auto* graph = plot_->addGraph(rects_[panel]->axis(QCPAxis::atBottom), rects_[panel]->axis(QCPAxis::atLeft));
    graph->setName(curve.name);
    graph->setPen(QPen(curve.colour, curve.dots ? 2 : 1));
    // Colour is not all that tells them apart: where curves lie on each other, the marks of those below are larger.
    constexpr QCPScatterStyle::ScatterShape kShapes[] = {QCPScatterStyle::ssDisc, QCPScatterStyle::ssSquare, QCPScatterStyle::ssDiamond,
                                                         QCPScatterStyle::ssTriangle};
    constexpr double kSizes[] = {5, 9, 7, 5};
    if (curve.dots) {
      const int nth = static_cast<int>(std::count_if(graphs_.begin(), graphs_.end(), [](const auto* one) { return !one->scatterStyle().isNone(); }));
      graph->setScatterStyle(QCPScatterStyle(kShapes[nth % 4], curve.colour, kSizes[nth % 4]));
    }
    graph->addToLegend(legends_[panel]);
    graphs_.push_back(graph);
  }
  plot_->setInteractions(QCP::iRangeDrag | QCP::iRangeZoom);
  // Both panels show the same steps.
  for (int panel = 0; panel < 2; ++panel)
    connect(rects_[panel]->axis(QCPAxis::atBottom), qOverload<const QCPRange&>(&QCPAxis::rangeChanged), rects_[1 - panel]->axis(QCPAxis::atBottom),
            qOverload<const QCPRange&>(&QCPAxis::setRange));
  connect(rects_[0]->axis(QCPAxis::atBottom), qOverload<const QCPRange&>(&QCPAxis::rangeChanged), this, &StepCurves::fit_values);
  const auto zoomed = [this] { zoomed_ = true; };
  connect(plot_, &QCustomPlot::mouseWheel, this, zoomed);
  connect(plot_, &QCustomPlot::mouseDoubleClick, this, &StepCurves::fit);
  connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    if (event->buttons() & Qt::LeftButton) zoomed_ = true;
    const double step = rects_[0]->axis(QCPAxis::atBottom)->pixelToCoord(event->pos().x());
    plot_->setToolTip(tip(step));
  });
  setMinimumHeight(180);
  fit();
  apply_palette();
}

void StepCurves::set_value(int curve, double step, double value) {
  auto data = graphs_[static_cast<size_t>(curve)]->data();
  data->remove(step);
  data->add(QCPGraphData(step, value));
}

void StepCurves::clear() {
  for (auto* graph : graphs_) graph->data()->clear();
  mark({});
  fit();
}

void StepCurves::fit() {
  zoomed_ = false;
  refresh();
}

void StepCurves::refresh() {
  if (!zoomed_) {
    double last = 1;
    for (auto* graph : graphs_)
      if (!graph->data()->isEmpty()) last = std::max(last, (graph->data()->constEnd() - 1)->key);
    rects_[0]->axis(QCPAxis::atBottom)->setRange(-0.02 * last, 1.02 * last);
  }
  fit_values();
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

// The axis of losses spans what is shown of them, without the few highest and lowest of a thin line.
void StepCurves::fit_values() {
  auto* axis = rects_[0]->axis(QCPAxis::atLeft);
  const bool logarithmic = axis->scaleType() == QCPAxis::stLogarithmic;
  const QCPRange steps = rects_[0]->axis(QCPAxis::atBottom)->range();
  std::vector<double> all;
  for (size_t i = 0; i < graphs_.size(); ++i) {
    if (curves_[i].panel != Panel::losses) continue;
    std::vector<double> values;
    for (const auto& point : *graphs_[i]->data())
      if (steps.contains(point.key) && std::isfinite(point.value) && (!logarithmic || point.value > 0)) values.push_back(point.value);
    std::sort(values.begin(), values.end());
    const size_t cut = curves_[i].dots ? 0 : values.size() / 100;
    all.insert(all.end(), values.begin() + static_cast<std::ptrdiff_t>(cut), values.end() - static_cast<std::ptrdiff_t>(cut));
  }
  if (all.empty()) return axis->setRange(logarithmic ? 0.1 : 0, 1);
  const auto [low, high] = std::minmax_element(all.begin(), all.end());
  if (logarithmic) {
    const double room = std::pow(std::max(1.05, *high / *low), 0.08);
    axis->setRange(*low / room, *high * room);
  } else {
    const double room = 0.06 * std::max(*high - *low, 1e-6);
    axis->setRange(*low - room, *high + room);
  }
}

void StepCurves::set_logarithmic(bool on) {
  auto* axis = rects_[0]->axis(QCPAxis::atLeft);
  axis->setScaleType(on ? QCPAxis::stLogarithmic : QCPAxis::stLinear);
  axis->setTicker(on ? QSharedPointer<QCPAxisTicker>(new QCPAxisTickerLog) : QSharedPointer<QCPAxisTicker>(new QCPAxisTicker));
  refresh();
}

void StepCurves::mark(std::optional<double> step) {
  for (auto* line : marks_) {
    line->setVisible(step.has_value());
    if (!step) continue;
    line->point1->setCoords(*step, 0.1);
    line->point2->setCoords(*step, 1);
  }
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

double StepCurves::first_step() const { return rects_[0]->axis(QCPAxis::atBottom)->range().lower; }
double StepCurves::last_step() const { return rects_[0]->axis(QCPAxis::atBottom)->range().upper; }

QString StepCurves::tip(double step) const {
  QStringList lines;
  double at = -1;
  for (size_t i = 0; i < graphs_.size(); ++i) {
    const auto data = graphs_[i]->data();
    auto found = data->findEnd(step, false);
    if (found == data->constBegin()) continue;
    --found;
    if (!(found->key <= step)) continue;
    at = std::max(at, found->key);
    lines << tr("%1: %2 (step %3)").arg(curves_[i].name).arg(found->value, 0, 'g', 4).arg(found->key);
  }
  return lines.isEmpty() ? QString() : tr("<b>Step %1</b><br>%2").arg(at).arg(lines.join("<br>"));
}

std::vector<Figure::Part> StepCurves::figure_parts() const {
  std::vector<Figure::Part> out;
  for (const Panel which : {Panel::losses, Panel::shares}) {
    const bool losses = which == Panel::losses;
    LinePanel panel{tr("step").toStdString(), "", {}, losses && rects_[0]->axis(QCPAxis::atLeft)->scaleType() == QCPAxis::stLogarithmic, {}};
    if (!losses) panel.y_range.emplace(0, 1);
    for (size_t i = 0; i < graphs_.size(); ++i) {
      if (curves_[i].panel != which || graphs_[i]->data()->isEmpty()) continue;
      panel.lines.push_back({curves_[i].name.toStdString(), {}, curves_[i].dots});
      for (const auto& point : *graphs_[i]->data()) panel.lines.back().points.emplace_back(point.key, point.value);
    }
    if (!panel.lines.empty()) out.push_back({(losses ? tr("Loss") : tr("Samples")).toStdString(), std::move(panel)});
  }
  return out;
}

void StepCurves::contextMenuEvent(QContextMenuEvent* event) {
  QMenu menu(this);
  menu.addAction(tr("Show all steps"), this, &StepCurves::fit);
  if (more_actions && !figure_parts().empty()) more_actions(menu);
  menu.exec(event->globalPos());
}

void StepCurves::apply_palette() {
  std::vector<QCPAxis*> axes;
  for (auto* rect : rects_)
    for (auto* axis : rect->axes()) axes.push_back(axis);
  style_plot(plot_, axes, *this);
  for (auto* legend : legends_) {
    legend->setFont(font());
    legend->setTextColor(palette().color(QPalette::Text));
    legend->setBorderPen(Qt::NoPen);
    legend->setBrush(Qt::NoBrush);
    for (int i = 0; i < legend->itemCount(); ++i) {
      legend->item(i)->setFont(font());
      legend->item(i)->setTextColor(palette().color(QPalette::Text));
    }
  }
  for (auto* line : marks_) line->setPen(QPen(palette().color(QPalette::Highlight), 1, Qt::DashLine));
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

void StepCurves::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) apply_palette();
  QWidget::changeEvent(event);
}

}  // namespace glyphscope
