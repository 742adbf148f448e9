#include "app/window/edit_history.h"

#include <QtWidgets>

#include "app/window/picture_text.h"

namespace glyphscope {

namespace {

constexpr size_t kMostBytes = size_t{1} << 30;

size_t bytes_of(const EditHistory::Entry& entry) {
  size_t sum = 0;
  const auto add = [&](const Picture& picture) { sum += picture.rgb ? picture.rgb->size() : 0; };
  add(entry.ready.source.picture);
  add(entry.ready.source.reconstruction);
  add(entry.ready.source.drift);
  for (const auto& variant : entry.ready.variants) add(variant.picture), add(variant.pasted);
  return sum;
}

}  // namespace

EditHistory::EditHistory(QWidget* parent) : QListWidget(parent) {
  setViewMode(QListView::IconMode);
  setFlow(QListView::LeftToRight);
  setWrapping(false);
  setMovement(QListView::Static);
  setIconSize({64, 64});
  setFixedHeight(64 + 2 * fontMetrics().height() + 12);
  setToolTip(tr("The edits so far: a click shows one again, with its prompts, sites, sliders, seed and steps"));
  connect(this, &QListWidget::currentRowChanged, this, [this](int row) {
    if (row != at_ || left_) go_to(row);
  });
}

void EditHistory::keep(const command::EditText& command, const event::EditReady& ready, const std::shared_ptr<const std::string>& input) {
  const QSignalBlocker quiet(this);
  // Another way is gone from here: what was undone is no longer there.
  entries_.resize(static_cast<size_t>(std::ptrdiff_t{at_} + 1));
  while (count() > at_ + 1) delete takeItem(count() - 1);
  left_ = false;
  ++at_;
  if (const auto batch = static_cast<int>(command.targets.size() * command.from_steps.size()); batch == 1) {
    append({command, ready, 1, input});
  } else {
    for (const auto& variant : ready.variants) {
      Entry one{command, ready, batch, input};
      one.command.targets = {variant.target};
      one.command.from_steps = {variant.from_step};
      one.ready.variants = {variant};
      append(std::move(one));
    }
  }
  size_t bytes = 0;
  for (const auto& entry : entries_) bytes += bytes_of(entry);
  for (; bytes > kMostBytes && at_ > 0; --at_) {
    bytes -= bytes_of(entries_.front());
    entries_.pop_front();
    delete takeItem(0);
  }
  setCurrentRow(at_);
}

void EditHistory::append(Entry entry) {
  const auto& variant = entry.ready.variants.front();
  QString text = QString::fromStdString(variant.picture.read.value_or(""));
  if (entry.batch > 1 && variant.from_step > 0) text += tr(" @%1").arg(variant.from_step);
  const QPixmap small = QPixmap::fromImage(to_image(variant.picture).scaled(64, 64, Qt::KeepAspectRatio));
  QIcon icon(small);
  icon.addPixmap(small, QIcon::Selected);  // or the selection's colour would tint it
  auto* item = new QListWidgetItem(icon, text, this);
  item->setToolTip(tr("%1\nfrom step %2").arg(QString::fromStdString(variant.target)).arg(variant.from_step));
  entries_.push_back(std::move(entry));
}

void EditHistory::load(std::vector<Entry> entries, int present) {
  forget();
  const QSignalBlocker quiet(this);
  for (Entry& entry : entries) append(std::move(entry));
  at_ = std::clamp(present < 0 ? count() - 1 : present, -1, count() - 1);
  left_ = present < 0;
  setCurrentRow(left_ ? -1 : at_);
}

void EditHistory::leave() {
  left_ = true;
  const QSignalBlocker quiet(this);
  setCurrentRow(-1);
}

void EditHistory::go_to(int entry) {
  if (entry < 0 || entry >= count()) return;
  at_ = entry;
  left_ = false;
  {
    const QSignalBlocker quiet(this);
    setCurrentRow(entry);
  }
  emit went();
}

void EditHistory::forget() {
  const QSignalBlocker quiet(this);
  entries_.clear();
  clear();
  at_ = -1;
  left_ = false;
}

}  // namespace glyphscope
