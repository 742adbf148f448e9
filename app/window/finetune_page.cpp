#include "app/window/finetune_page.h"

#include <QtWidgets>

#include "app/window/figure_form.h"
#include "app/window/finetune_form.h"
#include "app/window/samples_view.h"
#include "app/window/wording.h"
#include "tasks/session_file.h"
#include "widgets/elided_label.h"
#include "widgets/flow_layout.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/picture_list.h"
#include "widgets/step_curves.h"

namespace glyphscope {

namespace {

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

QString count_text(std::int64_t number) { return QLocale().toString(static_cast<qlonglong>(number)); }
QString bytes_text(std::int64_t number) { return QLocale().formattedDataSize(number, 2, QLocale::DataSizeSIFormat); }

}  // namespace

Page* make_finetune_page(Workbench* bench, QWidget* parent) { return new FinetunePage(bench, parent); }

FinetunePage::FinetunePage(Workbench* bench, QWidget* parent) : Page(bench, tr("Fine-tune"), parent) {
  setObjectName("finetune_page");
  auto* rows = new QVBoxLayout(this);
  rows->setContentsMargins(0, 6, 0, 0);
  rows->setSpacing(6);
  message_ = new MessageStrip(this);
  message_->setObjectName("finetune_message");
  auto* sides = new QSplitter(Qt::Horizontal, this);
  sides->addWidget(build_settings());
  sides->addWidget(build_results());
  sides->setStretchFactor(0, 0);
  sides->setStretchFactor(1, 1);
  sides->setSizes({330, 560});
  sides->setChildrenCollapsible(false);
  rows->addWidget(sides, 1);
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
  area->setFocusPolicy(Qt::NoFocus);
  area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  form_ = new FinetuneForm(bench().selection(), area);
  connect(form_, &FinetuneForm::changed, this, &FinetunePage::refresh);
  connect(form_, &FinetuneForm::pictures_asked, this, &FinetunePage::read_pictures);
  area->setWidget(form_);
  column->addWidget(area, 1);

  auto* line = new FlowLayout;
  auto button = [&](const QString& text, const QString& tip, const char* name, void (FinetunePage::*slot)()) {
    auto* out = new QPushButton(text, side);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, slot);
    line->addWidget(out);
    return out;
  };
  start_ = button(tr("&Start"), {}, "start_training", &FinetunePage::start);
  pause_ = button(tr("&Pause"), {}, "pause_training", &FinetunePage::pause_or_resume);
  stop_ = button(tr("S&top"), tr("Ends the training; the adapter as it is now is kept"), "stop_training", &FinetunePage::stop);
  column->addLayout(line);
  return side;
}

QWidget* FinetunePage::build_results() {
  auto* side = new QWidget(this);
  auto* rows = new QVBoxLayout(side);
  rows->setContentsMargins(4, 0, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  status_ = new ElidedLabel(side);
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
  faults_->setAccessibleName(tr("Remarks on the pictures"));
  faults_->setWordWrap(true);
  faults_->setAlternatingRowColors(true);
  tabs_->addTab(samples_, tr("Samples"));
  tabs_->addTab(list_, tr("Pictures"));
  tabs_->addTab(faults_, tr("Remarks"));
  connect(samples_, &SamplesView::step_shown, this, [this](qint64 step) { curves_->mark(step >= 0 ? std::optional<double>(step) : std::nullopt); });
  stack->addWidget(tabs_);
  stack->setStretchFactor(0, 1);
  stack->setStretchFactor(1, 1);
  stack->setSizes({320, 380});
  stack->setChildrenCollapsible(false);
  rows->addWidget(stack, 1);
  auto* use = new FlowLayout;
  use->add_stretch();
  auto button = [&](const QString& text, const QString& tip, const char* name, const QString& file) {
    auto* out = new QPushButton(text, side);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, [this, file] { bench().use_adapter(made(file)); });
    use->addWidget(out);
    return out;
  };
  export_ = new QPushButton(tr("E&xport"), side);
  export_->setToolTip(tr("Save the adapter elsewhere, for diffusers or kohya"));
  export_->setObjectName("export_adapter");
  auto* menu = new QMenu(export_);
  const auto add = [&](const QString& text, const QString& file, const QString& format) {
    auto* action = menu->addAction(text, this, [this, file, format] { bench().save_adapter(made(file), format); });
    connect(menu, &QMenu::aboutToShow, action, [this, action, file] { action->setEnabled(QFileInfo::exists(made(file))); });
  };
  for (const QString format : {"diffusers", "kohya"}) {
    add(tr("The last for %1\u2026").arg(format), "last.safetensors", format);
    add(tr("The best for %1\u2026").arg(format), "best.safetensors", format);
  }
  export_->setMenu(menu);
  use->addWidget(export_);
  use_last_ = button(tr("Use the &last"), tr("Draw pictures with the adapter as it is now saved"), "use_last", "last.safetensors");
  use_best_ = button(tr("Use the &best"), tr("Draw pictures with the adapter that had the least loss on held-out pictures"), "use_best", "best.safetensors");
  rows->addLayout(use);
  return side;
}

void FinetunePage::set_model(const event::ModelOpened& model) {
  model_hash_ = model.hash;
  opening_ = false;
  form_->set_model(model);
  refresh();
}

void FinetunePage::set_job(WindowJob job, bool) {
  opening_ = job == WindowJob::opening;
  refresh();
}

void FinetunePage::read_pictures(const QString& folder, double held_out) {
  if (reading_) engine()->cancel(reading_);
  reading_ = post(command::ReadPictures{folder.toStdString(), held_out});
}

void FinetunePage::on_pictures(const Event& event) {
  auto show = [&](const event::PicturesListed& listed) {
    std::vector<PictureItem> items;
    for (const auto& one : listed.pictures)
      items.push_back({QString::fromStdString(one.file), QString::fromStdString(one.caption),
                       tr("%1 \u00d7 %2").arg(one.width).arg(one.height) + (one.held_out ? tr(", held out") : QString())});
    list_->set_pictures(std::move(items));
    faults_->clear();
    for (const auto& note : listed.notes) faults_->addItem(in_words(note));
    for (const auto& fault : listed.faults) faults_->addItem(tr("Left out: %1").arg(in_words(fault)));
    tabs_->setTabText(1, listed.pictures.empty() ? tr("Pictures") : tr("Pictures (%1)").arg(listed.pictures.size()));
    tabs_->setTabText(2, faults_->count() == 0 ? tr("Remarks") : tr("Remarks (%1)").arg(faults_->count()));
  };
  if (auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    form_->show_pictures(0, tr("Reading the folder: %1 of %2").arg(progressed->progress.done).arg(progressed->progress.total));
  } else if (auto* listed = std::get_if<event::PicturesListed>(&event.what)) {
    const auto held_out = std::count_if(listed->pictures.begin(), listed->pictures.end(), [](const auto& one) { return one.held_out; });
    const auto count = static_cast<int>(listed->pictures.size());
    form_->show_pictures(count, tr("%1 pictures to learn from, %2 held out").arg(count - held_out).arg(held_out) +
                                    (listed->faults.empty() ? QString() : tr(", %1 left out").arg(listed->faults.size())));
    show(*listed);
    if (phase_ == Phase::idle) tabs_->setCurrentIndex(1);
  } else if (auto* failed = std::get_if<event::Failed>(&event.what)) {
    form_->show_pictures(0, in_words(failed->error));
    form_->forget_pictures();
    show({});
    reading_ = 0;
  } else if (std::holds_alternative<event::Finished>(event.what) || std::holds_alternative<event::Cancelled>(event.what)) {
    reading_ = 0;
  }
}

void FinetunePage::start() {
  curves_->clear();
  smooth_step_ = -1;
  done_ = 0;
  train(form_->command());
}

void FinetunePage::train(command::Finetune command) {
  message_->hide();
  running_ = std::move(command);
  // An earlier training in the folder is of other steps: what it drew is shown at once.
  samples_->set_folder(QString::fromStdString(running_.folder));
  tabs_->setCurrentIndex(0);
  job_ = post(running_);
  status_->setText(tr("Waiting for the engine"));
  bar_->setRange(0, 0);
  set_phase(Phase::running);
}

void FinetunePage::pause_or_resume() {
  if (phase_ == Phase::paused) {
    command::Finetune again = running_;
    again.resume = true;
    return train(std::move(again));
  }
  engine()->cancel(job_);
  set_phase(Phase::pausing);
}

void FinetunePage::stop() {
  if (phase_ == Phase::paused) {
    end(tr("Stopped"));
    return set_phase(Phase::idle);
  }
  engine()->cancel(job_);
  set_phase(Phase::stopping);
}

void FinetunePage::on_event(const Event& event) {
  if (event.job == job_) on_training(event);
  if (event.job == reading_) on_pictures(event);
}

void FinetunePage::on_training(const Event& event) {
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
    message_->show_message(MessageStrip::Kind::note, in_words(noted->text));
  } else if (auto* made = std::get_if<event::AdapterMade>(&event.what)) {
    message_->show_message(MessageStrip::Kind::note, tr("Trained %1 parameters with %2 of optimizer state (on all sites it would be %3 with %4): %5")
                                                         .arg(count_text(made->parameters), bytes_text(made->optimizer_bytes), count_text(made->all_sites),
                                                              bytes_text(made->all_sites_optimizer_bytes), QString::fromStdString(made->file)));
  } else if (auto* failed = std::get_if<event::Failed>(&event.what)) {
    end(tr("Failed"));
    fail(in_words(failed->error));
    form_->propose_folder();  // it is begun anew, with other settings
    set_phase(Phase::idle);
  } else if (std::holds_alternative<event::Cancelled>(event.what)) {
    const bool pausing = phase_ == Phase::pausing;
    end(pausing ? tr("Paused") : tr("Stopped"));
    set_phase(pausing ? Phase::paused : Phase::idle);
  } else if (auto* finished = std::get_if<event::Finished>(&event.what)) {
    end(tr("Done in %1").arg(duration_text(finished->seconds)));
    done_ = 0;
    form_->propose_folder();  // of the next one
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
  form_->lock(phase == Phase::idle ? std::nullopt : std::optional(running_.settings.plan));
  refresh();
  emit title_changed();
}

QString FinetunePage::title() const {
  if (phase_ == Phase::paused) return tr("Fine-tune (paused)");
  return training() ? tr("Fine-tune (%1 %)").arg(static_cast<int>(100 * done_)) : name();
}

void FinetunePage::refresh() {
  if (!use_best_) return;  // still being built
  const bool idle = phase_ == Phase::idle, paused = phase_ == Phase::paused;
  const QString missing = opening_ ? tr("Wait until the model is open") : form_->missing();
  start_->setVisible(idle);
  start_->setText(form_->command().resume ? tr("&Resume") : tr("&Start"));
  start_->setEnabled(missing.isEmpty());
  start_->setToolTip(missing.isEmpty() ? tr("Train the adapter") : missing);
  pause_->setVisible(!idle);
  pause_->setText(paused ? tr("&Resume") : tr("&Pause"));
  // Whether the training is of a model that is not open. The hash of one that was opened just now is still being formed: the window does not wait for it.
  bool other = false;
  if (!idle && model_hash_ && running_.model_hash) {
    if (model_hash_->ready()) {
      const auto same = attempt([&] { return *running_.model_hash == *model_hash_; });
      other = !same || !*same;
    } else {
      other = true;
      QTimer::singleShot(200, this, &FinetunePage::refresh);
    }
  }
  pause_->setEnabled(phase_ == Phase::running || (paused && !opening_ && !other));
  pause_->setToolTip(paused && other ? tr("The training is of another model: open that again to go on")
                                     : tr("Saves where it is; it goes on to the same adapter, to the bit"));
  stop_->setVisible(!idle);
  stop_->setEnabled(phase_ == Phase::running || paused);
  const bool fits = !other && !running_.folder.empty();
  use_last_->setEnabled(fits && QFileInfo::exists(made("last.safetensors")));
  use_best_->setEnabled(fits && QFileInfo::exists(made("best.safetensors")));
  export_->setEnabled(use_last_->isEnabled());
}

QString FinetunePage::made(const QString& name) const { return QString::fromStdString(running_.folder) + "/" + name; }

void FinetunePage::fail(const QString& text) { message_->show_message(MessageStrip::Kind::error, text); }

void FinetunePage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  const QString made = QString::fromStdString(running_.folder);
  if (made.isEmpty() || !QFileInfo::exists(made + "/training.csv")) return;
  const QDir out(folder);
  auto keep = [&](const QString& name, bool done) { (done ? saved : failed) << out.filePath(name); };
  keep("training.svg", write_figure_file({.parts = curves_->figure_parts()}, out.filePath("training.svg"), {}));
  auto copy = [&](const QString& from, const QString& name) {
    QFile source(from);
    QSaveFile target(out.filePath(name));
    keep(name, source.open(QIODevice::ReadOnly) && target.open(QIODevice::WriteOnly) && target.write(source.readAll()) >= 0 && target.commit());
  };
  copy(made + "/training.csv", "training.csv");
  if (!samples_->file().isEmpty()) copy(samples_->file(), "samples.png");
}

void FinetunePage::keep(SessionFile& session) const {
  const QString folder = form_->folder();
  if (!folder.isEmpty() && QFileInfo::exists(folder + "/checkpoint/settings.json")) session.trainings.push_back({folder.toStdString(), {}});
}

}  // namespace glyphscope
