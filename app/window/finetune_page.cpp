#include "app/window/finetune_page.h"

#include <QtWidgets>

#include "app/window/samples_view.h"
#include "patching/patch_plan.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/picture_list.h"
#include "widgets/step_curves.h"

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
    {"to_q", "to_k", "to_v", "to_out.0"},
    {"kv"},
    {"to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"},
};

enum CurveIndex { kLoss, kSmooth, kHeldOut, kExact, kF1, kSsim };
std::vector<StepCurves::Curve> curve_list() {
  using Panel = StepCurves::Panel;
  return {{QObject::tr("learned from"), QColor(128, 144, 165, 110), Panel::losses, false},
          {QObject::tr("smoothed"), QColor(128, 144, 165), Panel::losses, false},
          {QObject::tr("held out"), QColor("#2f7fd0"), Panel::losses, true},
          {QObject::tr("words exact"), QColor("#2b9a5b"), Panel::shares, true},
          {QObject::tr("character F1"), QColor("#8a5cd0"), Panel::shares, true},
          {QObject::tr("SSIM to the base model"), QColor("#d3542a"), Panel::shares, true}};
}

QString own_folder() {
  const QString base = QStandardPaths::writableLocation(QStandardPaths::DocumentsLocation) + "/Glyphscope/adapter-";
  int number = 1;
  while (QFileInfo::exists(base + QString::number(number))) ++number;
  return base + QString::number(number);
}

// The wheel moves the panel, and changes no field that has not been chosen.
class WheelGuard : public QObject {
 public:
  using QObject::QObject;
  bool eventFilter(QObject* watched, QEvent* event) override {
    if (event->type() != QEvent::Wheel || static_cast<QWidget*>(watched)->hasFocus()) return false;
    event->ignore();
    return true;
  }
};

// The engine speaks of the command line's options.
QString in_words(QString text) {
  static const std::pair<const char*, const char*> kWords[] = {
      {"Pass --resume to go on with it, or choose another --out", QT_TR_NOOP("Choose another folder for the adapter")},
      {"--dtype fp32", QT_TR_NOOP("fp32 when the model is opened")},
      {"--held-out", QT_TR_NOOP("the share held out")},
      {"--rate", QT_TR_NOOP("the learning rate")},
      {"--rank", QT_TR_NOOP("the rank")},
      {"--sites", QT_TR_NOOP("the sites")},
      {"--projections", QT_TR_NOOP("the projections")},
      {"--out", QT_TR_NOOP("folder")}};
  for (const auto& [option, words] : kWords) text.replace(option, FinetunePage::tr(words));
  return text;
}

QString count_text(std::int64_t number) { return QLocale().toString(static_cast<qlonglong>(number)); }

}  // namespace

FinetunePage::FinetunePage(EngineBridge* engine, SiteSelection* selection, QWidget* parent) : QWidget(parent), engine_(engine), selection_(selection) {
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 6, 0, 0);
  rows->setSpacing(6);
  message_ = new MessageStrip(this);
  message_->setObjectName("finetune_message");
  rows->addWidget(message_);
  auto* sides = new QSplitter(Qt::Horizontal, this);
  sides->addWidget(build_settings());
  sides->addWidget(build_results());
  sides->setStretchFactor(0, 0);
  sides->setStretchFactor(1, 1);
  sides->setSizes({330, 560});
  sides->setChildrenCollapsible(false);
  rows->addWidget(sides, 1);
  connect(engine_, &EngineBridge::happened, this, [this](const Event& event) {
    if (event.job == job_ && job_) on_event(event);
    if (event.job == reading_ && reading_) on_pictures(event);
  });
  connect(selection_, &SiteSelection::changed, this, &FinetunePage::refresh);
  apply_preset(0);
  folder_->setText(own_ = own_folder());
  set_phase(Phase::idle);
}

QWidget* FinetunePage::build_settings() {
  auto* side = new QWidget(this);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(6);
  auto* area = new QScrollArea(side);
  area->setWidgetResizable(true);
  area->setFrameShape(QFrame::NoFrame);
  area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  settings_ = new QWidget(area);
  auto* rows = new QVBoxLayout(settings_);
  rows->setContentsMargins(0, 0, 8, 0);
  rows->setSpacing(4);

  QFormLayout* form = nullptr;
  // Fields of all groups begin in one line.
  const int width = fontMetrics().horizontalAdvance(tr("Batches a step")) + 8;
  auto caption = [&](const QString& text, QWidget* field) {
    auto* label = new QLabel(text, settings_);
    label->setMinimumWidth(width);
    label->setBuddy(field);
    return label;
  };
  auto group = [&](const QString& title) {
    auto* label = new QLabel(title, settings_);
    QFont bold = font();
    bold.setBold(true);
    label->setFont(bold);
    label->setContentsMargins(0, rows->isEmpty() ? 0 : 8, 0, 0);
    rows->addWidget(label);
    form = new QFormLayout;
    form->setSpacing(4);
    form->setFieldGrowthPolicy(QFormLayout::AllNonFixedFieldsGrow);
    rows->addLayout(form);
  };
  auto field = [&](auto* widget, const QString& label, const QString& tip, const char* name) {
    widget->setToolTip(tip);
    widget->setObjectName(name);
    form->addRow(caption(label, widget), widget);
    return widget;
  };
  auto whole = [&](const QString& label, const QString& tip, const char* name, int low, int high, int value) {
    auto* box = field(new QSpinBox(settings_), label, tip, name);
    box->setRange(low, high);
    box->setValue(value);
    connect(box, &QSpinBox::valueChanged, this, &FinetunePage::refresh);
    return box;
  };
  auto combo = [&](const QStringList& items, const QString& label, const QString& tip, const char* name) {
    auto* box = field(new QComboBox(settings_), label, tip, name);
    box->addItems(items);
    box->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    box->setMinimumContentsLength(10);
    connect(box, &QComboBox::currentIndexChanged, this, &FinetunePage::refresh);
    return box;
  };
  auto folder = [&](const QString& label, const QString& tip, const char* name, const QString& title) {
    auto* line = new QHBoxLayout;
    auto* edit = new QLineEdit(settings_);
    edit->setToolTip(tip);
    edit->setObjectName(name);
    auto* browse = new QPushButton(tr("Folder\u2026"), settings_);
    connect(browse, &QPushButton::clicked, this, [this, edit, title] {
      const QString chosen = QFileDialog::getExistingDirectory(this, title, edit->text());
      if (chosen.isEmpty()) return;
      edit->setText(chosen);
      asked_.clear();  // its pictures may be others by now
      emit edit->editingFinished();
    });
    line->addWidget(edit, 1);
    line->addWidget(browse);
    form->addRow(caption(label, edit), line);
    connect(edit, &QLineEdit::textChanged, this, &FinetunePage::refresh);
    return edit;
  };
  auto facts = [&](const char* name) {
    auto* label = new QLabel(settings_);
    label->setWordWrap(true);
    label->setForegroundRole(QPalette::PlaceholderText);
    label->setObjectName(name);
    form->addRow(label);
    return label;
  };

  group(tr("Pictures to learn from"));
  pictures_ = folder(tr("Folder"), tr("Pictures with captions: a metadata.jsonl (Hugging Face's imagefolder), or a .txt beside each picture (kohya's)"),
                     "training_pictures", tr("Pictures to learn from"));
  connect(pictures_, &QLineEdit::returnPressed, this, [this] { asked_.clear(); });
  connect(pictures_, &QLineEdit::editingFinished, this, &FinetunePage::read_pictures);
  held_out_ = whole(tr("Held out"), tr("Share of the pictures that is not learned from, but tells how well it learns"), "held_out", 0, 90, 10);
  held_out_->setSuffix(tr(" %"));
  connect(held_out_, &QSpinBox::editingFinished, this, &FinetunePage::read_pictures);
  pictures_facts_ = facts("pictures_facts");

  group(tr("Layers"));
  where_ = combo({tr("the selected sites"), tr("all sites"), tr("every attention layer")}, tr("Train"),
                 tr("Sites are chosen on the map, the list or the heatmap; every attention layer is those that read no prompt too"), "where");
  projections_ = combo({tr("Q, K, V and output"), tr("K and V of the prompt"), tr("all, the prompt's own too")}, tr("Of each"),
                       tr("Which linear layers get an adapter; the prompt's own are those of joint and added-KV attention"), "projections");
  rank_ = whole(tr("Rank"), tr("Rank of the adapter: more learn more, and take more"), "rank", 1, 4096, 4);
  share_ = facts("share");

  group(tr("Training"));
  QStringList names;
  for (const auto& preset : kPresets) names << tr(preset.name);
  preset_ = combo(names, tr("Preset"), tr("Fills the fields below"), "preset");
  connect(preset_, &QComboBox::activated, this, &FinetunePage::apply_preset);
  steps_ = whole(tr("Steps"), tr("Steps of the optimizer"), "training_steps", 1, 10'000'000, 400);
  batch_ = whole(tr("Batch"), tr("Pictures at once"), "batch", 1, 4096, 4);
  accumulate_ =
      whole(tr("Batches a step"), tr("Gradients of so many batches make one step: like larger batches, without their memory"), "accumulate", 1, 4096, 1);
  rate_ = field(new QLineEdit(settings_), tr("Learning rate"), tr("For example 1e-4"), "rate");
  auto* number = new QDoubleValidator(0, 10, 12, rate_);
  number->setLocale(QLocale::c());
  number->setNotation(QDoubleValidator::ScientificNotation);
  rate_->setValidator(number);
  connect(rate_, &QLineEdit::textChanged, this, &FinetunePage::refresh);
  schedule_ = combo({tr("constant"), tr("linear"), tr("cosine")}, tr("Schedule"), tr("What becomes of the rate after the warm-up"), "schedule");
  warmup_ = whole(tr("Warm-up"), tr("Steps over which the rate rises"), "warmup", 0, 10'000'000, 0);
  resolution_ = whole(tr("Resolution"), tr("Pixels a side of a square picture; others keep their aspect"), "resolution", 0, 8192, 0);
  resolution_->setSpecialValueText(tr("the model's"));
  seed_ = whole(tr("Seed"), tr("The same seed gives the same adapter, to the bit"), "training_seed", 0, 2147483647, 42);
  auto* more = new QToolButton(settings_);
  more->setText(tr("More settings"));
  more->setCheckable(true);
  more->setAutoRaise(true);
  more->setArrowType(Qt::RightArrow);
  more->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  form->addRow(more);
  auto* hidden = build_more();
  rows->addWidget(hidden);
  hidden->hide();
  connect(more, &QToolButton::toggled, this, [more, hidden](bool on) {
    more->setArrowType(on ? Qt::DownArrow : Qt::RightArrow);
    hidden->setVisible(on);
  });

  group(tr("Samples"));
  sample_every_ = whole(tr("Every"), tr("Steps between two sets of sample pictures, which take time"), "sample_every", 0, 1'000'000, 100);
  sample_every_->setSuffix(tr(" steps"));
  sample_every_->setSpecialValueText(tr("never"));
  prompts_ =
      field(new QPlainTextEdit(settings_), tr("Prompts"),
            tr("One a line; those with text in double quotes show how well it is written, those without how far the model has drifted"), "sample_prompts");
  prompts_->setPlaceholderText(tr("the usual ones, of both kinds"));
  prompts_->setFixedHeight(4 * fontMetrics().lineSpacing());
  prompts_->setTabChangesFocus(true);

  group(tr("Adapter"));
  folder_ = folder(tr("Folder"), tr("Where the adapter, its checkpoints, curves and samples go"), "training_folder", tr("Folder of the adapter"));
  folder_facts_ = facts("folder_facts");
  rows->addStretch(1);
  auto* guard = new WheelGuard(settings_);
  for (auto* widget : settings_->findChildren<QWidget*>())
    if (qobject_cast<QAbstractSpinBox*>(widget) || qobject_cast<QComboBox*>(widget)) {
      widget->installEventFilter(guard);
      widget->setFocusPolicy(Qt::StrongFocus);
    }
  area->setWidget(settings_);
  column->addWidget(area, 1);

  auto* line = new QHBoxLayout;
  auto button = [&](const QString& text, const QString& tip, const char* name, void (FinetunePage::*slot)()) {
    auto* out = new QPushButton(text, side);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, slot);
    line->addWidget(out);
    return out;
  };
  start_ = button(tr("&Start"), {}, "start_training", &FinetunePage::start);
  pause_ = button(tr("&Pause"), tr("Saves where it is; it goes on to the same adapter, to the bit"), "pause_training", &FinetunePage::pause_or_resume);
  stop_ = button(tr("S&top"), tr("Ends the training; the adapter as it is now is kept"), "stop_training", &FinetunePage::stop);
  column->addLayout(line);
  return side;
}

QWidget* FinetunePage::build_more() {
  auto* panel = new QWidget(settings_);
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
  checkpointing_ = new QCheckBox(tr("Gradient checkpointing"), panel);
  checkpointing_->setToolTip(tr("Less memory for more time: blocks are computed again on the way back"));
  form->addRow(checkpointing_);
  return panel;
}

QWidget* FinetunePage::build_results() {
  auto* side = new QWidget(this);
  auto* rows = new QVBoxLayout(side);
  rows->setContentsMargins(4, 0, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  status_ = new QLabel(side);
  status_->setObjectName("training_status");
  line->addWidget(status_, 1);
  logarithmic_ = new QCheckBox(tr("Logarithmic"), side);
  logarithmic_->setToolTip(tr("Scale of the losses"));
  logarithmic_->setObjectName("logarithmic");
  line->addWidget(logarithmic_);
  auto* fit = new QToolButton(side);
  fit->setText(tr("Fit"));
  fit->setToolTip(tr("Show all steps (double click); the wheel zooms, a drag moves"));
  line->addWidget(fit);
  rows->addLayout(line);
  bar_ = new QProgressBar(side);
  bar_->setTextVisible(false);
  bar_->setFixedHeight(6);
  rows->addWidget(bar_);
  auto* stack = new QSplitter(Qt::Vertical, side);
  curves_ = new StepCurves(curve_list(), stack);
  curves_->setObjectName("curves");
  connect(logarithmic_, &QCheckBox::toggled, curves_, &StepCurves::set_logarithmic);
  connect(fit, &QToolButton::clicked, curves_, &StepCurves::fit);
  stack->addWidget(curves_);
  tabs_ = new QTabWidget(stack);
  tabs_->setDocumentMode(true);
  samples_ = new SamplesView(tabs_);
  list_ = new PictureList(tabs_);
  faults_ = new QListWidget(tabs_);
  faults_->setObjectName("faults");
  faults_->setWordWrap(true);
  faults_->setAlternatingRowColors(true);
  tabs_->addTab(samples_, tr("Samples"));
  tabs_->addTab(list_, tr("Pictures"));
  tabs_->addTab(faults_, tr("Left out"));
  connect(samples_, &SamplesView::step_shown, this, [this](qint64 step) { curves_->mark(step >= 0 ? std::optional<double>(step) : std::nullopt); });
  stack->addWidget(tabs_);
  stack->setStretchFactor(0, 1);
  stack->setStretchFactor(1, 1);
  stack->setSizes({320, 380});
  stack->setChildrenCollapsible(false);
  rows->addWidget(stack, 1);
  auto* use = new QHBoxLayout;
  use->addStretch(1);
  auto button = [&](const QString& text, const QString& tip, const char* name, const QString& file) {
    auto* out = new QPushButton(text, side);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, [this, file] { emit adapter_wanted(QString::fromStdString(running_.folder) + "/" + file); });
    use->addWidget(out);
    return out;
  };
  use_last_ = button(tr("Use the &last"), tr("Draw pictures with the adapter as it is now saved"), "use_last", "last.safetensors");
  use_best_ = button(tr("Use the &best"), tr("Draw pictures with the adapter that had the least loss on held-out pictures"), "use_best", "best.safetensors");
  rows->addLayout(use);
  return side;
}

void FinetunePage::apply_preset(int index) {
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

void FinetunePage::set_model(const event::ModelOpened& model) {
  model_ = model;
  opening_ = false;
  refresh();
}

void FinetunePage::set_opening(bool opening) {
  opening_ = opening;
  refresh();
}

command::Finetune FinetunePage::command() const {
  command::Finetune out{model_.hash, pictures_->text().trimmed().toStdString(), {}, folder_->text().trimmed().toStdString()};
  FinetuneSettings& settings = out.settings;
  LoraPlan& plan = settings.plan;
  plan.every_attention = where_->currentIndex() == kEveryAttention;
  if (where_->currentIndex() == kSelected) plan.sites = selection_->sorted();
  if (where_->currentIndex() == kAllSites)
    for (const auto& site : model_.table.sites) plan.sites.push_back(site.index);
  plan.projections = kProjections[projections_->currentIndex()];
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
  settings.sample_every = sample_every_->value();
  for (const QString& line : prompts_->toPlainText().split('\n', Qt::SkipEmptyParts))
    if (!line.trimmed().isEmpty() && !line.startsWith('#')) settings.sample_prompts.push_back(line.trimmed().toStdString());
  out.resume = QFileInfo::exists(folder_->text().trimmed() + "/checkpoint/settings.json");
  return out;
}

void FinetunePage::read_pictures() {
  const QString folder = pictures_->text().trimmed(), asked = QStringLiteral("%1|%2").arg(folder).arg(held_out_->value());
  if (folder.isEmpty() || asked == asked_) return;
  asked_ = asked;
  if (reading_) engine_->cancel(reading_);
  pictures_found_ = 0;
  pictures_facts_->setText(tr("Reading the folder\u2026"));
  reading_ = engine_->post(command::ReadPictures{folder.toStdString(), held_out_->value() / 100.0});
  refresh();
}

void FinetunePage::on_pictures(const Event& event) {
  auto show = [&](const std::vector<event::PicturesListed::Item>& pictures, const std::vector<std::string>& faults) {
    std::vector<PictureItem> items;
    for (const auto& one : pictures)
      items.push_back({QString::fromStdString(one.file), QString::fromStdString(one.caption),
                       tr("%1 \u00d7 %2").arg(one.width).arg(one.height) + (one.held_out ? tr(", held out") : QString())});
    list_->set_pictures(std::move(items));
    faults_->clear();
    for (const auto& fault : faults) faults_->addItem(QString::fromStdString(fault));
    tabs_->setTabText(1, pictures.empty() ? tr("Pictures") : tr("Pictures (%1)").arg(pictures.size()));
    tabs_->setTabText(2, faults.empty() ? tr("Left out") : tr("Left out (%1)").arg(faults.size()));
  };
  if (auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    pictures_facts_->setText(tr("Reading the folder: %1 of %2").arg(progressed->progress.done).arg(progressed->progress.total));
  } else if (auto* listed = std::get_if<event::PicturesListed>(&event.what)) {
    const auto held_out = std::count_if(listed->pictures.begin(), listed->pictures.end(), [](const auto& one) { return one.held_out; });
    pictures_found_ = static_cast<int>(listed->pictures.size());
    pictures_facts_->setText(tr("%1 pictures to learn from, %2 held out").arg(pictures_found_ - held_out).arg(held_out) +
                             (listed->faults.empty() ? QString() : tr(", %1 left out").arg(listed->faults.size())));
    show(listed->pictures, listed->faults);
    if (phase_ == Phase::idle) tabs_->setCurrentIndex(1);
  } else if (auto* failed = std::get_if<event::Failed>(&event.what)) {
    pictures_facts_->setText(QString::fromStdString(failed->error.message()));
    show({}, {});
    reading_ = 0;
    asked_.clear();
  } else if (std::holds_alternative<event::Finished>(event.what) || std::holds_alternative<event::Cancelled>(event.what)) {
    reading_ = 0;
  }
  refresh();
}

void FinetunePage::start() {
  curves_->clear();
  smooth_step_ = -1;
  done_ = 0;
  post(command());
}

void FinetunePage::post(command::Finetune command) {
  message_->hide();
  running_ = std::move(command);
  // An earlier training in the folder is of other steps: what it drew is shown at once.
  samples_->set_folder(QString::fromStdString(running_.folder));
  tabs_->setCurrentIndex(0);
  job_ = engine_->post(running_);
  status_->setText(tr("Waiting for the engine"));
  bar_->setRange(0, 0);
  set_phase(Phase::running);
}

void FinetunePage::pause_or_resume() {
  if (phase_ == Phase::paused) {
    command::Finetune again = running_;
    again.resume = true;
    return post(std::move(again));
  }
  engine_->cancel(job_);
  set_phase(Phase::pausing);
}

void FinetunePage::stop() {
  if (phase_ == Phase::paused) {
    end(tr("Stopped"));
    return set_phase(Phase::idle);
  }
  engine_->cancel(job_);
  set_phase(Phase::stopping);
}

void FinetunePage::on_event(const Event& event) {
  if (auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    const Progress& progress = progressed->progress;
    if (progress.total > 0) {
      status_->setText(tr("%1: %2 of %3").arg(QString::fromStdString(progress.what)).arg(progress.done).arg(progress.total));
      bar_->setRange(0, static_cast<int>(progress.total));
      bar_->setValue(static_cast<int>(progress.done));
    }
  } else if (auto* trained = std::get_if<event::Trained>(&event.what)) {
    show_progress(trained->progress);
  } else if (auto* noted = std::get_if<event::Noted>(&event.what)) {
    message_->show_message(MessageStrip::Kind::note, QString::fromStdString(noted->text));
  } else if (auto* made = std::get_if<event::AdapterMade>(&event.what)) {
    message_->show_message(MessageStrip::Kind::note,
                           tr("Trained %1 parameters (on all sites it would be %2), with %3 of optimizer state: %4")
                               .arg(count_text(made->parameters), count_text(made->all_sites),
                                    QLocale().formattedDataSize(made->optimizer_bytes, 2, QLocale::DataSizeSIFormat), QString::fromStdString(made->file)));
  } else if (auto* failed = std::get_if<event::Failed>(&event.what)) {
    end(tr("Failed"));
    fail(in_words(QString::fromStdString(failed->error.message())));
    // It is begun anew, with other settings: in another folder.
    if (folder_->text() == own_) folder_->setText(own_ = own_folder());
    set_phase(Phase::idle);
  } else if (std::holds_alternative<event::Cancelled>(event.what)) {
    const bool pausing = phase_ == Phase::pausing;
    end(pausing ? tr("Paused") : tr("Stopped"));
    set_phase(pausing ? Phase::paused : Phase::idle);
  } else if (auto* finished = std::get_if<event::Finished>(&event.what)) {
    end(tr("Done in %1").arg(duration_text(finished->seconds)));
    done_ = 0;
    // The next one, in a folder of its own; unless the user gave one.
    if (folder_->text() == own_) folder_->setText(own_ = own_folder());
    set_phase(Phase::idle);
  }
}

void FinetunePage::end(const QString& how) {
  job_ = 0;
  bar_->setRange(0, 1000);
  bar_->setValue(static_cast<int>(1000 * done_));
  status_->setText(done_ > 0 ? tr("%1, at %2 % of the steps").arg(how).arg(100 * done_, 0, 'f', 0) : how);
  samples_->refresh();
}

void FinetunePage::show_progress(const FinetuneProgress& progress) {
  bool sampled = false;
  for (const auto& [step, row] : progress.rows) {
    auto set = [&, at = static_cast<double>(step)](CurveIndex curve, const std::optional<double>& value) {
      if (value) curves_->set_value(curve, at, *value);
    };
    set(kLoss, row.loss);
    if (row.loss && step > smooth_step_) {
      constexpr double kKept = 0.97;
      smooth_ = smooth_step_ < 0 ? *row.loss : kKept * smooth_ + (1 - kKept) * *row.loss;
      smooth_step_ = step;
      set(kSmooth, smooth_);
    }
    set(kHeldOut, row.held_out);
    set(kExact, row.word_accuracy);
    set(kF1, row.ocr_f1);
    set(kSsim, row.ssim_to_base);
    sampled = sampled || row.ocr_f1 || row.ssim_to_base;
  }
  curves_->refresh();
  if (sampled) samples_->refresh();
  done_ = std::min(1.0, static_cast<double>(progress.step) / static_cast<double>(progress.steps));
  QString text = tr("Step %1 of %2").arg(count_text(progress.step), count_text(progress.steps));
  if (progress.loss) text += tr(" \u00b7 loss %1 \u00b7 %2 pictures/s").arg(*progress.loss, 0, 'g', 3).arg(progress.pictures_per_second, 0, 'f', 1);
  if (progress.pictures_per_second > 0 && progress.step < progress.steps) {
    const FinetuneSettings& settings = running_.settings;
    const double pictures = static_cast<double>((progress.steps - progress.step) * settings.batch * settings.accumulate);
    text += tr(" \u00b7 about %1 left").arg(duration_text(pictures / progress.pictures_per_second));
  }
  status_->setText(text);
  bar_->setRange(0, 1000);
  bar_->setValue(static_cast<int>(1000 * done_));
  refresh();
  emit title_changed();
}

void FinetunePage::set_phase(Phase phase) {
  phase_ = phase;
  if (status_->text().isEmpty()) status_->setText(tr("No training yet"));
  refresh();
  emit title_changed();
}

QString FinetunePage::title() const {
  if (phase_ == Phase::paused) return tr("Fine-tune (paused)");
  return training() ? tr("Fine-tune (%1 %)").arg(static_cast<int>(100 * done_)) : tr("Fine-tune");
}

void FinetunePage::refresh() {
  if (!use_best_) return;  // still being built
  const command::Finetune now = command();
  const bool idle = phase_ == Phase::idle;
  settings_->setEnabled(idle);
  start_->setVisible(idle);
  pause_->setVisible(!idle);
  stop_->setVisible(!idle);
  pause_->setText(phase_ == Phase::paused ? tr("&Resume") : tr("&Pause"));
  const bool other = phase_ == Phase::paused && (opening_ || running_.model_hash != model_.hash);
  pause_->setEnabled(phase_ == Phase::running || (phase_ == Phase::paused && !other));
  pause_->setToolTip(other ? tr("The training is of another model: open that again to go on")
                           : tr("Saves where it is; it goes on to the same adapter, to the bit"));
  stop_->setEnabled(phase_ == Phase::running || phase_ == Phase::paused);

  const LoraPlan& plan = idle ? now.settings.plan : running_.settings.plan;
  LoraPlan everywhere = plan;
  everywhere.every_attention = false;
  everywhere.sites.clear();
  for (const auto& site : model_.table.sites) everywhere.sites.push_back(site.index);
  const std::int64_t trained = plan.parameters(model_.projections), all = everywhere.parameters(model_.projections);
  QString missing;
  if (model_.table.sites.empty() || opening_)
    missing = opening_ ? tr("Wait until the model is open") : tr("Open a model first");
  else if (trained == 0)
    missing = now.settings.plan.sites.empty() && !plan.every_attention ? tr("Select sites on the map: those that Localize found")
                                                                       : tr("These layers have no such projections");
  share_->setText(trained == 0 || other ? (other ? tr("The paused training is of another model") : missing)
                                        : (plan.every_attention     ? tr("Every attention layer")
                                           : plan.sites.size() == 1 ? tr("Site %1").arg(plan.sites[0])
                                                                    : tr("Sites %1").arg(QString::fromStdString(format_sites(plan.sites)))) +
                                              tr(": %1 parameters, %2 % of the denoiser's %3 M; all sites: %4")
                                                  .arg(count_text(trained))
                                                  .arg(100 * static_cast<double>(trained) / static_cast<double>(model_.table.denoiser_parameters), 0, 'f', 3)
                                                  .arg(static_cast<double>(model_.table.denoiser_parameters) / 1e6, 0, 'f', 1)
                                                  .arg(count_text(all)));
  if (model_.upscaler) missing = tr("Of a cascade, open the first stage alone to fine-tune it");
  if (missing.isEmpty() && now.pictures.empty()) missing = tr("Choose a folder of pictures");
  if (missing.isEmpty() && pictures_found_ == 0) missing = tr("The folder has no pictures to learn from");
  if (missing.isEmpty() && !(now.settings.rate > 0)) missing = tr("The learning rate is not over 0");
  if (missing.isEmpty() && now.folder.empty()) missing = tr("Choose a folder for the adapter");
  if (pictures_->text().trimmed().isEmpty()) pictures_facts_->setText(tr("With a metadata.jsonl, or a .txt beside each picture"));
  folder_facts_->setText(idle && now.resume ? tr("The folder holds a training. It goes on, if the settings are the same; to begin anew, choose another folder.")
                                            : QString());
  folder_facts_->setVisible(!folder_facts_->text().isEmpty());
  start_->setText(now.resume ? tr("&Resume") : tr("&Start"));
  start_->setEnabled(missing.isEmpty());
  start_->setToolTip(missing.isEmpty() ? tr("Train the adapter") : missing);
  const QString made = running_.model_hash == model_.hash ? QString::fromStdString(running_.folder) : QString();  // else of another model
  use_last_->setEnabled(!made.isEmpty() && QFileInfo::exists(made + "/last.safetensors"));
  use_best_->setEnabled(!made.isEmpty() && QFileInfo::exists(made + "/best.safetensors"));
}

void FinetunePage::fail(const QString& text) { message_->show_message(MessageStrip::Kind::error, text); }

void FinetunePage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  const QString made = QString::fromStdString(running_.folder);
  if (made.isEmpty() || !QFileInfo::exists(made + "/training.csv")) return;
  const QDir out(folder);
  auto keep = [&](const QString& name, bool done) { (done ? saved : failed) << out.filePath(name); };
  keep("training.svg", curves_->save_vector(out.filePath("training.svg")));
  auto copy = [&](const QString& from, const QString& name) {
    QFile source(from);
    QSaveFile target(out.filePath(name));
    keep(name, source.open(QIODevice::ReadOnly) && target.open(QIODevice::WriteOnly) && target.write(source.readAll()) >= 0 && target.commit());
  };
  copy(made + "/training.csv", "training.csv");
  if (!samples_->file().isEmpty()) copy(samples_->file(), "samples.png");
}

}  // namespace glyphscope
