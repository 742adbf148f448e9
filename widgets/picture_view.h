#pragma once

#include <QImage>
#include <QPointF>
#include <QWidget>
#include <memory>
#include <optional>

#include "widgets/figure_source.h"

class QMenu;
class QTemporaryDir;

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

/// A picture with a title above and a caption, of a line or more, below. Wheel zooms at the pointer, a drag moves, a double click fits; by keyboard +, -, 0
/// and arrows do. A picture that is whole in view is dragged out of the window, as a file and a picture. Its menu copies and saves it.
/// A box may be shown on it, and dragged. With a second picture a divider shows the one to its left and the other to its right.
class PictureView : public QWidget, public FigureSource {
  Q_OBJECT
 public:
  PictureView(const QString& title, const QString& empty_text, ViewState* state, QWidget* parent = nullptr);
  ~PictureView() override;

  void set_title(const QString& title);
  /// After the title, in a paler colour; empty: nothing.
  void set_mark(const QString& mark);
  /// metadata: JSON of what made it, which goes into files that are saved of it.
  void set_picture(const QImage& picture, const QString& caption, const QString& metadata = {});
  void clear();
  const QImage& picture() const { return picture_; }
  const QString& metadata() const { return metadata_; }
  QString caption() const { return caption_; }

  /// Shows `other` to the left of the divider; a null image takes it away.
  void set_other(const QImage& other);
  /// Where the divider is, 0 (left edge: nothing of the other) to 1.
  void set_divider(double share);

  /// A box over the picture, in its pixels; an empty one takes it away. Where it can be dragged, a drag of its inside moves it, one of its edges or corners
  /// resizes it, and one beside it draws another.
  void set_box(const QRect& box, bool draggable);
  QRect box() const { return box_; }
  /// Where a pixel's corner is in the widget.
  QPointF place_of(QPointF pixel) const;
  std::vector<Figure::Part> figure_parts() const override;
  void fill_menu(QMenu& menu);

 signals:
  /// A drag has ended.
  void box_changed(const QRect& box);

 public:
  QSize sizeHint() const override { return {240, 280}; }
  QSize minimumSizeHint() const override { return {140, 170}; }

 protected:
  void paintEvent(QPaintEvent*) override;
  void wheelEvent(QWheelEvent*) override;
  void mousePressEvent(QMouseEvent*) override;
  void mouseMoveEvent(QMouseEvent*) override;
  void mouseReleaseEvent(QMouseEvent*) override;
  void mouseDoubleClickEvent(QMouseEvent*) override { state_->reset(); }
  void keyPressEvent(QKeyEvent*) override;
  void contextMenuEvent(QContextMenuEvent*) override;
  void focusInEvent(QFocusEvent*) override { update(); }
  void focusOutEvent(QFocusEvent*) override { update(); }

 private:
  /// What of the box a drag holds.
  enum Grip : unsigned { kNone = 0, kLeft = 1, kTop = 2, kRight = 4, kBottom = 8, kInside = 16, kNew = 32 };
  unsigned grip_at(QPointF point) const;
  QPointF pixel_at(QPointF point) const;
  void drag_box(QPointF point);
  void drag_out();
  void save();
  QRect stage() const;
  QRectF target() const;
  QString title_, mark_, empty_text_, caption_, metadata_;
  ViewState* state_;
  QImage picture_, other_;
  double divider_ = 0;
  QPoint press_;
  QPointF press_centre_;
  QRect box_, press_box_;
  bool draggable_ = false;
  unsigned grip_ = kNone;
  std::unique_ptr<QTemporaryDir> dragged_;  ///< Files that were dragged out: whoever took them may read them later.
};

}  // namespace glyphscope
