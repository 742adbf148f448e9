#include "app/window/samples_view.h"

#include <QtWidgets>

#include "widgets/flow_layout.h"
#include "widgets/picture_view.h"

namespace glyphscope {

SamplesView::SamplesView(QWidget* parent)
    : QWidget(parent),
      zoom_(new ViewState(this)),
      picture_(new PictureView(tr("Samples"), tr("Samples are drawn before the first step, and then as often as you say"), zoom_, this)),
      scrubber_(new QSlider(Qt::Horizontal, this)),
      swipe_(new QSlider(Qt::Horizontal, this)),
      step_(new QLabel(this)),
      table_(new QTreeWidget(this)) {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 4, 0, 0);
  rows->setSpacing(4);
  auto* sides = new QSplitter(Qt::Horizontal, this);
  sides->addWidget(picture_);
  table_->setHeaderLabels({tr("Text wanted"), tr("Reads"), tr("F1"), tr("SSIM")});
  table_->setRootIsDecorated(false);
  table_->setAlternatingRowColors(true);
  table_->headerItem()->setToolTip(2, tr("Character F1 of what OCR reads"));
  table_->headerItem()->setToolTip(3, tr("Similarity to the base model's picture, of prompts without text"));
  table_->header()->setSectionResizeMode(0, QHeaderView::Stretch);
  table_->header()->setStretchLastSection(false);
  for (int column = 1; column < 4; ++column) table_->header()->setSectionResizeMode(column, QHeaderView::ResizeToContents);
  sides->addWidget(table_);
  sides->setStretchFactor(0, 3);
  sides->setStretchFactor(1, 2);
  sides->setChildrenCollapsible(false);
  rows->addWidget(sides, 1);
  auto* line = new FlowLayout;
  scrubber_->setObjectName("scrubber");
  scrubber_->setToolTip(tr("Go through the steps"));
  scrubber_->setTickPosition(QSlider::TicksBelow);
  scrubber_->setPageStep(1);
  line->add_field(tr("Ste&p"), scrubber_);
  step_->setMinimumWidth(fontMetrics().horizontalAdvance("1000000"));
  line->addWidget(step_);
  swipe_->setRange(0, 1000);
  swipe_->setObjectName("samples_swipe");
  line->add_field(tr("S&wipe before over after"), swipe_);
  rows->addLayout(line);
  connect(scrubber_, &QSlider::valueChanged, this, &SamplesView::show_step);
  connect(swipe_, &QSlider::valueChanged, this, [this](int value) { picture_->set_divider(value / 1000.0); });
  set_folder({});
}

void SamplesView::set_folder(const QString& folder) {
  folder_ = folder;
  steps_.clear();
  file_.clear();
  refresh();
}

void SamplesView::refresh() {
  const bool newest = scrubber_->value() == scrubber_->maximum();
  const std::vector<Step> before = std::exchange(steps_, {});
  const QDir samples(folder_ + "/samples");
  if (!folder_.isEmpty())
    for (const QString& name : samples.entryList({"*.png"}, QDir::Files, QDir::Name)) {
      bool number = false;
      const qint64 step = QFileInfo(name).completeBaseName().toLongLong(&number);
      if (number) steps_.push_back({step, samples.filePath(name), QFileInfo(samples.filePath(name)).lastModified()});
    }
  // By number: a seventh digit sorts before six.
  std::sort(steps_.begin(), steps_.end(), [](const Step& a, const Step& b) { return a.step < b.step; });
  if (before == steps_ && !file_.isEmpty()) return;  // nothing new
  if (!steps_.empty()) first_ = QImage(steps_[0].file);
  const bool some = !steps_.empty();
  {
    const QSignalBlocker quiet(scrubber_);
    scrubber_->setRange(0, std::max(0, count() - 1));
    if (newest) scrubber_->setValue(scrubber_->maximum());
  }
  scrubber_->setEnabled(count() > 1);
  swipe_->setEnabled(count() > 1);
  table_->setVisible(some);
  show_step(scrubber_->value());
}

void SamplesView::show_step(int place) {
  file_.clear();
  table_->clear();
  step_->setText(QString());
  if (place < 0 || place >= count()) {
    picture_->clear();
    emit step_shown(-1);
    return;
  }
  const Step& shown = steps_[static_cast<size_t>(place)];
  const QImage image(shown.file);
  file_ = shown.file;
  const auto about = QJsonDocument::fromJson(image.text("glyphscope").toUtf8()).object();
  int exact = 0, written = 0;
  for (const auto& value : about["samples"].toArray()) {
    const QJsonObject one = value.toObject();
    auto number = [&](const char* key) { return one.contains(key) ? QString::number(one[key].toDouble(), 'f', 2) : QString(); };
    // Of a long prompt the text matters.
    const QString prompt = one["prompt"].toString(), text = prompt.section('"', 1, 1);
    auto* item =
        new QTreeWidgetItem(table_, {text.isEmpty() ? tr("none: %1").arg(prompt) : text, one["read"].toString(), number("f1"), number("ssim_to_base")});
    item->setToolTip(0, prompt);
    if (!one.contains("f1")) continue;
    ++written;
    exact += one["exact"].toBool();
  }
  picture_->set_title(shown.step == 0 ? tr("Before the training") : tr("After %1 steps").arg(shown.step));
  picture_->set_picture(image, written > 0 ? tr("%1 of %2 words read without a fault").arg(exact).arg(written) : QString());
  picture_->set_other(place > 0 ? first_ : QImage());
  picture_->set_divider(swipe_->value() / 1000.0);
  step_->setText(QString::number(shown.step));
  emit step_shown(shown.step);
}

}  // namespace glyphscope
