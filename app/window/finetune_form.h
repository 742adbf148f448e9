#pragma once

#include <QWidget>
#include <optional>

#include "tasks/events.h"
#include "widgets/site_selection.h"

class QCheckBox;
class QComboBox;
class QDoubleSpinBox;
class QLabel;
class QLineEdit;
class QPlainTextEdit;
class QSpinBox;

namespace glyphscope {

/// The settings of a fine-tuning as fields, with what they amount to: how many parameters of which layers.
class FinetuneForm : public QWidget {
  Q_OBJECT
 public:
  explicit FinetuneForm(SiteSelection* selection, QWidget* parent = nullptr);

  void set_model(const event::ModelOpened& model);
  /// As the fields have it now.
  command::Finetune command() const;
  /// What keeps it from being started; empty: nothing.
  QString missing() const;
  /// With the plan of a training that goes on, the fields cannot be changed.
  void lock(const std::optional<LoraPlan>& plan);
  /// The next free folder for the adapter, unless the user named one.
  void propose_folder();
  /// What was found in the folder of pictures that was asked for.
  void show_pictures(int count, const QString& facts);
  /// The same folder may be asked for again.
  void forget_pictures();
  QString folder() const;

 signals:
  void changed();
  void pictures_asked(const QString& folder, double held_out);

 private:
  class Fields;
  void add_pictures(Fields& fields);
  void add_layers(Fields& fields);
  void add_training(Fields& fields);
  void add_samples(Fields& fields);
  void add_folder(Fields& fields);
  QWidget* build_more();
  void apply_preset(int index);
  void ask_for_pictures();
  /// Fills the fields with what a training in the adapter's folder was begun with, so that it can go on.
  void take_settings();
  QString plan_text(const LoraPlan& plan) const;
  void refresh();

  SiteSelection* selection_;
  event::ModelOpened model_;
  std::optional<LoraPlan> locked_;
  int pictures_found_ = 0;
  FinetuneSettings begun_;  ///< What a training in the folder has that no field has.
  QString taken_;           ///< The folder whose settings were taken last.
  QString own_;             ///< The folder that was proposed for the adapter.
  QString asked_;           ///< Which pictures were asked for last.

  QLineEdit *pictures_, *rate_, *folder_;
  QComboBox *preset_, *where_, *projections_, *method_, *schedule_, *init_;
  QSpinBox *rank_, *steps_, *batch_, *accumulate_, *warmup_, *resolution_, *seed_, *held_out_, *sample_every_, *evaluate_every_, *save_every_;
  QDoubleSpinBox *alpha_, *dropout_, *caption_dropout_, *snr_gamma_, *weight_decay_, *clip_;
  QCheckBox *checkpointing_, *encoders_;
  QPlainTextEdit* prompts_;
  QLabel *share_, *pictures_facts_, *folder_facts_ = nullptr;
};

}  // namespace glyphscope
