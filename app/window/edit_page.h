#pragma once

#include <memory>
#include <vector>

#include <QDateTime>

#include "app/window/page.h"

class QCheckBox;
class QComboBox;
class QPushButton;
class QSlider;
class QTemporaryDir;
class QTimer;

namespace glyphscope {

class EditForm;
class EditHistory;
class MessageStrip;
class PictureView;
class ViewState;

/// Writes other texts into a picture, drawn or real: source and result side by side, what else one would do beside them, and a history to go back in. Once
/// there is a result, each change draws it again after a pause: quickly with few steps first, then in full.
class EditPage : public Page {
  Q_OBJECT
 public:
  EditPage(Workbench* bench, QWidget* parent);
  ~EditPage() override;

  void set_model(const event::ModelOpened& model) override;
  /// Edits this real picture in place of one that the source prompt draws; empty: no longer.
  void set_picture(const QString& file);
  bool take_picture(const QString& file) override { return set_picture(file), true; }
  /// Saves edit-source.png, edit.png, of a real picture edit-reconstruction.png and edit-drift.png and, if all but a box of it was kept, edit-whole.png, the
  /// picture as it was given with the new text in it; of a comparison edit-target.png and edit-prompt-to-prompt.png. Files go to `saved`, those that could not
  /// be written to `failed`.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;
  bool busy() const { return preview_ != 0 || full_ != 0; }
  /// What is at work has changed: an edit that is shown is drawn again; one that is not, once it is.
  void adapters_changed() override;
  void keep(SessionFile& session) const override;
  void restore(const SessionFile& session) override;
  bool undo() override;
  bool redo() override;

 protected:
  void on_event(const Event& event) override;
  void showEvent(QShowEvent*) override;

 private:
  enum Which { kSource, kResult, kTarget, kPromptToPrompt, kViews };

  QWidget* build_pictures();
  void edit();
  /// Other texts in place of the target's, in one batch.
  void draw_variants();
  void use_as_source();
  void read_input();
  void edit_soon();
  void cancel();
  /// A real picture that was inverted, beside what its noise gives back.
  void show_source(const event::EditSourceReady& source);
  void show_edit(const event::EditReady& ready, bool preview);
  /// A real picture that was chosen, before anything is known of it.
  void show_chosen();
  void show_difference();
  void show_box();
  /// The history's present edit, with all that it was asked with.
  void show_present();
  void refresh();

  JobId preview_ = 0, full_ = 0;
  command::EditText asked_;                   ///< What full_ draws.
  std::shared_ptr<const std::string> input_;  ///< The file of the real picture that it begins with,
  std::pair<QString, QDateTime> input_of_;    ///< and which that is.
  event::EditReady shown_;
  std::unique_ptr<QTemporaryDir> made_;  ///< Edited pictures that became sources.
  int made_count_ = 0;
  std::int64_t default_steps_ = 0;
  bool stale_ = false;  ///< Adapters have changed since the edit.

  MessageStrip* message_;
  EditForm* form_;
  QPushButton* as_source_;
  QSlider* swipe_;
  QCheckBox* blink_;
  QComboBox* view_;
  ViewState* zoom_;
  PictureView* views_[kViews];
  EditHistory* history_;
  QTimer *pause_, *blinking_;
};

}  // namespace glyphscope
