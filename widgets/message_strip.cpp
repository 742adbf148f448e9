#include "widgets/message_strip.h"

#include <QHBoxLayout>
#include <QLabel>
#include <QPainter>
#include <QToolButton>

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
  hide();
}

void MessageStrip::show_message(Kind kind, const QString& text) {
  kind_ = kind;
  label_->setText(text);
  setAccessibleName(text);
  show();
  update();
}

QString MessageStrip::text() const { return isHidden() ? QString() : label_->text(); }

void MessageStrip::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QColor accent = kind_ == Kind::error ? QColor(200, 50, 47) : QColor(38, 110, 200);
  QColor back = accent;
  back.setAlpha(34);
  painter.fillRect(rect(), back);
  painter.fillRect(QRect(0, 0, 4, height()), accent);
}

}  // namespace glyphscope
