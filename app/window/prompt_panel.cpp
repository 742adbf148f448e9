#include "app/window/prompt_panel.h"

#include <QtWidgets>

#include "app/window/learned_note.h"
#include "app/window/shared_sampling.h"
#include "patching/patch_plan.h"

namespace glyphscope {

PromptPanel::PromptPanel(SharedSampling* sampling, QWidget* parent) : QWidget(parent), sampling_(sampling) {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(6);
  auto* grid = new QGridLayout;
  grid->setSpacing(6);
  auto field = [&](int row, const QString& label, const QString& tip, const char* name) {
    auto* caption = new QLabel(label, this);
    auto* edit = new QLineEdit(this);
    edit->setObjectName(name);
    edit->setToolTip(tip);
    caption->setBuddy(edit);
    grid->addWidget(caption, row, 0);
    grid->addWidget(edit, row, 1);
    return edit;
  };
  source_ = field(0, tr("Prompt &A"), tr("The picture to keep. Its text stands in double quotes."), "source");
  target_ = field(1, tr("Prompt &B"), tr("The same prompt with another text: what the selected sites see"), "target");
  connect(source_, &QLineEdit::returnPressed, this, [this] { generate_->click(); });
  connect(target_, &QLineEdit::returnPressed, this, [this] { (edit_->isEnabled() ? edit_ : generate_)->click(); });
  rows->addLayout(grid);
  learned_ = new LearnedNote({source_, target_}, this);
  learned_->setObjectName("limit");
  rows->addWidget(learned_);

  auto* line = new QHBoxLayout;
  line->setSpacing(6);
  auto number = [&](auto* box, const QString& label, const QString& tip) {
    line->addWidget(new QLabel(label, this));
    box->setToolTip(tip);
    line->addWidget(box);
    return box;
  };
  steps_ = number(new QSpinBox(this), tr("Steps"), tr("Denoising steps"));
  steps_->setRange(1, 1000);
  steps_->setValue(20);
  steps_->setObjectName("steps");
  // Only a cascade has one.
  upscale_steps_ = new QSpinBox(this);
  upscale_steps_->setObjectName("upscale_steps");
  upscale_steps_->setRange(0, 1000);
  upscale_steps_->setPrefix(tr("+ "));
  upscale_steps_->setToolTip(tr("Denoising steps of stage II"));
  upscale_steps_->setVisible(false);
  line->addWidget(upscale_steps_);
  guidance_ = number(new QDoubleSpinBox(this), tr("Guidance"), tr("Classifier-free guidance; up to 1: none"));
  guidance_->setRange(0, 50);
  guidance_->setSingleStep(0.5);
  guidance_->setValue(3);
  guidance_->setObjectName("guidance");
  seed_ = number(new QSpinBox(this), tr("Seed"), tr("Seed of the noise, the same for all three pictures"));
  seed_->setRange(0, 2147483647);
  seed_->setValue(42);
  seed_->setObjectName("seed");
  from_step_ = number(new QSpinBox(this), tr("From step"), tr("First step at which the selected sites see prompt B; later keeps more of A's layout"));
  from_step_->setRange(0, 1000);
  for (QSpinBox* field : {steps_, upscale_steps_, seed_}) connect(field, &QSpinBox::valueChanged, this, &PromptPanel::take_sampling);
  connect(guidance_, &QDoubleSpinBox::valueChanged, this, &PromptPanel::take_sampling);
  connect(sampling_, &SharedSampling::changed, this, &PromptPanel::show_sampling);
  take_sampling();
  line->addStretch(1);
  auto button = [&](const QString& text, const QString& tip, const char* name, auto signal) {
    auto* out = new QPushButton(text, this);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, signal);
    line->addWidget(out);
    return out;
  };
  generate_ = button(tr("&Generate"), tr("Draw prompt A and prompt B from the same noise"), "generate", &PromptPanel::generate_requested);
  localize_ = button(tr("&Localize"), tr("Patch every site alone, over pairs of words, and read the pictures"), "localize", &PromptPanel::localize_requested);
  edit_ = button(tr("&Edit text"), tr("Draw A's picture while the selected sites see prompt B"), "edit", &PromptPanel::edit_requested);
  rows->addLayout(line);
}

void PromptPanel::set_model(const event::ModelOpened& model) {
  auto give = [](QLineEdit* field, QString& given, const std::string& prompt) {
    if (field->text() != given) return;
    given = QString::fromStdString(prompt);
    field->setText(given);
    field->setCursorPosition(0);
  };
  give(source_, given_source_, model.source_prompt);
  give(target_, given_target_, model.target_prompt);
  steps_->setValue(static_cast<int>(model.default_steps));
  guidance_->setValue(model.default_guidance);
  guidance_->setToolTip(tr("Classifier-free guidance; up to %1: none").arg(model.no_guidance));
  learned_->set_learned(model.learned);
  upscale_steps_->setVisible(model.upscaler.has_value());
  upscale_steps_->setValue(model.upscaler ? static_cast<int>(model.upscaler->default_steps) : 0);
}

void PromptPanel::set_ready(bool ready, const std::vector<int>& sites) {
  generate_->setEnabled(ready);
  localize_->setEnabled(ready);
  edit_->setEnabled(ready && !sites.empty());
  edit_->setToolTip(sites.empty() ? tr("Select sites on the map first")
                                  : tr("Draw A's picture while sites %1 see prompt B").arg(QString::fromStdString(format_sites(sites))));
}

std::string PromptPanel::source() const { return source_->text().toStdString(); }
std::string PromptPanel::target() const { return target_->text().toStdString(); }

void PromptPanel::take_sampling() {
  sampling_->set(
      {.steps = steps_->value(), .guidance = guidance_->value(), .seed = static_cast<std::uint64_t>(seed_->value()), .upscale_steps = upscale_steps_->value()});
}

void PromptPanel::show_sampling() {
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
}

int PromptPanel::from_step() const { return from_step_->value(); }

}  // namespace glyphscope
