#include "app/window/pictures_panel.h"

#include <QBoxLayout>
#include <QDir>
#include <QLabel>
#include <QSlider>

#include "app/window/picture_text.h"
#include "patching/patch_plan.h"
#include "widgets/picture_view.h"
#include "widgets/save_picture.h"

namespace glyphscope {

PicturesPanel::PicturesPanel(const std::array<QString, 3>& hints, QWidget* parent)
    : QWidget(parent),
      zoom_(new ViewState(this)),
      slots_{{"source", new PictureView(tr("A"), hints[0], zoom_, this)},
             {"patched", new PictureView(tr("A, patched"), hints[1], zoom_, this)},
             {"target", new PictureView(tr("B"), hints[2], zoom_, this)}} {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  line->setSpacing(12);
  for (auto& slot : slots_) line->addWidget(slot.view, 1);
  rows->addLayout(line, 1);
  swipe_ = new QSlider(Qt::Horizontal, this);
  swipe_->setRange(0, 1000);
  swipe_->setToolTip(tr("Swipe A over the patched picture"));
  swipe_->setObjectName("swipe");
  swipe_->setEnabled(false);
  connect(swipe_, &QSlider::valueChanged, this, [this](int value) { slots_[kPatched].view->set_divider(value / 1000.0); });
  auto* swipe_line = new QHBoxLayout;
  swipe_line->addStretch(1);
  auto* swipe_label = new QLabel(tr("S&wipe A over patched"), this);
  swipe_label->setBuddy(swipe_);
  swipe_line->addWidget(swipe_label);
  swipe_line->addWidget(swipe_, 1);
  swipe_line->addStretch(1);
  rows->addLayout(swipe_line);
}

void PicturesPanel::show(Which which, const QString& title, const Picture& picture) {
  Slot& slot = slots_[which];
  slot.view->set_title(title);
  slot.view->set_picture(to_image(picture), picture_caption(picture, which != kSource), QString::fromStdString(picture.metadata));
}

void PicturesPanel::show_pictures(const event::PicturesReady& ready) {
  show(kSource, tr("A"), ready.source);
  show(kTarget, tr("B"), ready.target);
  slots_[kPatched].view->clear();
  slots_[kPatched].view->set_title(tr("A, patched"));
  mark_undrawn(false, false);
  if (!ready.patched.empty()) {
    show(kPatched, (ready.sites.size() == 1 ? tr("A, site %1 sees B") : tr("A, sites %1 see B")).arg(QString::fromStdString(format_sites(ready.sites))),
         ready.patched[0]);
    slots_[kPatched].view->set_other(to_image(ready.source));
  }
  swipe_->setEnabled(!ready.patched.empty());
}

void PicturesPanel::show_pair(const event::PairReady& pair, int site) {
  if (site < 0 || site >= static_cast<int>(pair.patched.size())) return;
  show(kSource, tr("A of pair %1: \u201c%2\u201d").arg(pair.pair + 1).arg(QString::fromStdString(pair.source_text)), pair.source);
  show(kTarget, tr("B of pair %1: \u201c%2\u201d").arg(pair.pair + 1).arg(QString::fromStdString(pair.target_text)), pair.target);
  show(kPatched, tr("A, site %1 sees B").arg(site), pair.patched[static_cast<size_t>(site)]);
  slots_[kPatched].view->set_other(to_image(pair.source));
  swipe_->setEnabled(true);
}

void PicturesPanel::clear() {
  const QString titles[] = {tr("A"), tr("A, patched"), tr("B")};
  for (size_t i = 0; i < std::size(slots_); ++i) {
    slots_[i].view->clear();
    slots_[i].view->set_title(titles[i]);
  }
  swipe_->setEnabled(false);
  mark_undrawn(false, false);
}

void PicturesPanel::mark_undrawn(bool source, bool target) {
  const QString mark = tr("drawn before the fields were changed");
  slots_[kSource].view->set_mark(source ? mark : QString());
  slots_[kTarget].view->set_mark(target ? mark : QString());
  slots_[kPatched].view->set_mark(source || target ? mark : QString());
}

void PicturesPanel::fit() { zoom_->reset(); }

void PicturesPanel::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  for (const auto& slot : slots_) {
    if (slot.view->picture().isNull()) continue;
    const QString file = QDir(folder).filePath(QString(slot.name) + ".png");
    (save_picture(slot.view->picture(), file, slot.view->metadata()) ? saved : failed) << file;
  }
}

}  // namespace glyphscope
