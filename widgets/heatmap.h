#pragma once

#include <QStringList>
#include <QWidget>
#include <map>
#include <optional>
#include <vector>

#include "widgets/figure_source.h"
#include "widgets/site_selection.h"
#include "widgets/site_values.h"

class QCPColorMap;
class QCPPainter;
class QCustomPlot;
class QMenu;

namespace glyphscope {

/// Values by row and column, on a colour scale from 0 to 1; where there is room, the numbers too. Columns may stand for sites. Hovering tells the exact value;
/// clicking selects the column's sites (Ctrl or Shift: toggles them) and reports the cell, a drag over columns selects theirs. Arrows move a cursor, Space
/// toggles, Enter does what a click does. Rows can be sorted.
class Heatmap : public QWidget, public FigureSource {
  Q_OBJECT
 public:
  explicit Heatmap(SiteSelection* selection, QWidget* parent = nullptr);

  struct Column {
    QString label;           ///< Under the column.
    QString name;            ///< In what hovering says.
    std::vector<int> sites;  ///< Selected by a click, and marked while they are; none: a click only reports the cell.
  };
  using Values = std::vector<std::vector<std::optional<ScoreValue>>>;
  /// values[row][column]; nothing where there is no value yet. Rows are drawn from the top. axis: what the columns are.
  void set_values(const QStringList& rows, const QString& axis, const std::vector<Column>& columns, const Values& values);
  /// By row: cells whose interval holds it are hatched, as it is not known whether they pass.
  void set_thresholds(const std::map<int, double>& thresholds);
  /// What the colours span: 0 to this, 1 by itself. For the values that are set next.
  void set_largest(double largest) { largest_ = largest > 0 ? largest : 1; }
  /// A column for each of so many sites.
  static std::vector<Column> site_columns(int sites);
  /// Rows with the highest values first: of a column, of the mean of all (-1), or as they came (nothing). Kept while more values come.
  void sort_rows(std::optional<int> column);

  /// Rows as they are drawn, with all labels, however many are left out on the screen; selected columns are marked.
  std::vector<Figure::Part> figure_parts() const override;
  QCustomPlot* plot() const { return plot_; }
  /// Where a cell is on the screen, in this widget's coordinates.
  QPoint cell_centre(int row, int column) const;
  /// What hovering over a cell says.
  QString tip(int row, int column) const;
  /// All values as a table with tabs, rows as they are drawn.
  QString table() const;
  void fill_menu(QMenu& menu, std::optional<int> column);

 signals:
  void clicked(int row, int column);

 protected:
  void changeEvent(QEvent*) override;
  void keyPressEvent(QKeyEvent*) override;
  void contextMenuEvent(QContextMenuEvent*) override;
  void focusInEvent(QFocusEvent*) override;
  void focusOutEvent(QFocusEvent*) override;
  void leaveEvent(QEvent*) override;

 private:
  /// Where a cell is drawn: rows in the order of the screen.
  struct Place {
    int row = 0, column = 0;
    bool operator==(const Place&) const = default;
  };
  int rows() const { return static_cast<int>(rows_.size()); }
  int columns() const { return static_cast<int>(columns_.size()); }
  const std::optional<ScoreValue>& value(Place at) const;
  std::optional<Place> find_cell(const QPoint& point) const;
  void draw();
  void fit_labels();
  void paint_cells(QCPPainter* painter) const;
  bool is_selected(int column) const;
  void apply_palette();
  void choose(Place at, Qt::KeyboardModifiers modifiers);
  void move_cursor(Place to);
  void refresh();

  SiteSelection* selection_;
  QCustomPlot* plot_;
  QCPColorMap* map_;
  QStringList rows_;
  std::vector<Column> columns_;
  Values values_;
  std::map<int, double> thresholds_;
  double largest_ = 1;
  std::optional<int> sorted_by_;
  std::vector<int> order_;  ///< Of the rows, as they are drawn.
  int every_row_ = 1, every_column_ = 1;
  Place cursor_;
  std::optional<Place> press_;
  int brushed_ = -1;  ///< The column a drag has come to.
};

}  // namespace glyphscope
