#pragma once

#include <QWidget>

#include "app/window/page.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QLabel;
class QLineEdit;
class QSpinBox;

namespace glyphscope {

class FormFields;
class PlainTextField;

/// What is asked of a model: with which words, by what, and how pictures are drawn for it.
class LocalizeForm : public QWidget {
  Q_OBJECT
 public:
  LocalizeForm(Workbench* bench, QWidget* parent);

  /// The model's own steps and sites.
  void set_model(const event::ModelOpened& model);
  /// Without a folder; of the model that is open. Throws a Failure for what the fields cannot mean.
  command::Localize command() const;
  /// A word for what is asked, as folders are named by it: "localize", "card", "map-site-step".
  QString question() const;

 signals:
  /// What is asked is another question by now.
  void changed();

 private:
  void add_prompts(FormFields& fields);
  void add_question(FormFields& fields);
  void add_drawing(FormFields& fields);
  PlainTextField* lines(FormFields& fields, const QString& label, const QString& tip, const char* name, int rows);
  // Puts the lines of a file into the field.
  void load(PlainTextField* field, const QString& title);
  void apply_preset(int index);
  void show_sampling();
  void take_sampling();
  // Whether a map is asked for with this axis.
  bool uses(const std::string& axis) const;
  void refresh();

  Workbench* bench_;
  SiteTable table_;
  bool attributes_there_ = false;
  bool applying_ = false;  // a preset writes the templates

  QComboBox *preset_, *differ_, *question_, *rows_, *columns_, *direction_, *search_;
  PlainTextField *templates_, *words_;
  QSpinBox *pairs_, *noises_, *step_ranges_, *steps_, *seed_, *from_step_, *rows_at_once_;
  QDoubleSpinBox *guidance_, *false_discovery_;
  QLineEdit *sites_, *sets_, *size_;
  QCheckBox *pooled_, *keep_images_;
  QLabel *words_facts_, *question_facts_;
};

}  // namespace glyphscope
