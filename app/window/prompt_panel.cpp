#include "app/window/prompt_panel.h"

#include <QtWidgets>

#include "app/window/learned_note.h"
#include "app/window/sampling_fields.h"
#include "patching/patch_plan.h"
#include "widgets/flow_layout.h"

namespace glyphscope {

PromptPanel::PromptPanel(SharedSampling* sampling, QWidget* parent) : QWidget(parent) {
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
    connect(edit, &QLineEdit::textChanged, this, &PromptPanel::prompts_changed);
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

  auto* line = new FlowLayout;
  fields_ = new SamplingFields(sampling, line, this);
  from_step_ = new QSpinBox(this);
  from_step_->setObjectName("from_step");
  from_step_->setToolTip(tr("First step at which the selected sites see prompt B; later keeps more of A's layout"));
  from_step_->setRange(0, 1000);
  line->add_field(tr("F&rom step"), from_step_);
  line->add_stretch();
  auto* buttons = new QWidget(this);
  auto* three = new QHBoxLayout(buttons);
  three->setContentsMargins(0, 0, 0, 0);
  line->addWidget(buttons);
  auto button = [&](const QString& text, const QString& tip, const char* name, auto signal) {
    auto* out = new QPushButton(text, this);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, signal);
    three->addWidget(out);
    return out;
  };
  generate_ = button(tr("&Generate"), tr("Draw prompt A and prompt B from the same noise"), "generate", &PromptPanel::generate_requested);
  localize_ = button(tr("&Localize"), tr("Patch every site alone, over pairs of words, and read the pictures"), "localize", &PromptPanel::localize_requested);
  edit_ = button(tr("Edit te&xt"), tr("Draw A's picture while the selected sites see prompt B"), "edit", &PromptPanel::edit_requested);
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
  learned_->set_learned(model.learned);
  fields_->set_model(model);
  fields_->take_models_own(model);
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

int PromptPanel::from_step() const { return from_step_->value(); }

}  // namespace glyphscope
