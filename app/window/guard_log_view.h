#pragma once

#include <QWidget>
#include <memory>

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QSortFilterProxyModel;
class QTableView;

namespace glyphscope {

class GuardLogModel;

/// The images of a guard's log, and whether the log is as it was written. Files are read beside the window's thread.
class GuardLogView : public QWidget {
  Q_OBJECT
 public:
  explicit GuardLogView(QWidget* parent = nullptr);
  ~GuardLogView() override;

  /// Reads the file anew; an empty name clears the view.
  void read(const QString& file);
  void read_again() { read(file_); }
  /// What is shown, as CSV. False if it could not be written.
  bool save_table(const QString& file) const;
  QString status() const;
  int shown() const;

 private:
  void choose();
  void filter();
  void refresh();

  GuardLogModel* model_;
  QSortFilterProxyModel* shown_;
  QString file_;
  int reading_ = 0;  ///< How many files have been asked for: only the last one is shown.
  QLineEdit* filter_;
  QComboBox* done_;
  QPushButton *open_, *again_, *export_;
  QLabel* status_;
  QTableView* table_;
};

}  // namespace glyphscope
