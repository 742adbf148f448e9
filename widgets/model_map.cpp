#include "widgets/model_map.h"

#include <QHelpEvent>
#include <QKeyEvent>
#include <QLocale>
#include <QPainter>
#include <QToolTip>
#include <algorithm>

namespace glyphscope {

ModelMap::ModelMap(SiteSelection* selection, QWidget* parent) : QWidget(parent), selection_(selection), band_(new QRubberBand(QRubberBand::Rectangle, this)) {
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setAccessibleName(tr("Map of the model's prompt-reading layers"));
  connect(selection_, &SiteSelection::changed, this, qOverload<>(&QWidget::update));
}

std::vector<ModelMap::Block> ModelMap::blocks_of(const std::vector<SiteItem>& sites) {
  std::vector<Block> out;
  for (const auto& site : sites) {
    if (out.empty() || out.back().name != site.block) out.push_back({.name = site.block, .row = site.row, .sites = {}, .frame = {}});
    out.back().sites.push_back(site.index);
  }
  return out;
}

void ModelMap::set_sites(std::vector<SiteItem> sites) {
  sites_ = std::move(sites);
  scores_.clear();
  blocks_ = blocks_of(sites_);
  second_blocks_.clear();
  updateGeometry();
  cursor_ = 0;
  arrange();
}

void ModelMap::set_second_stage(const QString& title, const std::vector<SiteItem>& sites) {
  second_title_ = title;
  second_blocks_ = blocks_of(sites);
  updateGeometry();
  arrange();
}

void ModelMap::set_scores(const QString& name, const std::map<int, ScoreValue>& scores) {
  score_name_ = name;
  scores_ = scores;
  update();
}

void ModelMap::arrange() {
  constexpr int kMargin = 8, kTitle = 26;
  QRect area = rect().adjusted(kMargin, kMargin, -kMargin, -kMargin);
  second_cells_.clear();
  second_area_ = QRect();
  if (!second_blocks_.empty()) {
    second_area_ = area;
    second_area_.setTop(area.top() + area.height() * 2 / 3);
    area.setBottom(second_area_.top() - kMargin);
    second_cells_ = place(second_blocks_, second_area_.adjusted(0, kTitle, 0, 0), false);
  }
  cells_ = place(blocks_, area, true);
  update();
}

std::map<int, QRect> ModelMap::place(std::vector<Block>& blocks, const QRect& area, bool named) {
  std::map<int, QRect> cells;
  // A level of a U is a row, the middle is the last.
  const auto count_of = [&](BlockRow row) {
    return static_cast<int>(std::count_if(blocks.begin(), blocks.end(), [&](const Block& one) { return one.row == row; }));
  };
  const int downs = count_of(BlockRow::down), ups = count_of(BlockRow::up);
  // A model without a U is a frame for each kind of block, from the top down.
  const bool column = downs + ups == 0;
  const int rows = column ? std::max(1, static_cast<int>(blocks.size())) : std::max({downs, ups, 1}) + 1;
  const int gap = named ? 10 : 6, row_height = std::max(named ? 34 : 16, (area.height() - (rows - 1) * gap) / rows);
  const int indent_step = std::min(26, area.width() / 14), half = area.center().x();
  int down = 0, up = 0, kind = 0;
  for (auto& block : blocks) {
    int row = column ? kind++ : rows - 1, left = column ? area.left() : half - area.width() / 5, right = column ? area.right() : half + area.width() / 5;
    if (block.row == BlockRow::down) {
      row = down++;
      left = area.left() + indent_step * row;
      right = half - gap / 2;
    } else if (block.row == BlockRow::up) {
      row = std::max(ups, downs) - 1 - up++;
      left = half + gap / 2;
      right = area.right() - indent_step * row;
    }
    block.frame = QRect(QPoint(left, area.top() + row * (row_height + gap)), QSize(right - left, row_height));
    const int count = static_cast<int>(block.sites.size()), title = named ? 16 : 5, cell_gap = 4, narrowest = 18;
    const QRect inner = block.frame.adjusted(5, title, -5, -5);
    // As many lines as it takes for cells to be wide enough to click on; in a column, as many columns as it takes for them to be high enough.
    const int most = std::max(1, (inner.height() + cell_gap) / (narrowest + cell_gap));
    const int per_line = column ? (count + most - 1) / most : std::clamp((inner.width() + cell_gap) / (narrowest + cell_gap), 1, count);
    const int lines = (count + per_line - 1) / per_line;
    auto edge = [&](int from, int length, int i, int of) { return from + (length + cell_gap) * i / of; };
    for (int i = 0; i < count; ++i) {
      const int x = column ? i / lines : i % per_line, y = column ? i % lines : i / per_line;
      const QPoint top_left(edge(inner.left(), inner.width(), x, per_line), edge(inner.top(), inner.height(), y, lines));
      const QPoint next(edge(inner.left(), inner.width(), x + 1, per_line), edge(inner.top(), inner.height(), y + 1, lines));
      cells[block.sites[static_cast<size_t>(i)]] = QRect(top_left, next - QPoint(cell_gap + 1, cell_gap + 1));
    }
  }
  return cells;
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

void ModelMap::paint_blocks(QPainter& painter, const std::vector<Block>& blocks, bool named) const {
  QFont small = font();
  small.setPointSizeF(font().pointSizeF() * 0.85);
  const QColor line = palette().color(QPalette::Mid);
  for (size_t i = 0; i + 1 < blocks.size(); ++i) {  // the path of one forward pass
    painter.setPen(QPen(line, 2));
    painter.drawLine(blocks[i].frame.center(), blocks[i + 1].frame.center());
  }
  for (const auto& block : blocks) {
    painter.setPen(QPen(line, 1));
    painter.setBrush(palette().color(QPalette::Base));
    painter.drawRoundedRect(QRectF(block.frame).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5);
    if (!named) continue;
    painter.setFont(small);
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(block.frame.adjusted(7, 1, -5, 0), Qt::AlignLeft | Qt::AlignTop, block.name);
  }
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
    const QRect line(second_area_.topLeft(), QSize(second_area_.width() - 14, 20));
    painter.drawText(line, Qt::AlignLeft | Qt::AlignVCenter, fontMetrics().elidedText(second_title_, Qt::ElideRight, line.width()));
    paint_blocks(painter, second_blocks_, false);
    painter.setPen(Qt::NoPen);
    painter.setBrush(palette().color(QPalette::AlternateBase));
    for (const auto& [site, rectangle] : second_cells_) painter.drawRoundedRect(rectangle, 4, 4);
  }
  paint_blocks(painter, blocks_, true);
  painter.setFont(font());
  for (const auto& [site, rectangle] : cells_) {
    auto score = scores_.find(site);
    const QColor fill = score == scores_.end() ? palette().color(QPalette::AlternateBase) : heat_colour(score->second.mean);
    painter.setPen(Qt::NoPen);
    painter.setBrush(fill);
    painter.drawRoundedRect(rectangle, 4, 4);
    painter.setPen(score == scores_.end() ? palette().color(QPalette::Text) : ink_on(fill));
    painter.drawText(rectangle, Qt::AlignCenter, QString::number(site));
    painter.setBrush(Qt::NoBrush);
    if (selection_->contains(site)) {
      painter.setPen(QPen(palette().color(QPalette::Highlight), 3));
      painter.drawRoundedRect(QRectF(rectangle).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4);
    }
    if (hasFocus() && site == cursor_) {
      painter.setPen(QPen(palette().color(QPalette::Text), 1, Qt::DotLine));
      painter.drawRoundedRect(QRectF(rectangle).adjusted(-2.5, -2.5, 2.5, 2.5), 5, 5);
    }
  }
}

void ModelMap::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return;
  press_ = event->pos();
  band_->setGeometry(QRect(press_, QSize()));
}

void ModelMap::mouseMoveEvent(QMouseEvent* event) {
  if (!(event->buttons() & Qt::LeftButton)) return;
  if (!band_->isVisible() && (event->pos() - press_).manhattanLength() < 6) return;
  band_->setGeometry(QRect(press_, event->pos()).normalized());
  band_->show();
}

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
  if (site >= 0) {
    cursor_ = site;
    selection_->select({site}, more ? SiteSelection::Mode::toggle : SiteSelection::Mode::replace);
  } else if (!more) {
    selection_->clear();
  }
  update();
}

void ModelMap::keyPressEvent(QKeyEvent* event) {
  if (sites_.empty()) return QWidget::keyPressEvent(event);
  const int last = static_cast<int>(sites_.size()) - 1;
  switch (event->key()) {
    case Qt::Key_Right:
    case Qt::Key_Down:
      cursor_ = std::min(cursor_ + 1, last);
      break;
    case Qt::Key_Left:
    case Qt::Key_Up:
      cursor_ = std::max(cursor_ - 1, 0);
      break;
    case Qt::Key_Home:
      cursor_ = 0;
      break;
    case Qt::Key_End:
      cursor_ = last;
      break;
    case Qt::Key_Space:
      selection_->select({cursor_}, SiteSelection::Mode::toggle);
      break;
    case Qt::Key_Return:
    case Qt::Key_Enter:
      selection_->select({cursor_});
      break;
    case Qt::Key_Escape:
      selection_->clear();
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
