#pragma once

#include <QTableWidget>
#include <map>
#include <optional>
#include <vector>

#include "widgets/site_selection.h"
#include "widgets/site_values.h"

namespace glyphscope {

/// The sites as a sortable table; its rows are the shared selection. Arrows move the current row and leave the selection, as on the map: Space toggles, Enter
/// selects, with Shift arrows take rows along. Where it is narrow, columns that matter less go.
class SiteList : public QTableWidget {
  Q_OBJECT
 public:
  explicit SiteList(SiteSelection* selection, QWidget* parent = nullptr);
  void set_sites(const std::vector<SiteItem>& sites);
  void set_scores(const QString& name, const std::map<int, ScoreValue>& scores);
  /// Shows only those whose index it is, or whose path and block hold all its words; returns them. Nothing: there is no search, and all are shown.
  std::optional<QSet<int>> search(const QString& text);

 protected:
  QItemSelectionModel::SelectionFlags selectionCommand(const QModelIndex& index, const QEvent* event) const override;
  void keyPressEvent(QKeyEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  int site_of(int row) const;
  void read_selection();
  void show_selection();
  SiteSelection* selection_;
  QString search_;
  bool updating_ = false, reading_ = false;
};

}  // namespace glyphscope
