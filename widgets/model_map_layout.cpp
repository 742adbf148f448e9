// Where the map's blocks and cells are.
#include <algorithm>
#include <numeric>

#include "widgets/model_map.h"

namespace glyphscope {

namespace {

constexpr int kPad = 5, kCellGap = 4;

}  // namespace

ModelMap::Look ModelMap::look(bool first) const {
  if (!first) return {.cell = {18, 10}, .title = kPad, .gap = 6};
  // Two digits, or three.
  const QString widest = sites_.size() > 100 ? "000" : "00";
  const int width = std::max(18, fontMetrics().horizontalAdvance(widest) + 6), height = std::max(16, fontMetrics().height() + 2);
  return {.cell = {static_cast<int>(width * zoom_), static_cast<int>(height * zoom_)}, .title = QFontMetrics(small(font())).height() + 3, .gap = 8};
}

void ModelMap::arrange() {
  const QRect all = rect().adjusted(kMargin, kMargin, -kMargin, -kMargin);
  QRect area = all;
  cells_.clear();
  second_cells_.clear();
  second_area_ = QRect();
  int needed = place(blocks_, area, look(true), cells_);
  if (!second_blocks_.empty()) {
    const int title = fontMetrics().height() + 6,
              second = title + place(second_blocks_, QRect(all.topLeft(), QSize(all.width(), 0)), look(false), second_cells_);
    second_area_ = all;
    second_area_.setTop(all.top() + std::max(needed + kMargin, std::min(all.height() * 2 / 3, all.height() - second)));
    area.setBottom(second_area_.top() - kMargin);
    cells_.clear();
    second_cells_.clear();
    place(blocks_, area, look(true), cells_);
    place(second_blocks_, second_area_.adjusted(0, title, 0, 0), look(false), second_cells_);
    needed += kMargin + second;
  }
  needed += 2 * kMargin;
  if (needed != needed_height_) {
    needed_height_ = needed;
    setMinimumHeight(needed);
    updateGeometry();
  }
  if (cell(cursor_).isEmpty() && !cells_.empty()) cursor_ = cells_.begin()->first;
  update();
}

int ModelMap::place(std::vector<Block>& blocks, const QRect& area, const Look& look, std::map<int, QRect>& cells) {
  // A level of a U is a row, the middle is the last.
  const auto count_of = [&](BlockRow row) {
    return static_cast<int>(std::count_if(blocks.begin(), blocks.end(), [&](const Block& one) { return one.row == row; }));
  };
  const int downs = count_of(BlockRow::down), ups = count_of(BlockRow::up);
  // A model without a U is a frame for each kind of block, from the top down.
  const bool column = downs + ups == 0;
  struct Place {
    int row = 0, left = 0, right = 0, columns = 1, most_columns = 1, lines = 0;
  };
  std::vector<Place> places;
  const int last_row = column ? 0 : std::max(downs, ups), indent = std::min(26, area.width() / 14), half = area.center().x();
  int down = 0, up = 0, kind = 0;
  for (const Block& block : blocks) {
    Place one{
        .row = column ? kind++ : last_row, .left = column ? area.left() : half - area.width() / 5, .right = column ? area.right() : half + area.width() / 5};
    if (block.row == BlockRow::down) {
      one.row = down++;
      one.left = area.left() + indent * one.row;
      one.right = half - look.gap / 2;
    } else if (block.row == BlockRow::up) {
      one.row = last_row - 1 - up++;
      one.left = half + look.gap / 2;
      one.right = area.right() - indent * one.row;
    }
    const int count = static_cast<int>(block.sites.size()), width = one.right - one.left - 2 * kPad;
    one.most_columns = std::clamp((width + kCellGap) / (look.cell.width() + kCellGap), 1, count);
    // A column lists its sites one below the other, as long as there is room.
    one.columns = column ? 1 : one.most_columns;
    places.push_back(one);
  }

  const int line = look.cell.height() + kCellGap;
  std::map<int, int> lines;  // of each row
  const auto needed = [&] {
    lines.clear();
    for (size_t i = 0; i < blocks.size(); ++i) {
      const int count = static_cast<int>(blocks[i].sites.size());
      places[i].lines = blocks[i].folded ? 0 : (count + places[i].columns - 1) / places[i].columns;
      int& of_row = lines[places[i].row];
      of_row = std::max(of_row, places[i].lines);
    }
    int out = 0;
    for (const auto& [row, count] : lines) out += look.title + count * line + kPad + look.gap;
    return std::max(0, out - look.gap);
  };
  int height = needed();
  while (height > area.height()) {
    Place* longest = nullptr;
    for (Place& one : places)
      if (one.columns < one.most_columns && one.lines > 1 && (!longest || one.lines > longest->lines)) longest = &one;
    if (!longest) break;
    ++longest->columns;
    height = needed();
  }

  // What is left is shared by all lines.
  const int spare = std::max(0, area.height() - height);
  const int all_lines = std::max(1, std::accumulate(lines.begin(), lines.end(), 0, [](int sum, const auto& one) { return sum + one.second; }));
  std::map<int, std::pair<int, int>> rows;  // top and height
  int top = area.top();
  for (const auto& [row, count] : lines) {
    const int own = look.title + count * line + kPad + spare * count / all_lines;
    rows[row] = {top, own};
    top += own + look.gap;
  }
  const auto edge = [](int from, int length, int i, int of) { return from + (length + kCellGap) * i / of; };
  for (size_t b = 0; b < blocks.size(); ++b) {
    Block& block = blocks[b];
    const Place& one = places[b];
    const auto [block_top, own] = rows[one.row];
    block.frame = QRect(QPoint(one.left, block_top), QPoint(one.right, block_top + (block.folded ? look.title + kPad : own) - 1));
    if (block.folded) continue;
    const QRect inner = block.frame.adjusted(kPad, look.title, -kPad, -kPad);
    // A column's sites go down, a U's along the line.
    const int count = static_cast<int>(block.sites.size()), across = column ? (count + one.lines - 1) / one.lines : one.columns;
    for (int i = 0; i < count; ++i) {
      const int x = column ? i / one.lines : i % one.columns, y = column ? i % one.lines : i / one.columns;
      const QPoint top_left(edge(inner.left(), inner.width(), x, across), edge(inner.top(), inner.height(), y, one.lines));
      const QPoint next(edge(inner.left(), inner.width(), x + 1, across), edge(inner.top(), inner.height(), y + 1, one.lines));
      cells[block.sites[static_cast<size_t>(i)]] = QRect(top_left, next - QPoint(kCellGap + 1, kCellGap + 1));
    }
  }
  return height;
}

}  // namespace glyphscope
