#pragma once

#include <QDialog>

#include "tasks/commands.h"

class QComboBox;
class QDoubleSpinBox;
class QLabel;
class QLineEdit;
class QTimer;

namespace glyphscope {

/// Asks which model to open, and with what: a folder, a checkpoint in a single file or a demo model; configurations; an upscaler; the dtype, the device and how
/// much of its memory. Says where the model would go before it is opened.
class OpenDialog : public QDialog {
  Q_OBJECT
 public:
  /// device, bytes: where the open model is, if there is one, and what it takes there.
  explicit OpenDialog(QString device = {}, std::int64_t bytes = 0, QWidget* parent = nullptr);
  /// Remembers a model that was opened, with what it was opened with, for the list of the next dialog.
  static void remember(const command::OpenModel& model);

 signals:
  void chosen(const command::OpenModel& model);

 private:
  void refresh();
  // Fills the fields with a remembered model.
  void recall(int index);

  // What is entered; and where that would go, which takes a moment to find out: then it is shown, if it is still what is entered.
  command::OpenModel entered() const;
  void find_plan();
  void show_plan(const command::OpenModel& model, const QString& text);

  QString open_device_;
  std::int64_t open_bytes_;
  QComboBox *source_, *dtype_, *device_;
  QDoubleSpinBox* memory_;
  QTimer* plan_timer_;
  QLineEdit *config_, *upscaler_;
  QList<QWidget*> config_row_;
  QLabel* hint_;
  QPushButton* open_;
};

}  // namespace glyphscope
