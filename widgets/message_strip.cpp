#include "widgets/message_strip.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QToolButton>
#include <algorithm>

namespace glyphscope {

MessageStrip::MessageStrip(QWidget* parent) : QFrame(parent), label_(new QLabel(this)) {
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(14, 6, 6, 6);
  label_->setWordWrap(true);
  label_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  label_->setTextFormat(Qt::PlainText);
  layout->addWidget(label_, 1);
  auto* close = new QToolButton(this);
  close->setText(QStringLiteral("\u2715"));
  close->setAutoRaise(true);
  close->setToolTip(tr("Close"));
  layout->addWidget(close, 0, Qt::AlignTop);
  connect(close, &QToolButton::clicked, this, &QWidget::hide);
  parent->installEventFilter(this);
  hide();
}

void MessageStrip::show_message(Kind kind, const QString& text) {
  kind_ = kind;
  label_->setText(text);
  setAccessibleName(text);
  show();
  place();
  raise();
  update();
}

void MessageStrip::place() {
  constexpr int kMargin = 10;
  const int width = std::min(parentWidget()->width() - 2 * kMargin, fontMetrics().averageCharWidth() * 90);
  const int height = std::max(heightForWidth(width), sizeHint().height());
  setGeometry(parentWidget()->width() - width - kMargin, std::max(0, parentWidget()->height() - height - kMargin), width, height);
}

bool MessageStrip::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::Resize && !isHidden()) place();
  return QFrame::eventFilter(watched, event);
}

QString MessageStrip::text() const { return isHidden() ? QString() : label_->text(); }

void MessageStrip::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QColor accent = kind_ == Kind::error ? QColor(200, 50, 47) : QColor(38, 110, 200);
  QColor back = accent;
  back.setAlpha(34);
  painter.fillRect(rect(), palette().color(QPalette::Base));
  painter.fillRect(rect(), back);
  painter.setPen(accent);
  painter.drawRect(rect().adjusted(0, 0, -1, -1));
  painter.fillRect(QRect(0, 0, 4, height()), accent);
}

}  // namespace glyphscope
