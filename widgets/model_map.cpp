#include "widgets/model_map.h"

#include <QClipboard>
#include <QGuiApplication>
#include <QHelpEvent>
#include <QKeyEvent>
#include <QLocale>
#include <QMenu>
#include <QPainter>
#include <QToolTip>
#include <algorithm>
#include <cmath>
#include <numeric>

namespace glyphscope {

namespace {

constexpr double kMostZoom = 4;

}  // namespace

QFont ModelMap::small(QFont font) {
  font.setPointSizeF(font.pointSizeF() * 0.85);
  return font;
}

ModelMap::ModelMap(SiteSelection* selection, QWidget* parent) : QWidget(parent), selection_(selection), band_(new QRubberBand(QRubberBand::Rectangle, this)) {
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setAccessibleName(tr("Map of the model's prompt-reading layers"));
  connect(selection_, &SiteSelection::changed, this, qOverload<>(&QWidget::update));
  connect(selection_, &SiteSelection::pointed_changed, this, qOverload<>(&QWidget::update));
}

std::vector<ModelMap::Block> ModelMap::blocks_of(const std::vector<SiteItem>& sites) {
  std::vector<Block> out;
  for (const auto& site : sites) {
    if (out.empty() || out.back().name != site.block) out.push_back({.name = site.block, .row = site.row, .sites = {}, .folded = false, .frame = {}});
    out.back().sites.push_back(site.index);
  }
  return out;
}

void ModelMap::set_sites(std::vector<SiteItem> sites) {
  sites_ = std::move(sites);
  scores_.clear();
  found_.reset();
  blocks_ = blocks_of(sites_);
  second_blocks_.clear();
  cursor_ = 0;
  arrange();
}

void ModelMap::set_second_stage(const QString& title, const std::vector<SiteItem>& sites) {
  second_title_ = title;
  second_blocks_ = blocks_of(sites);
  arrange();
}

void ModelMap::set_scores(const QString& name, const std::map<int, ScoreValue>& scores, std::optional<double> threshold, const ValueScale& scale) {
  score_name_ = name;
  scale_ = scale;
  scores_ = scores;
  threshold_ = threshold;
  update();
}

void ModelMap::set_found(const std::optional<QSet<int>>& sites) {
  found_ = sites;
  update();
}

void ModelMap::set_zoom(double zoom) {
  zoom_ = std::clamp(zoom, 1.0, kMostZoom);
  arrange();
}

void ModelMap::fold_all(bool folded) {
  for (Block& block : blocks_) block.folded = folded;
  arrange();
}

QRect ModelMap::cell(int site) const {
  auto found = cells_.find(site);
  return found == cells_.end() ? QRect() : found->second;
}

int ModelMap::site_at(const QPoint& point) const {
  for (const auto& [site, rectangle] : cells_)
    if (rectangle.contains(point)) return site;
  return -1;
}

const ModelMap::Block* ModelMap::block_of(int site) const {
  for (const Block& block : blocks_)
    if (std::find(block.sites.begin(), block.sites.end(), site) != block.sites.end()) return &block;
  return nullptr;
}

QRect ModelMap::block_title(int site) const {
  const Block* block = block_of(site);
  return block ? QRect(block->frame.topLeft(), QSize(block->frame.width(), look(true).title)) : QRect();
}

bool ModelMap::folded(int site) const {
  const Block* block = block_of(site);
  return block && block->folded;
}

void ModelMap::toggle_block(const QPoint& point) {
  for (Block& block : blocks_)
    if (!block.sites.empty() && block_title(block.sites.front()).contains(point)) {
      block.folded = !block.folded;
      return arrange();
    }
}

QString ModelMap::folded_text(const Block& block) const {
  QString out = tr("%1: %2 sites").arg(block.name).arg(block.sites.size());
  const ScoreValue* best = nullptr;
  int best_site = 0;
  for (int site : block.sites)
    if (const auto score = scores_.find(site); score != scores_.end() && (!best || score->second.mean > best->mean)) best = &score->second, best_site = site;
  return best ? tr("%1, highest %2 at %3").arg(out).arg(best->mean, 0, 'f', 2).arg(best_site) : out;
}

void ModelMap::paint_blocks(QPainter& painter, const std::vector<Block>& blocks, bool named) const {
  const QColor line = palette().color(QPalette::Mid);
  for (size_t i = 0; i + 1 < blocks.size(); ++i) {  // the path of one forward pass
    painter.setPen(QPen(line, 2));
    painter.drawLine(blocks[i].frame.center(), blocks[i + 1].frame.center());
  }
  painter.setFont(small(font()));
  for (const auto& block : blocks) {
    painter.setPen(QPen(line, 1));
    painter.setBrush(palette().color(QPalette::Base));
    painter.drawRoundedRect(QRectF(block.frame).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5);
    if (!named) continue;
    const QRect title(block.frame.left() + 5, block.frame.top() + 1, block.frame.width() - 8, look(true).title);
    const QString text = (block.folded ? QStringLiteral("\u25b8 ") : QStringLiteral("\u25be ")) + (block.folded ? folded_text(block) : block.name);
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(title, Qt::AlignLeft | Qt::AlignVCenter, painter.fontMetrics().elidedText(text, Qt::ElideRight, title.width()));
  }
}

void ModelMap::paint_cell(QPainter& painter, int site, const QRect& rectangle) const {
  const auto score = scores_.find(site);
  const bool valued = score != scores_.end();
  const QColor fill = valued ? scale_.colour(score->second.mean) : palette().color(QPalette::AlternateBase);
  const QColor ink = valued ? ink_on(fill) : palette().color(QPalette::Text);
  painter.setOpacity(found_ && !found_->contains(site) ? 0.3 : 1);
  // The low end of the scale is nearly as dark as a dark window: cells have an edge of their own.
  painter.setPen(QPen(palette().color(QPalette::Mid), 1));
  painter.setBrush(fill);
  painter.drawRoundedRect(QRectF(rectangle).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4);
  if (valued && threshold_ && score->second.low && *score->second.low < *threshold_ && *score->second.high >= *threshold_) {
    QColor pale = ink;
    pale.setAlphaF(0.45F);
    painter.setPen(Qt::NoPen);
    painter.setBrush(QBrush(pale, Qt::BDiagPattern));
    painter.drawRoundedRect(rectangle, 4, 4);
  }
  painter.setPen(ink);
  painter.drawText(rectangle, Qt::AlignCenter, QString::number(site));
  painter.setBrush(Qt::NoBrush);
  if (selection_->contains(site)) {
    painter.setPen(QPen(palette().color(QPalette::Highlight), 3));
    painter.drawRoundedRect(QRectF(rectangle).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4);
  }
  if (site == selection_->pointed()) {
    painter.setPen(QPen(palette().color(QPalette::Text), 1));
    painter.drawRoundedRect(QRectF(rectangle).adjusted(-1.5, -1.5, 1.5, 1.5), 5, 5);
  }
  if (hasFocus() && site == cursor_) {
    painter.setPen(QPen(palette().color(QPalette::Text), 1, Qt::DotLine));
    painter.drawRoundedRect(QRectF(rectangle).adjusted(-2.5, -2.5, 2.5, 2.5), 5, 5);
  }
  painter.setOpacity(1);
}

void ModelMap::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  if (sites_.empty()) {
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(rect(), Qt::AlignCenter, tr("The model's map appears here"));
    return;
  }
  if (!second_blocks_.empty()) {
    // What the first stage drew goes down to the second, past the first's right edge.
    painter.setPen(QPen(palette().color(QPalette::Mid), 2));
    const QRect last = blocks_.back().frame;
    const int x = second_area_.right() + 4, y = second_area_.top() + 10;
    painter.drawPolyline(QPolygon({QPoint(last.right(), last.center().y()), QPoint(x, last.center().y()), QPoint(x, y), QPoint(second_area_.right() - 8, y)}));
    painter.setPen(palette().color(QPalette::PlaceholderText));
    const QRect line(second_area_.topLeft(), QSize(second_area_.width() - 14, fontMetrics().height() + 4));
    painter.drawText(line, Qt::AlignLeft | Qt::AlignVCenter, fontMetrics().elidedText(second_title_, Qt::ElideRight, line.width()));
    paint_blocks(painter, second_blocks_, false);
    painter.setPen(Qt::NoPen);
    painter.setBrush(palette().color(QPalette::AlternateBase));
    for (const auto& [site, rectangle] : second_cells_) painter.drawRoundedRect(rectangle, 4, 4);
  }
  paint_blocks(painter, blocks_, true);
  painter.setFont(font());
  for (const auto& [site, rectangle] : cells_) paint_cell(painter, site, rectangle);
}

void ModelMap::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return;
  press_ = event->pos();
  band_->setGeometry(QRect(press_, QSize()));
}

void ModelMap::mouseMoveEvent(QMouseEvent* event) {
  selection_->point_at(site_at(event->pos()));
  if (!(event->buttons() & Qt::LeftButton)) return;
  if (!band_->isVisible() && (event->pos() - press_).manhattanLength() < 6) return;
  band_->setGeometry(QRect(press_, event->pos()).normalized());
  band_->show();
}

void ModelMap::leaveEvent(QEvent*) { selection_->point_at(-1); }

void ModelMap::mouseReleaseEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return;
  const bool more = event->modifiers() & (Qt::ShiftModifier | Qt::ControlModifier);
  if (band_->isVisible()) {
    band_->hide();
    const QRect area = QRect(press_, event->pos()).normalized();
    QSet<int> touched;
    for (const auto& [site, rectangle] : cells_)
      if (rectangle.intersects(area)) touched.insert(site);
    selection_->select(touched, more ? SiteSelection::Mode::add : SiteSelection::Mode::replace);
    return;
  }
  const int site = site_at(event->pos());
  const bool title = std::any_of(blocks_.begin(), blocks_.end(), [&](const Block& one) { return block_title(one.sites.front()).contains(event->pos()); });
  if (site >= 0) {
    cursor_ = site;
    selection_->select({site}, more ? SiteSelection::Mode::toggle : SiteSelection::Mode::replace);
  } else if (title) {
    toggle_block(event->pos());
  } else if (!more) {
    selection_->clear();
  }
  update();
}

void ModelMap::wheelEvent(QWheelEvent* event) {
  if (!(event->modifiers() & Qt::ControlModifier)) return event->ignore();
  set_zoom(zoom_ * std::pow(1.2, event->angleDelta().y() / 120.0));
  event->accept();
}

void ModelMap::contextMenuEvent(QContextMenuEvent* event) {
  if (sites_.empty()) return;
  QMenu menu(this);
  fill_menu(menu, event->reason() == QContextMenuEvent::Keyboard ? cursor_ : site_at(event->pos()));
  menu.exec(event->globalPos());
}

void ModelMap::fill_menu(QMenu& menu, int site) {
  const auto copy = [](const QString& text) { QGuiApplication::clipboard()->setText(text); };
  if (site >= 0) {
    const SiteItem item = sites_[static_cast<size_t>(site)];
    const QString block = block_of(site)->name;
    const QSet<int> own(block_of(site)->sites.begin(), block_of(site)->sites.end());
    menu.addAction(tr("Select %1").arg(block), this, [this, own] { selection_->select(own); });
    menu.addAction(tr("Fold %1").arg(block), this, [this, site] { toggle_block(block_title(site).center()); });
    menu.addAction(tr("Copy %1").arg(item.path), this, [copy, item] { copy(item.path); });
    menu.addSeparator();
  }
  menu.addAction(tr("Copy the table of sites"), this, [this, copy] {
    std::vector<int> all(sites_.size());
    std::iota(all.begin(), all.end(), 0);
    copy(table(selection_->sites().isEmpty() ? all : selection_->sorted()));
  });
  if (more_actions) more_actions(menu);
  menu.addSeparator();
  menu.addAction(tr("Fold all blocks"), this, [this] { fold_all(true); });
  menu.addAction(tr("Unfold all blocks"), this, [this] { fold_all(false); });
  menu.addAction(tr("Larger cells\t+"), this, [this] { set_zoom(zoom_ * 1.25); });
  menu.addAction(tr("Smaller cells\t\u2212"), this, [this] { set_zoom(zoom_ / 1.25); });
}

std::vector<Figure::Part> ModelMap::figure_parts() const {
  if (sites_.empty()) return {};
  MapPanel panel;
  panel.width = width();
  panel.low = scale_.low;
  panel.high = scale_.high;
  if (scale_.colours != ColourMap::viridis) panel.colours = scale_.colours;
  double bottom = 0;
  for (const Block& block : blocks_) {
    const QRect title = block_title(block.sites.front());
    const QString text = block.folded ? folded_text(block) : block.name;
    panel.labels.push_back({static_cast<double>(title.left()), static_cast<double>(title.top()), static_cast<double>(title.width()),
                            static_cast<double>(title.height()), text.toStdString()});
    bottom = std::max<double>(bottom, title.bottom() + 1);
  }
  for (const auto& [site, place] : cells_) {
    const auto score = scores_.find(site);
    const bool valued = score != scores_.end();
    const std::optional<PlotValue> value = valued ? std::optional(PlotValue{score->second.mean, score->second.low, score->second.high}) : std::nullopt;
    const bool hatched = valued && threshold_ && value->low && *value->low < *threshold_ && *value->high >= *threshold_;
    panel.cells.push_back({static_cast<double>(place.left()), static_cast<double>(place.top()), static_cast<double>(place.width()),
                           static_cast<double>(place.height()), std::to_string(site), value, selection_->contains(site), hatched});
    bottom = std::max<double>(bottom, place.bottom() + 1);
  }
  panel.height = bottom;
  return {{score_name_.toStdString(), std::move(panel)}};
}

QString ModelMap::table(const std::vector<int>& sites) const {
  QStringList rows{tr("site\tblock\tpath\theads\tK and V parameters\t%1\tlow\thigh").arg(score_name_.isEmpty() ? tr("score") : score_name_)};
  for (int site : sites) {
    const SiteItem& item = sites_[static_cast<size_t>(site)];
    QStringList cells{QString::number(site), item.block, item.path, QString::number(item.heads), QString::number(item.parameters), {}, {}, {}};
    if (const auto score = scores_.find(site); score != scores_.end()) {
      cells[5] = QString::number(score->second.mean);
      if (score->second.low) cells[6] = QString::number(*score->second.low), cells[7] = QString::number(*score->second.high);
    }
    rows << cells.join('\t');
  }
  return rows.join('\n') + '\n';
}

int ModelMap::next(int key) const {
  const QPoint from = cell(cursor_).center();
  const bool sideways = key == Qt::Key_Left || key == Qt::Key_Right;
  const int sign = key == Qt::Key_Right || key == Qt::Key_Down ? 1 : -1;
  int best = -1, least = 0;
  for (const auto& [site, rectangle] : cells_) {
    const QPoint way = rectangle.center() - from;
    const int along = sign * (sideways ? way.x() : way.y()), across = std::abs(sideways ? way.y() : way.x());
    // Cells of one line may lie a pixel apart.
    if (along <= 2) continue;
    // Of one line, those beside; else the nearest.
    const int cost = along + 4 * across;
    if (best < 0 || cost < least) best = site, least = cost;
  }
  return best < 0 ? cursor_ : best;
}

void ModelMap::set_cursor(int site) {
  cursor_ = site;
  selection_->point_at(site);
  const SiteItem& item = sites_[static_cast<size_t>(site)];
  QString text = tr("Site %1, %2").arg(site).arg(item.block);
  if (const auto score = scores_.find(site); score != scores_.end()) text += QStringLiteral(", %1 %2").arg(score_name_, score->second.text());
  if (selection_->contains(site)) text += tr(", selected");
  setAccessibleDescription(text);
  emit visible_wanted(cell(site).adjusted(-kMargin, -kMargin - look(true).title, kMargin, kMargin));
}

void ModelMap::keyPressEvent(QKeyEvent* event) {
  if (cells_.empty()) return QWidget::keyPressEvent(event);
  switch (event->key()) {
    case Qt::Key_Right:
    case Qt::Key_Down:
    case Qt::Key_Left:
    case Qt::Key_Up:
      set_cursor(next(event->key()));
      break;
    case Qt::Key_Home:
      set_cursor(cells_.begin()->first);
      break;
    case Qt::Key_End:
      set_cursor(cells_.rbegin()->first);
      break;
    case Qt::Key_Space:
      selection_->select({cursor_}, SiteSelection::Mode::toggle);
      set_cursor(cursor_);
      break;
    case Qt::Key_Return:
    case Qt::Key_Enter:
      selection_->select({cursor_});
      set_cursor(cursor_);
      break;
    case Qt::Key_Escape:
      selection_->clear();
      break;
    case Qt::Key_Plus:
    case Qt::Key_Equal:
      set_zoom(zoom_ * 1.25);
      break;
    case Qt::Key_Minus:
      set_zoom(zoom_ / 1.25);
      break;
    case Qt::Key_A:
      if (event->modifiers() & Qt::ControlModifier) {
        QSet<int> all;
        for (const auto& site : sites_) all.insert(site.index);
        selection_->select(all);
      }
      break;
    default:
      return QWidget::keyPressEvent(event);
  }
  update();
}

QString ModelMap::tip(int site) const {
  const SiteItem& item = sites_[static_cast<size_t>(site)];
  QString text = tr("<b>Site %1</b> (%2)<br>%3<br>%4 heads, %5 K and V parameters, %6 % of the denoiser")
                     .arg(site)
                     .arg(item.block, item.path)
                     .arg(item.heads)
                     .arg(QLocale().toString(item.parameters))
                     .arg(100 * item.share, 0, 'f', 2);
  if (auto score = scores_.find(site); score != scores_.end()) text += QStringLiteral("<br>%1: %2").arg(score_name_, score->second.text());
  return text;
}

void ModelMap::changeEvent(QEvent* event) {
  if (event->type() == QEvent::FontChange) arrange();
  QWidget::changeEvent(event);
}

bool ModelMap::event(QEvent* event) {
  // Esc clears the selection here, before it may mean "cancel" to the window.
  if (event->type() == QEvent::ShortcutOverride && static_cast<QKeyEvent*>(event)->key() == Qt::Key_Escape && !selection_->sites().isEmpty()) {
    event->accept();
    return true;
  }
  if (event->type() == QEvent::ToolTip) {
    auto* help = static_cast<QHelpEvent*>(event);
    const int site = site_at(help->pos());
    if (site >= 0) {
      QToolTip::showText(help->globalPos(), tip(site), this, cell(site));
    } else if (second_area_.contains(help->pos())) {
      QToolTip::showText(help->globalPos(), tr("The second stage enlarges what the first drew. It reads the picture's own prompt and is not patched."), this,
                         second_area_);
    } else {
      QToolTip::hideText();
    }
    return true;
  }
  return QWidget::event(event);
}

}  // namespace glyphscope
