#include "widgets/picture_view.h"

#include <QApplication>
#include <QClipboard>
#include <QDrag>
#include <QMenu>
#include <QMessageBox>
#include <QMimeData>
#include <QMouseEvent>
#include <QPainter>
#include <QPainterPath>
#include <QRegularExpression>
#include <QTemporaryDir>
#include <algorithm>
#include <cmath>
#include <utility>

#include "widgets/save_picture.h"

namespace glyphscope {

void ViewState::set(double zoom, QPointF centre) {
  zoom_ = std::clamp(zoom, 1.0, 64.0);
  const double margin = 0.5 / zoom_;
  centre_ = {std::clamp(centre.x(), margin, 1 - margin), std::clamp(centre.y(), margin, 1 - margin)};
  emit changed();
}

PictureView::PictureView(const QString& title, const QString& empty_text, ViewState* state, QWidget* parent)
    : QWidget(parent), title_(title), empty_text_(empty_text), state_(state) {
  connect(state_, &ViewState::changed, this, qOverload<>(&QWidget::update));
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(title_ + ": " + empty_text_);
}

PictureView::~PictureView() = default;

void PictureView::set_title(const QString& title) {
  title_ = title;
  update();
}

void PictureView::set_mark(const QString& mark) {
  mark_ = mark;
  update();
}

void PictureView::set_picture(const QImage& picture, const QString& caption, const QString& metadata) {
  picture_ = picture;
  caption_ = caption;
  metadata_ = metadata;
  setAccessibleName(title_ + ": " + (picture.isNull() ? empty_text_ : caption));
  update();
}

void PictureView::clear() {
  other_ = {};
  box_ = {};
  set_picture({}, {});
}

void PictureView::set_other(const QImage& other) {
  other_ = other;
  update();
}

void PictureView::set_divider(double share) {
  divider_ = std::clamp(share, 0.0, 1.0);
  update();
}

void PictureView::set_box(const QRect& box, bool draggable) {
  box_ = box;
  draggable_ = draggable;
  setMouseTracking(draggable);
  if (!draggable) unsetCursor();
  update();
}

QPointF PictureView::place_of(QPointF pixel) const {
  const QRectF where = target();
  return {where.left() + pixel.x() * where.width() / picture_.width(), where.top() + pixel.y() * where.height() / picture_.height()};
}

QPointF PictureView::pixel_at(QPointF point) const {
  const QRectF where = target();
  return {(point.x() - where.left()) * picture_.width() / where.width(), (point.y() - where.top()) * picture_.height() / where.height()};
}

unsigned PictureView::grip_at(QPointF point) const {
  constexpr double kReach = 6;  // of an edge, in the widget
  if (!draggable_ || picture_.isNull() || !target().contains(point)) return kNone;
  const QRectF box(place_of(box_.topLeft()), place_of(QPointF(box_.left() + box_.width(), box_.top() + box_.height())));
  if (box_.isEmpty() || !box.adjusted(-kReach, -kReach, kReach, kReach).contains(point)) return kNew;
  unsigned grip = kNone;
  if (std::abs(point.x() - box.left()) <= kReach)
    grip |= kLeft;
  else if (std::abs(point.x() - box.right()) <= kReach)
    grip |= kRight;
  if (std::abs(point.y() - box.top()) <= kReach)
    grip |= kTop;
  else if (std::abs(point.y() - box.bottom()) <= kReach)
    grip |= kBottom;
  return grip == kNone ? kInside : grip;
}

void PictureView::drag_box(QPointF point) {
  constexpr double kClick = 3;  // in the widget: what moves less is no drag
  if (box_ == press_box_ && (point - press_).manhattanLength() < kClick) return;
  const QPointF from = pixel_at(press_), to = pixel_at(point);
  const int width = picture_.width(), height = picture_.height();
  const auto rounded = [](double value) { return static_cast<int>(std::lround(value)); };
  int left = press_box_.left(), top = press_box_.top(), right = left + press_box_.width(), bottom = top + press_box_.height();
  const int across = rounded(to.x() - from.x()), down = rounded(to.y() - from.y());
  if (grip_ == kInside) {
    const int x = std::clamp(across, -left, width - right), y = std::clamp(down, -top, height - bottom);
    left += x, right += x, top += y, bottom += y;
  } else if (grip_ == kNew) {
    left = rounded(std::floor(std::min(from.x(), to.x()))), right = rounded(std::ceil(std::max(from.x(), to.x())));
    top = rounded(std::floor(std::min(from.y(), to.y()))), bottom = rounded(std::ceil(std::max(from.y(), to.y())));
  } else {
    if (grip_ & kLeft) left = std::min(left + across, right - 1);
    if (grip_ & kRight) right = std::max(right + across, left + 1);
    if (grip_ & kTop) top = std::min(top + down, bottom - 1);
    if (grip_ & kBottom) bottom = std::max(bottom + down, top + 1);
  }
  left = std::clamp(left, 0, width - 1), top = std::clamp(top, 0, height - 1);
  right = std::clamp(right, left + 1, width), bottom = std::clamp(bottom, top + 1, height);
  box_ = QRect(left, top, right - left, bottom - top);
  update();
}

QRect PictureView::stage() const {
  const int line = fontMetrics().height() + 6, more = static_cast<int>(caption_.count('\n')) * fontMetrics().height();
  return rect().adjusted(0, line, 0, -line - more);
}

QRectF PictureView::target() const {
  const QRect area = stage();
  if (picture_.isNull()) return area;
  const double fit = std::min(static_cast<double>(area.width()) / picture_.width(), static_cast<double>(area.height()) / picture_.height());
  const double scale = fit * state_->zoom(), w = picture_.width() * scale, h = picture_.height() * scale;
  const QPointF middle = QRectF(area).center();
  return {middle.x() - state_->centre().x() * w, middle.y() - state_->centre().y() * h, w, h};
}

void PictureView::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const int line = fontMetrics().height() + 6;
  const QRect area = stage();
  QFont bold = font();
  bold.setBold(true);
  painter.setFont(bold);
  painter.setPen(palette().color(QPalette::Text));
  const QString title = painter.fontMetrics().elidedText(title_, Qt::ElideRight, width());
  const int mark = mark_.isEmpty() ? 0 : std::min(fontMetrics().horizontalAdvance("  " + mark_), width() / 2),
            whole = painter.fontMetrics().horizontalAdvance(title) + mark;
  const int left = std::max(0, (width() - whole) / 2);
  painter.drawText(QRect(left, 0, width() - left - mark, line - 2), Qt::AlignLeft | Qt::AlignVCenter, title);
  painter.setFont(font());
  if (mark > 0) {
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(QRect(std::min(left + whole, width()) - mark, 0, mark, line - 2), Qt::AlignLeft | Qt::AlignVCenter,
                     fontMetrics().elidedText("  " + mark_, Qt::ElideRight, mark));
  }
  if (hasFocus()) {
    painter.setPen(QPen(palette().color(QPalette::Text), 1, Qt::DotLine));
    painter.drawRect(QRectF(area).adjusted(0.5, 0.5, -0.5, -0.5));
  }
  painter.setPen(palette().color(QPalette::Text));
  if (picture_.isNull()) {
    painter.setPen(QPen(palette().color(QPalette::Mid), 1, Qt::DashLine));
    painter.drawRoundedRect(QRectF(area).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6);
    painter.setPen(palette().color(QPalette::PlaceholderText));
    painter.drawText(area.adjusted(12, 0, -12, 0), Qt::AlignCenter | Qt::TextWordWrap, empty_text_);
    return;
  }
  int top = area.bottom() + 4;
  for (const QString& text : caption_.split('\n')) {
    painter.drawText(QRect(0, top, width(), fontMetrics().height()), Qt::AlignCenter, fontMetrics().elidedText(text, Qt::ElideRight, width()));
    top += fontMetrics().height();
  }
  const QRectF where = target();
  painter.setClipRect(where.toAlignedRect().intersected(area));
  // Pixels stay pixels when they are enlarged: what OCR reads is what is seen.
  painter.setRenderHint(QPainter::SmoothPixmapTransform, where.width() < picture_.width());
  painter.drawImage(where, picture_);
  if (!box_.isEmpty()) {
    const QRectF box(place_of(box_.topLeft()), place_of(QPointF(box_.left() + box_.width(), box_.top() + box_.height())));
    QPainterPath outside;
    outside.addRect(where);
    outside.addRect(box);
    painter.fillPath(outside, QColor(0, 0, 0, 90));
    painter.setPen(QPen(Qt::white, 3));
    painter.drawRect(box);
    painter.setPen(QPen(palette().color(QPalette::Highlight), 1.5));
    painter.drawRect(box);
  }
  if (other_.isNull() || divider_ <= 0) return;
  const QRectF shown = where.intersected(QRectF(area));
  const double x = shown.left() + shown.width() * divider_;
  painter.setClipRect(QRectF(shown.left(), area.top(), x - shown.left(), area.height()));
  painter.drawImage(where, other_);
  painter.setClipRect(area);
  painter.setPen(QPen(palette().color(QPalette::Highlight), 2));
  painter.drawLine(QPointF(x, shown.top()), QPointF(x, shown.bottom()));
}

void PictureView::wheelEvent(QWheelEvent* event) {
  if (picture_.isNull()) return;
  const double factor = std::pow(1.2, event->angleDelta().y() / 120.0), zoom = std::clamp(state_->zoom() * factor, 1.0, 64.0);
  // What is under the pointer stays under it.
  const QRectF where = target();
  const QPointF under((event->position().x() - where.left()) / where.width(), (event->position().y() - where.top()) / where.height());
  const double ratio = state_->zoom() / zoom;
  state_->set(zoom, under + (state_->centre() - under) * ratio);
  event->accept();
}

void PictureView::mousePressEvent(QMouseEvent* event) {
  press_ = event->pos();
  press_centre_ = state_->centre();
  press_box_ = box_;
  grip_ = event->button() == Qt::LeftButton ? grip_at(event->position()) : kNone;
}

void PictureView::mouseMoveEvent(QMouseEvent* event) {
  if (picture_.isNull()) return;
  if (!(event->buttons() & Qt::LeftButton)) {
    if (!draggable_) return;
    const unsigned grip = grip_at(event->position());
    const bool across = grip & (kLeft | kRight), down = grip & (kTop | kBottom), rising = grip == (kLeft | kBottom) || grip == (kRight | kTop);
    setCursor(grip == kInside  ? Qt::SizeAllCursor
              : grip == kNew   ? Qt::CrossCursor
              : across && down ? (rising ? Qt::SizeBDiagCursor : Qt::SizeFDiagCursor)
              : across         ? Qt::SizeHorCursor
              : down           ? Qt::SizeVerCursor
                               : Qt::ArrowCursor);
    return;
  }
  if (grip_ != kNone) return drag_box(event->position());
  if (state_->zoom() <= 1) {  // there is nowhere to move it
    if ((event->pos() - press_).manhattanLength() >= QApplication::startDragDistance()) drag_out();
    return;
  }
  const QRectF where = target();
  const QPointF moved = event->pos() - press_;
  state_->set(state_->zoom(), press_centre_ - QPointF(moved.x() / where.width(), moved.y() / where.height()));
}

void PictureView::mouseReleaseEvent(QMouseEvent*) {
  if (std::exchange(grip_, kNone) != kNone && box_ != press_box_) emit box_changed(box_);
}

void PictureView::drag_out() {
  if (!dragged_) dragged_ = std::make_unique<QTemporaryDir>();
  QString name = title_;
  name.replace(QRegularExpression("[^A-Za-z0-9._-]+"), "-");
  const QString file = dragged_->filePath((name.isEmpty() ? QStringLiteral("picture") : name) + ".png");
  auto* data = new QMimeData;
  data->setImageData(picture_);
  if (dragged_->isValid() && save_picture(picture_, file, metadata_)) data->setUrls({QUrl::fromLocalFile(file)});
  auto* drag = new QDrag(this);
  drag->setMimeData(data);
  drag->setPixmap(QPixmap::fromImage(picture_.scaled(96, 96, Qt::KeepAspectRatio)));
  drag->exec(Qt::CopyAction);
}

void PictureView::save() {
  const QString file = ask_where_to_save(this, tr("Save the picture"), "picture.png", tr("Pictures (*.png)"), "png");
  if (file.isEmpty()) return;
  if (!save_picture(picture_, file, metadata_))
    QMessageBox::warning(this, tr("Glyphscope"), tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(file));
}

void PictureView::fill_menu(QMenu& menu) {
  menu.addAction(tr("Copy the picture\tCtrl+C"), this, [this] { QApplication::clipboard()->setImage(picture_); });
  menu.addAction(tr("Copy what is said of it"), this, [this] { QApplication::clipboard()->setText(title_ + '\n' + caption_); });
  menu.addAction(tr("Save the picture\u2026"), this, &PictureView::save);
  if (more_actions) more_actions(menu);
  menu.addSeparator();
  menu.addAction(tr("Fit\t0"), state_, &ViewState::reset);
}

std::vector<Figure::Part> PictureView::figure_parts() const {
  if (picture_.isNull()) return {};
  return {{title_.toStdString(), PicturePanel{{}, {{{to_bitmap(picture_), caption_.toStdString()}}}}}};
}

void PictureView::contextMenuEvent(QContextMenuEvent* event) {
  if (picture_.isNull()) return;
  QMenu menu(this);
  fill_menu(menu);
  menu.exec(event->globalPos());
}

void PictureView::keyPressEvent(QKeyEvent* event) {
  const QPointF centre = state_->centre();
  const double step = 0.1 / state_->zoom();
  switch (event->key()) {
    case Qt::Key_Plus:
    case Qt::Key_Equal:
      return state_->set(state_->zoom() * 1.25, centre);
    case Qt::Key_Minus:
      return state_->set(state_->zoom() / 1.25, centre);
    case Qt::Key_0:
      return state_->reset();
    case Qt::Key_Left:
      return state_->set(state_->zoom(), centre - QPointF(step, 0));
    case Qt::Key_Right:
      return state_->set(state_->zoom(), centre + QPointF(step, 0));
    case Qt::Key_Up:
      return state_->set(state_->zoom(), centre - QPointF(0, step));
    case Qt::Key_Down:
      return state_->set(state_->zoom(), centre + QPointF(0, step));
    default:
      if (event->matches(QKeySequence::Copy) && !picture_.isNull()) return QApplication::clipboard()->setImage(picture_);
      QWidget::keyPressEvent(event);
  }
}

}  // namespace glyphscope
