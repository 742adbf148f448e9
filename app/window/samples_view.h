#pragma once

#include <QDateTime>
#include <QImage>
#include <QWidget>
#include <vector>

class QLabel;
class QSlider;
class QTreeWidget;

namespace glyphscope {

class PictureView;
class ViewState;

/// The sample pictures of a training by step, from the files in its folder: a slider goes through the steps, another swipes those before the training
/// over them; a table tells what OCR reads in each.
class SamplesView : public QWidget {
  Q_OBJECT
 public:
  explicit SamplesView(QWidget* parent = nullptr);

  /// Shows what is in FOLDER/samples; empty: nothing.
  void set_folder(const QString& folder);
  /// Looks for new files; goes to the newest, unless an older one is being looked at.
  void refresh();
  int count() const { return static_cast<int>(steps_.size()); }
  const QString& file() const { return file_; }

 signals:
  /// The step whose samples are shown; negative: none are.
  void step_shown(qint64 step);

 private:
  void show_step(int place);

  struct Step {
    qint64 step;
    QString file;
    QDateTime written;
    bool operator==(const Step&) const = default;
  };
  QString folder_, file_;
  std::vector<Step> steps_;
  QImage first_;  ///< Of the first step.
  ViewState* zoom_;
  PictureView* picture_;
  QSlider *scrubber_, *swipe_;
  QLabel* step_;
  QTreeWidget* table_;
};

}  // namespace glyphscope
