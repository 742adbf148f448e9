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

void ModelMap::set_sites(std::vector<SiteItem> sites) {
  sites_ = std::move(sites);
  scores_.clear();
  blocks_.clear();
  cursor_ = 0;
  for (const auto& site : sites_) {
    if (blocks_.empty() || blocks_.back().name != site.block) blocks_.push_back({site.block, {}, {}});
    blocks_.back().sites.push_back(site.index);
  }
  arrange();
}

void ModelMap::set_scores(const QString& name, const std::map<int, ScoreValue>& scores) {
  score_name_ = name;
  scores_ = scores;
  update();
}

void ModelMap::arrange() {
  cells_.clear();
  // Down blocks descend on the left, up blocks ascend on the right; a level is a row, the middle is the last.
  int downs = 0, ups = 0;
  for (const auto& block : blocks_) {
    downs += block.name.startsWith("down");
    ups += block.name.startsWith("up");
  }
  // A model without a U is a frame for each kind of block, from the top down.
  const bool column = downs + ups == 0;
  const int rows = column ? std::max(1, static_cast<int>(blocks_.size())) : std::max({downs, ups, 1}) + 1;
  const int margin = 8, gap = 10, row_height = std::max(34, (height() - 2 * margin - (rows - 1) * gap) / rows);
  const int indent_step = std::min(26, width() / 14), half = width() / 2;
  int down = 0, up = 0, kind = 0;
  for (auto& block : blocks_) {
    int row = column ? kind++ : rows - 1, left = column ? margin : half - width() / 5, right = column ? width() - margin : half + width() / 5;
    if (block.name.startsWith("down")) {
      row = down++;
      left = margin + indent_step * row;
      right = half - gap / 2;
    } else if (block.name.startsWith("up")) {
      row = std::max(ups, downs) - 1 - up++;
      left = half + gap / 2;
      right = width() - margin - indent_step * row;
    }
    block.frame = QRect(QPoint(left, margin + row * (row_height + gap)), QSize(right - left, row_height));
    const int count = static_cast<int>(block.sites.size()), title = 16, cell_gap = 4, narrowest = 18;
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
      cells_[block.sites[static_cast<size_t>(i)]] = QRect(top_left, next - QPoint(cell_gap + 1, cell_gap + 1));
    }
  }
  update();
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

void ModelMap::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  if (sites_.empty()) {
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(rect(), Qt::AlignCenter, tr("The model's map appears here"));
    return;
  }
  QFont small = font();
  small.setPointSizeF(font().pointSizeF() * 0.85);
  const QColor line = palette().color(QPalette::Mid);
  for (size_t i = 0; i + 1 < blocks_.size(); ++i) {  // the path of one forward pass
    painter.setPen(QPen(line, 2));
    painter.drawLine(blocks_[i].frame.center(), blocks_[i + 1].frame.center());
  }
  for (const auto& block : blocks_) {
    painter.setPen(QPen(line, 1));
    painter.setBrush(palette().color(QPalette::Base));
    painter.drawRoundedRect(QRectF(block.frame).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5);
    painter.setFont(small);
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(block.frame.adjusted(7, 1, -5, 0), Qt::AlignLeft | Qt::AlignTop, block.name);
  }
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
    } else {
      QToolTip::hideText();
    }
    return true;
  }
  return QWidget::event(event);
}

}  // namespace glyphscope
