#include "app/window/edit_page.h"

#include <QtWidgets>

#include "app/window/edit_history.h"
#include "app/window/learned_note.h"
#include "app/window/picture_text.h"
#include "app/window/save_picture.h"
#include "app/window/wording.h"
#include "core/error.h"
#include "localization/prompt_set.h"
#include "patching/patch_plan.h"
#include "widgets/message_strip.h"
#include "widgets/picture_view.h"

namespace glyphscope {

namespace {

constexpr int kPause = 600, kBlink = 500;  // milliseconds
constexpr std::int64_t kPreviewSteps = 6;

// What differs, each channel's difference from middle grey.
QImage difference(const QImage& a, const QImage& b) {
  QImage out(a.size(), QImage::Format_RGB888);
  for (int y = 0; y < a.height(); ++y) {
    const uchar *left = a.constScanLine(y), *right = b.constScanLine(y);
    uchar* line = out.scanLine(y);
    for (int x = 0; x < 3 * a.width(); ++x) line[x] = static_cast<uchar>(128 + (left[x] - right[x]) / 2);
  }
  return out;
}

QRect to_rect(const PixelBox& box) { return {box.left, box.top, box.right - box.left, box.bottom - box.top}; }

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
  column->addWidget(message_);
  column->addWidget(build_form());
  column->addWidget(build_pictures(), 1);
  pause_ = new QTimer(this);
  pause_->setSingleShot(true);
  pause_->setInterval(kPause);
  connect(pause_, &QTimer::timeout, this, &EditPage::edit);
  blinking_ = new QTimer(this);
  blinking_->setInterval(kBlink);
  connect(blinking_, &QTimer::timeout, this, [this] { swipe_->setValue(swipe_->value() > 0 ? 0 : swipe_->maximum()); });
  connect(bench->selection(), &SiteSelection::changed, this, [this] {
    refresh();
    edit_soon();
  });
  refresh();
}

EditPage::~EditPage() = default;

QWidget* EditPage::build_form() {
  auto* form = new QWidget(this);
  auto* grid = new QGridLayout(form);
  grid->setContentsMargins(0, 0, 0, 0);
  grid->setHorizontalSpacing(8);
  grid->setVerticalSpacing(6);
  source_label_ = new QLabel(tr("Source"), form);
  source_ = new QLineEdit(form);
  source_->setObjectName("edit_source");
  source_->setToolTip(tr("The prompt that draws the picture; of a real picture, what it shows, with its text in quotation marks"));
  target_ = new QLineEdit(form);
  target_->setObjectName("edit_target");
  target_->setToolTip(tr("The prompt with the new text. Once there is a result, typing draws it again after a pause."));
  choose_ = new QPushButton(tr("Picture\u2026"), form);
  choose_->setObjectName("edit_picture");
  choose_->setToolTip(tr("Edit a real picture (PNG, JPEG, WebP) in place of one that the source prompt draws"));
  forget_ = new QPushButton(tr("No picture"), form);
  forget_->setObjectName("edit_no_picture");
  grid->addWidget(source_label_, 0, 0);
  grid->addWidget(source_, 0, 1);
  grid->addWidget(choose_, 0, 2);
  grid->addWidget(forget_, 0, 3);
  grid->addWidget(new QLabel(tr("Target"), form), 1, 0);
  grid->addWidget(target_, 1, 1);
  edit_ = new QPushButton(tr("Edit text"), form);
  edit_->setObjectName("edit_text");
  edit_->setDefault(true);
  stop_ = new QPushButton(tr("Stop"), form);
  stop_->setObjectName("edit_stop");
  grid->addWidget(edit_, 1, 2);
  grid->addWidget(stop_, 1, 3);
  learned_ = new LearnedNote({source_, target_}, form);
  learned_->setObjectName("edit_limit");
  grid->addWidget(learned_, 2, 0, 1, 4);
  grid->setColumnStretch(1, 1);

  auto* sliders = new QHBoxLayout;
  sliders->setSpacing(8);
  const auto slider = [&](const QString& name, const char* object, const QString& tip, const QString& widest, QLabel*& value) {
    auto* out = new QSlider(Qt::Horizontal, form);
    out->setObjectName(object);
    out->setToolTip(tip);
    out->setMaximumWidth(160);
    value = new QLabel(form);
    value->setMinimumWidth(fontMetrics().horizontalAdvance(widest));
    sliders->addWidget(new QLabel(name, form));
    sliders->addWidget(out);
    sliders->addWidget(value);
    return out;
  };
  from_step_ =
      slider(tr("From step"), "edit_from_step",
             tr("First step at which the sites see the target: the later, the more of the source stays, and the less is computed"), "000", from_step_value_);
  strength_ = slider(tr("Strength"), "edit_strength", tr("How far the sites' keys and values go from the source's, 0 %, to the target's, 100 %"), "100 %",
                     strength_value_);
  strength_->setRange(0, 100);
  strength_->setValue(100);
  heads_ = new QLineEdit(form);
  heads_->setObjectName("edit_heads");
  heads_->setPlaceholderText(tr("all"));
  heads_->setMaximumWidth(fontMetrics().horizontalAdvance("0:0-9; 00:00") + 24);
  heads_->setToolTip(tr("Which heads of the sites see the target, by number: 0,2 of each site, or 5:0,2; 8:1 of single ones. Empty: all"));
  auto* heads_label = new QLabel(tr("Heads"), form);
  heads_label->setBuddy(heads_);
  sliders->addWidget(heads_label);
  sliders->addWidget(heads_);
  sliders->addStretch(1);
  undo_ = new QPushButton(tr("Undo"), form);
  undo_->setObjectName("edit_undo");
  undo_->setShortcut(QKeySequence::Undo);
  redo_ = new QPushButton(tr("Redo"), form);
  redo_->setObjectName("edit_redo");
  redo_->setShortcut(QKeySequence::Redo);
  sliders->addWidget(undo_);
  sliders->addWidget(redo_);
  grid->addLayout(sliders, 3, 0, 1, 4);

  auto* line = new QHBoxLayout;
  line->setSpacing(8);
  masked_ = new QCheckBox(tr("Keep all but the text"), form);
  masked_->setObjectName("edit_masked");
  masked_->setToolTip(tr("Nothing changes outside the box on the source: not one bit. It is about the source's text until you drag it"));
  line->addWidget(masked_);
  compared_ = new QCheckBox(tr("Compare"), form);
  compared_->setObjectName("edit_compared");
  compared_->setToolTip(tr("Beside it what one would do otherwise: the target prompt from the same noise, alone and with Prompt-to-Prompt"));
  line->addWidget(compared_);
  refinements_ = new QSpinBox(form);
  refinements_->setObjectName("edit_refinements");
  refinements_->setRange(0, 20);
  refinements_->setValue(3);
  refinements_->setPrefix(tr("Refinements: "));
  refinements_->setToolTip(tr("Of a real picture: how often each step of its inversion is estimated anew"));
  line->addWidget(refinements_);
  line->addStretch(1);
  texts_ = new QLineEdit(form);
  texts_->setObjectName("edit_texts");
  texts_->setPlaceholderText(tr("Other texts, with commas between"));
  texts_->setToolTip(tr("Each takes the place of the target's text in quotation marks; empty: the target's own text alone"));
  line->addWidget(texts_, 2);
  each_step_ = new QCheckBox(tr("from four steps"), form);
  each_step_->setObjectName("edit_each_step");
  each_step_->setToolTip(tr("Each text from the first step, and from a quarter, half and three quarters of the way"));
  line->addWidget(each_step_);
  variants_ = new QPushButton(tr("Draw variants"), form);
  variants_->setObjectName("edit_variants");
  variants_->setToolTip(tr("In one batch; each goes into the history"));
  line->addWidget(variants_);
  grid->addLayout(line, 4, 0, 1, 4);

  auto* progress = new QHBoxLayout;
  status_ = new QLabel(form);
  status_->setObjectName("edit_status");
  bar_ = new QProgressBar(form);
  bar_->setTextVisible(false);
  bar_->setMaximumHeight(8);
  progress->addWidget(status_, 1);
  progress->addWidget(bar_, 1);
  grid->addLayout(progress, 5, 0, 1, 4);

  connect(choose_, &QPushButton::clicked, this, &EditPage::choose_picture);
  connect(forget_, &QPushButton::clicked, this, [this] { set_picture({}); });
  connect(edit_, &QPushButton::clicked, this, &EditPage::edit);
  connect(stop_, &QPushButton::clicked, this, &EditPage::cancel);
  connect(undo_, &QPushButton::clicked, this, [this] { history_->undo(); });
  connect(redo_, &QPushButton::clicked, this, [this] { history_->redo(); });
  for (auto* field : {source_, target_}) {
    connect(field, &QLineEdit::textEdited, this, [this] {
      refresh();
      edit_soon();
    });
    connect(field, &QLineEdit::returnPressed, this, &EditPage::edit);
  }
  connect(heads_, &QLineEdit::textEdited, this, [this] {
    refresh();
    edit_soon();
  });
  for (auto* one : {from_step_, strength_})
    connect(one, &QSlider::valueChanged, this, [this] {
      refresh();
      edit_soon();
    });
  connect(variants_, &QPushButton::clicked, this, &EditPage::draw_variants);
  connect(texts_, &QLineEdit::returnPressed, this, &EditPage::draw_variants);
  connect(masked_, &QCheckBox::toggled, this, [this](bool on) {
    if (!on) mask_.reset();
    show_box();
  });
  for (auto* box : {masked_, compared_}) connect(box, &QCheckBox::toggled, this, &EditPage::edit_soon);
  connect(refinements_, &QSpinBox::valueChanged, this, &EditPage::edit_soon);
  return form;
}

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
  connect(views_[kSource], &PictureView::box_changed, this, [this](const QRect& box) {
    mask_ = box;
    edit_soon();
  });
  rows->addLayout(line, 1);
  auto* look = new QHBoxLayout;
  look->setSpacing(8);
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
  look->addStretch(1);
  look->addWidget(view_);
  look->addWidget(new QLabel(tr("Swipe the source over it"), part));
  look->addWidget(swipe_, 1);
  look->addWidget(blink_);
  as_source_ = new QPushButton(tr("Use as source"), part);
  as_source_->setObjectName("edit_as_source");
  as_source_->setToolTip(tr("The edited picture becomes the one to edit, and its target prompt what it shows"));
  connect(as_source_, &QPushButton::clicked, this, &EditPage::use_as_source);
  look->addWidget(as_source_);
  look->addStretch(1);
  rows->addLayout(look);
  history_ = new EditHistory(part);
  history_->setObjectName("edit_history");
  connect(history_, &EditHistory::went, this, &EditPage::show_present);
  rows->addWidget(history_);
  return part;
}

void EditPage::set_model(const event::ModelOpened& model) {
  cancel();
  model_ = true;
  default_steps_ = model.default_steps;
  table_ = model.table;
  learned_->set_learned(model.learned);
  heads_->clear();
  strength_->setValue(strength_->maximum());
  shown_ = {};
  history_->forget();
  stale_ = false;
  for (auto* view : views_) view->clear();
  source_->setText(QString::fromStdString(model.source_prompt));
  target_->setText(QString::fromStdString(model.target_prompt));
  set_picture({});
  refresh();
}

void EditPage::choose_picture() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Edit a picture"), {}, tr("Pictures (*.png *.jpg *.jpeg *.webp)"));
  if (!file.isEmpty()) set_picture(file);
}

void EditPage::set_picture(const QString& file) {
  if (picture_ != file) mask_.reset();
  picture_ = file;
  source_label_->setText(file.isEmpty() ? tr("Source") : tr("Shows"));
  choose_->setText(file.isEmpty() ? tr("Picture\u2026") : QFileInfo(file).fileName());
  choose_->setToolTip(file);
  refresh();
  edit_soon();
}

command::EditText EditPage::command() const {
  const Drawing drawing = bench().drawing();
  command::EditText out;
  out.source = source_->text().toStdString();
  out.picture = picture_.toStdString();
  out.refinements = refinements_->value();
  out.sampling = drawing.sampling;
  out.targets = {target_->text().toStdString()};
  out.from_steps = {from_step_->value()};
  const std::vector<int> sites = bench().selection()->sorted();
  std::map<int, std::vector<int>> heads;
  if (const auto typed = attempt([&] { return parse_heads(heads_->text().toStdString(), sites, table_); })) heads = *typed;
  out.plan = PatchPlan::at_sites(sites, heads, strength_->value() / 100.0);
  out.masked = masked_->isChecked();
  if (out.masked && mask_) out.mask = PixelBox{mask_->left(), mask_->top(), mask_->left() + mask_->width(), mask_->top() + mask_->height()};
  out.compared = compared_->isChecked();
  out.adapters = drawing.adapters;
  return out;
}

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
  if (!edit_->isEnabled()) return;
  stale_ = false;
  cancel();
  message_->hide();
  asked_ = command();
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
  status_->setText(engine()->waiting_text());
  refresh();
}

void EditPage::draw_variants() {
  pause_->stop();
  if (!variants_->isEnabled()) return;
  command::EditText batch = command();
  batch.compared = false;
  const auto done = attempt([&] {
    std::vector<std::string> targets;
    for (const QString& text : texts_->text().split(',', Qt::SkipEmptyParts))
      if (!text.trimmed().isEmpty()) targets.push_back(with_quoted_text(batch.targets.front(), text.trimmed().toStdString()));
    if (!targets.empty()) batch.targets = std::move(targets);
  });
  if (!done) return message_->show_message(MessageStrip::Kind::error, in_words(done.error()));
  const std::int64_t steps = batch.sampling.steps > 0 ? batch.sampling.steps : default_steps_;
  if (each_step_->isChecked()) {
    batch.from_steps = {0};
    for (const std::int64_t quarter : {1, 2, 3})
      if (const auto step = static_cast<int>(quarter * steps / 4); step > batch.from_steps.back()) batch.from_steps.push_back(step);
  }
  cancel();
  message_->hide();
  asked_ = std::move(batch);
  full_ = post(asked_);
  status_->setText(engine()->waiting_text());
  refresh();
}

void EditPage::use_as_source() {
  if (history_->empty()) return;
  const auto& [command, ready, together] = *history_->present();
  const auto& variant = ready.variants.front();
  const Picture& picture = variant.pasted.rgb ? variant.pasted : variant.picture;  // of a real picture the whole
  if (!made_) made_ = std::make_unique<QTemporaryDir>();
  const QString file = made_->filePath(tr("edit %1.png").arg(++made_count_));
  if (!made_->isValid() || !save_picture(to_image(picture), file, QString::fromStdString(picture.metadata)))
    return message_->show_message(MessageStrip::Kind::error, tr("Cannot write %1. Is the disk full?").arg(file));
  cancel();
  source_->setText(QString::fromStdString(command.targets.front()));
  set_picture(file);
  pause_->stop();  // its target is still the text that it has
  target_->setFocus();
  target_->selectAll();
  views_[kSource]->set_title(tr("Picture"));
  views_[kSource]->set_picture(to_image(picture), edit_caption(picture, false));
  for (const Which which : {kResult, kTarget, kPromptToPrompt}) views_[which]->clear();
  status_->setText(tr("The edited picture is the source now: write another target, and press Edit text"));
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
    status_->setText((preview ? tr("Preview, %1") : tr("In full, %1")).arg(QString::fromStdString(progress.what)));
    bar_->setRange(0, static_cast<int>(std::max<std::int64_t>(1, progress.total)));
    bar_->setValue(static_cast<int>(progress.done));
  } else if (const auto* source = std::get_if<event::EditSourceReady>(&event.what)) {
    if (!preview) show_source(*source);
  } else if (const auto* ready = std::get_if<event::EditReady>(&event.what)) {
    if (preview) {
      history_->leave();
      show_edit(*ready, true);
    } else {
      history_->keep(asked_, *ready);
      if (history_->present()->together > 1)
        show_present();
      else
        show_edit(*ready, false);  // whatever has been typed since stays
    }
  } else if (const auto* noted = std::get_if<event::Noted>(&event.what)) {
    message_->show_message(MessageStrip::Kind::note, in_words(noted->text));
  } else if (const auto* failed = std::get_if<event::Failed>(&event.what)) {
    message_->show_message(MessageStrip::Kind::error, in_words(failed->error));
    status_->setText(tr("Failed"));
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
  views_[kSource]->set_picture(to_image(source.picture), edit_caption(source.picture, false));
  views_[kResult]->set_title(tr("Drawn again from its noise"));
  views_[kResult]->set_picture(to_image(source.reconstruction), edit_caption(source.reconstruction, false));
  views_[kResult]->set_other(to_image(source.picture));
  message_->show_message(MessageStrip::Kind::note, tr("Before anything is edited: %1").arg(reconstruction_text(source)));
  show_box();
  refresh();
}

void EditPage::show_edit(const event::EditReady& ready, bool preview) {
  shown_ = ready;
  const auto show = [&](Which which, const Picture& picture, const QString& title, bool compared) {
    views_[which]->set_title(title);
    views_[which]->set_picture(to_image(picture), edit_caption(picture, compared));
    views_[which]->setToolTip(score_lines(picture));
  };
  show(kSource, ready.source.picture, picture_.isEmpty() ? tr("Source") : tr("Picture"), false);
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
  if (const int together = preview ? 1 : history_->present()->together; together > 1) facts[0] += tr(" for %1 variants together").arg(together);
  if (ready.source.reconstruction.rgb) facts << reconstruction_text(ready.source);
  status_->setText(facts.join("; "));
  if (!ready.notes.empty()) message_->show_message(MessageStrip::Kind::note, in_words(ready.notes));
  refresh();
}

void EditPage::show_difference() {
  for (const auto& variant : shown_.variants) {
    if (variant.way != EditWay::sites) continue;
    const QImage edited = to_image(variant.picture);
    views_[kResult]->set_picture(view_->currentIndex() == 0 ? edited : difference(edited, to_image(shown_.source.picture)),
                                 edit_caption(variant.picture, true));
  }
}

void EditPage::show_box() {
  QRect box;
  const event::EditSourceReady& source = shown_.source;
  if (masked_->isChecked() && source.picture.rgb) box = mask_ ? *mask_ : (source.text_box ? to_rect(*source.text_box) : QRect());
  views_[kSource]->set_box(box, masked_->isChecked());
}

void EditPage::show_present() {
  cancel();
  const auto& [command, ready, together] = *history_->present();
  asked_ = command;
  bench().restore_sampling(command.sampling);
  {
    const QSignalBlocker blocks[] = {QSignalBlocker(source_), QSignalBlocker(target_),   QSignalBlocker(from_step_),  QSignalBlocker(strength_),
                                     QSignalBlocker(masked_), QSignalBlocker(compared_), QSignalBlocker(refinements_)};
    source_->setText(QString::fromStdString(command.source));
    target_->setText(QString::fromStdString(command.targets.front()));
    refresh();  // as many steps to begin at as there were
    from_step_->setValue(command.from_steps.front());
    strength_->setValue(static_cast<int>(std::lround(100 * command.plan.patches().front().strength)));
    heads_->setText(QString::fromStdString(format_heads(heads_of(command.plan))));
    masked_->setChecked(command.masked);
    compared_->setChecked(command.compared);
    refinements_->setValue(command.refinements);
  }
  set_picture(QString::fromStdString(command.picture));
  mask_ = command.mask ? std::optional(to_rect(*command.mask)) : std::nullopt;
  const std::vector<int> sites = sites_of(command.plan);
  bench().selection()->select(QSet<int>(sites.begin(), sites.end()));
  pause_->stop();
  show_edit(ready, false);
}

void EditPage::refresh() {
  const bool sites = !bench().selection()->sites().isEmpty();
  const auto heads = attempt([&] { return parse_heads(heads_->text().toStdString(), bench().selection()->sorted(), table_); });
  edit_->setEnabled(model_ && sites && heads && !target_->text().trimmed().isEmpty() && !source_->text().trimmed().isEmpty());
  edit_->setToolTip(!model_  ? tr("Open a model first")
                    : !sites ? tr("Select the sites that write the text: click cells of the map")
                    : heads  ? QString()
                             : in_words(heads.error()));
  variants_->setEnabled(edit_->isEnabled());
  as_source_->setEnabled(!history_->empty() && !history_->left() && !busy());
  from_step_value_->setNum(from_step_->value());
  strength_value_->setText(tr("%1 %").arg(strength_->value()));
  stop_->setEnabled(busy());
  bar_->setVisible(busy());
  undo_->setEnabled(history_->can_undo());
  redo_->setEnabled(history_->can_redo());
  forget_->setVisible(!picture_.isEmpty());
  refinements_->setVisible(!picture_.isEmpty());
  if (model_) {  // before, there is nothing to sample, and the window is not complete
    const std::int64_t steps = bench().drawing().sampling.steps;
    from_step_->setRange(0, static_cast<int>(steps > 0 ? steps : default_steps_) - 1);
  }
  const bool shown = !views_[kResult]->picture().isNull();
  for (QWidget* one : {static_cast<QWidget*>(swipe_), static_cast<QWidget*>(blink_), static_cast<QWidget*>(view_)}) one->setEnabled(shown);
  for (const Which which : {kTarget, kPromptToPrompt}) views_[which]->setVisible(compared_->isChecked());
  history_->setVisible(!history_->empty());
}

void EditPage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  const auto write = [&](const char* name, const Picture& picture) {
    if (!picture.rgb) return;
    const QString file = QDir(folder).filePath(name);
    // Not over the picture that is edited.
    const bool free = picture_.isEmpty() || QFileInfo(file) != QFileInfo(picture_);
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
