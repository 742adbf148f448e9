#pragma once

#include <QImage>
#include <QPointF>
#include <QWidget>
#include <optional>

namespace glyphscope {

/// Zoom and position that several pictures share.
class ViewState : public QObject {
  Q_OBJECT
 public:
  using QObject::QObject;
  double zoom() const { return zoom_; }       ///< 1 fits the picture into its view.
  QPointF centre() const { return centre_; }  ///< What is in the middle, as a share of the picture's sides.
  void set(double zoom, QPointF centre);
  void reset() { set(1, {0.5, 0.5}); }

 signals:
  void changed();

 private:
  double zoom_ = 1;
  QPointF centre_{0.5, 0.5};
};

/// A picture with a title above and a caption, of a line or more, below. Wheel zooms at the pointer, a drag moves, a double click fits.
/// With a second picture a divider shows the one to its left and the other to its right.
class PictureView : public QWidget {
  Q_OBJECT
 public:
  PictureView(const QString& title, const QString& empty_text, ViewState* state, QWidget* parent = nullptr);

  void set_title(const QString& title);
  void set_picture(const QImage& picture, const QString& caption);
  void clear();
  const QImage& picture() const { return picture_; }
  QString caption() const { return caption_; }

  /// Shows `other` to the left of the divider; a null image takes it away.
  void set_other(const QImage& other);
  /// Where the divider is, 0 (left edge: nothing of the other) to 1.
  void set_divider(double share);

  QSize sizeHint() const override { return {240, 280}; }
  QSize minimumSizeHint() const override { return {140, 170}; }

 protected:
  void paintEvent(QPaintEvent*) override;
  void wheelEvent(QWheelEvent*) override;
  void mousePressEvent(QMouseEvent*) override;
  void mouseMoveEvent(QMouseEvent*) override;
  void mouseDoubleClickEvent(QMouseEvent*) override { state_->reset(); }

 private:
  QRect stage() const;
  QRectF target() const;
  QString title_, empty_text_, caption_;
  ViewState* state_;
  QImage picture_, other_;
  double divider_ = 0;
  QPoint press_;
  QPointF press_centre_;
};

}  // namespace glyphscope
