#pragma once

#include <QWidget>
#include <vector>

#include "tasks/events.h"

class QLineEdit;
class QPushButton;
class QSpinBox;

namespace glyphscope {

class LearnedNote;
class SamplingFields;
class SharedSampling;

/// Prompts A and B, how to sample, and the three things to do with them.
class PromptPanel : public QWidget {
  Q_OBJECT
 public:
  /// sampling: what the fields show and change; must outlive the panel.
  explicit PromptPanel(SharedSampling* sampling, QWidget* parent = nullptr);

  /// The model's own settings; and its own prompts, where the user has not written others.
  void set_model(const event::ModelOpened& model);
  /// What can be done now: nothing while the engine is not ready, and no edit without sites.
  void set_ready(bool ready, const std::vector<int>& sites);

  std::string source() const;
  std::string target() const;
  int from_step() const;

 signals:
  void generate_requested();
  void edit_requested();
  void localize_requested();
  void prompts_changed();

 private:
  SamplingFields* fields_;
  QLineEdit *source_, *target_;
  LearnedNote* learned_;
  QSpinBox* from_step_;
  QPushButton *generate_, *edit_, *localize_;
  QString given_source_, given_target_;  ///< The prompts that the fields began with.
};

}  // namespace glyphscope
