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

/// Values by row and column, on a colour scale from 0 to 1. Columns may stand for sites. Hovering tells the exact value, clicking selects the column's sites
/// (Ctrl or Shift: toggles them) and reports the cell.
class Heatmap : public QWidget {
  Q_OBJECT
 public:
  explicit Heatmap(SiteSelection* selection, QWidget* parent = nullptr);

  struct Column {
    QString label;           ///< Under the column.
    QString name;            ///< In what hovering says.
    std::vector<int> sites;  ///< Selected by a click, and marked while they are; none: a click only reports the cell.
  };
  /// values[row][column]; nothing where there is no value yet. Rows are drawn from the top. axis: what the columns are.
  void set_values(const QStringList& rows, const QString& axis, const std::vector<Column>& columns,
                  const std::vector<std::vector<std::optional<ScoreValue>>>& values);
  /// A column for each of so many sites.
  static std::vector<Column> site_columns(int sites);
  /// Writes the plot with a caption under it, which says what it shows; the format follows the file's ending: .svg or .pdf.
  bool save_vector(const QString& file, const QString& caption);
  /// The same as a picture, twice as fine as on the screen.
  QImage figure(const QString& caption);
  QCustomPlot* plot() const { return plot_; }
  /// Where a cell is on the screen, in this widget's coordinates.
  QPoint cell_centre(int row, int column) const;
  /// What hovering over a cell says.
  QString tip(int row, int column) const;

 signals:
  void clicked(int row, int column);

 protected:
  void changeEvent(QEvent*) override;

 private:
  /// While `draw` runs, the plot has the caption, and is as wide as its cells need.
  void with_caption(const QString& caption, const std::function<void()>& draw);
  void apply_palette();
  void mark_selection();
  bool find_cell(const QPoint& point, int& row, int& column) const;

  SiteSelection* selection_;
  QCustomPlot* plot_;
  QCPColorMap* map_;
  QStringList rows_;
  std::vector<Column> columns_;
  std::vector<std::vector<std::optional<ScoreValue>>> values_;
  std::vector<QCPItemRect*> marks_;
};

}  // namespace glyphscope
