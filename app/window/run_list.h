#pragma once

#include <QWidget>
#include <optional>
#include <vector>

#include "app/window/workspace.h"

class QLabel;
class QLineEdit;
class QSortFilterProxyModel;
class QTableView;

namespace glyphscope {

class RunListModel;

/// The runs of the workspace, and those that were opened from elsewhere: a line each, that can be sorted and filtered. Folders are read beside the window's
/// thread.
class RunList : public QWidget {
  Q_OBJECT
 public:
  explicit RunList(QWidget* parent = nullptr);
  ~RunList() override;

  /// Reads all folders anew; what was selected stays so.
  void read_again();
  /// Adds a run from outside of the workspace, and selects it once it is read.
  void add(const QString& folder);
  /// The same, without selecting it.
  void know(const QString& folder);
  /// The one that is selected, though the filter may hide it.
  std::optional<RunEntry> current() const;
  int shown() const;
  /// Localizations that can be gone on with.
  int unfinished() const;

 signals:
  /// All folders were read.
  void read();
  /// Another run is selected, or the selected one has changed on the disk.
  void current_changed();

 private:
  void show(const std::vector<RunEntry>& runs);
  void mark();  // the selected run in the table
  const RunEntry& run_of(int row) const;

  RunListModel* model_;
  QSortFilterProxyModel* shown_;
  QStringList others_;  // from outside of the workspace
  QString current_;
  bool reading_ = false, again_ = false;
  QLineEdit* filter_;
  QTableView* table_;
  QLabel* empty_;
};

}  // namespace glyphscope
