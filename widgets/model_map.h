#pragma once

#include <QRubberBand>
#include <QWidget>
#include <map>
#include <optional>
#include <vector>

#include "widgets/figure_source.h"
#include "widgets/site_selection.h"
#include "widgets/site_values.h"

class QMenu;

namespace glyphscope {

/// The denoiser as it is built: a U of blocks from top left down, the middle at the bottom, up on the right; or, where it has no U, a
/// column of blocks from the top down. Of a cascade, the second stage lies below, pale, as its sites are not patched. A cell is a site, coloured by a score.
/// Cells are always large enough to read: the map is as high as they need, which a scroll area shows a part of. A block folds to its title.
/// Click selects, Ctrl- or Shift-click adds or takes away, a drag selects all cells it touches; arrows move the cursor to the next cell that way, Space
/// toggles, Enter selects, + and - make cells larger and smaller.
class ModelMap : public QWidget, public FigureSource {
  Q_OBJECT
 public:
  explicit ModelMap(SiteSelection* selection, QWidget* parent = nullptr);

  /// Empties the second stage too.
  void set_sites(std::vector<SiteItem> sites);
  void set_second_stage(const QString& title, const std::vector<SiteItem>& sites);
  /// Colours the cells; a site without a value is grey. `name` is shown in tooltips. Cells whose interval holds `threshold` are hatched: whether they pass is
  /// not known.
  void set_scores(const QString& name, const std::map<int, ScoreValue>& scores, std::optional<double> threshold = {}, const ValueScale& scale = {});
  /// Others are drawn pale; nothing: none is.
  void set_found(const std::optional<QSet<int>>& sites);
  /// Where a site's cell is, in widget coordinates; empty if its block is folded.
  QRect cell(int site) const;
  /// Where the title of a site's block is: a click there folds it, or unfolds it.
  QRect block_title(int site) const;
  bool folded(int site) const;
  void fold_all(bool folded);
  /// Of cells: 1 is as large as a number needs, 4 the most.
  void set_zoom(double zoom);
  double zoom() const { return zoom_; }
  std::vector<Figure::Part> figure_parts() const override;
  /// What can be done with it, and with the block of a site (-1: none).
  void fill_menu(QMenu& menu, int site);

  QSize sizeHint() const override { return {340, 300}; }
  QSize minimumSizeHint() const override { return {180, needed_height_}; }

 signals:
  /// A place that the user goes to by keyboard.
  void visible_wanted(const QRect& place);

 protected:
  void paintEvent(QPaintEvent*) override;
  void resizeEvent(QResizeEvent*) override { arrange(); }
  void mousePressEvent(QMouseEvent*) override;
  void mouseMoveEvent(QMouseEvent*) override;
  void mouseReleaseEvent(QMouseEvent*) override;
  void leaveEvent(QEvent*) override;
  void wheelEvent(QWheelEvent*) override;
  void contextMenuEvent(QContextMenuEvent*) override;
  void keyPressEvent(QKeyEvent*) override;
  void focusInEvent(QFocusEvent*) override { update(); }
  void focusOutEvent(QFocusEvent*) override { update(); }
  void changeEvent(QEvent*) override;
  bool event(QEvent*) override;

 private:
  struct Block {
    QString name;
    BlockRow row = BlockRow::stack;
    std::vector<int> sites;
    bool folded = false;
    QRect frame;
  };
  /// How blocks are drawn: of the first stage with titles, of the second without and smaller.
  struct Look {
    QSize cell;     ///< The smallest.
    int title = 0;  ///< Height.
    int gap = 0;    ///< Between blocks.
  };
  static constexpr int kMargin = 8;
  static QFont small(QFont font);
  // model_map_layout.cpp
  Look look(bool first) const;
  static std::vector<Block> blocks_of(const std::vector<SiteItem>& sites);
  void arrange();
  /// Places blocks in an area, and gives where their sites are. Returns the height it takes at least, which may be more than the area's.
  static int place(std::vector<Block>& blocks, const QRect& area, const Look& look, std::map<int, QRect>& cells);
  void paint_blocks(QPainter& painter, const std::vector<Block>& blocks, bool named) const;
  void paint_cell(QPainter& painter, int site, const QRect& rectangle) const;
  QString folded_text(const Block& block) const;
  int site_at(const QPoint& point) const;
  const Block* block_of(int site) const;
  void toggle_block(const QPoint& point);
  void set_cursor(int site);
  int next(int key) const;
  QString tip(int site) const;
  QString table(const std::vector<int>& sites) const;

  SiteSelection* selection_;
  std::vector<SiteItem> sites_;
  std::vector<Block> blocks_, second_blocks_;
  std::map<int, QRect> cells_, second_cells_;
  QString second_title_;
  QRect second_area_;
  std::map<int, ScoreValue> scores_;
  QString score_name_;
  std::optional<double> threshold_;
  ValueScale scale_;
  std::optional<QSet<int>> found_;
  int needed_height_ = 200;
  double zoom_ = 1;
  int cursor_ = 0;
  QPoint press_;
  QRubberBand* band_;
};

}  // namespace glyphscope
