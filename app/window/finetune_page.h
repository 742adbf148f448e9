#pragma once

#include <vector>

#include "app/window/page.h"

class QCheckBox;
class QLabel;
class QListWidget;
class QProgressBar;
class QPushButton;
class QTabWidget;

namespace glyphscope {

class FinetuneForm;
class MessageStrip;
class PictureList;
class SamplesView;
class StepCurves;

/// Trains an adapter on the selected sites, and shows how it learns. It owns the engine's job that trains; other jobs run between its steps.
class FinetunePage : public Page {
  Q_OBJECT
 public:
  FinetunePage(Workbench* bench, QWidget* parent);

  void set_model(const event::ModelOpened& model) override;
  void keep(SessionFile& session) const override;
  void set_job(WindowJob job, bool succeeded) override;
  bool training() const { return job_ != 0; }
  /// "Fine-tune", and how far it is.
  QString title() const override;
  /// Saves curves (.svg), training.csv and the samples that are shown, what there is of them. Files go to `saved`, those that could not be written to
  /// `failed`.
  void save(const QString& folder, QStringList& saved, QStringList& failed) const override;

 protected:
  void on_event(const Event& event) override;

 private:
  enum class Phase { idle, running, pausing, paused, stopping };

  QWidget* build_settings();
  QWidget* build_results();
  void read_pictures(const QString& folder, double held_out);
  void start();
  void pause_or_resume();
  void stop();
  void train(command::Finetune command);
  void on_training(const Event& event);
  void on_pictures(const Event& event);
  void show_progress(const FinetuneProgress& progress);
  void end(const QString& how);
  void set_phase(Phase phase);
  /// What may be pressed.
  void refresh();
  void fail(const QString& text);
  /// A file in the folder of the training that runs or ran last.
  QString made(const QString& name) const;

  JobId job_ = 0, reading_ = 0;
  Phase phase_ = Phase::idle;
  command::Finetune running_;            ///< The training that runs or is paused.
  std::optional<ModelHash> model_hash_;  ///< Of the model that is open.
  bool opening_ = false;
  double done_ = 0;                ///< Share of the steps.
  std::int64_t smooth_step_ = -1;  ///< Up to which `smooth_` is the running mean of losses.
  double smooth_ = 0;

  MessageStrip* message_;
  FinetuneForm* form_;
  QCheckBox* logarithmic_;
  QLabel* status_;
  QProgressBar* bar_;
  QPushButton *start_, *pause_, *stop_, *use_last_, *export_, *use_best_ = nullptr;
  StepCurves* curves_;
  SamplesView* samples_;
  PictureList* list_;
  QListWidget* faults_;
  QTabWidget* tabs_;
};

}  // namespace glyphscope
