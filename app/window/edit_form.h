#pragma once

#include <QWidget>
#include <optional>

#include "app/window/page.h"

class QCheckBox;
class QGridLayout;
class QLabel;
class QLineEdit;
class QProgressBar;
class QPushButton;
class QSlider;
class QSpinBox;

namespace glyphscope {

class LearnedNote;
class SamplingFields;

/// What an edit is asked with: prompts or a picture, how the selected sites see the target, what is kept; the buttons; and how far it is.
class EditForm : public QWidget {
  Q_OBJECT
 public:
  EditForm(Workbench* bench, QWidget* parent);

  /// The model's own prompts, and fields that suit it.
  void set_model(const event::ModelOpened& model);
  /// Of a real picture, its file; empty: the source prompt draws it.
  const QString& picture() const { return picture_; }
  void set_picture(const QString& file);
  /// Where the user has drawn a box; else it is about the source's text.
  const std::optional<QRect>& mask() const { return mask_; }
  void set_mask(const QRect& mask);
  bool masked() const;
  bool compared() const;

  /// Whether an edit can be asked for.
  bool ready() const;
  command::EditText command() const;
  /// Each of the other texts in place of the target's, from the steps that are asked for. Throws a Failure.
  command::EditText variants() const;
  /// The fields as an edit was asked with; nothing is drawn for it.
  void show_command(const command::EditText& command);
  /// Another source prompt, whose target is to be written next.
  void set_source(const std::string& prompt);

  void set_state(bool busy, bool can_undo, bool can_redo);
  void set_status(const QString& text);
  void set_progress(std::int64_t done, std::int64_t total);
  /// What may be pressed: prompts, sites or the model have changed.
  void refresh();

 signals:
  /// By the user, so that an edit that is shown is not what is asked for any more.
  void changed();
  void box_changed();
  /// Another picture is to be edited, or none.
  void picture_changed();
  void edit_requested();
  void variants_requested();
  void stop_requested();
  void undo_requested();
  void redo_requested();

 private:
  void add_prompts(QGridLayout* grid);
  void add_sites(QGridLayout* grid);
  void add_choices(QGridLayout* grid);
  void add_progress(QGridLayout* grid);
  std::int64_t steps() const;

  Workbench* bench_;
  SiteTable table_;
  QString picture_;
  std::optional<QRect> mask_;
  std::int64_t default_steps_ = 0;
  int wanted_step_ = 0;  ///< To begin at, as far as there are so many.
  bool model_ = false;

  QLineEdit *source_, *target_, *texts_, *heads_;
  LearnedNote* learned_;
  SamplingFields* sampling_;
  QLabel *source_label_, *from_step_value_, *strength_value_, *status_;
  QPushButton *choose_, *forget_, *edit_, *stop_, *undo_, *redo_, *variants_;
  QSlider *from_step_, *strength_;
  QSpinBox* refinements_;
  QCheckBox *masked_, *compared_, *each_step_;
  QProgressBar* bar_;
};

}  // namespace glyphscope
