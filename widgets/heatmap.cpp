#include "widgets/heatmap.h"

#include <qcustomplot.h>

#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "widgets/plot_style.h"

namespace glyphscope {

Heatmap::Heatmap(SiteSelection* selection, QWidget* parent) : QWidget(parent), selection_(selection), plot_(new QCustomPlot(this)) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->addWidget(plot_);
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
  connect(plot_, &QCustomPlot::mouseMove, this, [this](QMouseEvent* event) {
    int row = 0, column = 0;
    plot_->setToolTip(find_cell(event->pos(), row, column) ? tip(row, column) : QString());
  });
  connect(plot_, &QCustomPlot::mousePress, this, [this](QMouseEvent* event) {
    int row = 0, column = 0;
    if (event->button() != Qt::LeftButton || !find_cell(event->pos(), row, column)) return;
    const bool more = event->modifiers() & (Qt::ShiftModifier | Qt::ControlModifier);
    const std::vector<int>& sites = columns_[static_cast<size_t>(column)].sites;
    if (!sites.empty()) selection_->select(QSet<int>(sites.begin(), sites.end()), more ? SiteSelection::Mode::toggle : SiteSelection::Mode::replace);
    emit clicked(row, column);
  });
  connect(selection_, &SiteSelection::changed, this, [this] {
    mark_selection();
    plot_->replot(QCustomPlot::rpQueuedReplot);
  });
  setMinimumHeight(150);
  set_values({}, {}, {}, {});
  apply_palette();
}

std::vector<Heatmap::Column> Heatmap::site_columns(int sites) {
  std::vector<Column> out;
  for (int site = 0; site < sites; ++site) out.push_back({QString::number(site), tr("Site %1").arg(site), {site}});
  return out;
}

void Heatmap::set_values(const QStringList& rows, const QString& axis, const std::vector<Column>& columns,
                         const std::vector<std::vector<std::optional<ScoreValue>>>& values) {
  rows_ = rows;
  columns_ = columns;
  values_ = values;
  const int count = static_cast<int>(rows.size()), width = static_cast<int>(columns.size());
  map_->data()->clear();
  map_->setVisible(count > 0 && width > 0);
  QSharedPointer<QCPAxisTickerText> x(new QCPAxisTickerText), y(new QCPAxisTickerText);
  if (count > 0 && width > 0) {
    map_->data()->setSize(width, count);
    // One cell has no extent of its own in QCustomPlot: a range of one would be empty.
    map_->data()->setRange({0, std::max(1.0, width - 1.0)}, {0, std::max(1.0, count - 1.0)});
    for (int row = 0; row < count; ++row) {
      y->addTick(row, rows[row]);
      for (int column = 0; column < width; ++column) {
        const auto& value = values_[static_cast<size_t>(row)][static_cast<size_t>(column)];
        map_->data()->setCell(column, row, value ? value->mean : std::nan(""));
      }
    }
    const int every = width <= 30 ? 1 : width / 15;
    for (int column = 0; column < width; column += every) x->addTick(column, columns[static_cast<size_t>(column)].label);
  }
  plot_->xAxis->setLabel(axis);
  plot_->xAxis->setTicker(x);
  plot_->yAxis->setTicker(y);
  plot_->xAxis->setRange(-0.5, std::max(1, width) - 0.5);
  plot_->yAxis->setRange(-0.5, std::max(1, count) - 0.5);
  mark_selection();
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

void Heatmap::mark_selection() {
  for (auto* mark : marks_) plot_->removeItem(mark);
  marks_.clear();
  if (rows_.isEmpty()) return;
  for (size_t column = 0; column < columns_.size(); ++column) {
    const std::vector<int>& sites = columns_[column].sites;
    if (sites.empty() || !std::all_of(sites.begin(), sites.end(), [&](int site) { return selection_->sites().contains(site); })) continue;
    auto* mark = new QCPItemRect(plot_);
    mark->topLeft->setCoords(static_cast<double>(column) - 0.5, -0.5);
    mark->bottomRight->setCoords(static_cast<double>(column) + 0.5, static_cast<double>(rows_.size()) - 0.5);
    mark->setPen(QPen(palette().color(QPalette::Highlight), 3));
    mark->setSelectable(false);
    marks_.push_back(mark);
  }
}

bool Heatmap::find_cell(const QPoint& point, int& row, int& column) const {
  column = static_cast<int>(std::floor(plot_->xAxis->pixelToCoord(point.x()) + 0.5));
  row = static_cast<int>(std::floor(plot_->yAxis->pixelToCoord(point.y()) + 0.5));
  return column >= 0 && column < static_cast<int>(columns_.size()) && row >= 0 && row < rows_.size();
}

QPoint Heatmap::cell_centre(int row, int column) const {
  return plot_->mapTo(this, QPoint(static_cast<int>(plot_->xAxis->coordToPixel(column)), static_cast<int>(plot_->yAxis->coordToPixel(row))));
}

QString Heatmap::tip(int row, int column) const {
  const auto& value = values_[static_cast<size_t>(row)][static_cast<size_t>(column)];
  return tr("<b>%1</b><br>%2: %3")
      .arg(columns_[static_cast<size_t>(column)].name.toHtmlEscaped(), rows_[row].toHtmlEscaped(), value ? value->text() : tr("not measured yet"));
}

void Heatmap::with_caption(const QString& caption, const std::function<void()>& draw) {
  auto* rows = plot_->plotLayout();
  auto* text = new QCPTextElement(plot_, caption, plot_->font());
  text->setTextFlags(Qt::AlignLeft | Qt::TextWordWrap);
  text->setTextColor(palette().color(QPalette::Text));
  text->setMargins({8, 8, 8, 8});
  const int height = QFontMetrics(plot_->font()).boundingRect(QRect(0, 0, plot_->width() - 16, 10000), Qt::AlignLeft | Qt::TextWordWrap, caption).height() + 16;
  text->setMinimumSize(0, height);
  text->setMaximumSize(QWIDGETSIZE_MAX, height);
  rows->insertRow(rows->rowCount());
  rows->addElement(rows->rowCount() - 1, 0, text);
  draw();
  rows->remove(text);
  rows->simplify();
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

bool Heatmap::save_vector(const QString& file, const QString& caption) {
  bool saved = false;
  with_caption(caption, [&] { saved = save_plot(plot_, file); });
  return saved;
}

QImage Heatmap::figure(const QString& caption) {
  QImage out;
  constexpr double kFineness = 2;
  with_caption(caption, [&] { out = plot_->toPixmap(plot_->width(), plot_->height() + 80, kFineness).toImage(); });
  return out;
}

void Heatmap::apply_palette() {
  style_plot(plot_, {plot_->xAxis, plot_->yAxis, map_->colorScale()->axis()}, *this);
  mark_selection();
  plot_->replot(QCustomPlot::rpQueuedReplot);
}

void Heatmap::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) apply_palette();
  QWidget::changeEvent(event);
}

}  // namespace glyphscope
