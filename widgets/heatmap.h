#pragma once

#include <QStringList>
#include <QWidget>
#include <functional>
#include <optional>
#include <vector>

#include "widgets/site_selection.h"
#include "widgets/site_values.h"

class QCustomPlot;
class QCPColorMap;
class QCPItemRect;

namespace glyphscope {

/// Sites (columns) against scores or pairs (rows), on a colour scale from 0 to 1. Hovering tells the exact value, clicking
/// selects the site (Ctrl or Shift: toggles it) and reports the cell.
class Heatmap : public QWidget {
  Q_OBJECT
 public:
  explicit Heatmap(SiteSelection* selection, QWidget* parent = nullptr);

  /// values[row][site]; nothing where there is no value yet. Rows are drawn from the top.
  void set_values(const QStringList& rows, int sites, const std::vector<std::vector<std::optional<ScoreValue>>>& values);
  /// Writes the plot with a caption under it, which says what it shows; the format follows the file's ending: .svg or .pdf.
  bool save_vector(const QString& file, const QString& caption);
  /// The same as a picture, twice as fine as on the screen.
  QImage figure(const QString& caption);
  QCustomPlot* plot() const { return plot_; }
  /// Where a cell is on the screen, in this widget's coordinates.
  QPoint cell_centre(int row, int site) const;
  /// What hovering over a cell says.
  QString tip(int row, int site) const;

 signals:
  void clicked(int row, int site);

 protected:
  void changeEvent(QEvent*) override;

 private:
  /// While `draw` runs, the plot has the caption, and is as wide as its cells need.
  void with_caption(const QString& caption, const std::function<void()>& draw);
  void apply_palette();
  void mark_selection();
  bool find_cell(const QPoint& point, int& row, int& site) const;

  SiteSelection* selection_;
  QCustomPlot* plot_;
  QCPColorMap* map_;
  QStringList rows_;
  int sites_ = 0;
  std::vector<std::vector<std::optional<ScoreValue>>> values_;
  std::vector<QCPItemRect*> marks_;
};

}  // namespace glyphscope
