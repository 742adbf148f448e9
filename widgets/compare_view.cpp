#include "widgets/compare_view.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QSlider>
#include <QTimer>
#include <algorithm>
#include <cmath>

#include "widgets/flow_layout.h"
#include "widgets/picture_view.h"

namespace glyphscope {

QImage difference_of(const QImage& first, const QImage& second, double times) {
  if (first.size() != second.size()) return {};
  const QImage a = first.convertToFormat(QImage::Format_RGB888), b = second.convertToFormat(QImage::Format_RGB888);
  QImage out(a.size(), QImage::Format_RGB888);
  for (int y = 0; y < a.height(); ++y) {
    const uchar *one = a.constScanLine(y), *other = b.constScanLine(y);
    uchar* line = out.scanLine(y);
    for (int x = 0; x < 3 * a.width(); ++x) line[x] = static_cast<uchar>(std::clamp(128 + static_cast<int>(std::lround(times * (one[x] - other[x]))), 0, 255));
  }
  return out;
}

CompareView::CompareView(QWidget* parent) : QWidget(parent), zoom_(new ViewState(this)), blinking_(new QTimer(this)) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  auto* pictures = new QHBoxLayout;
  left_ = new PictureView(tr("First"), tr("The first picture appears here"), zoom_, this);
  left_->setObjectName("compare_first");
  right_ = new PictureView(tr("Second"), tr("The second picture appears here"), zoom_, this);
  right_->setObjectName("compare_second");
  pictures->addWidget(left_, 1);
  pictures->addWidget(right_, 1);
  column->addLayout(pictures, 1);
  auto* line = new FlowLayout;
  looks_ = new QComboBox(this);
  looks_->setObjectName("compare_look");
  looks_->addItems({tr("side by side"), tr("swipe"), tr("blink"), tr("difference"), tr("difference times 8")});
  line->add_field(tr("&Look"), looks_);
  swipe_ = new QSlider(Qt::Horizontal, this);
  swipe_->setObjectName("compare_swipe");
  swipe_->setRange(0, 1000);
  swipe_->setValue(500);
  line->add_field(tr("Fi&rst over second"), swipe_);
  column->addLayout(line);
  blinking_->setInterval(500);
  connect(blinking_, &QTimer::timeout, this, [this] { swipe_->setValue(swipe_->value() > 500 ? 0 : 1000); });
  connect(swipe_, &QSlider::valueChanged, this, [this](int value) { right_->set_divider(value / 1000.0); });
  connect(looks_, &QComboBox::currentIndexChanged, this, &CompareView::refresh);
  refresh();
}

CompareView::Look CompareView::look() const { return static_cast<Look>(looks_->currentIndex()); }

void CompareView::set_look(Look look) { looks_->setCurrentIndex(static_cast<int>(look)); }

void CompareView::show_pictures(const One& first, const One& second) {
  first_ = first;
  second_ = second;
  refresh();
}

void CompareView::clear() { show_pictures({tr("First"), {}, {}, {}}, {tr("Second"), {}, {}, {}}); }

void CompareView::refresh() {
  const bool both = !first_.picture.isNull() && !second_.picture.isNull(), alike = both && first_.picture.size() == second_.picture.size();
  looks_->setEnabled(alike);
  const Look now = alike ? look() : Look::side_by_side;
  const auto show = [](PictureView* view, const One& one) {
    view->set_title(one.title);
    view->set_picture(one.picture, one.caption, one.metadata);
    view->set_other({});
  };
  left_->setVisible(now == Look::side_by_side);
  show(left_, first_);
  show(right_, second_);
  const bool over = now == Look::swipe || now == Look::blink;
  if (over) {
    right_->set_title(tr("%1 over %2").arg(first_.title, second_.title));
    right_->set_other(first_.picture);
    right_->set_divider(swipe_->value() / 1000.0);
  } else if (now != Look::side_by_side) {
    right_->set_title(tr("%1 less %2").arg(second_.title, first_.title));
    right_->set_picture(difference_of(second_.picture, first_.picture, now == Look::difference ? 0.5 : 8), tr("grey: the same"));
  }
  swipe_->setEnabled(now == Look::swipe);
  if (now == Look::blink)
    blinking_->start();
  else
    blinking_->stop();
}

}  // namespace glyphscope
