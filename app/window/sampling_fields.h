#pragma once

#include <QObject>

#include "tasks/events.h"

class QDoubleSpinBox;
class QLineEdit;
class QSpinBox;
class QWidget;

namespace glyphscope {

class FlowLayout;
class SharedSampling;

/// How pictures are sampled, as fields: steps, guidance, seed and the negative prompt. Several pages have them, of the same sampling: who changes them on one
/// has changed them on all.
class SamplingFields : public QObject {
  Q_OBJECT
 public:
  /// Adds the fields to a line of the owner's. Their names begin with the prefix. sampling must outlive them.
  SamplingFields(SharedSampling* sampling, FlowLayout* line, QWidget* owner, const QString& prefix = {});
  /// Fields that suit the model; their values are the page's that sets them.
  void set_model(const event::ModelOpened& model);
  /// The model's own settings, in place of what the fields say.
  void take_models_own(const event::ModelOpened& model);

 private:
  void show();
  void take();

  SharedSampling* sampling_;
  QSpinBox *steps_, *upscale_steps_, *seed_;
  QDoubleSpinBox* guidance_;
  QLineEdit* negative_;
};

}  // namespace glyphscope
