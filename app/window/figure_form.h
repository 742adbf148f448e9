#pragma once

#include <QDialog>
#include <QString>
#include <QWidget>

#include "plot/figure.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QLabel;
class QScrollArea;
class QSpinBox;
class QTimer;

namespace glyphscope {

/// A figure as it will be printed, and how it is drawn: width, dots per inch, letters, colours, paper.
class FigureForm : public QWidget {
  Q_OBJECT
 public:
  explicit FigureForm(QWidget* parent = nullptr);

  /// hint: what to read where it has no parts.
  void set_figure(const Figure& figure, const QString& hint = {});
  const Figure& figure() const { return figure_; }
  FigureStyle style() const;
  void set_style(const FigureStyle& style);
  /// Asks where to, and writes it with its values beside it. metadata: JSON of what made it. Returns what to say of it; empty if no file was chosen, or it
  /// failed.
  QString save(const QString& proposed, const QString& metadata);
  /// To the clipboard. False if it failed.
  bool copy();

 signals:
  void style_changed();
  void failed(const QString& text);

 protected:
  void resizeEvent(QResizeEvent*) override;

 private:
  void draw();

  Figure figure_;
  QString hint_;
  QComboBox *width_, *colours_, *paper_;
  QSpinBox *dpi_, *letters_;
  QDoubleSpinBox* millimetres_;
  QCheckBox* titles_;
  QLabel *warning_, *preview_;
  QScrollArea* around_;
  QTimer* settle_;
};

/// One figure, to be saved or copied.
class FigureDialog : public QDialog {
  Q_OBJECT
 public:
  FigureDialog(const Figure& figure, const QString& proposed, const QString& metadata, QWidget* parent);

 signals:
  void saved(const QString& said);
  void wanted(const std::vector<glyphscope::Figure::Part>& parts);  ///< In the composed figure.
};

/// Writes a figure, whole or not at all. False if it could not be written.
bool write_figure_file(const Figure& figure, const QString& file, const QString& metadata);

}  // namespace glyphscope
