#include "app/window/finetune_form.h"

#include <QtWidgets>
#include <algorithm>
#include <cmath>

#include "app/window/form_fields.h"
#include "core/error.h"
#include "io/files.h"
#include "patching/patch_plan.h"
#include "widgets/plain_text_field.h"

namespace glyphscope {

namespace {

struct Preset {
  const char* name;
  int rank, steps, batch, accumulate, warmup;
  const char* rate;
  RateSchedule schedule;
  double snr_gamma;
};
constexpr Preset kPresets[] = {
    {QT_TR_NOOP("A demo model, in minutes"), 8, 400, 16, 1, 20, "1e-3", RateSchedule::constant, 0},
    {QT_TR_NOOP("Usual for Stable Diffusion (diffusers' example)"), 4, 15000, 1, 4, 0, "1e-4", RateSchedule::cosine, 5},
    {QT_TR_NOOP("The paper's for SDXL: large batches, a low rate"), 4, 7254, 4, 128, 0, "1e-6", RateSchedule::constant, 0},
};

enum WhereIndex { kSelected, kAllSites, kEveryAttention };

const std::vector<std::string> kProjections[] = {
    {"auto"},
    {"paper"},
    {"kv"},
    {"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"},
};

QString own_folder() {
  const QString base = QStandardPaths::writableLocation(QStandardPaths::DocumentsLocation) + "/Glyphscope/adapter-";
  int number = 1;
  while (QFileInfo::exists(base + QString::number(number))) ++number;
  return base + QString::number(number);
}

}  // namespace

class FinetuneForm::Fields : public FormFields {
 public:
  explicit Fields(FinetuneForm* owner) : FormFields(owner, tr("Batches a step"), [owner] { owner->refresh(); }), owner_(owner) {}

  QLineEdit* folder(const QString& label, const QString& tip, const char* name, const QString& title) {
    auto* line = new QHBoxLayout;
    auto* edit = new QLineEdit(owner_);
    edit->setToolTip(tip);
    edit->setObjectName(name);
    auto* browse = new QPushButton(tr("Folder\u2026"), owner_);
    connect(browse, &QPushButton::clicked, owner_, [owner = owner_, edit, title] {
      const QString chosen = QFileDialog::getExistingDirectory(owner, title, edit->text());
      if (chosen.isEmpty()) return;
      edit->setText(chosen);
      owner->asked_.clear();  // its pictures may be others by now
      emit edit->editingFinished();
    });
    line->addWidget(edit, 1);
    line->addWidget(browse);
    form()->addRow(caption(label, edit), line);
    connect(edit, &QLineEdit::textChanged, owner_, &FinetuneForm::refresh);
    return edit;
  }

 private:
  FinetuneForm* owner_;
};

FinetuneForm::FinetuneForm(SiteSelection* selection, QWidget* parent) : QWidget(parent), selection_(selection) {
  Fields fields(this);
  add_pictures(fields);
  add_layers(fields);
  add_training(fields);
  add_samples(fields);
  add_folder(fields);
  fields.rows()->addStretch(1);
  fields.guard_wheel();
  connect(selection_, &SiteSelection::changed, this, &FinetuneForm::refresh);
  apply_preset(0);
  propose_folder();
}

void FinetuneForm::add_pictures(Fields& fields) {
  fields.group(tr("Pictures to learn from"));
  pictures_ = fields.folder(
      tr("Folder"),
      tr("Pictures with captions: a metadata.jsonl or metadata.csv (Hugging Face's imagefolder), or a .txt or .caption beside each picture (kohya's)"),
      "training_pictures", tr("Pictures to learn from"));
  connect(pictures_, &QLineEdit::returnPressed, this, [this] { asked_.clear(); });
  connect(pictures_, &QLineEdit::editingFinished, this, &FinetuneForm::ask_for_pictures);
  held_out_ = fields.whole(tr("Held out"), tr("Share of the pictures that is not learned from, but tells how well it learns"), "held_out", 0, 90, 10);
  held_out_->setSuffix(tr(" %"));
  connect(held_out_, &QSpinBox::editingFinished, this, &FinetuneForm::ask_for_pictures);
  pictures_facts_ = fields.facts("pictures_facts");
}

void FinetuneForm::add_layers(Fields& fields) {
  fields.group(tr("Layers"));
  where_ = fields.combo({tr("the selected sites"), tr("all sites"), tr("every attention layer")}, tr("Train"),
                        tr("Sites are chosen on the map, the list or the heatmap; every attention layer is those that read no prompt too"), "where");
  projections_ = fields.combo(
      {tr("what was localized"), tr("Q, K, V and output (the paper's)"), tr("K and V of the prompt"), tr("all, the prompt's own too")}, tr("Of each"),
      tr("Which linear layers get an adapter. What was localized are the prompt's own K and V where the prompt has projections of its own, "
         "of which Q, K, V and output are the picture's; elsewhere Q, K, V and output"),
      "projections");
  method_ = fields.combo({tr("LoRA"), tr("DoRA"), tr("LoHa"), tr("LoKr")}, tr("Method"),
                         tr("DoRA learns the length of each row too; LoHa and LoKr are LyCORIS' products of products, written by its names"), "method");
  rank_ = fields.whole(tr("Rank"), tr("Rank of the adapter: more learn more, and take more"), "rank", 1, 4096, 4);
  encoders_ = fields.field(new QCheckBox(tr("learn too"), this), tr("Text encoders"), {}, "text_encoders");
  connect(encoders_, &QCheckBox::toggled, this, &FinetuneForm::refresh);
  share_ = fields.facts("share");
}

void FinetuneForm::add_training(Fields& fields) {
  fields.group(tr("Training"));
  QStringList names;
  for (const auto& preset : kPresets) names << tr(preset.name);
  preset_ = fields.combo(names, tr("Preset"), tr("Fills the fields below"), "preset");
  connect(preset_, &QComboBox::activated, this, &FinetuneForm::apply_preset);
  steps_ = fields.whole(tr("Steps"), tr("Steps of the optimizer"), "training_steps", 1, 10'000'000, 400);
  batch_ = fields.whole(tr("Batch"), tr("Pictures at once"), "batch", 1, 4096, 4);
  accumulate_ =
      fields.whole(tr("Batches a step"), tr("Gradients of so many batches make one step: like larger batches, without their memory"), "accumulate", 1, 4096, 1);
  rate_ = fields.field(new QLineEdit(this), tr("Learning rate"), tr("For example 1e-4"), "rate");
  auto* number = new QDoubleValidator(0, 10, 12, rate_);
  number->setLocale(QLocale::c());
  number->setNotation(QDoubleValidator::ScientificNotation);
  rate_->setValidator(number);
  connect(rate_, &QLineEdit::textChanged, this, &FinetuneForm::refresh);
  schedule_ = fields.combo({tr("constant"), tr("linear"), tr("cosine")}, tr("Schedule"), tr("What becomes of the rate after the warm-up"), "schedule");
  warmup_ = fields.whole(tr("Warm-up"), tr("Steps over which the rate rises"), "warmup", 0, 10'000'000, 0);
  resolution_ = fields.whole(tr("Resolution"), tr("Pixels a side of a square picture; others keep their aspect"), "resolution", 0, 8192, 0);
  resolution_->setSpecialValueText(tr("the model's"));
  seed_ = fields.whole(tr("Seed"), tr("The same seed gives the same adapter, to the bit"), "training_seed", 0, 2147483647, 42);
  auto* more = new QToolButton(this);
  more->setText(tr("More settings"));
  more->setCheckable(true);
  more->setAutoRaise(true);
  more->setArrowType(Qt::RightArrow);
  more->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  fields.form()->addRow(more);
  auto* hidden = build_more();
  fields.rows()->addWidget(hidden);
  hidden->hide();
  connect(more, &QToolButton::toggled, this, [more, hidden](bool on) {
    more->setArrowType(on ? Qt::DownArrow : Qt::RightArrow);
    hidden->setVisible(on);
  });
}

void FinetuneForm::add_samples(Fields& fields) {
  fields.group(tr("Samples"));
  sample_every_ = fields.whole(tr("Every"), tr("Steps between two sets of sample pictures, which take time"), "sample_every", 0, 1'000'000, 100);
  sample_every_->setSuffix(tr(" steps"));
  sample_every_->setSpecialValueText(tr("never"));
  prompts_ = fields.field(new PlainTextField(this), tr("Prompts"),
                          tr("One a line; those with text in double quotes show how well it is written, those without how far the model has drifted"),
                          "sample_prompts");
  prompts_->setPlaceholderText(tr("the usual ones, of both kinds"));
  prompts_->setFixedHeight(4 * fontMetrics().lineSpacing());
  prompts_->setTabChangesFocus(true);
}

void FinetuneForm::add_folder(Fields& fields) {
  fields.group(tr("Adapter"));
  folder_ = fields.folder(tr("Folder"), tr("Where the adapter, its checkpoints, curves and samples go"), "training_folder", tr("Folder of the adapter"));
  connect(folder_, &QLineEdit::editingFinished, this, &FinetuneForm::take_settings);
  folder_facts_ = fields.facts("folder_facts");
}

QWidget* FinetuneForm::build_more() {
  auto* panel = new QWidget(this);
  auto* form = new QFormLayout(panel);
  form->setContentsMargins(0, 0, 0, 0);
  form->setSpacing(4);
  auto real = [&](const QString& label, const QString& tip, double low, double high, double value, double by, int decimals) {
    auto* box = new QDoubleSpinBox(panel);
    box->setDecimals(decimals);
    box->setRange(low, high);
    box->setSingleStep(by);
    box->setValue(value);
    box->setToolTip(tip);
    form->addRow(label, box);
    return box;
  };
  alpha_ = real(tr("Alpha"), tr("The adapter counts alpha / rank times"), 0, 4096, 0, 1, 1);
  alpha_->setSpecialValueText(tr("the rank"));
  init_ = new QComboBox(panel);
  init_->addItems({tr("Gaussian, as in the paper"), tr("Kaiming, PEFT's default")});
  form->addRow(tr("Start"), init_);
  dropout_ = real(tr("Dropout"), tr("Share of what the adapter reads that is left out"), 0, 0.9, 0, 0.05, 2);
  caption_dropout_ = real(tr("Caption dropout"), tr("Share of the captions that are left out, for guidance to work"), 0, 1, 0.1, 0.05, 2);
  snr_gamma_ = real(tr("SNR gamma"), tr("Weighs timesteps by min(SNR, gamma)"), 0, 100, 0, 1, 1);
  snr_gamma_->setSpecialValueText(tr("off"));
  weight_decay_ = real(tr("Weight decay"), tr("AdamW's"), 0, 1, 0.01, 0.01, 4);
  clip_ = real(tr("Gradient norm"), tr("Largest norm of the gradient; more is scaled down"), 0.001, 1000, 1, 0.5, 3);
  const auto often = [&](const QString& label, const QString& tip, int value) {
    auto* box = new QSpinBox(panel);
    box->setRange(1, 1'000'000);
    box->setValue(value);
    box->setSuffix(tr(" steps"));
    box->setToolTip(tip);
    form->addRow(label, box);
    return box;
  };
  evaluate_every_ = often(tr("Measure every"), tr("Steps between two measurements of the held-out loss, which take time"), 50);
  save_every_ = often(tr("Save every"), tr("Steps between two checkpoints"), 250);
  checkpointing_ = new QCheckBox(tr("Gradient checkpointing"), panel);
  checkpointing_->setToolTip(tr("Less memory for more time: blocks are computed again on the way back"));
  form->addRow(checkpointing_);
  return panel;
}

void FinetuneForm::apply_preset(int index) {
  const Preset& preset = kPresets[index];
  rank_->setValue(preset.rank);
  steps_->setValue(preset.steps);
  batch_->setValue(preset.batch);
  accumulate_->setValue(preset.accumulate);
  rate_->setText(preset.rate);
  schedule_->setCurrentIndex(static_cast<int>(preset.schedule));
  warmup_->setValue(preset.warmup);
  snr_gamma_->setValue(preset.snr_gamma);
}

void FinetuneForm::set_model(const event::ModelOpened& model) {
  model_ = model;
  taken_.clear();
  QStringList names;
  for (const auto& name : model.text_encoders) names << QString::fromStdString(name);
  encoders_->setEnabled(!names.isEmpty());
  encoders_->setToolTip(names.isEmpty() ? tr("The model's text encoder takes no adapter")
                                        : tr("Their attention layers get an adapter of the same method and rank: %1. A step takes longer, as captions are "
                                             "read anew each time")
                                              .arg(names.join(tr(", "))));
  take_settings();
}

void FinetuneForm::lock(const std::optional<LoraPlan>& plan) {
  locked_ = plan;
  setEnabled(!plan);
  refresh();
}

void FinetuneForm::propose_folder() {
  if (folder_->text() == own_) folder_->setText(own_ = own_folder());
}

void FinetuneForm::show_pictures(int count, const QString& facts) {
  pictures_found_ = count;
  pictures_facts_->setText(facts);
  refresh();
}

QString FinetuneForm::folder() const { return folder_->text().trimmed(); }

void FinetuneForm::forget_pictures() { asked_.clear(); }

void FinetuneForm::ask_for_pictures() {
  const QString folder = pictures_->text().trimmed(), asked = QStringLiteral("%1|%2").arg(folder).arg(held_out_->value());
  if (folder.isEmpty() || asked == asked_) return;
  asked_ = asked;
  show_pictures(0, tr("Reading the folder\u2026"));
  emit pictures_asked(folder, held_out_->value() / 100.0);
}

command::Finetune FinetuneForm::command() const {
  command::Finetune out{model_.hash, pictures_->text().trimmed().toStdString(), {}, folder_->text().trimmed().toStdString()};
  FinetuneSettings& settings = out.settings;
  if (taken_ == folder_->text().trimmed()) settings = begun_;
  LoraPlan& plan = settings.plan;
  plan.every_attention = where_->currentIndex() == kEveryAttention;
  plan.sites.clear();
  if (where_->currentIndex() == kSelected) plan.sites = selection_->sorted();
  if (where_->currentIndex() == kAllSites)
    for (const auto& site : model_.table.sites) plan.sites.push_back(site.index);
  if (const int index = projections_->currentIndex(); index >= 0) plan.projections = kProjections[index];
  plan.method = static_cast<AdapterMethod>(method_->currentIndex());
  // A training that goes on has those that it began with.
  if (!encoders_->isChecked() || !encoders_->isEnabled())
    settings.text_encoders.clear();
  else if (settings.text_encoders.empty())
    settings.text_encoders = {"all"};
  plan.rank = rank_->value();
  plan.alpha = alpha_->value();
  plan.init = init_->currentIndex() == 0 ? LoraInit::gaussian : LoraInit::kaiming;
  settings.steps = steps_->value();
  settings.batch = batch_->value();
  settings.accumulate = accumulate_->value();
  settings.rate = QLocale::c().toDouble(rate_->text());
  settings.schedule = static_cast<RateSchedule>(schedule_->currentIndex());
  settings.warmup = warmup_->value();
  settings.resolution = resolution_->value();
  settings.seed = static_cast<std::uint64_t>(seed_->value());
  settings.held_out = held_out_->value() / 100.0;
  settings.dropout = dropout_->value();
  settings.caption_dropout = caption_dropout_->value();
  settings.snr_gamma = snr_gamma_->value();
  settings.weight_decay = weight_decay_->value();
  settings.clip_norm = clip_->value();
  settings.checkpointing = checkpointing_->isChecked();
  settings.evaluate_every = evaluate_every_->value();
  settings.save_every = save_every_->value();
  settings.sample_every = sample_every_->value();
  for (const QString& line : prompts_->toPlainText().split('\n', Qt::SkipEmptyParts))
    if (!line.trimmed().isEmpty() && !line.startsWith('#')) settings.sample_prompts.push_back(line.trimmed().toStdString());
  out.resume = QFileInfo::exists(folder_->text().trimmed() + "/checkpoint/settings.json");
  return out;
}

void FinetuneForm::take_settings() {
  const QString folder = folder_->text().trimmed(), file = folder + "/checkpoint/settings.json";
  if (!folder.isEmpty() && folder == taken_) return;
  begun_ = {};
  taken_.clear();
  if (projections_->currentIndex() < 0) projections_->setCurrentIndex(0);
  if (!QFileInfo::exists(file)) return refresh();
  const auto read = attempt([&] {
    const auto document = read_json(file.toStdString());
    if (document.value("model_hash", "") != model_.hash) reject("it is of another model", folder.toStdString());
    return FinetuneSettings::parse(document.at("settings"));
  });
  if (!read) return refresh();  // the engine says what is wrong
  taken_ = folder;
  begun_ = *read;
  const LoraPlan& plan = begun_.plan;
  where_->setCurrentIndex(plan.every_attention ? kEveryAttention : kSelected);
  if (!plan.every_attention) selection_->select(QSet<int>(plan.sites.begin(), plan.sites.end()));
  const auto known = std::find(std::begin(kProjections), std::end(kProjections), plan.projections);
  projections_->setCurrentIndex(known == std::end(kProjections) ? -1 : static_cast<int>(known - std::begin(kProjections)));
  method_->setCurrentIndex(static_cast<int>(plan.method));
  encoders_->setChecked(!begun_.text_encoders.empty());
  rank_->setValue(static_cast<int>(plan.rank));
  alpha_->setValue(plan.alpha);
  init_->setCurrentIndex(plan.init == LoraInit::gaussian ? 0 : 1);
  if (begun_.schedule != RateSchedule::constant) steps_->setValue(static_cast<int>(begun_.steps));
  batch_->setValue(static_cast<int>(begun_.batch));
  accumulate_->setValue(static_cast<int>(begun_.accumulate));
  rate_->setText(QString::number(begun_.rate, 'g', 15));
  schedule_->setCurrentIndex(static_cast<int>(begun_.schedule));
  warmup_->setValue(static_cast<int>(begun_.warmup));
  resolution_->setValue(static_cast<int>(begun_.resolution));
  seed_->setValue(static_cast<int>(begun_.seed));
  held_out_->setValue(static_cast<int>(std::lround(100 * begun_.held_out)));
  dropout_->setValue(begun_.dropout);
  caption_dropout_->setValue(begun_.caption_dropout);
  snr_gamma_->setValue(begun_.snr_gamma);
  weight_decay_->setValue(begun_.weight_decay);
  clip_->setValue(begun_.clip_norm);
  checkpointing_->setChecked(begun_.checkpointing);
  refresh();
  ask_for_pictures();
}

QString FinetuneForm::missing() const {
  const command::Finetune now = command();
  const LoraPlan& plan = now.settings.plan;
  if (model_.table.sites.empty()) return tr("Open a model first");
  if (model_.upscaler) return tr("Of a cascade, open the first stage alone to fine-tune it");
  if (plan.sites.empty() && !plan.every_attention) return tr("Select sites on the map: those that Localize found");
  if (plan.parameters(model_.projections) == 0) return tr("These layers have no such projections");
  if (now.pictures.empty()) return tr("Choose a folder of pictures");
  if (pictures_found_ == 0) return tr("The folder has no pictures to learn from");
  if (!(now.settings.rate > 0)) return tr("The learning rate is not over 0");
  if (now.folder.empty()) return tr("Choose a folder for the adapter");
  return {};
}

// How much is trained, and of what.
QString FinetuneForm::plan_text(const LoraPlan& plan) const {
  LoraPlan everywhere = plan;
  everywhere.every_attention = false;
  everywhere.sites.clear();
  for (const auto& site : model_.table.sites) everywhere.sites.push_back(site.index);
  const std::int64_t trained = plan.parameters(model_.projections), all = everywhere.parameters(model_.projections);
  if (trained == 0) return {};
  const QString where = plan.every_attention     ? tr("Every attention layer")
                        : plan.sites.size() == 1 ? tr("Site %1").arg(plan.sites[0])
                                                 : tr("Sites %1").arg(QString::fromStdString(format_sites(plan.sites)));
  const auto denoiser = static_cast<double>(model_.table.denoiser_parameters);
  const QLocale locale;
  return tr("%1: %2 parameters, %3 % of the denoiser's %4 M; all sites: %5")
      .arg(where, locale.toString(static_cast<qlonglong>(trained)))
      .arg(100 * static_cast<double>(trained) / denoiser, 0, 'f', 3)
      .arg(denoiser / 1e6, 0, 'f', 1)
      .arg(locale.toString(static_cast<qlonglong>(all)));
}

void FinetuneForm::refresh() {
  if (!folder_facts_) return;  // still being built
  const command::Finetune now = command();
  const QString plan = plan_text(locked_ ? *locked_ : now.settings.plan);
  share_->setText(plan.isEmpty() ? tr("Nothing is trained: select sites on the map") : plan);
  if (pictures_->text().trimmed().isEmpty()) pictures_facts_->setText(tr("With a metadata.jsonl or metadata.csv, or a .txt or .caption beside each picture"));
  const bool taken = !taken_.isEmpty() && taken_ == folder_->text().trimmed();
  folder_facts_->setText(
      taken ? tr("The folder holds a training, whose settings were filled in. It goes on if they stay and the pictures are the same; to begin "
                 "anew, choose another folder.")
            : tr("The folder holds a training. It goes on if settings, pictures and model are the same; to begin anew, choose another folder."));
  folder_facts_->setVisible(!locked_ && now.resume);
  emit changed();
}

}  // namespace glyphscope
