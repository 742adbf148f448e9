#pragma once

#include <QWidget>
#include <functional>
#include <vector>

#include "app/window/engine_bridge.h"
#include "widgets/site_selection.h"

class QCheckBox;
class QComboBox;
class QLabel;
class QLineEdit;
class QListWidget;
class QProgressBar;
class QPushButton;
class QSlider;
class QSpinBox;
class QTimer;

namespace glyphscope {

class MessageStrip;
class PictureView;
class ViewState;

/// Writes other texts into a picture, drawn or real: source and result side by side, what else one would do beside them, and a history to go back in. Once
/// there is a result, each change draws it again after a pause: quickly with few steps first, then in full.
class EditPage : public QWidget {
  Q_OBJECT
 public:
  /// How pictures are sampled, and by which adapters: as the rest of the window has it.
  struct Drawing {
    command::Sampling sampling;
    std::vector<std::string> adapters;
  };
  EditPage(EngineBridge* engine, SiteSelection* selection, std::function<Drawing()> drawing, QWidget* parent = nullptr);

  void set_model(const event::ModelOpened& model);
  /// Edits this real picture in place of one that the source prompt draws; empty: no longer.
  void set_picture(const QString& file);
  /// Saves edit-source.png, edit.png, and of a comparison edit-target.png and edit-prompt-to-prompt.png. Files go to `saved`, those that could not be
  /// written to `failed`.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const;
  bool busy() const { return preview_ != 0 || full_ != 0; }

 private:
  struct Entry {
    command::EditText command;
    event::EditReady ready;
  };
  enum Which { kSource, kResult, kTarget, kPromptToPrompt, kViews };

  QWidget* build_form();
  QWidget* build_pictures();
  command::EditText command() const;
  void choose_picture();
  void edit();
  void edit_soon();
  void cancel();
  void on_event(const Event& event);
  void show_edit(const event::EditReady& ready, bool preview);
  void show_difference();
  void keep(const command::EditText& command, const event::EditReady& ready);
  void go_to(int entry);
  void refresh();

  EngineBridge* engine_;
  SiteSelection* selection_;
  std::function<Drawing()> drawing_;
  JobId preview_ = 0, full_ = 0;
  command::EditText asked_;  ///< What full_ draws.
  std::vector<Entry> history_;
  int at_ = -1;  ///< Which entry is shown.
  event::EditReady shown_;
  QString picture_;  ///< A real picture's file.
  std::int64_t default_steps_ = 0;
  bool model_ = false;

  MessageStrip* message_;
  QLineEdit *source_, *target_;
  QLabel *source_label_, *from_step_value_, *status_;
  QPushButton *choose_, *forget_, *edit_, *stop_, *undo_, *redo_;
  QSlider *from_step_, *swipe_;
  QSpinBox* refinements_;
  QCheckBox *masked_, *compared_, *blink_;
  QComboBox* view_;
  QProgressBar* bar_;
  ViewState* zoom_;
  PictureView* views_[kViews];
  QListWidget* strip_;
  QTimer *pause_, *blinking_;
};

}  // namespace glyphscope
