#include "app/window/edit_form.h"

#include <QtWidgets>

#include "app/window/learned_note.h"
#include "app/window/picture_text.h"
#include "app/window/sampling_fields.h"
#include "app/window/wording.h"
#include "core/error.h"
#include "experiments/prompt_set.h"
#include "patching/patch_plan.h"
#include "widgets/elided_label.h"
#include "widgets/flow_layout.h"

namespace glyphscope {

EditForm::EditForm(Workbench* bench, QWidget* parent) : QWidget(parent), bench_(bench) {
  auto* grid = new QGridLayout(this);
  grid->setContentsMargins(0, 0, 0, 0);
  grid->setHorizontalSpacing(8);
  grid->setVerticalSpacing(6);
  grid->setColumnStretch(1, 1);
  add_prompts(grid);
  add_sites(grid);
  add_choices(grid);
  add_progress(grid);
  connect(bench->selection(), &SiteSelection::changed, this, &EditForm::refresh);
  connect(bench->sampling(), &SharedSampling::changed, this, &EditForm::refresh);
  connect(this, &EditForm::changed, this, &EditForm::refresh);
  refresh();
}

void EditForm::add_prompts(QGridLayout* grid) {
  source_label_ = new QLabel(tr("Source"), this);
  source_ = new QLineEdit(this);
  source_->setObjectName("edit_source");
  source_->setToolTip(tr("The prompt that draws the picture; of a real picture, what it shows, with its text in quotation marks"));
  target_ = new QLineEdit(this);
  target_->setObjectName("edit_target");
  target_->setToolTip(tr("The prompt with the new text. Once there is a result, typing draws it again after a pause."));
  choose_ = new QPushButton(tr("Picture\u2026"), this);
  choose_->setObjectName("edit_picture");
  choose_->setToolTip(tr("Edit a real picture (PNG, JPEG, WebP, TIFF, BMP) in place of one that the source prompt draws"));
  forget_ = new QPushButton(tr("No picture"), this);
  forget_->setObjectName("edit_no_picture");
  grid->addWidget(source_label_, 0, 0);
  grid->addWidget(source_, 0, 1);
  grid->addWidget(choose_, 0, 2);
  grid->addWidget(forget_, 0, 3);
  auto* target_label = new QLabel(tr("Tar&get"), this);
  target_label->setBuddy(target_);
  source_label_->setBuddy(source_);
  grid->addWidget(target_label, 1, 0);
  grid->addWidget(target_, 1, 1);
  edit_ = new QPushButton(tr("Edit text"), this);
  edit_->setObjectName("edit_text");
  edit_->setDefault(true);
  stop_ = new QPushButton(tr("Stop"), this);
  stop_->setObjectName("edit_stop");
  grid->addWidget(edit_, 1, 2);
  grid->addWidget(stop_, 1, 3);
  learned_ = new LearnedNote({source_, target_}, this);
  learned_->setObjectName("edit_limit");
  grid->addWidget(learned_, 2, 0, 1, 4);
  connect(choose_, &QPushButton::clicked, this, [this] {
    const QString file = QFileDialog::getOpenFileName(this, tr("Edit a picture"), {}, tr("Pictures (*.png *.jpg *.jpeg *.webp *.tif *.tiff *.bmp)"));
    if (!file.isEmpty()) set_picture(file);
  });
  connect(forget_, &QPushButton::clicked, this, [this] { set_picture({}); });
  connect(edit_, &QPushButton::clicked, this, &EditForm::edit_requested);
  connect(stop_, &QPushButton::clicked, this, &EditForm::stop_requested);
  for (auto* field : {source_, target_}) {
    connect(field, &QLineEdit::textEdited, this, &EditForm::changed);
    connect(field, &QLineEdit::returnPressed, this, &EditForm::edit_requested);
  }
}

void EditForm::add_sites(QGridLayout* grid) {
  auto* line = new FlowLayout;
  sampling_ = new SamplingFields(bench_->sampling(), line, this, "edit_");
  grid->addLayout(line, 3, 0, 1, 4);
  line = new FlowLayout;
  const auto slider = [&](const QString& name, const char* object, const QString& tip, const QString& widest, QLabel*& value) {
    auto* out = new QSlider(Qt::Horizontal, this);
    out->setObjectName(object);
    out->setToolTip(tip);
    out->setMaximumWidth(160);
    value = new QLabel(this);
    value->setMinimumWidth(fontMetrics().horizontalAdvance(widest));
    line->add_field(name, out);
    line->addWidget(value);
    connect(out, &QSlider::valueChanged, this, &EditForm::changed);
    return out;
  };
  from_step_ =
      slider(tr("From step"), "edit_from_step",
             tr("First step at which the sites see the target: the later, the more of the source stays, and the less is computed"), "000", from_step_value_);
  strength_ = slider(tr("Strength"), "edit_strength", tr("How far the sites' keys and values go from the source's, 0 %, to the target's, 100 %"), "100 %",
                     strength_value_);
  connect(from_step_, &QSlider::valueChanged, this, [this](int step) { wanted_step_ = step; });
  {
    const QSignalBlocker block(strength_);
    strength_->setRange(0, 100);
    strength_->setValue(100);
  }
  heads_ = new QLineEdit(this);
  heads_->setObjectName("edit_heads");
  heads_->setPlaceholderText(tr("all"));
  heads_->setMaximumWidth(fontMetrics().horizontalAdvance("0:0-9; 00:00") + 24);
  heads_->setToolTip(tr("Which heads of the sites see the target, by number: 0,2 of each site, or 5:0,2; 8:1 of single ones. Empty: all"));
  connect(heads_, &QLineEdit::textEdited, this, &EditForm::changed);
  line->add_field(tr("He&ads"), heads_);
  line->add_stretch();
  auto* history = new QWidget(this);
  auto* both = new QHBoxLayout(history);
  both->setContentsMargins(0, 0, 0, 0);
  line->addWidget(history);
  const auto button = [&](const QString& text, const char* object, auto signal) {
    auto* out = new QPushButton(text, this);
    out->setObjectName(object);
    both->addWidget(out);
    connect(out, &QPushButton::clicked, this, signal);
    return out;
  };
  undo_ = button(tr("Undo"), "edit_undo", &EditForm::undo_requested);
  redo_ = button(tr("Redo"), "edit_redo", &EditForm::redo_requested);
  grid->addLayout(line, 4, 0, 1, 4);
}

void EditForm::add_choices(QGridLayout* grid) {
  auto* line = new FlowLayout;
  masked_ = new QCheckBox(tr("Keep all but the text"), this);
  masked_->setObjectName("edit_masked");
  masked_->setToolTip(tr("Nothing changes outside the box on the source: not one bit. It is about the source's text until you drag it"));
  connect(masked_, &QCheckBox::toggled, this, [this](bool on) {
    if (!on) mask_.reset();
    emit box_changed();
  });
  line->addWidget(masked_);
  compared_ = new QCheckBox(tr("Compare"), this);
  compared_->setObjectName("edit_compared");
  compared_->setToolTip(tr("Beside it what one would do otherwise: the target prompt from the same noise, alone and with Prompt-to-Prompt"));
  line->addWidget(compared_);
  for (auto* box : {masked_, compared_}) connect(box, &QCheckBox::toggled, this, &EditForm::changed);
  refinements_ = new QSpinBox(this);
  refinements_->setObjectName("edit_refinements");
  refinements_->setRange(0, 20);
  refinements_->setValue(3);
  refinements_->setPrefix(tr("Refinements: "));
  refinements_->setToolTip(tr("Of a real picture: how often each step of its inversion is estimated anew"));
  connect(refinements_, &QSpinBox::valueChanged, this, &EditForm::changed);
  line->addWidget(refinements_);
  texts_ = new QLineEdit(this);
  texts_->setObjectName("edit_texts");
  texts_->setAccessibleName(tr("Other texts"));
  texts_->setPlaceholderText(tr("Other texts, with commas between"));
  texts_->setToolTip(tr("Each takes the place of the target's text in quotation marks; empty: the target's own text alone"));
  connect(texts_, &QLineEdit::returnPressed, this, &EditForm::variants_requested);
  line->addWidget(texts_);
  each_step_ = new QCheckBox(tr("from four steps"), this);
  each_step_->setObjectName("edit_each_step");
  each_step_->setToolTip(tr("Each text from the first step, and from a quarter, half and three quarters of the way"));
  line->addWidget(each_step_);
  variants_ = new QPushButton(tr("Draw variants"), this);
  variants_->setObjectName("edit_variants");
  variants_->setToolTip(tr("In one batch; each goes into the history"));
  connect(variants_, &QPushButton::clicked, this, &EditForm::variants_requested);
  line->addWidget(variants_);
  grid->addLayout(line, 5, 0, 1, 4);
}

void EditForm::add_progress(QGridLayout* grid) {
  auto* line = new QHBoxLayout;
  status_ = new ElidedLabel(this);
  status_->setObjectName("edit_status");
  bar_ = new QProgressBar(this);
  bar_->setTextVisible(false);
  bar_->setMaximumHeight(8);
  line->addWidget(status_, 1);
  line->addWidget(bar_, 1);
  grid->addLayout(line, 6, 0, 1, 4);
}

void EditForm::set_model(const event::ModelOpened& model) {
  model_ = true;
  default_steps_ = model.default_steps;
  table_ = model.table;
  learned_->set_learned(model.learned);
  sampling_->set_model(model);
  heads_->clear();
  strength_->setValue(strength_->maximum());
  source_->setText(QString::fromStdString(model.source_prompt));
  target_->setText(QString::fromStdString(model.target_prompt));
  set_picture({});
}

void EditForm::set_picture(const QString& file) {
  const bool other = picture_ != file;
  if (other) mask_.reset();
  picture_ = file;
  source_label_->setText(file.isEmpty() ? tr("Source") : tr("Shows"));
  choose_->setText(file.isEmpty() ? tr("Picture\u2026") : QFileInfo(file).fileName());
  choose_->setToolTip(file);
  emit changed();
  if (other) emit picture_changed();
}

void EditForm::set_mask(const QRect& mask) {
  mask_ = mask;
  emit changed();
}

bool EditForm::masked() const { return masked_->isChecked(); }
bool EditForm::compared() const { return compared_->isChecked(); }
bool EditForm::ready() const { return edit_->isEnabled(); }

std::int64_t EditForm::steps() const {
  const std::int64_t steps = bench_->sampling()->value().steps;
  return steps > 0 ? steps : default_steps_;
}

command::EditText EditForm::command() const {
  const Drawing drawing = bench_->drawing();
  command::EditText out;
  out.source = source_->text().toStdString();
  out.picture = picture_.toStdString();
  out.refinements = refinements_->value();
  out.sampling = drawing.sampling;
  out.targets = {target_->text().toStdString()};
  out.from_steps = {from_step_->value()};
  const std::vector<int> sites = bench_->selection()->sorted();
  std::map<int, std::vector<int>> heads;
  if (const auto typed = attempt([&] { return parse_heads(heads_->text().toStdString(), sites, table_); })) heads = *typed;
  out.plan = PatchPlan::at_sites(sites, heads, strength_->value() / 100.0);
  out.masked = masked();
  if (out.masked && mask_) out.mask = PixelBox{mask_->left(), mask_->top(), mask_->left() + mask_->width(), mask_->top() + mask_->height()};
  out.compared = compared();
  out.adapters = drawing.adapters;
  return out;
}

command::EditText EditForm::variants() const {
  command::EditText out = command();
  out.compared = false;
  std::vector<std::string> targets;
  for (const QString& text : texts_->text().split(',', Qt::SkipEmptyParts))
    if (!text.trimmed().isEmpty()) targets.push_back(with_quoted_text(out.targets.front(), text.trimmed().toStdString()));
  if (!targets.empty()) out.targets = std::move(targets);
  if (each_step_->isChecked()) {
    out.from_steps = {0};
    for (const std::int64_t quarter : {1, 2, 3})
      if (const auto step = static_cast<int>(quarter * steps() / 4); step > out.from_steps.back()) out.from_steps.push_back(step);
  }
  return out;
}

void EditForm::show_command(const command::EditText& command) {
  {
    const QSignalBlocker block(this);
    source_->setText(QString::fromStdString(command.source));
    target_->setText(QString::fromStdString(command.targets.front()));
    refresh();  // as many steps to begin at as there were
    from_step_->setValue(command.from_steps.front());
    strength_->setValue(static_cast<int>(std::lround(100 * command.plan.patches().front().strength)));
    heads_->setText(QString::fromStdString(format_heads(heads_of(command.plan))));
    masked_->setChecked(command.masked);
    compared_->setChecked(command.compared);
    refinements_->setValue(command.refinements);
    set_picture(QString::fromStdString(command.picture));
    mask_ = command.mask ? std::optional(to_rect(*command.mask)) : std::nullopt;
  }
  refresh();
}

void EditForm::set_source(const std::string& prompt) {
  source_->setText(QString::fromStdString(prompt));
  target_->setFocus();
  target_->selectAll();
}

void EditForm::set_state(bool busy, bool can_undo, bool can_redo) {
  stop_->setEnabled(busy);
  bar_->setVisible(busy);
  undo_->setEnabled(can_undo);
  redo_->setEnabled(can_redo);
}

void EditForm::set_status(const QString& text) { status_->setText(text); }

void EditForm::set_progress(std::int64_t done, std::int64_t total) {
  bar_->setRange(0, static_cast<int>(std::max<std::int64_t>(1, total)));
  bar_->setValue(static_cast<int>(done));
}

void EditForm::refresh() {
  const std::vector<int> sites = bench_->selection()->sorted();
  const auto heads = attempt([&] { return parse_heads(heads_->text().toStdString(), sites, table_); });
  edit_->setEnabled(model_ && !sites.empty() && heads && !target_->text().trimmed().isEmpty() && !source_->text().trimmed().isEmpty());
  edit_->setToolTip(!model_         ? tr("Open a model first")
                    : sites.empty() ? tr("Select the sites that write the text: click cells of the map")
                    : heads         ? QString()
                                    : in_words(heads.error()));
  variants_->setEnabled(edit_->isEnabled());
  if (model_) {  // fewer steps to begin at are no other edit, and there may be more again
    const QSignalBlocker block(from_step_);
    from_step_->setRange(0, static_cast<int>(steps()) - 1);
    from_step_->setValue(wanted_step_);
  }
  from_step_value_->setNum(from_step_->value());
  strength_value_->setText(tr("%1 %").arg(strength_->value()));
  forget_->setVisible(!picture_.isEmpty());
  refinements_->setVisible(!picture_.isEmpty());
}

}  // namespace glyphscope
