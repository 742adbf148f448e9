#include "app/window/main_window.h"

#include <QtWidgets>

#include "core/version.h"
#include "io/resources.h"
#include "patching/patch_plan.h"
#include "widgets/heatmap.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/model_map.h"
#include "widgets/picture_view.h"
#include "widgets/site_list.h"

namespace glyphscope {

namespace {

struct ScoreName {
  const char* key;
  const char* title;
};
// Scores that lie in [0, 1]; the first is shown at the start.
constexpr ScoreName kScores[] = {{"target_f1", "reads as B (F1)"},
                                 {"source_f1", "reads as A (F1)"},
                                 {"word_accuracy", "is B's word"},
                                 {"ssim_outside_text", "background kept (SSIM)"},
                                 {"ssim", "image kept (SSIM)"}};

QImage to_image(const Picture& picture) {
  if (!picture.rgb) return {};
  return QImage(picture.rgb->data(), picture.width, picture.height, 3 * picture.width, QImage::Format_RGB888).copy();
}

QString caption(const Picture& picture, bool compared) {
  QString text = picture.read.empty() ? QObject::tr("no text read") : QObject::tr("reads \u201c%1\u201d").arg(QString::fromStdString(picture.read));
  auto ssim = picture.scores.find("ssim_outside_text");
  if (compared && ssim != picture.scores.end()) text += QObject::tr(" \u00b7 background %1").arg(ssim->second, 0, 'f', 2);
  return text;
}

ScoreValue to_value(const Score& score) { return {score.mean, score.low, score.high, score.n}; }

QString sites_text(const std::vector<int>& sites) { return QString::fromStdString(format_sites(sites)); }

}  // namespace

MainWindow::MainWindow(QWidget* parent)
    : QMainWindow(parent), engine_(new EngineBridge(this)), selection_(new SiteSelection(this)), view_(new ViewState(this)) {
  build();
  build_menus();
  setAcceptDrops(true);
  resize(1280, 860);
  connect(engine_, &EngineBridge::happened, this, &MainWindow::on_event);
  connect(selection_, &SiteSelection::changed, this, [this] {
    double share = 0;
    for (int site : selection_->sorted())
      if (site < static_cast<int>(sites_.size())) share += sites_[static_cast<size_t>(site)].share;
    selection_facts_->setText(selection_->sites().isEmpty()
                                  ? tr("No site selected: click cells of the map")
                                  : tr("Selected: %1 (%2 % of the denoiser)").arg(sites_text(selection_->sorted())).arg(100 * share, 0, 'f', 2));
    refresh_buttons();
  });
  refresh_buttons();
}

void MainWindow::build() {
  setWindowTitle(tr("Glyphscope"));
  message_ = new MessageStrip(this);
  message_->setObjectName("message");
  jobs_ = new JobBar(this);
  connect(jobs_, &JobBar::cancel_requested, this, [this] {
    if (job_) engine_->cancel(job_);
  });

  auto* right = new QWidget(this);
  auto* column = new QVBoxLayout(right);
  column->setContentsMargins(4, 8, 10, 4);
  column->setSpacing(8);
  column->addWidget(message_);
  column->addWidget(build_prompts());
  auto* stack = new QSplitter(Qt::Vertical, right);
  stack->addWidget(build_pictures());
  stack->addWidget(build_heatmap());
  stack->setStretchFactor(0, 3);
  stack->setStretchFactor(1, 2);
  stack->setChildrenCollapsible(false);
  column->addWidget(stack, 1);

  auto* sides = new QSplitter(Qt::Horizontal, this);
  sides->addWidget(build_side());
  sides->addWidget(right);
  sides->setStretchFactor(0, 0);
  sides->setStretchFactor(1, 1);
  sides->setSizes({370, 910});
  sides->setChildrenCollapsible(false);

  auto* centre = new QWidget(this);
  auto* rows = new QVBoxLayout(centre);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(0);
  rows->addWidget(sides, 1);
  auto* line = new QFrame(centre);
  line->setFrameShape(QFrame::HLine);
  line->setFrameShadow(QFrame::Plain);
  line->setForegroundRole(QPalette::Mid);
  rows->addWidget(line);
  rows->addWidget(jobs_);
  setCentralWidget(centre);
}

QWidget* MainWindow::build_side() {
  auto* side = new QWidget(this);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(10, 8, 4, 8);
  column->setSpacing(6);
  model_title_ = new QLabel(tr("No model"), side);
  QFont title = font();
  title.setPointSizeF(title.pointSizeF() * 1.25);
  title.setBold(true);
  model_title_->setFont(title);
  model_facts_ = new QLabel(tr("Open a diffusers folder, or drop it here"), side);
  model_facts_->setWordWrap(true);
  model_facts_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  auto* open = new QPushButton(tr("Open\u2026"), side);
  open->setToolTip(tr("Open a model's folder (Ctrl+O)"));
  connect(open, &QPushButton::clicked, this, &MainWindow::choose_folder);
  auto* head = new QHBoxLayout;
  head->addWidget(model_title_, 1);
  head->addWidget(open);
  column->addLayout(head);
  column->addWidget(model_facts_);
  map_ = new ModelMap(selection_, side);
  map_->setObjectName("map");
  column->addWidget(map_, 3);
  selection_facts_ = new QLabel(tr("No site selected: click cells of the map"), side);
  selection_facts_->setWordWrap(true);
  column->addWidget(selection_facts_);
  list_ = new SiteList(selection_, side);
  list_->setObjectName("sites");
  column->addWidget(list_, 2);
  return side;
}

QWidget* MainWindow::build_prompts() {
  auto* panel = new QWidget(this);
  auto* rows = new QVBoxLayout(panel);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(6);
  auto* grid = new QGridLayout;
  grid->setSpacing(6);
  auto field = [&](int row, const QString& label, const QString& text, const QString& tip, const char* name) {
    auto* caption = new QLabel(label, panel);
    auto* edit = new QLineEdit(text, panel);
    edit->setObjectName(name);
    edit->setToolTip(tip);
    caption->setBuddy(edit);
    grid->addWidget(caption, row, 0);
    grid->addWidget(edit, row, 1);
    connect(edit, &QLineEdit::textChanged, this, &MainWindow::refresh_buttons);
    return edit;
  };
  source_ = field(0, tr("Prompt &A"), tr("a round red sign that says \"LOVE\" on a blue wall"), tr("The picture to keep. Its text stands in double quotes."),
                  "source");
  target_ = field(1, tr("Prompt &B"), tr("a round red sign that says \"TIME\" on a blue wall"),
                  tr("The same prompt with another text: what the selected sites see"), "target");
  connect(source_, &QLineEdit::returnPressed, this, &MainWindow::generate);
  connect(target_, &QLineEdit::returnPressed, this, [this] { edit_->isEnabled() ? edit() : generate(); });
  rows->addLayout(grid);

  auto* line = new QHBoxLayout;
  line->setSpacing(6);
  auto number = [&](auto* box, const QString& label, const QString& tip) {
    line->addWidget(new QLabel(label, panel));
    box->setToolTip(tip);
    line->addWidget(box);
    return box;
  };
  steps_ = number(new QSpinBox(panel), tr("Steps"), tr("Denoising steps"));
  steps_->setRange(1, 1000);
  steps_->setValue(20);
  steps_->setObjectName("steps");
  guidance_ = number(new QDoubleSpinBox(panel), tr("Guidance"), tr("Classifier-free guidance; up to 1: none"));
  guidance_->setRange(0, 50);
  guidance_->setSingleStep(0.5);
  guidance_->setValue(3);
  seed_ = number(new QSpinBox(panel), tr("Seed"), tr("Seed of the noise, the same for all three pictures"));
  seed_->setRange(0, 2147483647);
  seed_->setValue(42);
  from_step_ = number(new QSpinBox(panel), tr("From step"), tr("First step at which the selected sites see prompt B; later keeps more of A's layout"));
  from_step_->setRange(0, 1000);
  line->addStretch(1);
  auto button = [&](const QString& text, const QString& tip, const char* name, auto slot) {
    auto* out = new QPushButton(text, panel);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, slot);
    line->addWidget(out);
    return out;
  };
  generate_ = button(tr("&Generate"), tr("Draw prompt A and prompt B from the same noise"), "generate", &MainWindow::generate);
  localize_ = button(tr("&Localize"), tr("Patch every site alone, over pairs of words, and read the pictures"), "localize", &MainWindow::localize);
  edit_ = button(tr("&Edit text"), tr("Draw A's picture while the selected sites see prompt B"), "edit", &MainWindow::edit);
  rows->addLayout(line);
  return panel;
}

QWidget* MainWindow::build_pictures() {
  auto* panel = new QWidget(this);
  auto* rows = new QVBoxLayout(panel);
  rows->setContentsMargins(0, 0, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  line->setSpacing(12);
  source_view_ = new PictureView(tr("A"), tr("Generate draws prompt A here"), view_, panel);
  patched_view_ = new PictureView(tr("A, patched"), tr("Select sites and press Edit text"), view_, panel);
  target_view_ = new PictureView(tr("B"), tr("Generate draws prompt B here"), view_, panel);
  for (auto* view : {source_view_, patched_view_, target_view_}) line->addWidget(view, 1);
  rows->addLayout(line, 1);
  auto* swipe_line = new QHBoxLayout;
  swipe_ = new QSlider(Qt::Horizontal, panel);
  swipe_->setRange(0, 1000);
  swipe_->setToolTip(tr("Swipe A over the patched picture"));
  swipe_->setObjectName("swipe");
  swipe_->setEnabled(false);
  connect(swipe_, &QSlider::valueChanged, this, [this](int value) { patched_view_->set_divider(value / 1000.0); });
  swipe_line->addStretch(1);
  swipe_line->addWidget(new QLabel(tr("Swipe A over patched"), panel));
  swipe_line->addWidget(swipe_, 1);
  swipe_line->addStretch(1);
  rows->addLayout(swipe_line);
  return panel;
}

QWidget* MainWindow::build_heatmap() {
  auto* panel = new QWidget(this);
  auto* rows = new QVBoxLayout(panel);
  rows->setContentsMargins(0, 4, 0, 0);
  rows->setSpacing(4);
  auto* line = new QHBoxLayout;
  line->addWidget(new QLabel(tr("Heatmap"), panel));
  rows_ = new QComboBox(panel);
  rows_->setObjectName("rows");
  rows_->addItems({tr("sites \u00d7 scores"), tr("sites \u00d7 pairs")});
  line->addWidget(rows_);
  line->addSpacing(12);
  line->addWidget(new QLabel(tr("Map and pairs show"), panel));
  score_ = new QComboBox(panel);
  score_->setObjectName("score");
  for (const auto& score : kScores) score_->addItem(tr(score.title), QString(score.key));
  line->addWidget(score_);
  line->addStretch(1);
  rows->addLayout(line);
  heatmap_ = new Heatmap(selection_, panel);
  heatmap_->setObjectName("heatmap");
  rows->addWidget(heatmap_, 1);
  connect(rows_, &QComboBox::currentIndexChanged, this, &MainWindow::refresh_heatmap);
  connect(score_, &QComboBox::currentIndexChanged, this, &MainWindow::refresh_heatmap);
  connect(heatmap_, &Heatmap::clicked, this, [this](int row, int site) { show_pair_picture(rows_->currentIndex() == 1 ? row : 0, site); });
  return panel;
}

void MainWindow::build_menus() {
  auto* file = menuBar()->addMenu(tr("&File"));
  file->addAction(tr("&Open model\u2026"), QKeySequence::Open, this, &MainWindow::choose_folder);
  file->addAction(tr("Open &demo model"), this, [this] { open_model("demo:sign-unet"); });
  file->addSeparator();
  file->addAction(tr("&Export everything\u2026"), QKeySequence(Qt::CTRL | Qt::Key_E), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Export into folder"));
    if (!folder.isEmpty() && !export_all(folder).isEmpty()) message_->show_message(MessageStrip::Kind::note, tr("Exported into %1").arg(folder));
  });
  auto* save = file->addMenu(tr("&Save view"));
  save->addAction(tr("&Window\u2026"), this, [this] { save_view(this, "window.png"); });
  save->addAction(tr("&Map\u2026"), this, [this] { save_view(map_, "map.png"); });
  save->addAction(tr("&Pictures\u2026"), this, [this] { save_view(source_view_->parentWidget(), "pictures.png"); });
  save->addAction(tr("&Heatmap (PNG, SVG or PDF)\u2026"), this, [this] { save_view(heatmap_, "heatmap.png"); });
  file->addSeparator();
  file->addAction(tr("&Quit"), QKeySequence::Quit, this, &QWidget::close);
  auto* view = menuBar()->addMenu(tr("&View"));
  auto* dark = view->addAction(tr("&Dark colours"));
  dark->setCheckable(true);
  dark->setChecked(QSettings().value("dark", false).toBool());
  connect(dark, &QAction::toggled, this, [](bool on) {
    QSettings().setValue("dark", on);
    apply_theme(on);
  });
  view->addAction(tr("&Fit pictures"), QKeySequence(Qt::CTRL | Qt::Key_0), view_, &ViewState::reset);
  auto* help = menuBar()->addMenu(tr("&Help"));
  help->addAction(tr("&About Glyphscope"), this, [this] {
    message_->show_message(MessageStrip::Kind::note, tr("Glyphscope %1, LibTorch %2. It finds, shows and uses the attention layers that write text in the "
                                                        "pictures of a diffusion model. Free software under the GPL, version 3 or later.")
                                                         .arg(QString::fromStdString(version()), QString::fromStdString(torch_version())));
  });
}

void MainWindow::choose_folder() {
  const QString folder = QFileDialog::getExistingDirectory(this, tr("Open a diffusers folder"));
  if (!folder.isEmpty()) open_model(folder);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls() && event->mimeData()->urls().first().isLocalFile()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) { open_model(event->mimeData()->urls().first().toLocalFile()); }

command::Sampling MainWindow::sampling() const { return {steps_->value(), guidance_->value(), static_cast<std::uint64_t>(seed_->value())}; }

QString MainWindow::settings_text() const {
  QJsonArray sites;
  for (int site : selection_->sorted()) sites.append(site);
  const QJsonObject settings{{"schema", "glyphscope.view/1"},    {"model", model_source_},
                             {"model_hash", model_hash_},        {"source", source_->text()},
                             {"target", target_->text()},        {"steps", steps_->value()},
                             {"guidance", guidance_->value()},   {"seed", seed_->value()},
                             {"from_step", from_step_->value()}, {"sites", sites}};
  return QString::fromUtf8(QJsonDocument(settings).toJson(QJsonDocument::Compact));
}

void MainWindow::start(Command command) {
  message_->hide();
  if (job_) engine_->cancel(job_);  // the new job must not wait for one that nobody watches any more
  job_ = engine_->post(std::move(command));
  jobs_->start(tr("Waiting for the engine"));
  refresh_buttons();
}

void MainWindow::open_model(const QString& source) { start(command::OpenModel{source.toStdString()}); }

void MainWindow::generate() {
  if (!generate_->isEnabled()) return;
  start(command::Generate{source_->text().toStdString(), target_->text().toStdString(), sampling(), {}, 0});
}

void MainWindow::edit() {
  start(command::Generate{source_->text().toStdString(), target_->text().toStdString(), sampling(), selection_->sorted(), from_step_->value()});
}

void MainWindow::localize() {
  const auto done = attempt([&] {
    // Our signs for our demo; for another model, the paper's simple template.
    const bool demo = model_source_.startsWith("demo:");
    command::Localize command{demo ? read_word_list(resource("prompts/signs.txt")) : std::vector<std::string>{"A sign that says \"<text>\"."},
                              read_word_list(resource("words/localize.txt")),
                              static_cast<size_t>(pairs),
                              sampling(),
                              from_step_->value(),
                              {}};
    pairs_done_.clear();
    scores_.clear();
    refresh_heatmap();
    start(std::move(command));
  });
  if (!done) fail(QString::fromStdString(done.error().message()));
}

void MainWindow::on_event(const Event& event) {
  if (event.job != job_) return;  // of a job that nobody waits for any more
  if (auto* started = std::get_if<event::Started>(&event.what)) {
    last_done_ = QString::fromStdString(started->what);
    jobs_->start(last_done_);
  } else if (auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    jobs_->set_progress(last_done_, progressed->progress.done, progressed->progress.total);
  } else if (auto* model = std::get_if<event::ModelOpened>(&event.what)) {
    show_model(*model);
  } else if (auto* pictures = std::get_if<event::PicturesReady>(&event.what)) {
    show_pictures(*pictures);
  } else if (auto* pair = std::get_if<event::PairReady>(&event.what)) {
    add_pair(*pair);
  } else if (auto* scores = std::get_if<event::ScoresReady>(&event.what)) {
    show_scores(*scores);
  } else {
    job_ = 0;
    if (auto* finished = std::get_if<event::Finished>(&event.what)) jobs_->finish(tr("%1: done in %2").arg(last_done_, duration_text(finished->seconds)));
    if (std::get_if<event::Cancelled>(&event.what)) jobs_->finish(tr("%1: cancelled").arg(last_done_));
    if (auto* failed = std::get_if<event::Failed>(&event.what)) {
      jobs_->finish(tr("%1: failed").arg(last_done_));
      fail(QString::fromStdString(failed->error.message()));
    }
    refresh_buttons();
  }
}

void MainWindow::fail(const QString& text) { message_->show_message(MessageStrip::Kind::error, text); }

void MainWindow::show_model(const event::ModelOpened& model) {
  model_source_ = QString::fromStdString(model.source);
  model_hash_ = QString::fromStdString(model.hash);
  setWindowTitle(tr("%1 \u2013 Glyphscope").arg(model_source_));
  model_title_->setText(QFileInfo(model_source_).fileName());
  QStringList parts;
  for (const auto& [name, count] : model.parameters) parts << tr("%1 %2 M").arg(QString::fromStdString(name)).arg(static_cast<double>(count) / 1e6, 0, 'f', 2);
  model_facts_->setText(tr("%1, %2 \u00d7 %3 pixels, %4 sites\n%5")
                            .arg(QString::fromStdString(model.family))
                            .arg(model.width)
                            .arg(model.height)
                            .arg(model.table.sites.size())
                            .arg(parts.join(", ")));
  model_facts_->setToolTip(tr("SHA-256 %1").arg(model_hash_));
  sites_.clear();
  for (const auto& site : model.table.sites)
    sites_.push_back(
        {site.index, QString::fromStdString(site.path), QString::fromStdString(site.block), site.heads, site.kv_parameters, model.table.share({site.index})});
  selection_->clear();
  scores_.clear();
  pairs_done_.clear();
  map_->set_sites(sites_);
  list_->set_sites(sites_);
  for (auto* view : {source_view_, target_view_, patched_view_}) view->clear();
  swipe_->setEnabled(false);
  steps_->setValue(static_cast<int>(model.default_steps));
  guidance_->setValue(model.default_guidance);
  refresh_heatmap();
}

void MainWindow::show_pictures(const event::PicturesReady& ready) {
  source_view_->set_title(tr("A"));
  source_view_->set_picture(to_image(ready.source), caption(ready.source, false));
  target_view_->set_title(tr("B"));
  target_view_->set_picture(to_image(ready.target), caption(ready.target, true));
  picture_metadata_ = {{"source", QString::fromStdString(ready.source.metadata)}, {"target", QString::fromStdString(ready.target.metadata)}};
  if (ready.patched.empty()) {
    patched_view_->clear();
  } else {
    patched_view_->set_title(tr("A, sites %1 see B").arg(sites_text(ready.sites)));
    patched_view_->set_picture(to_image(ready.patched[0]), caption(ready.patched[0], true));
    patched_view_->set_other(to_image(ready.source));
    picture_metadata_["patched"] = QString::fromStdString(ready.patched[0].metadata);
  }
  swipe_->setEnabled(!ready.patched.empty());
  QStringList notes;
  for (const auto& note : ready.notes) notes << QString::fromStdString(note);
  if (!notes.isEmpty()) message_->show_message(MessageStrip::Kind::note, notes.join("\n"));
}

void MainWindow::add_pair(const event::PairReady& pair) {
  pairs_done_.push_back(pair);
  refresh_heatmap();
}

void MainWindow::show_pair_picture(int pair, int site) {
  if (pair >= static_cast<int>(pairs_done_.size())) return;
  const event::PairReady& one = pairs_done_[static_cast<size_t>(pair)];
  if (site >= static_cast<int>(one.patched.size())) return;
  source_view_->set_title(tr("A of pair %1: \u201c%2\u201d").arg(pair + 1).arg(QString::fromStdString(one.source_text)));
  source_view_->set_picture(to_image(one.source), caption(one.source, false));
  target_view_->set_title(tr("B of pair %1: \u201c%2\u201d").arg(pair + 1).arg(QString::fromStdString(one.target_text)));
  target_view_->set_picture(to_image(one.target), caption(one.target, true));
  patched_view_->set_title(tr("A, site %1 sees B").arg(site));
  const Picture& patched = one.patched[static_cast<size_t>(site)];
  patched_view_->set_picture(to_image(patched), caption(patched, true));
  patched_view_->set_other(to_image(one.source));
  swipe_->setEnabled(true);
  picture_metadata_.clear();
}

void MainWindow::show_scores(const event::ScoresReady& scores) {
  for (const auto& [name, list] : scores.sites) {
    auto& into = scores_[QString::fromStdString(name)];
    for (size_t site = 0; site < list.size(); ++site) into[static_cast<int>(site)] = to_value(list[site]);
  }
  refresh_heatmap();
  if (!scores.final) return;
  const QString found = scores.localized.empty() ? tr("No single site writes the text alone.") : tr("Localized: %1.").arg(sites_text(scores.localized));
  const QString smallest = scores.smallest.empty() ? tr(" No set of sites keeps B's text.")
                                                   : tr(" The smallest set that keeps B's text is %1; it is selected.").arg(sites_text(scores.smallest));
  message_->show_message(MessageStrip::Kind::note, found + smallest);
  const std::vector<int>& best = scores.smallest.empty() ? scores.localized : scores.smallest;
  if (!best.empty()) selection_->select(QSet<int>(best.begin(), best.end()));
}

void MainWindow::refresh_heatmap() {
  const QString key = score_->currentData().toString();
  auto shown = scores_.find(key);
  const std::map<int, ScoreValue> scores = shown == scores_.end() ? std::map<int, ScoreValue>{} : shown->second;
  map_->set_scores(score_->currentText(), scores);
  list_->set_scores(score_->currentText(), scores);

  QStringList names;
  std::vector<std::vector<std::optional<ScoreValue>>> values;
  if (rows_->currentIndex() == 0) {
    for (const auto& score : kScores) {
      names << tr(score.title);
      values.emplace_back(sites_.size());
      if (auto found = scores_.find(score.key); found != scores_.end())
        for (const auto& [site, value] : found->second)
          if (site < static_cast<int>(sites_.size())) values.back()[static_cast<size_t>(site)] = value;
    }
  } else {
    for (const auto& pair : pairs_done_) {
      names << QStringLiteral("%1 \u2192 %2").arg(QString::fromStdString(pair.source_text), QString::fromStdString(pair.target_text));
      values.emplace_back(sites_.size());
      for (size_t site = 0; site < pair.patched.size() && site < sites_.size(); ++site)
        if (auto found = pair.patched[site].scores.find(key.toStdString()); found != pair.patched[site].scores.end())
          values.back()[site] = ScoreValue{found->second, {}, {}, 1};
    }
  }
  heatmap_->set_values(sites_.empty() ? QStringList() : names, static_cast<int>(sites_.size()), values);
}

void MainWindow::refresh_buttons() {
  const bool ready = !busy() && !sites_.empty();
  generate_->setEnabled(ready);
  localize_->setEnabled(ready);
  edit_->setEnabled(ready && !selection_->sites().isEmpty());
  edit_->setToolTip(selection_->sites().isEmpty() ? tr("Select sites on the map first")
                                                  : tr("Draw A's picture while sites %1 see prompt B").arg(sites_text(selection_->sorted())));
}

namespace {

bool save_image(QImage image, const QString& file, const QString& metadata) {
  image.setText("glyphscope", metadata);
  QSaveFile out(file);  // all of it or nothing
  return out.open(QIODevice::WriteOnly) && image.save(&out, "PNG") && out.commit();
}

}  // namespace

void MainWindow::save_view(QWidget* view, const QString& name) {
  const QString filter = view == heatmap_ ? tr("Pictures (*.png *.svg *.pdf)") : tr("Pictures (*.png)");
  const QString file = QFileDialog::getSaveFileName(this, tr("Save view"), name, filter);
  if (file.isEmpty()) return;
  const bool vector = view == heatmap_ && (file.endsWith(".svg", Qt::CaseInsensitive) || file.endsWith(".pdf", Qt::CaseInsensitive));
  const bool saved = vector ? heatmap_->save_vector(file) : save_image(view->grab().toImage(), file, settings_text());
  if (saved) {
    message_->show_message(MessageStrip::Kind::note, tr("Saved %1").arg(file));
  } else {
    fail(tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(file));
  }
}

QStringList MainWindow::export_all(const QString& folder) {
  QStringList files, failed;
  const QDir out(folder);
  auto keep = [&](const QString& name, bool saved) { (saved ? files : failed) << out.filePath(name); };
  const std::pair<const char*, PictureView*> pictures[] = {{"source", source_view_}, {"target", target_view_}, {"patched", patched_view_}};
  for (const auto& [name, view] : pictures) {
    if (view->picture().isNull()) continue;
    auto metadata = picture_metadata_.find(name);
    keep(QString(name) + ".png",
         save_image(view->picture(), out.filePath(QString(name) + ".png"), metadata == picture_metadata_.end() ? settings_text() : metadata->second));
  }
  if (!scores_.empty()) {
    keep("heatmap.png", save_image(heatmap_->grab().toImage(), out.filePath("heatmap.png"), settings_text()));
    keep("heatmap.svg", heatmap_->save_vector(out.filePath("heatmap.svg")));
    QSaveFile table(out.filePath("scores.csv"));
    bool written = table.open(QIODevice::WriteOnly);
    if (written) {
      QTextStream text(&table);
      text << "site,path,score,mean,low,high,images\n";
      for (const auto& [name, values] : scores_)
        for (const auto& [site, value] : values) {
          text << site << ',' << sites_[static_cast<size_t>(site)].path << ',' << name << ',' << value.mean << ',';
          if (value.low) text << *value.low;
          text << ',';
          if (value.high) text << *value.high;
          text << ',' << value.n << '\n';
        }
      text.flush();
      written = table.commit();
    }
    keep("scores.csv", written);
  }
  keep("window.png", save_image(grab().toImage(), out.filePath("window.png"), settings_text()));
  if (!failed.isEmpty()) fail(tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(failed.join(", ")));
  return failed.isEmpty() ? files : QStringList();
}

}  // namespace glyphscope
