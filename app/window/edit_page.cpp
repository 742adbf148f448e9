#include "app/window/edit_page.h"

#include <QtWidgets>

#include "app/window/edit_form.h"
#include "app/window/edit_history.h"
#include "app/window/picture_text.h"
#include "app/window/wording.h"
#include "core/error.h"
#include "patching/patch_plan.h"
#include "tasks/session_file.h"
#include "widgets/compare_view.h"
#include "widgets/flow_layout.h"
#include "widgets/message_strip.h"
#include "widgets/picture_view.h"
#include "widgets/save_picture.h"

namespace glyphscope {

namespace {

constexpr int kPause = 600, kBlink = 500;  // milliseconds
constexpr std::int64_t kPreviewSteps = 6;

// What was read and all scores, in as many lines for each picture, so that they stand side by side.
QString edit_caption(const Picture& picture, bool compared) {
  QString text = picture_caption(picture, false);
  if (!compared) return text + "\n\n\n";
  const auto line = [&](const QString& before, std::initializer_list<std::pair<const char*, QString>> parts) {
    QStringList out;
    for (const auto& [name, form] : parts)
      if (const auto score = picture.scores.find(name); score != picture.scores.end())
        out << form.arg(score->second, 0, 'f', QByteArray(name).startsWith("psnr") ? 1 : 2);
    text += "\n" + (out.isEmpty() ? QString() : before + out.join(" \u00b7 "));
  };
  const auto exact = picture.scores.find("word_accuracy");
  text += exact == picture.scores.end() ? QString() : exact->second == 1 ? QObject::tr(", the target's text") : QObject::tr(", not the target's text");
  line({}, {{"target_f1", QObject::tr("F1 %1")}, {"ssim", QObject::tr("SSIM %1")}, {"psnr", QObject::tr("%1 dB")}});
  line(QObject::tr("outside the box "), {{"ssim_outside_box", "%1"}, {"psnr_outside_box", QObject::tr("%1 dB")}});
  line(QObject::tr("inside the box "), {{"ssim_inside_box", "%1"}, {"psnr_inside_box", QObject::tr("%1 dB")}});
  return text;
}

QString reconstruction_text(const event::EditSourceReady& source) {
  const auto scores = [](const Picture& picture) {
    return QObject::tr("SSIM %1 and PSNR %2 dB").arg(picture.scores.at("ssim"), 0, 'f', 4).arg(picture.scores.at("psnr"), 0, 'f', 1);
  };
  QString out = QObject::tr("the inverted picture drawn again has %1 to the autoencoder's round trip").arg(scores(source.reconstruction));
  if (source.drift.rgb) out += QObject::tr("; with the guidance that edits are drawn with %1: so far that alone leads away").arg(scores(source.drift));
  return out;
}

}  // namespace

Page* make_edit_page(Workbench* bench, QWidget* parent) { return new EditPage(bench, parent); }

EditPage::EditPage(Workbench* bench, QWidget* parent) : Page(bench, tr("Edit"), parent), zoom_(new ViewState(this)) {
  setObjectName("edit_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(8);
  message_ = new MessageStrip(this);
  message_->setObjectName("edit_message");
  form_ = new EditForm(bench, this);
  column->addWidget(form_);
  column->addWidget(build_pictures(), 1);
  connect(form_, &EditForm::changed, this, [this] {
    refresh();
    edit_soon();
  });
  connect(form_, &EditForm::picture_changed, this, &EditPage::show_chosen);
  connect(form_, &EditForm::box_changed, this, &EditPage::show_box);
  connect(form_, &EditForm::edit_requested, this, &EditPage::edit);
  connect(form_, &EditForm::variants_requested, this, &EditPage::draw_variants);
  connect(form_, &EditForm::stop_requested, this, &EditPage::cancel);
  connect(form_, &EditForm::undo_requested, history_, &EditHistory::undo);
  connect(form_, &EditForm::redo_requested, history_, &EditHistory::redo);
  pause_ = new QTimer(this);
  pause_->setSingleShot(true);
  pause_->setInterval(kPause);
  connect(pause_, &QTimer::timeout, this, &EditPage::edit);
  blinking_ = new QTimer(this);
  blinking_->setInterval(kBlink);
  connect(blinking_, &QTimer::timeout, this, [this] { swipe_->setValue(swipe_->value() > 0 ? 0 : swipe_->maximum()); });
  connect(bench->selection(), &SiteSelection::changed, this, &EditPage::adapters_changed);
  connect(bench->sampling(), &SharedSampling::changed, this, &EditPage::adapters_changed);  // an edit that is shown is another now
  refresh();
}

EditPage::~EditPage() = default;

QWidget* EditPage::build_pictures() {
  auto* part = new QWidget(this);
  auto* rows = new QVBoxLayout(part);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  line->setSpacing(12);
  const QString titles[] = {tr("Source"), tr("Edited"), tr("Target prompt"), tr("Prompt-to-Prompt")};
  const QString empty[] = {tr("Edit text draws the source here, or shows the picture"), tr("Select the sites that write the text, and press Edit text"),
                           tr("What the target prompt draws"), tr("The target prompt with the source's attention maps")};
  const char* names[] = {"edit_view_source", "edit_view_result", "edit_view_target", "edit_view_prompt_to_prompt"};
  for (int i = 0; i < kViews; ++i) {
    views_[i] = new PictureView(titles[i], empty[i], zoom_, part);
    views_[i]->setObjectName(names[i]);
    line->addWidget(views_[i], 1);
  }
  connect(views_[kSource], &PictureView::box_changed, form_, &EditForm::set_mask);
  rows->addLayout(line, 1);
  auto* look = new FlowLayout;
  view_ = new QComboBox(part);
  view_->setObjectName("edit_look");
  view_->addItems({tr("Edited picture"), tr("Difference from the source")});
  connect(view_, &QComboBox::currentIndexChanged, this, &EditPage::show_difference);
  swipe_ = new QSlider(Qt::Horizontal, part);
  swipe_->setObjectName("edit_swipe");
  swipe_->setRange(0, 1000);
  connect(swipe_, &QSlider::valueChanged, this, [this](int value) { views_[kResult]->set_divider(value / 1000.0); });
  blink_ = new QCheckBox(tr("Blink"), part);
  blink_->setObjectName("edit_blink");
  blink_->setToolTip(tr("Source and edited picture in turn, twice a second"));
  connect(blink_, &QCheckBox::toggled, this, [this](bool on) {
    if (on) return blinking_->start();
    blinking_->stop();
    swipe_->setValue(0);
  });
  look->addWidget(view_);
  look->add_field(tr("S&wipe the source over it"), swipe_);
  look->addWidget(blink_);
  as_source_ = new QPushButton(tr("Use as source"), part);
  as_source_->setObjectName("edit_as_source");
  as_source_->setToolTip(tr("The edited picture becomes the one to edit, and its target prompt what it shows"));
  connect(as_source_, &QPushButton::clicked, this, &EditPage::use_as_source);
  look->addWidget(as_source_);
  rows->addLayout(look);
  history_ = new EditHistory(part);
  history_->setObjectName("edit_history");
  connect(history_, &EditHistory::went, this, &EditPage::show_present);
  rows->addWidget(history_);
  return part;
}

void EditPage::set_model(const event::ModelOpened& model) {
  cancel();
  shown_ = {};
  history_->forget();
  stale_ = false;
  default_steps_ = model.default_steps;
  for (auto* view : views_) view->clear();
  form_->set_model(model);
  refresh();
}

void EditPage::set_picture(const QString& file) { form_->set_picture(file); }

void EditPage::edit_soon() {
  if (!history_->empty() || busy()) pause_->start();
}

void EditPage::adapters_changed() {
  stale_ = true;
  if (isVisible()) edit_soon();
}

void EditPage::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  if (stale_) edit_soon();
}

void EditPage::edit() {
  pause_->stop();
  if (!form_->ready()) return;
  stale_ = false;
  cancel();
  message_->hide();
  asked_ = form_->command();
  read_input();
  const std::int64_t steps = asked_.sampling.steps > 0 ? asked_.sampling.steps : default_steps_;
  // Many steps: a quick look first, in which the step to begin at is as far along.
  if (steps >= 2 * kPreviewSteps) {
    command::EditText quick = asked_;
    quick.sampling.steps = kPreviewSteps;
    quick.refinements = 0;
    quick.compared = false;
    quick.from_steps = {static_cast<int>(asked_.from_steps[0] * kPreviewSteps / steps)};
    preview_ = post(std::move(quick));
  }
  full_ = post(asked_);
  form_->set_status(engine()->waiting_text());
  refresh();
}

// The bytes that are edited, before the file can change; once for as long as it does not.
void EditPage::read_input() {
  const QFileInfo info(QString::fromStdString(asked_.picture));
  const auto now = std::pair(info.filePath(), info.lastModified());
  if (input_ && input_of_ == now) return;
  input_of_ = now;
  QFile file(info.filePath());
  input_ = !asked_.picture.empty() && file.open(QIODevice::ReadOnly) ? std::make_shared<const std::string>(file.readAll().toStdString()) : nullptr;
}

void EditPage::draw_variants() {
  pause_->stop();
  if (!form_->ready()) return;
  auto batch = attempt([&] { return form_->variants(); });
  if (!batch) return message_->show_message(MessageStrip::Kind::error, in_words(batch.error()));
  cancel();
  message_->hide();
  asked_ = std::move(*batch);
  read_input();
  full_ = post(asked_);
  form_->set_status(engine()->waiting_text());
  refresh();
}

void EditPage::use_as_source() {
  if (history_->empty()) return;
  const auto& [command, ready, batch, input] = *history_->present();
  const auto& variant = ready.variants.front();
  const Picture& picture = variant.pasted.rgb ? variant.pasted : variant.picture;  // of a real picture the whole
  if (!made_) made_ = std::make_unique<QTemporaryDir>();
  const QString file = made_->filePath(tr("edit %1.png").arg(++made_count_));
  if (!made_->isValid() || !save_picture(to_image(picture), file, QString::fromStdString(picture.metadata)))
    return message_->show_message(MessageStrip::Kind::error, tr("Cannot write %1. Is the disk full?").arg(file));
  cancel();
  form_->set_source(command.targets.front());
  form_->set_picture(file);
  pause_->stop();  // its target is still the text that it has
  views_[kSource]->set_title(tr("Picture"));
  views_[kSource]->set_picture(to_image(picture), edit_caption(picture, false), QString::fromStdString(picture.metadata));
  for (const Which which : {kResult, kTarget, kPromptToPrompt}) views_[which]->clear();
  form_->set_status(tr("The edited picture is the source now: write another target, and press Edit text"));
  shown_ = {};
  history_->leave();
  show_box();
  refresh();
}

void EditPage::cancel() {
  pause_->stop();
  for (JobId* job : {&preview_, &full_})
    if (*job) engine()->cancel(std::exchange(*job, 0));
  refresh();
}

void EditPage::on_event(const Event& event) {
  if (event.job == 0 || (event.job != preview_ && event.job != full_)) return;
  const bool preview = event.job == preview_;
  if (const auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    const Progress& progress = progressed->progress;
    form_->set_status((preview ? tr("Preview, %1") : tr("In full, %1")).arg(QString::fromStdString(progress.what)));
    form_->set_progress(progress.done, progress.total);
  } else if (const auto* source = std::get_if<event::EditSourceReady>(&event.what)) {
    if (!preview) show_source(*source);
  } else if (const auto* ready = std::get_if<event::EditReady>(&event.what)) {
    if (preview) {
      history_->leave();
      show_edit(*ready, true);
    } else {
      history_->keep(asked_, *ready, input_);
      emit content_changed();
      if (history_->present()->batch > 1)
        show_present();
      else
        show_edit(*ready, false);  // whatever has been typed since stays
    }
  } else if (const auto* noted = std::get_if<event::Noted>(&event.what)) {
    message_->show_message(MessageStrip::Kind::note, in_words(noted->text));
  } else if (const auto* failed = std::get_if<event::Failed>(&event.what)) {
    message_->show_message(MessageStrip::Kind::error, in_words(failed->error));
    form_->set_status(tr("Failed"));
    cancel();
  } else if (std::holds_alternative<event::Finished>(event.what) || std::holds_alternative<event::Cancelled>(event.what)) {
    (preview ? preview_ : full_) = 0;
    refresh();
  }
}

void EditPage::show_source(const event::EditSourceReady& source) {
  // A preview that is shown already is worth more than a source alone.
  if (!source.reconstruction.rgb) return;
  history_->leave();
  shown_ = {};
  shown_.source = source;
  views_[kSource]->set_title(tr("Picture"));
  views_[kSource]->set_picture(to_image(source.picture), edit_caption(source.picture, false), QString::fromStdString(source.picture.metadata));
  views_[kResult]->set_title(tr("Drawn again from its noise"));
  views_[kResult]->set_picture(to_image(source.reconstruction), edit_caption(source.reconstruction, false),
                               QString::fromStdString(source.reconstruction.metadata));
  views_[kResult]->set_other(to_image(source.picture));
  message_->show_message(MessageStrip::Kind::note, tr("Before anything is edited: %1").arg(reconstruction_text(source)));
  show_box();
  refresh();
}

void EditPage::show_edit(const event::EditReady& ready, bool preview) {
  shown_ = ready;
  const auto show = [&](Which which, const Picture& picture, const QString& title, bool compared) {
    views_[which]->set_title(title);
    views_[which]->set_picture(to_image(picture), edit_caption(picture, compared), QString::fromStdString(picture.metadata));
    views_[which]->setToolTip(score_lines(picture));
  };
  show(kSource, ready.source.picture, form_->picture().isEmpty() ? tr("Source") : tr("Picture"), false);
  const QString sites = QString::fromStdString(format_sites(sites_of(asked_.plan)));
  for (const auto& variant : ready.variants) {
    if (variant.way == EditWay::sites) {
      show(kResult, variant.picture,
           preview ? tr("Preview, %1 steps").arg(ready.steps)
                   : (sites_of(asked_.plan).size() == 1 ? tr("Edited at site %1") : tr("Edited at sites %1")).arg(sites),
           true);
      views_[kResult]->set_other(to_image(ready.source.picture));
    }
    if (variant.way == EditWay::target_prompt) show(kTarget, variant.picture, tr("Target prompt"), true);
    if (variant.way == EditWay::prompt_to_prompt) show(kPromptToPrompt, variant.picture, tr("Prompt-to-Prompt"), true);
  }
  show_difference();
  show_box();
  QStringList facts{tr("%1 steps, %2 rows through the denoiser, %3 s").arg(ready.steps).arg(ready.denoiser_rows).arg(ready.seconds, 0, 'f', 1)};
  if (const int batch = preview ? 1 : history_->present()->batch; batch > 1) facts[0] += tr(" for %1 variants together").arg(batch);
  if (ready.source.reconstruction.rgb) facts << reconstruction_text(ready.source);
  form_->set_status(facts.join("; "));
  if (!ready.notes.empty()) message_->show_message(MessageStrip::Kind::note, in_words(ready.notes));
  refresh();
}

void EditPage::show_chosen() {
  const QString file = form_->picture();
  QImageReader reader(file);
  reader.setAutoTransform(true);
  const QImage picture = file.isEmpty() ? QImage() : reader.read();
  history_->leave();
  shown_ = {};
  for (auto* view : views_) view->clear();
  views_[kSource]->set_title(file.isEmpty() ? tr("Source") : tr("Picture"));
  views_[kResult]->set_title(tr("Edited"));
  // One that Qt cannot read is shown once the engine has read it.
  if (!picture.isNull())
    views_[kSource]->set_picture(picture, tr("%1, %2 \u00d7 %3 pixels").arg(QFileInfo(file).fileName()).arg(picture.width()).arg(picture.height()));
  refresh();
}

void EditPage::show_difference() {
  for (const auto& variant : shown_.variants) {
    if (variant.way != EditWay::sites) continue;
    const QImage edited = to_image(variant.picture);
    views_[kResult]->set_picture(view_->currentIndex() == 0 ? edited : difference_of(edited, to_image(shown_.source.picture)),
                                 edit_caption(variant.picture, true), QString::fromStdString(variant.picture.metadata));
  }
}

void EditPage::show_box() {
  QRect box;
  const event::EditSourceReady& source = shown_.source;
  if (form_->masked() && source.picture.rgb) box = form_->mask() ? *form_->mask() : (source.text_box ? to_rect(*source.text_box) : QRect());
  views_[kSource]->set_box(box, form_->masked());
}

void EditPage::show_present() {
  cancel();
  const auto& [command, ready, batch, input] = *history_->present();
  asked_ = command;
  bench().sampling()->set(command.sampling);
  form_->show_command(command);
  const std::vector<int> sites = sites_of(command.plan);
  bench().selection()->select(QSet<int>(sites.begin(), sites.end()));
  stale_ = false;
  pause_->stop();
  show_edit(ready, false);
}

void EditPage::keep(SessionFile& session) const {
  for (const EditHistory::Entry& entry : history_->entries()) session.edits.push_back({entry.command, entry.ready, entry.batch, entry.input});
  session.present = history_->at();
}

void EditPage::restore(const SessionFile& session) {
  cancel();
  shown_ = {};
  for (auto* view : views_) view->clear();
  std::vector<EditHistory::Entry> entries;
  for (const auto& edit : session.edits) entries.push_back({edit.command, edit.ready, edit.batch, edit.input});
  history_->load(std::move(entries), session.present);
  if (session.present >= 0) {
    // Fields and selection are the session's, which may be ahead of the edit; nothing is drawn for them.
    const EditHistory::Entry& present = *history_->present();
    asked_ = present.command;
    const QSignalBlocker quiet(form_);
    form_->set_picture(QString::fromStdString(asked_.picture));
    if (asked_.mask) form_->set_mask(to_rect(*asked_.mask));
    show_edit(present.ready, false);
  }
  form_->refresh();  // its signals were held
  pause_->stop();
  stale_ = false;
  refresh();
}

bool EditPage::undo() {
  if (history_->can_undo()) history_->undo();
  return !history_->empty();
}

bool EditPage::redo() {
  if (history_->can_redo()) history_->redo();
  return !history_->empty();
}

void EditPage::refresh() {
  form_->set_state(busy(), history_->can_undo(), history_->can_redo());
  as_source_->setEnabled(!history_->empty() && !history_->left() && !busy());
  const bool shown = !views_[kResult]->picture().isNull();
  for (QWidget* one : {static_cast<QWidget*>(swipe_), static_cast<QWidget*>(blink_), static_cast<QWidget*>(view_)}) one->setEnabled(shown);
  for (const Which which : {kTarget, kPromptToPrompt}) views_[which]->setVisible(form_->compared());
  history_->setVisible(!history_->empty());
}

void EditPage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  const auto write = [&](const char* name, const Picture& picture) {
    if (!picture.rgb) return;
    const QString file = QDir(folder).filePath(name);
    // Not over the picture that is edited.
    const bool free = form_->picture().isEmpty() || QFileInfo(file) != QFileInfo(form_->picture());
    (free && save_picture(to_image(picture), file, QString::fromStdString(picture.metadata)) ? saved : failed) << file;
  };
  if (history_->empty()) return;
  write("edit-source.png", shown_.source.picture);
  write("edit-reconstruction.png", shown_.source.reconstruction);
  write("edit-drift.png", shown_.source.drift);
  for (const auto& variant : shown_.variants) {
    write("edit-whole.png", variant.pasted);
    write(variant.way == EditWay::sites           ? "edit.png"
          : variant.way == EditWay::target_prompt ? "edit-target.png"
                                                  : "edit-prompt-to-prompt.png",
          variant.picture);
  }
}

}  // namespace glyphscope
