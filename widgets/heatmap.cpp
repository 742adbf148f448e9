#include "widgets/heatmap.h"

#include <qcustomplot.h>

#include <QClipboard>
#include <QGuiApplication>
#include <QMenu>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "widgets/plot_style.h"

namespace glyphscope {

namespace {

// What is drawn over the cells: edges, numbers, marks.
class CellInk : public QCPAbstractItem {
 public:
  CellInk(QCustomPlot* plot, std::function<void(QCPPainter*)> paint) : QCPAbstractItem(plot), paint_(std::move(paint)) { setSelectable(false); }
  double selectTest(const QPointF&, bool, QVariant*) const override { return -1; }

 protected:
  void draw(QCPPainter* painter) override { paint_(painter); }

 private:
  std::function<void(QCPPainter*)> paint_;
};

// Longer ones are cut in their middle; hovering tells them.
constexpr int kLongestLabel = 26;

QString short_label(const QString& label) {
  return label.size() <= kLongestLabel ? label : label.left(kLongestLabel / 2) + QStringLiteral("\u2026") + label.right(kLongestLabel / 2 - 1);
}

}  // namespace

Heatmap::Heatmap(SiteSelection* selection, QWidget* parent) : QWidget(parent), selection_(selection), plot_(new QCustomPlot(this)) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(plot_);
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(tr("Heatmap"));
  plot_->setFocusPolicy(Qt::NoFocus);
  plot_->setContextMenuPolicy(Qt::NoContextMenu);
  map_ = new QCPColorMap(plot_->xAxis, plot_->yAxis);
  map_->setInterpolate(false);
  map_->setTightBoundary(false);
  QCPColorGradient gradient;
  gradient.clearColorStops();
  for (int i = 0; i <= 8; ++i) gradient.setColorStopAt(i / 8.0, heat_colour(i / 8.0));
  gradient.setNanHandling(QCPColorGradient::nhTransparent);
  map_->setDataRange({0, 1});
  auto* scale = new QCPColorScale(plot_);
  plot_->plotLayout()->addElement(0, 1, scale);
  scale->setType(QCPAxis::atRight);
  scale->setBarWidth(12);
  map_->setColorScale(scale);
  scale->setGradient(gradient);  // the scale's gradient rules the map's
  scale->setDataRange({0, 1});
  auto* margins = new QCPMarginGroup(plot_);
  plot_->axisRect()->setMarginGroup(QCP::msTop | QCP::msBottom, margins);
  scale->setMarginGroup(QCP::msTop | QCP::msBottom, margins);
  plot_->yAxis->setRangeReversed(true);
  for (auto* axis : {plot_->xAxis, plot_->yAxis}) {
    axis->grid()->setVisible(false);
    axis->setTickLength(0);
    axis->setSubTickLength(0);
  }
  new CellInk(plot_, [this](QCPPainter* painter) { paint_cells(painter); });  // the plot's
  connect(plot_, &QCustomPlot::afterLayout, this, &Heatmap::fit_labels);
  connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    const auto at = find_cell(event->pos());
    plot_->setToolTip(at ? tip(order_[static_cast<size_t>(at->row)], at->column) : QString());
    const std::vector<int> none, &sites = at ? columns_[static_cast<size_t>(at->column)].sites : none;
    selection_->point_at(sites.size() == 1 ? sites.front() : -1);
    if (!press_ || !at || at->column == (brushed_ < 0 ? press_->column : brushed_)) return;
    brushed_ = at->column;
    refresh();
  });
  connect(plot_, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
    setFocus(Qt::MouseFocusReason);
    if (event->button() == Qt::LeftButton) press_ = find_cell(event->pos());
  });
  connect(plot_, &QCustomPlot::mouseRelease, this, [this](QMouseEvent* event) {
    const auto from = std::exchange(press_, std::nullopt);
    const int to = std::exchange(brushed_, -1);
    if (event->button() != Qt::LeftButton || !from) return;
    if (to < 0 || to == from->column) {
      cursor_ = *from;
      choose(*from, event->modifiers());
      return refresh();
    }
    QSet<int> sites;
    for (int column = std::min(from->column, to); column <= std::max(from->column, to); ++column)
      for (int site : columns_[static_cast<size_t>(column)].sites) sites.insert(site);
    const bool more = event->modifiers() & (Qt::ShiftModifier | Qt::ControlModifier);
    if (!sites.isEmpty()) selection_->select(sites, more ? SiteSelection::Mode::add : SiteSelection::Mode::replace);
    refresh();
  });
  connect(selection_, &SiteSelection::changed, this, &Heatmap::refresh);
  connect(selection_, &SiteSelection::pointed_changed, this, &Heatmap::refresh);
  setMinimumHeight(150);
  set_values({}, {}, {}, {});
  apply_palette();
}

std::vector<Heatmap::Column> Heatmap::site_columns(int sites) {
  std::vector<Column> out;
  for (int site = 0; site < sites; ++site) out.push_back({QString::number(site), tr("Site %1").arg(site), {site}});
  return out;
}

void Heatmap::set_values(const QStringList& rows, const QString& axis, const std::vector<Column>& columns, const Values& values) {
  rows_ = rows;
  columns_ = columns;
  values_ = values;
  thresholds_.clear();
  plot_->xAxis->setLabel(axis);
  if (sorted_by_ && *sorted_by_ >= this->columns()) sorted_by_.reset();
  cursor_ = {std::clamp(cursor_.row, 0, std::max(0, this->rows() - 1)), std::clamp(cursor_.column, 0, std::max(0, this->columns() - 1))};
  press_.reset();
  sort_rows(sorted_by_);
}

void Heatmap::set_thresholds(const std::map<int, double>& thresholds) {
  thresholds_ = thresholds;
  refresh();
}

void Heatmap::sort_rows(std::optional<int> column) {
  sorted_by_ = column;
  order_.resize(static_cast<size_t>(rows()));
  std::iota(order_.begin(), order_.end(), 0);
  if (column) {
    std::vector<double> keys;
    for (const auto& row : values_) {
      double sum = 0;
      int count = 0;
      for (int i = 0; i < columns(); ++i)
        if (const auto& one = row[static_cast<size_t>(i)]; one && (*column < 0 || *column == i)) sum += one->mean, ++count;
      keys.push_back(count > 0 ? sum / count : -1);  // what is not measured comes last
    }
    std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) { return keys[static_cast<size_t>(a)] > keys[static_cast<size_t>(b)]; });
  }
  draw();
}

const std::optional<ScoreValue>& Heatmap::value(Place at) const {
  return values_[static_cast<size_t>(order_[static_cast<size_t>(at.row)])][static_cast<size_t>(at.column)];
}

void Heatmap::draw() {
  map_->data()->clear();
  map_->setDataRange({0, largest_});
  map_->colorScale()->setDataRange({0, largest_});
  map_->setVisible(rows() > 0 && columns() > 0);
  QSharedPointer<QCPAxisTickerText> x(new QCPAxisTickerText), y(new QCPAxisTickerText);
  if (rows() > 0 && columns() > 0) {
    map_->data()->setSize(columns(), rows());
    // One cell has no extent of its own in QCustomPlot: a range of one would be empty.
    map_->data()->setRange({0, std::max(1.0, columns() - 1.0)}, {0, std::max(1.0, rows() - 1.0)});
    for (int row = 0; row < rows(); ++row)
      for (int column = 0; column < columns(); ++column) {
        const auto& one = value({row, column});
        map_->data()->setCell(column, row, one ? one->mean : std::nan(""));
      }
    for (int row = 0; row < rows(); row += every_row_) y->addTick(row, short_label(rows_[order_[static_cast<size_t>(row)]]));
    for (int column = 0; column < columns(); column += every_column_) x->addTick(column, short_label(columns_[static_cast<size_t>(column)].label));
  }
  plot_->xAxis->setTicker(x);
  plot_->yAxis->setTicker(y);
  plot_->xAxis->setRange(-0.5, std::max(1, columns()) - 0.5);
  plot_->yAxis->setRange(-0.5, std::max(1, rows()) - 0.5);
  refresh();
}

// As many labels as there is room for: more would lie on each other.
void Heatmap::fit_labels() {
  const QFontMetrics metrics(plot_->xAxis->tickLabelFont());
  int widest = 1;
  for (const Column& column : columns_) widest = std::max(widest, metrics.horizontalAdvance(short_label(column.label)) + 6);
  const auto every = [](int length, int count, int label) {
    return count == 0 ? 1 : std::max(1, static_cast<int>(std::ceil(static_cast<double>(label) * count / std::max(1, length))));
  };
  const int row = every(plot_->axisRect()->height(), rows(), metrics.height()), column = every(plot_->axisRect()->width(), columns(), widest);
  if (row == every_row_ && column == every_column_) return;
  every_row_ = row;
  every_column_ = column;
  draw();
}

void Heatmap::paint_cells(QCPPainter* painter) const {
  if (rows() == 0 || columns() == 0) return;
  const auto x = [this](double column) { return plot_->xAxis->coordToPixel(column - 0.5); };
  const auto y = [this](double row) { return plot_->yAxis->coordToPixel(row - 0.5); };
  const auto place = [&](Place at) { return QRectF(QPointF(x(at.column), y(at.row)), QPointF(x(at.column + 1), y(at.row + 1))); };
  const double width = x(1) - x(0), height = y(1) - y(0);
  const QRectF all(QPointF(x(0), y(0)), QPointF(x(columns()), y(rows())));
  painter->save();
  painter->setFont(font());
  constexpr double kEdged = 6;  // smaller cells would be all edge
  painter->setPen(QPen(palette().color(QPalette::Base), 1));
  if (width >= kEdged)
    for (int column = 1; column < columns(); ++column) painter->drawLine(QLineF(x(column), all.top(), x(column), all.bottom()));
  if (height >= kEdged)
    for (int row = 1; row < rows(); ++row) painter->drawLine(QLineF(all.left(), y(row), all.right(), y(row)));
  const bool numbers = width >= fontMetrics().horizontalAdvance("0.00") + 6 && height >= fontMetrics().height();
  for (int row = 0; row < rows(); ++row) {
    const auto threshold = thresholds_.find(order_[static_cast<size_t>(row)]);
    if (!numbers && threshold == thresholds_.end()) continue;
    for (int column = 0; column < columns(); ++column) {
      const auto& one = value({row, column});
      if (!one) continue;
      QColor ink = ink_on(heat_colour(one->mean / largest_));
      painter->setPen(ink);
      if (numbers) painter->drawText(place({row, column}), Qt::AlignCenter, QString::number(one->mean, 'f', 2));
      if (threshold == thresholds_.end() || !one->low || *one->low >= threshold->second || *one->high < threshold->second) continue;
      ink.setAlphaF(0.45F);
      painter->fillRect(place({row, column}), QBrush(ink, Qt::BDiagPattern));
    }
  }
  // The low end of the scale is nearly as dark as a dark window: the whole has an edge of its own.
  painter->setBrush(Qt::NoBrush);
  painter->setPen(QPen(palette().color(QPalette::Mid), 1));
  painter->drawRect(all.adjusted(0.5, 0.5, -0.5, -0.5));
  for (int column = 0; column < columns(); ++column) {
    const QRectF strip(QPointF(x(column), all.top()), QPointF(x(column + 1), all.bottom()));
    const bool brushed = press_ && brushed_ >= 0 && column >= std::min(press_->column, brushed_) && column <= std::max(press_->column, brushed_);
    if (brushed || is_selected(column)) {
      painter->setPen(QPen(palette().color(QPalette::Highlight), 3));
      painter->drawRect(strip.adjusted(1, 1, -1, -1));
    }
    if (const std::vector<int>& sites = columns_[static_cast<size_t>(column)].sites; sites.size() == 1 && sites.front() == selection_->pointed()) {
      painter->setPen(QPen(palette().color(QPalette::Text), 1));
      painter->drawRect(strip.adjusted(0, 0.5, 0, -0.5));
    }
  }
  if (hasFocus()) {
    painter->setPen(QPen(palette().color(QPalette::Text), 1, Qt::DotLine));
    painter->drawRect(place(cursor_).adjusted(1.5, 1.5, -1.5, -1.5));
  }
  painter->restore();
}

void Heatmap::refresh() { plot_->replot(QCustomPlot::rpQueuedReplot); }

std::optional<Heatmap::Place> Heatmap::find_cell(const QPoint& point) const {
  const Place at{static_cast<int>(std::floor(plot_->yAxis->pixelToCoord(point.y()) + 0.5)),
                 static_cast<int>(std::floor(plot_->xAxis->pixelToCoord(point.x()) + 0.5))};
  const bool inside = at.column >= 0 && at.column < columns() && at.row >= 0 && at.row < rows();
  return inside ? std::optional(at) : std::nullopt;
}

QPoint Heatmap::cell_centre(int row, int column) const {
  const auto drawn = std::find(order_.begin(), order_.end(), row) - order_.begin();
  return plot_->mapTo(this,
                      QPoint(static_cast<int>(plot_->xAxis->coordToPixel(column)), static_cast<int>(plot_->yAxis->coordToPixel(static_cast<double>(drawn)))));
}

QString Heatmap::tip(int row, int column) const {
  const auto& one = values_[static_cast<size_t>(row)][static_cast<size_t>(column)];
  QString out = tr("<b>%1</b><br>%2: %3")
                    .arg(columns_[static_cast<size_t>(column)].name.toHtmlEscaped(), rows_[row].toHtmlEscaped(), one ? one->text() : tr("not measured yet"));
  if (const auto threshold = thresholds_.find(row); threshold != thresholds_.end()) out += "<br>" + tr("passes from %1 on").arg(threshold->second, 0, 'f', 2);
  return out;
}

QString Heatmap::table() const {
  QStringList head{QString()};
  for (const Column& column : columns_) head << column.label;
  QStringList lines{head.join('\t')};
  for (int row = 0; row < rows(); ++row) {
    QStringList cells{rows_[order_[static_cast<size_t>(row)]]};
    for (int column = 0; column < columns(); ++column) {
      const auto& one = value({row, column});
      cells << (one ? QString::number(one->mean) : QString());
    }
    lines << cells.join('\t');
  }
  return lines.join('\n') + '\n';
}

void Heatmap::choose(Place at, Qt::KeyboardModifiers modifiers) {
  const bool more = modifiers & (Qt::ShiftModifier | Qt::ControlModifier);
  const std::vector<int>& sites = columns_[static_cast<size_t>(at.column)].sites;
  if (!sites.empty()) selection_->select(QSet<int>(sites.begin(), sites.end()), more ? SiteSelection::Mode::toggle : SiteSelection::Mode::replace);
  emit clicked(order_[static_cast<size_t>(at.row)], at.column);
}

void Heatmap::move_cursor(Place to) {
  cursor_ = {std::clamp(to.row, 0, rows() - 1), std::clamp(to.column, 0, columns() - 1)};
  const std::vector<int>& sites = columns_[static_cast<size_t>(cursor_.column)].sites;
  if (sites.size() == 1) selection_->point_at(sites.front());
  const QString text = tip(order_[static_cast<size_t>(cursor_.row)], cursor_.column);
  setAccessibleDescription(QTextDocumentFragment::fromHtml(text).toPlainText());
  QToolTip::showText(mapToGlobal(cell_centre(order_[static_cast<size_t>(cursor_.row)], cursor_.column)), text, this);
  refresh();
}

void Heatmap::keyPressEvent(QKeyEvent* event) {
  if (rows() == 0 || columns() == 0) return QWidget::keyPressEvent(event);
  switch (event->key()) {
    case Qt::Key_Left:
      return move_cursor({cursor_.row, cursor_.column - 1});
    case Qt::Key_Right:
      return move_cursor({cursor_.row, cursor_.column + 1});
    case Qt::Key_Up:
      return move_cursor({cursor_.row - 1, cursor_.column});
    case Qt::Key_Down:
      return move_cursor({cursor_.row + 1, cursor_.column});
    case Qt::Key_Home:
      return move_cursor({cursor_.row, 0});
    case Qt::Key_End:
      return move_cursor({cursor_.row, columns() - 1});
    case Qt::Key_Space:
      return choose(cursor_, Qt::ControlModifier);
    case Qt::Key_Return:
    case Qt::Key_Enter:
      return choose(cursor_, {});
    default:
      if (event->matches(QKeySequence::Copy)) return QGuiApplication::clipboard()->setText(table());
      QWidget::keyPressEvent(event);
  }
}

void Heatmap::contextMenuEvent(QContextMenuEvent* event) {
  if (rows() == 0) return;
  const auto at = find_cell(plot_->mapFrom(this, event->pos()));
  QMenu menu(this);
  fill_menu(menu, event->reason() == QContextMenuEvent::Keyboard ? std::optional(cursor_.column) : at ? std::optional(at->column) : std::nullopt);
  menu.exec(event->globalPos());
}

void Heatmap::fill_menu(QMenu& menu, std::optional<int> column) {
  if (column) menu.addAction(tr("Sort rows by %1").arg(columns_[static_cast<size_t>(*column)].name), this, [this, column] { sort_rows(column); });
  menu.addAction(tr("Sort rows by their mean"), this, [this] { sort_rows(-1); });
  menu.addAction(tr("Rows as they came"), this, [this] { sort_rows({}); })->setEnabled(sorted_by_.has_value());
  menu.addSeparator();
  menu.addAction(tr("Copy the values\tCtrl+C"), this, [this] { QGuiApplication::clipboard()->setText(table()); });
  if (more_actions) more_actions(menu);
}

bool Heatmap::is_selected(int column) const {
  const std::vector<int>& sites = columns_[static_cast<size_t>(column)].sites;
  return !sites.empty() && std::all_of(sites.begin(), sites.end(), [&](int site) { return selection_->contains(site); });
}

std::vector<Figure::Part> Heatmap::figure_parts() const {
  if (rows() == 0 || columns() == 0) return {};
  HeatPanel panel;
  panel.column_axis = plot_->xAxis->label().toStdString();
  panel.high = largest_;
  for (int column = 0; column < columns(); ++column) {
    panel.columns.push_back(columns_[static_cast<size_t>(column)].label.toStdString());
    if (is_selected(column)) panel.marked.insert(column);
  }
  for (int row = 0; row < rows(); ++row) {
    const int own = order_[static_cast<size_t>(row)];
    panel.rows.push_back(rows_[own].toStdString());
    panel.values.emplace_back();
    for (int column = 0; column < columns(); ++column) {
      const auto& one = value({row, column});
      panel.values.back().push_back(one ? std::optional(PlotValue{one->mean, one->low, one->high}) : std::nullopt);
    }
    if (const auto threshold = thresholds_.find(own); threshold != thresholds_.end()) panel.thresholds[row] = threshold->second;
  }
  return {{"", std::move(panel)}};
}

void Heatmap::apply_palette() {
  style_plot(plot_, {plot_->xAxis, plot_->yAxis, map_->colorScale()->axis()}, *this);
  refresh();
}

void Heatmap::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange || event->type() == QEvent::FontChange) apply_palette();
  QWidget::changeEvent(event);
}

void Heatmap::focusInEvent(QFocusEvent*) { refresh(); }

void Heatmap::focusOutEvent(QFocusEvent*) { refresh(); }

void Heatmap::leaveEvent(QEvent*) { selection_->point_at(-1); }

}  // namespace glyphscope
