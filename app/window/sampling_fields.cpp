#include "app/window/sampling_fields.h"

#include <QtWidgets>

#include "app/window/shared_sampling.h"
#include "widgets/flow_layout.h"

namespace glyphscope {

SamplingFields::SamplingFields(SharedSampling* sampling, FlowLayout* line, QWidget* owner, const QString& prefix) : QObject(owner), sampling_(sampling) {
  const auto field = [&](auto* box, const QString& label, const QString& tip, const char* name) {
    box->setToolTip(tip);
    box->setObjectName(prefix + name);
    line->add_field(label, box);
    return box;
  };
  steps_ = field(new QSpinBox(owner), tr("S&teps"), tr("Denoising steps"), "steps");
  steps_->setRange(1, 1000);
  // Only a cascade has one.
  upscale_steps_ = new QSpinBox(owner);
  upscale_steps_->setObjectName(prefix + "upscale_steps");
  upscale_steps_->setRange(0, 1000);
  upscale_steps_->setPrefix(tr("+ "));
  upscale_steps_->setToolTip(tr("Denoising steps of stage II"));
  upscale_steps_->setAccessibleName(upscale_steps_->toolTip());
  upscale_steps_->setVisible(false);
  line->addWidget(upscale_steps_);
  guidance_ = field(new QDoubleSpinBox(owner), tr("G&uidance"), tr("Classifier-free guidance; up to 1: none"), "guidance");
  guidance_->setRange(0, 50);
  guidance_->setSingleStep(0.5);
  seed_ = field(new QSpinBox(owner), tr("See&d"), tr("Seed of the noise, the same for all pictures"), "seed");
  seed_->setRange(0, 2147483647);
  negative_ = field(new QLineEdit(owner), tr("&Negative"), tr("What pictures are led away from, where there is guidance"), "negative");
  negative_->setPlaceholderText(tr("the model's own"));
  negative_->setMinimumWidth(owner->fontMetrics().averageCharWidth() * 16);
  show();
  for (QSpinBox* box : {steps_, upscale_steps_, seed_}) connect(box, &QSpinBox::valueChanged, this, &SamplingFields::take);
  connect(guidance_, &QDoubleSpinBox::valueChanged, this, &SamplingFields::take);
  connect(negative_, &QLineEdit::textChanged, this, &SamplingFields::take);
  connect(sampling_, &SharedSampling::changed, this, &SamplingFields::show);
}

void SamplingFields::set_model(const event::ModelOpened& model) {
  guidance_->setToolTip(tr("Classifier-free guidance; up to %1: none").arg(model.no_guidance));
  upscale_steps_->setVisible(model.upscaler.has_value());
}

void SamplingFields::take_models_own(const event::ModelOpened& model) {
  command::Sampling own = sampling_->value();
  own.steps = model.default_steps;
  own.guidance = model.default_guidance;
  own.upscale_steps = model.upscaler ? model.upscaler->default_steps : 0;
  sampling_->set(own);
}

void SamplingFields::take() {
  command::Sampling now = sampling_->value();
  now.steps = steps_->value();
  now.upscale_steps = upscale_steps_->value();
  now.guidance = guidance_->value();
  now.seed = static_cast<std::uint64_t>(seed_->value());
  now.negative = negative_->text().isEmpty() ? std::nullopt : std::optional(negative_->text().toStdString());
  sampling_->set(now);
}

void SamplingFields::show() {
  const command::Sampling& sampling = sampling_->value();
  // Not what is there already: a field would write its number anew under the cursor of who types it.
  const auto show = [](auto* field, auto value) {
    if (field->value() == value) return;
    const QSignalBlocker block(field);
    field->setValue(value);
  };
  show(steps_, static_cast<int>(sampling.steps));
  show(guidance_, sampling.guidance);
  show(seed_, static_cast<int>(sampling.seed));
  show(upscale_steps_, static_cast<int>(sampling.upscale_steps));
  const QString negative = QString::fromStdString(sampling.negative.value_or(""));
  if (negative_->text() == negative) return;
  const QSignalBlocker block(negative_);
  negative_->setText(negative);
}

}  // namespace glyphscope
