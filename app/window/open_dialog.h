#pragma once

#include <QDialog>

#include "tasks/commands.h"

class QComboBox;
class QLabel;
class QLineEdit;

namespace glyphscope {

/// Asks which model to open, and with what: a folder, a checkpoint in a single file or a demo model; configurations; an upscaler; the dtype and the device.
class OpenDialog : public QDialog {
  Q_OBJECT
 public:
  explicit OpenDialog(QWidget* parent = nullptr);
  /// Remembers a model that was opened, with what it was opened with, for the list of the next dialog.
  static void remember(const command::OpenModel& model);

 signals:
  void chosen(const command::OpenModel& model);

 private:
  void refresh();
  // Fills the fields with a remembered model.
  void recall(int index);

  QComboBox *source_, *dtype_, *device_;
  QLineEdit *config_, *upscaler_;
  QList<QWidget*> config_row_;
  QLabel* hint_;
  QPushButton* open_;
};

}  // namespace glyphscope
