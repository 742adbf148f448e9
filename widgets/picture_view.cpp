#include "widgets/picture_view.h"

#include <QMouseEvent>
#include <QPainter>
#include <algorithm>
#include <cmath>

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
}

void PictureView::set_title(const QString& title) {
  title_ = title;
  update();
}

void PictureView::set_picture(const QImage& picture, const QString& caption) {
  picture_ = picture;
  caption_ = caption;
  setAccessibleName(title_ + ": " + caption);
  update();
}

void PictureView::clear() {
  other_ = {};
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
  painter.drawText(QRect(0, 0, width(), line - 2), Qt::AlignHCenter | Qt::AlignVCenter, fontMetrics().elidedText(title_, Qt::ElideRight, width()));
  painter.setFont(font());
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
}

void PictureView::mouseMoveEvent(QMouseEvent* event) {
  if (!(event->buttons() & Qt::LeftButton) || picture_.isNull()) return;
  const QRectF where = target();
  const QPointF moved = event->pos() - press_;
  state_->set(state_->zoom(), press_centre_ - QPointF(moved.x() / where.width(), moved.y() / where.height()));
}

}  // namespace glyphscope
