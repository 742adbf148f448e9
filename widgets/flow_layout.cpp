#include "widgets/flow_layout.h"

#include <QHBoxLayout>
#include <QLabel>
#include <algorithm>

namespace glyphscope {

FlowLayout::FlowLayout(QWidget* parent) : QLayout(parent) {
  setContentsMargins(0, 0, 0, 0);
  setSpacing(8);
}

FlowLayout::~FlowLayout() {
  while (!items_.empty()) delete FlowLayout::takeAt(0);  // a layout that is deleted takes itself away, too
}

QLabel* FlowLayout::add_field(const QString& label, QWidget* field) {
  auto* line = new QHBoxLayout;
  line->setSpacing(6);
  auto* text = new QLabel(label, field->parentWidget());
  text->setBuddy(field);
  line->addWidget(text);
  line->addWidget(field);
  addChildLayout(line);
  addItem(line);
  return text;
}

void FlowLayout::add_stretch() { addItem(new QSpacerItem(0, 0, QSizePolicy::Expanding, QSizePolicy::Minimum)); }

void FlowLayout::addItem(QLayoutItem* item) {
  items_.push_back(item);
  invalidate();
}

QLayoutItem* FlowLayout::itemAt(int index) const { return index >= 0 && index < count() ? items_[static_cast<size_t>(index)] : nullptr; }

QLayoutItem* FlowLayout::takeAt(int index) {
  QLayoutItem* out = itemAt(index);
  if (out) items_.erase(items_.begin() + index);
  return out;
}

QSize FlowLayout::sizeHint() const {
  QSize out;
  for (const QLayoutItem* item : items_)
    if (!item->isEmpty()) out = {out.width() + item->sizeHint().width() + spacing(), std::max(out.height(), item->sizeHint().height())};
  return out;
}

QSize FlowLayout::minimumSize() const {
  QSize out;
  for (const QLayoutItem* item : items_)
    if (!item->isEmpty()) out = out.expandedTo(item->minimumSize());
  return out;
}

void FlowLayout::setGeometry(const QRect& area) {
  QLayout::setGeometry(area);
  arrange(area, true);
}

int FlowLayout::arrange(const QRect& area, bool apply) const {
  int top = area.top();
  for (size_t first = 0; first < items_.size();) {
    // A line: as many as fit.
    size_t last = first;
    int width = 0, height = 0;
    for (; last < items_.size(); ++last) {
      QLayoutItem* item = items_[last];
      if (item->spacerItem() || item->isEmpty()) continue;
      const int own = item->sizeHint().width() + (width > 0 ? spacing() : 0);
      if (width > 0 && width + own > area.width()) break;
      width += own;
      height = std::max(height, item->sizeHint().height());
    }
    const int spare = std::max(0, area.width() - width);
    const auto stretches = std::count_if(items_.begin() + static_cast<std::ptrdiff_t>(first), items_.begin() + static_cast<std::ptrdiff_t>(last),
                                         [](QLayoutItem* item) { return item->spacerItem() != nullptr; });
    // What can take more, and has no stretch beside it, takes what is left.
    const auto grows =
        std::count_if(items_.begin() + static_cast<std::ptrdiff_t>(first), items_.begin() + static_cast<std::ptrdiff_t>(last),
                      [](QLayoutItem* item) { return !item->spacerItem() && !item->isEmpty() && (item->expandingDirections() & Qt::Horizontal); });
    int left = area.left();
    for (size_t i = first; i < last; ++i) {
      QLayoutItem* item = items_[i];
      if (item->spacerItem()) {
        left += spare / static_cast<int>(stretches);
        continue;
      }
      if (item->isEmpty()) continue;
      int own = std::min(item->sizeHint().width(), area.width());
      if (stretches == 0 && (item->expandingDirections() & Qt::Horizontal)) own = std::min(own + spare / static_cast<int>(grows), item->maximumSize().width());
      if (apply) item->setGeometry(QRect(left, top, own, height));
      left += own + spacing();
    }
    first = last;
    if (height > 0) top += height + (first < items_.size() ? spacing() : 0);
  }
  return top - area.top();
}

}  // namespace glyphscope
