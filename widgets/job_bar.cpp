#include "widgets/job_bar.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QProgressBar>
#include <QToolButton>
#include <cmath>

#include "widgets/elided_label.h"

namespace glyphscope {

QString duration_text(double seconds) {
  const auto whole = static_cast<qint64>(std::llround(seconds));
  if (whole < 60) return QObject::tr("%1 s").arg(whole);
  if (whole < 3600) return QObject::tr("%1 min %2 s").arg(whole / 60).arg(whole % 60, 2, 10, QChar('0'));
  return QObject::tr("%1 h %2 min").arg(whole / 3600).arg(whole / 60 % 60, 2, 10, QChar('0'));
}

JobBar::JobBar(QWidget* parent, const char* cancel)
    : QWidget(parent),
      label_(new ElidedLabel(this)),
      left_(new QLabel(this)),
      more_(new QLabel(this)),
      bar_(new QProgressBar(this)),
      cancel_(new QToolButton(this)) {
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(8, 4, 8, 4);
  layout->addWidget(label_, 1);
  layout->addWidget(left_);
  layout->addWidget(more_);
  layout->addWidget(bar_);
  layout->addWidget(cancel_);
  bar_->setFixedWidth(fontMetrics().averageCharWidth() * 26);
  bar_->setTextVisible(true);
  bar_->setAccessibleName(tr("Progress of the job"));
  colour();
  cancel_->setText(tr("Cancel"));
  cancel_->setToolTip(tr("Stop the running job"));
  cancel_->setObjectName(cancel);
  connect(cancel_, &QToolButton::clicked, this, [this] {
    label_->setText(tr("Stopping.."));
    emit cancel_requested();
  });
  finish(tr("Ready"));
}

void JobBar::start(const QString& what) {
  running_ = true;
  begun_.start();
  first_share_ = last_share_ = 0;
  clock_.start();
  label_->setText(what);
  left_->clear();
  bar_->setRange(0, 0);
  bar_->show();
  cancel_->show();
}

void JobBar::set_progress(const QString& what, qint64 done, qint64 total) {
  if (!running_ || total <= 0) return;
  label_->setText(what);
  bar_->setRange(0, 1000);
  bar_->setValue(static_cast<int>(1000 * done / total));
  const double share = static_cast<double>(done) / static_cast<double>(total);
  // Progress that falls back is a new phase of the job: what is left is reckoned from here on.
  if (share < last_share_) {
    clock_.start();
    first_share_ = share;
    left_->clear();
  }
  last_share_ = share;
  const double seconds = static_cast<double>(clock_.elapsed()) / 1000;
  if (share > first_share_ && seconds > 2) left_->setText(tr("about %1 left").arg(duration_text(seconds * (1 - share) / (share - first_share_))));
}

void JobBar::set_more(const QString& text) {
  more_->setText(text);
  more_->setVisible(!text.isEmpty());
}

void JobBar::finish(const QString& summary) {
  running_ = false;
  label_->setText(summary);
  left_->clear();
  bar_->hide();
  cancel_->hide();
}

double JobBar::expected_seconds() const {
  if (!running_) return 0;
  const double phase = static_cast<double>(clock_.elapsed()) / 1000, before = static_cast<double>(begun_.elapsed()) / 1000 - phase;
  const double gone = last_share_ - first_share_;
  return before + (gone > 0 ? phase * (1 - first_share_) / gone : phase);
}

// Selection has the highlight's colour: progress is another thing.
void JobBar::colour() {
  QPalette own = palette();
  own.setColor(QPalette::Highlight, own.color(QPalette::Link));
  bar_->setPalette(own);
}

void JobBar::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) colour();
  QWidget::changeEvent(event);
}

QString JobBar::text() const { return label_->text(); }
QString JobBar::time_left() const { return left_->text(); }

}  // namespace glyphscope
