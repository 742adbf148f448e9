#pragma once

#include <QImage>
#include <QWidget>

class QComboBox;
class QLabel;
class QSlider;
class QTimer;

namespace glyphscope {

class PictureView;
class ViewState;

/// Two pictures of one size: side by side with one zoom, swiped over each other, in turn, or what differs.
class CompareView : public QWidget {
  Q_OBJECT
 public:
  explicit CompareView(QWidget* parent = nullptr);

  enum class Look { side_by_side, swipe, blink, difference, difference_8 };
  struct One {
    QString title;
    QImage picture;  ///< Null: there is none.
    QString caption, metadata;
  };
  /// Those of different sizes are only shown side by side.
  void show_pictures(const One& first, const One& second);
  void clear();
  void set_look(Look look);
  Look look() const;

 private:
  void refresh();

  One first_, second_;
  ViewState* zoom_;
  PictureView *left_, *right_;
  QComboBox* looks_;
  QSlider* swipe_;
  QTimer* blinking_;
};

/// First less second: each channel's difference from middle grey, so many times as large as it is. Null for pictures of different sizes.
QImage difference_of(const QImage& first, const QImage& second, double times = 0.5);

}  // namespace glyphscope
