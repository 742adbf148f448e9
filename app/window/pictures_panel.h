#pragma once

#include <QStringList>
#include <QWidget>
#include <array>

#include "tasks/events.h"

class QSlider;

namespace glyphscope {

class PictureView;
class ViewState;

/// A's picture, A's picture with some sites patched, and B's, side by side with one zoom and a swipe.
class PicturesPanel : public QWidget {
  Q_OBJECT
 public:
  /// hints: what each place says while it has no picture; of A, A patched, B.
  PicturesPanel(const std::array<QString, 3>& hints, QWidget* parent = nullptr);

  void show_pictures(const event::PicturesReady& ready);
  /// One pair of a localization, patched at `site`.
  void show_pair(const event::PairReady& pair, int site);
  void clear();
  /// Says of A's or B's picture, and of the patched one, that its fields have been changed since it was drawn.
  void mark_undrawn(bool source, bool target);
  /// Fits the pictures into their views.
  void fit();
  /// Saves source.png, patched.png and target.png into `folder`, those there are, each with what makes it again in its
  /// metadata. Files go to `saved`, those that could not be written to `failed`.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const;

 private:
  struct Slot {
    const char* name;
    PictureView* view;
  };
  enum Which { kSource, kPatched, kTarget };
  void show(Which which, const QString& title, const Picture& picture);

  ViewState* zoom_;
  Slot slots_[3];
  QSlider* swipe_;
};

}  // namespace glyphscope
