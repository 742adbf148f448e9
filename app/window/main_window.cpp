#include "app/window/main_window.h"

#include <QtWidgets>

#include "app/window/open_dialog.h"
#include "app/window/pictures_panel.h"
#include "app/window/prompt_panel.h"
#include "app/window/save_picture.h"
#include "app/window/scores_panel.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "core/version.h"
#include "io/files.h"
#include "io/resources.h"
#include "patching/patch_plan.h"
#include "widgets/adapter_list.h"
#include "widgets/heatmap.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/model_map.h"
#include "widgets/site_list.h"

namespace glyphscope {

namespace {

QString size_text(double bytes) { return QLocale().formattedDataSize(static_cast<qint64>(bytes), 2, QLocale::DataSizeSIFormat); }

QString sites_text(const std::vector<int>& sites) { return QString::fromStdString(format_sites(sites)); }

std::vector<SiteItem> site_items(const SiteTable& table) {
  const auto row = [](BlockPlace place) {
    return place == BlockPlace::down     ? BlockRow::down
           : place == BlockPlace::up     ? BlockRow::up
           : place == BlockPlace::middle ? BlockRow::middle
                                         : BlockRow::stack;
  };
  std::vector<SiteItem> out;
  for (const auto& site : table.sites)
    out.push_back({.index = site.index,
                   .path = QString::fromStdString(site.path),
                   .block = QString::fromStdString(site.block),
                   .heads = site.heads,
                   .parameters = site.kv_parameters,
                   .share = table.share({site.index}),
                   .row = row(site.place)});
  return out;
}

// The first local file of what is dragged; empty if there is none.
QString dropped_file(const QMimeData* data) {
  for (const QUrl& url : data->urls())
    if (url.isLocalFile()) return url.toLocalFile();
  return {};
}

}  // namespace

MainWindow::MainWindow(QWidget* parent) : QMainWindow(parent), engine_(new EngineBridge(this)), selection_(new SiteSelection(this)) {
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
  jobs_->setObjectName("jobs");
  connect(jobs_, &JobBar::cancel_requested, this, [this] {
    if (job_) engine_->cancel(job_);
  });

  auto* right = new QWidget(this);
  auto* column = new QVBoxLayout(right);
  column->setContentsMargins(4, 8, 10, 4);
  column->setSpacing(8);
  column->addWidget(message_);
  tabs_ = new QTabWidget(right);
  tabs_->setObjectName("pages");
  tabs_->setDocumentMode(true);
  tabs_->addTab(build_study(), tr("Study"));
  pages_ = make_pages(this, tabs_);
  for (Page* page : pages_) {
    tabs_->addTab(page, page->title());
    connect(page, &Page::title_changed, this, [this, page] { tabs_->setTabText(tabs_->indexOf(page), page->title()); });
  }
  column->addWidget(tabs_, 1);

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

QWidget* MainWindow::build_study() {
  auto* page = new QWidget(this);
  auto* column = new QVBoxLayout(page);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(8);
  prompts_ = new PromptPanel(page);
  connect(prompts_, &PromptPanel::generate_requested, this,
          [this] { draw({.source = prompts_->source(), .target = prompts_->target(), .sampling = prompts_->sampling()}); });
  connect(prompts_, &PromptPanel::edit_requested, this, [this] {
    draw({.source = prompts_->source(),
          .target = prompts_->target(),
          .sampling = prompts_->sampling(),
          .plan = PatchPlan::at_sites(selection_->sorted(), 1, prompts_->from_step())});
  });
  connect(prompts_, &PromptPanel::localize_requested, this, &MainWindow::localize);
  column->addWidget(prompts_);
  auto* stack = new QSplitter(Qt::Vertical, page);
  pictures_ = new PicturesPanel(stack);
  scores_ = new ScoresPanel(selection_, stack);
  connect(scores_, &ScoresPanel::shown, this, [this](const QString& title, const std::map<int, ScoreValue>& values) {
    map_->set_scores(title, values);
    list_->set_scores(title, values);
  });
  connect(scores_, &ScoresPanel::pair_chosen, this, [this](const event::PairReady& pair, int site) {
    if (pair.source.rgb) return pictures_->show_pair(pair, site);
    message_->show_message(MessageStrip::Kind::note, tr("The pictures of pair %1 are no longer kept: there are too many. Its scores are.").arg(pair.pair + 1));
  });
  stack->addWidget(pictures_);
  stack->addWidget(scores_);
  stack->setStretchFactor(0, 3);
  stack->setStretchFactor(1, 2);
  stack->setChildrenCollapsible(false);
  column->addWidget(stack, 1);
  return page;
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
  model_facts_ = new QLabel(tr("Open a diffusers folder or a checkpoint, or drop it here"), side);
  model_facts_->setWordWrap(true);
  model_facts_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  auto* open = new QPushButton(tr("Open\u2026"), side);
  open->setObjectName("open");
  open->setToolTip(tr("Open a model (Ctrl+O)"));
  connect(open, &QPushButton::clicked, this, &MainWindow::choose_model);
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
  adapters_ = new AdapterList(side);
  adapters_->setObjectName("adapters");
  connect(adapters_, &AdapterList::add_requested, this, &MainWindow::choose_adapter);
  connect(adapters_, &AdapterList::save_requested, this, &MainWindow::save_adapter);
  // A slider moves through many values: pictures are drawn of the one where it rests.
  adapters_settle_ = new QTimer(this);
  adapters_settle_->setSingleShot(true);
  adapters_settle_->setInterval(250);
  connect(adapters_, &AdapterList::changed, adapters_settle_, qOverload<>(&QTimer::start));
  connect(adapters_settle_, &QTimer::timeout, this, [this] {
    draw_again();
    for (Page* page : pages_) page->adapters_changed();
  });
  column->addWidget(adapters_);
  return side;
}

void MainWindow::build_menus() {
  auto* file = menuBar()->addMenu(tr("&File"));
  file->addAction(tr("&Open model\u2026"), QKeySequence::Open, this, &MainWindow::choose_model);
  auto* demos = file->addMenu(tr("Open &demo model"));
  for (const auto& demo : demo_models()) demos->addAction(QString::fromStdString(demo), this, [this, demo] { open_model(QString::fromStdString(demo)); });
  file->addSeparator();
  auto* unfinished = file->addMenu(tr("&Go on with a localization"));
  unfinished->setObjectName("unfinished");
  connect(unfinished, &QMenu::aboutToShow, this, [this, unfinished] { list_unfinished(unfinished); });
  file->addAction(tr("&Workspace folder\u2026"), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Keep runs in"), workspace_folder());
    if (folder.isEmpty()) return;
    set_workspace_folder(folder);
    message_->show_message(MessageStrip::Kind::note, tr("Runs are kept in %1 from now on.").arg(folder));
  });
  file->addSeparator();
  file->addAction(tr("&Export everything\u2026"), QKeySequence(Qt::CTRL | Qt::Key_E), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Export into folder"));
    if (!folder.isEmpty() && !export_all(folder).isEmpty()) message_->show_message(MessageStrip::Kind::note, tr("Exported into %1").arg(folder));
  });
  auto* save = file->addMenu(tr("&Save view"));
  save->addAction(tr("&Window\u2026"), this, [this] { save_view(this, "window.png"); });
  save->addAction(tr("&Map\u2026"), this, [this] { save_view(map_, "map.png"); });
  save->addAction(tr("&Pictures\u2026"), this, [this] { save_view(pictures_, "pictures.png"); });
  for (Page* page : pages_) save->addAction(tr("%1\u2026").arg(page->name()), this, [this, page] { save_view(page, page->name().toLower() + ".png"); });
  save->addAction(tr("&Heatmap (PNG, SVG or PDF)\u2026"), this, [this] { save_view(scores_->heatmap(), "heatmap.png"); });
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
  view->addAction(tr("&Fit pictures"), QKeySequence(Qt::CTRL | Qt::Key_0), pictures_, &PicturesPanel::fit);
  auto* help = menuBar()->addMenu(tr("&Help"));
  help->addAction(tr("&About Glyphscope"), this, [this] {
    message_->show_message(MessageStrip::Kind::note, tr("Glyphscope %1, LibTorch %2. It finds, shows and uses the attention layers that write text in the "
                                                        "pictures of a diffusion model. Free software under the GPL, version 3 or later.")
                                                         .arg(QString::fromStdString(version()), QString::fromStdString(torch_version())));
  });
}

void MainWindow::choose_model() {
  auto* dialog = new OpenDialog(this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &OpenDialog::chosen, this, qOverload<const command::OpenModel&>(&MainWindow::open_model));
  dialog->open();
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (!dropped_file(event->mimeData()).isEmpty()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  if (const QString file = dropped_file(event->mimeData()); !file.isEmpty()) open_model(file);
}

QString MainWindow::settings_text() const {
  QJsonArray sites;
  for (int site : selection_->sorted()) sites.append(site);
  const command::Sampling sampling = prompts_->sampling();
  // Of the fields, which may have been changed since anything was drawn; pictures carry their own settings, and the run its own.
  const QJsonObject fields{{"source", QString::fromStdString(prompts_->source())},
                           {"target", QString::fromStdString(prompts_->target())},
                           {"steps", static_cast<qint64>(sampling.steps)},
                           {"upscale_steps", static_cast<qint64>(sampling.upscale_steps)},
                           {"guidance", sampling.guidance},
                           {"seed", static_cast<qint64>(sampling.seed)},
                           {"from_step", prompts_->from_step()}};
  QJsonObject settings{{"schema", "glyphscope.view/2"}, {"model", model_source_}, {"model_hash", model_hash_},
                       {"upscaler", upscaler_source_},  {"sites", sites},         {"fields", fields}};
  if (!scores_->empty()) {
    settings["run"] = QJsonDocument::fromJson(scores_->document().toUtf8()).object();
    settings["run_is_whole"] = scores_->whole();
  }
  return QString::fromUtf8(QJsonDocument(settings).toJson(QJsonDocument::Compact));
}

bool MainWindow::may_end(const QString& what, bool closing) {
  const bool job = busy() && jobs_->expected_seconds() >= long_job, training = closing && engine_->training();
  if (!job && !training) return true;
  QMessageBox box(QMessageBox::Question, tr("Glyphscope"), training && !job ? tr("A training is running.") : tr("%1 is running.").arg(last_done_), {}, this);
  box.setObjectName("may_end");
  QStringList kept;
  if (localizing_) kept << tr("What is done of it is kept in the workspace: File, Go on with a localization, draws the rest.");
  if (training) kept << tr("The training is saved, and goes on from its folder.");
  if (job && !localizing_) kept << tr("What it has done so far is lost.");
  box.setInformativeText(tr("%1 ends it. %2").arg(what, kept.join(" ")));
  auto* end = box.addButton(tr("End it"), QMessageBox::DestructiveRole);
  end->setObjectName("end");
  auto* stay = box.addButton(tr("Let it run"), QMessageBox::RejectRole);
  stay->setObjectName("stay");
  box.setDefaultButton(stay);
  box.setEscapeButton(stay);
  box.exec();
  return box.clickedButton() == end;
}

void MainWindow::closeEvent(QCloseEvent* event) { event->setAccepted(may_end(tr("Closing the window"), true)); }

void MainWindow::list_unfinished(QMenu* menu) {
  menu->clear();
  for (const UnfinishedRun& run : unfinished_runs()) {
    const QString text = tr("%1, begun %2: %3 of %4 pairs").arg(run.model, QLocale().toString(run.begun, QLocale::ShortFormat)).arg(run.pairs).arg(run.of);
    menu->addAction(text, this, [this, run] { go_on(run.folder); })->setToolTip(run.folder);
  }
  if (menu->isEmpty()) menu->addAction(tr("None in %1 is unfinished").arg(workspace_folder()))->setEnabled(false);
  menu->addSeparator();
  menu->addAction(tr("In another folder\u2026"), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Go on with the localization in"), workspace_folder());
    if (!folder.isEmpty()) go_on(folder);
  });
}

void MainWindow::go_on(const QString& folder) { go_on(folder, /*opened=*/false); }

void MainWindow::go_on(const QString& folder, bool opened) {
  const std::string file = (folder + "/settings.json").toStdString();
  const auto named = attempt([&] {
    const auto document = read_json(file);
    return reading_json(file, [&] { return std::pair(document.value("model", std::string()), document.value("model_hash", std::string())); });
  });
  if (!named) return fail(in_words(named.error()));
  const QString model = QString::fromStdString(named->first), hash = QString::fromStdString(named->second);
  if (hash != model_hash_ && opened) return fail(tr("%1 is another model by now than the localization in %2 is of.").arg(model, folder));
  if (hash != model_hash_) {
    going_on_ = folder;
    return open_model(model);
  }
  if (!may_end(tr("Going on with another localization"))) return;
  command::Localize command;
  command.folder = folder.toStdString();
  command.begin = command::Localize::Begin::go_on_by_its_own;
  command.adapters = adapters_->at_work();
  scores_->clear();
  start(std::move(command));
}

void MainWindow::start(Command command) {
  message_->hide();
  notes_.clear();
  if (job_) engine_->cancel(job_);  // the new job must not wait for one that nobody watches any more
  drawing_ = std::holds_alternative<command::Generate>(command);
  localizing_ = std::holds_alternative<command::Localize>(command);
  const bool opening = std::holds_alternative<command::OpenModel>(command);
  for (Page* page : pages_) page->set_opening(opening);
  job_ = engine_->post(std::move(command));
  jobs_->start(engine_->waiting_text());
  if (opening && engine_->training()) message_->show_message(MessageStrip::Kind::note, tr("The model is opened when the training ends, or when you pause it."));
  refresh_buttons();
}

void MainWindow::draw(command::Generate command) {
  command.adapters = adapters_->at_work();
  drawn_ = command;
  start(std::move(command));
}

void MainWindow::draw_again() {
  if (!drawn_) return;
  // Whatever else runs is not worth losing for a slider: its pictures are drawn after it.
  drawn_stale_ = busy() && !drawing_;
  if (!drawn_stale_) draw(*drawn_);
}

Drawing MainWindow::drawing() const { return {prompts_->sampling(), adapters_->at_work()}; }

void MainWindow::restore_sampling(const command::Sampling& sampling) { prompts_->set_sampling(sampling); }

void MainWindow::use_adapter(const QString& file) {
  tabs_->setCurrentIndex(0);
  adapters_->add(file);
}

void MainWindow::choose_adapter() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Put an adapter to work"), {}, tr("Adapters (*.safetensors)"));
  if (!file.isEmpty()) adapters_->add(file);
}

void MainWindow::save_adapter(const QString& file, const QString& format) {
  if (busy()) return message_->show_message(MessageStrip::Kind::note, tr("The adapter can be saved when what runs now has ended."));
  const QString out = QFileDialog::getSaveFileName(this, tr("Save the adapter for %1").arg(format), {}, tr("Adapters (*.safetensors)"));
  if (!out.isEmpty()) start(command::ConvertAdapter{file.toStdString(), format.toStdString(), out.toStdString()});
}

void MainWindow::open_model(const QString& source) { open_model(command::OpenModel{source.toStdString()}); }
void MainWindow::open_model(const command::OpenModel& model) {
  // What cannot be opened ends nothing that runs.
  if (const auto possible = can_open(model); !possible) {
    going_on_.clear();
    return fail(in_words(possible.error()));
  }
  if (!may_end(tr("Opening %1").arg(QString::fromStdString(model.source)))) return going_on_.clear();
  opening_ = model;
  start(model);
}

void MainWindow::localize() {
  scores_->clear();
  start(command::Localize{.pairs = static_cast<size_t>(pairs),
                          .sampling = prompts_->sampling(),
                          .from_step = prompts_->from_step(),
                          .folder = new_run_folder(model_source_).toStdString(),
                          .adapters = adapters_->at_work()});
}

void MainWindow::on_event(const Event& event) {
  // Of a job that nobody waits for any more; but a model that was opened is the engine's from then on.
  if (event.job != job_ && !std::holds_alternative<event::ModelOpened>(event.what)) return;
  if (auto* started = std::get_if<event::Started>(&event.what)) {
    last_done_ = QString::fromStdString(started->what);
    jobs_->start(last_done_);
  } else if (auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    const Progress& progress = progressed->progress;
    jobs_->set_progress(tr("%1: %2").arg(last_done_, QString::fromStdString(progress.what)), progress.done, progress.total);
  } else if (auto* measured = std::get_if<event::ModelMeasured>(&event.what)) {
    const double bytes = static_cast<double>(measured->bytes), free = static_cast<double>(measured->free);
    last_done_ = tr("Opening %1 (%2 of weights, %3 free)").arg(QString::fromStdString(measured->source), size_text(bytes), size_text(free));
    jobs_->start(last_done_);
    if (free > 0 && bytes > free)
      message_->show_message(MessageStrip::Kind::note, tr("The weights of %1 take %2, and %3 of memory are free. It may not fit.")
                                                               .arg(QString::fromStdString(measured->source), size_text(bytes), size_text(free)) +
                                                           (measured->halves ? tr(" Opened as bf16 it takes half.") : QString()));
  } else if (auto* model = std::get_if<event::ModelOpened>(&event.what)) {
    show_model(*model);
  } else if (auto* pictures = std::get_if<event::PicturesReady>(&event.what)) {
    pictures_->show_pictures(*pictures);
    note(pictures->notes);
  } else if (auto* noted = std::get_if<event::Noted>(&event.what)) {
    note({noted->text});
  } else if (auto* pair = std::get_if<event::PairReady>(&event.what)) {
    scores_->add_pair(*pair);
  } else if (auto* scores = std::get_if<event::ScoresReady>(&event.what)) {
    scores_->set_scores(*scores);
    if (scores->final) show_findings(*scores);
  } else {
    job_ = 0;
    drawing_ = localizing_ = false;
    for (Page* page : pages_) page->set_opening(false);
    if (auto* finished = std::get_if<event::Finished>(&event.what)) jobs_->finish(tr("%1: done in %2").arg(last_done_, duration_text(finished->seconds)));
    if (!std::get_if<event::Finished>(&event.what)) scores_->set_stopped();
    if (std::get_if<event::Cancelled>(&event.what)) jobs_->finish(tr("%1: cancelled").arg(last_done_));
    if (auto* failed = std::get_if<event::Failed>(&event.what)) {
      jobs_->finish(tr("%1: failed").arg(last_done_));
      fail(in_words(failed->error));
    }
    refresh_buttons();
    const QString next = std::exchange(going_on_, QString());
    if (!next.isEmpty() && std::get_if<event::Finished>(&event.what)) return go_on(next, /*opened=*/true);
    if (drawn_stale_) draw_again();
  }
}

void MainWindow::note(const std::vector<std::string>& texts) {
  notes_.insert(notes_.end(), texts.begin(), texts.end());
  if (!texts.empty()) message_->show_message(MessageStrip::Kind::note, in_words(notes_));
}

void MainWindow::fail(const QString& text) { message_->show_message(MessageStrip::Kind::error, text); }

void MainWindow::show_model(const event::ModelOpened& model) {
  model_source_ = QString::fromStdString(model.source);
  model_hash_ = QString::fromStdString(model.hash);
  setWindowTitle(tr("%1 \u2013 Glyphscope").arg(model_source_));
  model_title_->setText(QFileInfo(model_source_).fileName());
  QStringList parts;
  for (const auto& [name, count] : model.parameters) parts << tr("%1 %2 M").arg(QString::fromStdString(name)).arg(static_cast<double>(count) / 1e6, 0, 'f', 2);
  QString facts = tr("%1, %2\u00a0\u00d7\u00a0%3 pixels, %4 sites")
                      .arg(QString::fromStdString(model.family))
                      .arg(model.width)
                      .arg(model.height)
                      .arg(model.table.sites.size());
  const auto& second = model.upscaler;
  upscaler_source_ = second ? QString::fromStdString(second->source) : QString();
  if (second) facts += tr(", enlarged to %1\u00a0\u00d7\u00a0%2 by %3").arg(second->width).arg(second->height).arg(QFileInfo(upscaler_source_).fileName());
  model_facts_->setText(
      facts + tr("\n%1: %2 of weights in %3").arg(parts.join(", "), size_text(static_cast<double>(model.bytes)), QString::fromStdString(model.dtype)));
  model_facts_->setToolTip(tr("SHA-256 %1").arg(model_hash_));
  sites_ = site_items(model.table);
  selection_->clear();
  adapters_->clear();
  drawn_.reset();
  drawn_stale_ = false;
  for (Page* page : pages_) page->set_model(model);
  map_->set_sites(sites_);
  if (second) map_->set_second_stage(tr("Stage II, to %1 \u00d7 %2: not patched").arg(second->width).arg(second->height), site_items(second->table));
  list_->set_sites(sites_);
  scores_->set_sites(sites_);
  pictures_->clear();
  prompts_->set_model(model);
  if (opening_.source == model.source) OpenDialog::remember(opening_);
}

void MainWindow::show_findings(const event::ScoresReady& scores) {
  if (!scores.folder.empty()) message_->show_message(MessageStrip::Kind::note, tr("The run is kept in %1.").arg(QString::fromStdString(scores.folder)));
  const std::vector<int>& best = scores.smallest.empty() ? scores.localized : scores.smallest;
  if (!best.empty()) selection_->select(QSet<int>(best.begin(), best.end()));
}

void MainWindow::refresh_buttons() { prompts_->set_ready(!busy() && !sites_.empty(), selection_->sorted()); }

void MainWindow::save_view(QWidget* view, const QString& name) {
  const bool heat = view == scores_->heatmap();
  const QString filter = heat ? tr("Pictures (*.png *.svg *.pdf)") : tr("Pictures (*.png)");
  QString file = QFileDialog::getSaveFileName(this, tr("Save view"), name, filter);
  if (file.isEmpty()) return;
  const bool vector = heat && (file.endsWith(".svg", Qt::CaseInsensitive) || file.endsWith(".pdf", Qt::CaseInsensitive));
  if (!vector && !file.endsWith(".png", Qt::CaseInsensitive)) file += ".png";  // a PNG is what is written
  const bool saved = vector ? scores_->heatmap()->save_vector(file, scores_->caption())
                            : save_picture(heat ? scores_->heatmap()->figure(scores_->caption()) : view->grab().toImage(), file, settings_text());
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
  pictures_->save(folder, files, failed);
  if (!scores_->empty()) {
    Heatmap* heatmap = scores_->heatmap();
    keep("heatmap.png", save_picture(heatmap->figure(scores_->caption()), out.filePath("heatmap.png"), scores_->document()));
    keep("heatmap.svg", heatmap->save_vector(out.filePath("heatmap.svg"), scores_->caption()));
    keep("scores.csv", scores_->save_table(out.filePath("scores.csv")));
    keep("localization.json", scores_->save_run(out.filePath("localization.json")));
  }
  for (const Page* page : pages_) page->save(folder, files, failed);
  keep("window.png", save_picture(grab().toImage(), out.filePath("window.png"), settings_text()));
  if (!failed.isEmpty()) fail(tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(failed.join(", ")));
  return failed.isEmpty() ? files : QStringList();
}

}  // namespace glyphscope
