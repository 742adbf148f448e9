#pragma once

#include <QRubberBand>
#include <QWidget>
#include <map>
#include <vector>

#include "widgets/site_selection.h"
#include "widgets/site_values.h"

namespace glyphscope {

/// The denoiser as it is built: a U of blocks from top left down, the middle at the bottom, up on the right; or, where it has no U, a
/// column of blocks from the top down (more columns where one would be too high). Of a cascade, the second stage lies below, pale, as its
/// sites are not patched. A cell is a site, coloured by a score. Click selects, Ctrl- or Shift-click adds or takes away, a drag selects all cells it touches,
/// arrows move the cursor and Space toggles.
class ModelMap : public QWidget {
  Q_OBJECT
 public:
  explicit ModelMap(SiteSelection* selection, QWidget* parent = nullptr);

  /// Empties the second stage too.
  void set_sites(std::vector<SiteItem> sites);
  void set_second_stage(const QString& title, const std::vector<SiteItem>& sites);
  /// Colours the cells; a site without a value is grey. `name` is shown in tooltips.
  void set_scores(const QString& name, const std::map<int, ScoreValue>& scores);
  /// Where a site's cell is, in widget coordinates.
  QRect cell(int site) const;

  QSize sizeHint() const override { return {340, 300}; }
  QSize minimumSizeHint() const override { return {240, second_blocks_.empty() ? 200 : 320}; }

 protected:
  void paintEvent(QPaintEvent*) override;
  void resizeEvent(QResizeEvent*) override { arrange(); }
  void mousePressEvent(QMouseEvent*) override;
  void mouseMoveEvent(QMouseEvent*) override;
  void mouseReleaseEvent(QMouseEvent*) override;
  void keyPressEvent(QKeyEvent*) override;
  void focusInEvent(QFocusEvent*) override { update(); }
  void focusOutEvent(QFocusEvent*) override { update(); }
  bool event(QEvent*) override;

 private:
  struct Block {
    QString name;
    BlockRow row = BlockRow::stack;
    std::vector<int> sites;
    QRect frame;
  };
  static std::vector<Block> blocks_of(const std::vector<SiteItem>& sites);
  void arrange();
  // Places blocks in an area, and gives where their sites are. Blocks without names may be lower.
  static std::map<int, QRect> place(std::vector<Block>& blocks, const QRect& area, bool named);
  void paint_blocks(QPainter& painter, const std::vector<Block>& blocks, bool named) const;
  int site_at(const QPoint& point) const;
  QString tip(int site) const;

  SiteSelection* selection_;
  std::vector<SiteItem> sites_;
  std::vector<Block> blocks_, second_blocks_;
  std::map<int, QRect> cells_, second_cells_;
  QString second_title_;
  QRect second_area_;
  std::map<int, ScoreValue> scores_;
  QString score_name_;
  int cursor_ = 0;
  QPoint press_;
  QRubberBand* band_;
};

}  // namespace glyphscope
