#include "app/window/main_window.h"

#include <QtWidgets>

#include "app/window/figure_form.h"
#include "app/window/help.h"
#include "app/window/open_dialog.h"
#include "app/window/session_keeper.h"
#include "app/window/site_items.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "core/version.h"
#include "device/devices_in_sight.h"
#include "io/files.h"
#include "io/resources.h"
#include "patching/patch_plan.h"
#include "tasks/session_file.h"
#include "widgets/adapter_list.h"
#include "widgets/heat_legend.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"
#include "widgets/model_map.h"
#include "widgets/picture_view.h"
#include "widgets/save_picture.h"
#include "widgets/site_list.h"

namespace glyphscope {

namespace {

QString size_text(double bytes) { return QLocale().formattedDataSize(static_cast<qint64>(bytes), 2, QLocale::DataSizeSIFormat); }

QString sites_text(const std::vector<int>& sites) { return QString::fromStdString(format_sites(sites)); }

// The first local file of what is dragged; empty if there is none.
QString dropped_file(const QMimeData* data) {
  for (const QUrl& url : data->urls())
    if (url.isLocalFile()) return url.toLocalFile();
  return {};
}

}  // namespace

MainWindow::MainWindow(QWidget* parent)
    : QMainWindow(parent),
      engine_(new EngineBridge(this)),
      selection_(new SiteSelection(this)),
      sampling_(new SharedSampling(this)),
      hash_known_(new QTimer(this)) {
  build();
  build_menus();
  connect_figures();
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
  });
}

MainWindow::~MainWindow() {
  // It may keep the session once more, of pages that are still there.
  delete session_;
}

void MainWindow::build() {
  setWindowTitle(tr("Glyphscope"));
  jobs_ = new JobBar(this);
  jobs_->setObjectName("jobs");
  connect(jobs_, &JobBar::cancel_requested, this, [this] {
    if (job_) engine_->cancel(job_);
  });

  auto* right = new QWidget(this);
  auto* column = new QVBoxLayout(right);
  column->setContentsMargins(4, 8, 10, 4);
  column->setSpacing(8);
  message_ = new MessageStrip(right);
  message_->setObjectName("message");
  tabs_ = new QTabWidget(right);
  tabs_->setObjectName("pages");
  tabs_->setDocumentMode(true);
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
  rows->addWidget(build_queue(centre));
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
  model_facts_ = new QLabel(tr("Open a diffusers folder or a checkpoint, or drop it here"), side);
  model_facts_->setWordWrap(true);
  model_facts_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  auto* open = new QPushButton(tr("Open\u2026"), side);
  open->setObjectName("open");
  open->setToolTip(tr("Open a model (Ctrl+O)"));
  connect(open, &QPushButton::clicked, this, &MainWindow::choose_model);
  auto* head = new QHBoxLayout;
  device_menu_ = new QToolButton(side);
  device_menu_->setObjectName("device_menu");
  device_menu_->setPopupMode(QToolButton::InstantPopup);
  device_menu_->setToolButtonStyle(Qt::ToolButtonTextOnly);
  device_menu_->setToolTip(tr("Where the model computes; choose to open it again elsewhere"));
  device_menu_->hide();
  auto* devices = new QMenu(device_menu_);
  const auto add_device = [&](const QString& name, const QString& label) {
    connect(devices->addAction(label), &QAction::triggered, this, [this, name] {
      command::OpenModel again = opened_;
      again.device = name.toStdString();
      this->open(again);
    });
  };
  add_device("auto", tr("Automatic"));
  add_device("cpu", tr("The CPU"));
  for (const auto& [name, label] : devices_in_sight())
    add_device(QString::fromStdString(name),
               label.empty() ? QString::fromStdString(name) : tr("%1: %2").arg(QString::fromStdString(name), QString::fromStdString(label)));
  device_menu_->setMenu(devices);
  head->addWidget(model_title_, 1);
  head->addWidget(device_menu_);
  head->addWidget(open);
  column->addLayout(head);
  column->addWidget(model_facts_);
  map_ = new ModelMap(selection_, side);
  map_->setObjectName("map");
  auto* map_area = new QScrollArea(side);
  map_area->setFrameShape(QFrame::NoFrame);
  map_area->setWidgetResizable(true);
  map_area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  map_area->setMinimumHeight(140);
  map_area->setFocusPolicy(Qt::NoFocus);
  map_area->setWidget(map_);
  connect(map_, &ModelMap::visible_wanted, map_area,
          [map_area](const QRect& place) { map_area->ensureVisible(place.center().x(), place.center().y(), place.width() / 2, place.height() / 2); });
  column->addWidget(map_area, 3);
  legend_ = new HeatLegend(side);
  column->addWidget(legend_);
  selection_facts_ = new QLabel(tr("No site selected: click cells of the map"), side);
  selection_facts_->setWordWrap(true);
  column->addWidget(selection_facts_);
  list_ = new SiteList(selection_, side);
  list_->setObjectName("sites");
  search_ = new QLineEdit(side);
  search_->setObjectName("site_search");
  search_->setPlaceholderText(tr("Find sites by path, block or number"));
  search_->setAccessibleName(search_->placeholderText());
  search_->setToolTip(tr("Enter selects what is found"));
  search_->setClearButtonEnabled(true);
  connect(search_, &QLineEdit::textChanged, this, [this](const QString& text) { map_->set_found(list_->search(text)); });
  connect(search_, &QLineEdit::returnPressed, this, [this] {
    if (const auto found = list_->search(search_->text())) selection_->select(*found);
  });
  column->addWidget(search_);
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
  auto* edit = new QMenu(tr("&Edit"), this);
  build_session_menu(*file, *edit);
  file->addSeparator();
  auto* view = new QMenu(tr("&View"), this);
  for (Page* page : pages_) page->add_actions(*file, *view);
  file->addAction(tr("&Workspace folder\u2026"), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Keep runs in"), workspace_folder());
    if (folder.isEmpty()) return;
    set_workspace_folder(folder);
    say(tr("Runs are kept in %1 from now on.").arg(folder));
  });
  file->addSeparator();
  file->addAction(tr("&Export everything\u2026"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_E), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Export into folder"));
    if (!folder.isEmpty() && !export_all(folder).isEmpty()) say(tr("Exported into %1").arg(folder));
  });
  auto* save = file->addMenu(tr("Save &view"));
  std::vector<View> views{picture_of(this, tr("Window")), picture_of(map_, tr("Map"))};
  for (Page* page : pages_)
    for (View& one : page->views()) views.push_back(std::move(one));
  for (const View& one : views) save->addAction(tr("%1\u2026").arg(one.name), this, [this, one] { save_view(one); });
  file->addSeparator();
  file->addAction(tr("&Quit"), QKeySequence::Quit, this, &QWidget::close);
  menuBar()->addMenu(edit);
  menuBar()->addMenu(view);
  auto* dark = new QAction(tr("&Dark colours"), this);
  view->insertAction(view->actions().value(0), dark);
  dark->setCheckable(true);
  dark->setChecked(QSettings().value("dark", false).toBool());
  connect(dark, &QAction::toggled, this, [](bool on) {
    QSettings().setValue("dark", on);
    apply_theme(on);
  });
  auto* help = menuBar()->addMenu(tr("&Help"));
  help->addAction(tr("&This page"), QKeySequence(Qt::Key_F1), this,
                  [this] { (new HelpDialog(tabs_->currentWidget()->objectName().section("_page", 0, 0), this))->open(); })
      ->setObjectName("help_page");
  help->addAction(tr("&First steps"), this, &MainWindow::start_tour);
  help->addSeparator();
  help->addAction(tr("&About Glyphscope"), this, [this] {
    say(tr("Glyphscope %1, LibTorch %2. It finds, shows and uses the attention layers that write text in the "
           "pictures of a diffusion model. Free software under the GPL, version 3 or later.")
            .arg(QString::fromStdString(version()), QString::fromStdString(torch_version())));
  });
}

void MainWindow::start_tour() {
  tabs_->setCurrentIndex(0);
  delete findChild<Tour*>();
  const auto there = [this](const char* name) { return findChild<QWidget*>(name); };
  new Tour({{tr("This is the map of the model. Each cell is a <b>site</b>: a layer that reads the prompt. Very few of them write the text that you see in a "
                "picture."),
             map_},
            {tr("<b>Localize</b> finds them: every site alone is made to see another prompt, and the pictures are read. Yellow cells are those that write. On "
                "this demo it takes a minute or two."),
             there("localize")},
            {tr("Select the best cell, and <b>Edit text</b> writes prompt B's text into A's picture, while the rest stays. F1 tells more of each page."),
             there("edit")}},
           this);
}

void MainWindow::choose_model() {
  auto* dialog = new OpenDialog(device_menu_->text(), open_bytes_, this);
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  connect(dialog, &OpenDialog::chosen, this, &MainWindow::open);
  dialog->open();
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (!dropped_file(event->mimeData()).isEmpty()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  const QString file = dropped_file(event->mimeData());
  if (file.isEmpty()) return;
  if (is_session(file)) return open_session(file);
  // Where two are compared, both can be dropped.
  const bool comparable = run_at(file).has_value() || kind_of(file.toStdString()) == FileKind::picture;
  if (comparable && static_cast<Page*>(tabs_->currentWidget())->take_to_compare(file)) return;
  if (show_run(file)) return;
  for (Page* page : pages_)
    if (page->take_figure(file)) return tabs_->setCurrentWidget(page);
  const bool open = !model_source_.isEmpty();
  switch (kind_of(file.toStdString())) {
    case FileKind::picture:
      for (Page* page : pages_)
        if (page->take_picture(file)) {
          tabs_->setCurrentWidget(page);
          return say(open ? tr("Its text can be edited here: say what it shows, and what it is to say.") : tr("Open a model to edit the picture's text."));
        }
      break;
    case FileKind::adapter:
      return open ? use_adapter(file) : say(tr("%1 is an adapter: open the model that it is for, and drop it again.").arg(QFileInfo(file).fileName()));
    case FileKind::model:
      break;
  }
  open_model(file);
}

QString MainWindow::hash_text() const {
  const auto text = attempt([&] { return model_hash_ ? model_hash_->text() : std::string(); });
  return text ? QString::fromStdString(*text) : QString();
}

QString MainWindow::settings_text() const {
  QJsonArray sites;
  for (int site : selection_->sorted()) sites.append(site);
  QJsonObject settings{
      {"schema", "glyphscope.view/2"}, {"model", model_source_}, {"model_hash", hash_text()}, {"upscaler", upscaler_source_}, {"sites", sites}};
  for (const Page* page : pages_) page->describe(settings);
  return QString::fromUtf8(QJsonDocument(settings).toJson(QJsonDocument::Compact));
}

bool MainWindow::may_end(const QString& what) { return may_end(what, /*closing=*/false); }

bool MainWindow::may_end(const QString& what, bool closing) {
  const bool job = job_ != 0 && jobs_->expected_seconds() >= long_job, training = closing && engine_->training();
  const bool runs = runs_.size() > 1 || (!runs_.empty() && run_bar_->expected_seconds() >= long_job);
  if (!job && !runs && !training) return true;
  const QString running = runs_.size() > 1 ? tr("%1 runs are at work or wait.").arg(runs_.size())
                          : runs           ? tr("%1 is running.").arg(runs_[0].name)
                          : job            ? tr("%1 is running.").arg(last_done_)
                                           : tr("A training is running.");
  QMessageBox box(QMessageBox::Question, tr("Glyphscope"), running, {}, this);
  box.setObjectName("may_end");
  QStringList kept;
  if (runs) kept << tr("What is done of it is kept in the workspace: File, Go on with a run, draws the rest.");
  if (training) kept << tr("The training is saved, and goes on from its folder.");
  if (job) kept << tr("What it has done so far is lost.");
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

JobId MainWindow::run(Command command) {
  message_->hide();
  notes_.clear();
  session_to_show_.reset();         // take_session() names it once its model is on its way
  going_on_.clear();                // go_on() names it once its model is on its way
  if (job_) engine_->cancel(job_);  // the new job must not wait for one that nobody watches any more
  const bool opening = std::holds_alternative<command::OpenModel>(command);
  if (opening) end_runs();  // of the model that goes; whoever asked for it has agreed
  job_ = engine_->post(std::move(command));
  jobs_->start(engine_->waiting_text());
  if (opening && engine_->training()) say(tr("The model is opened when the training ends, or when you pause it."));
  for (Page* page : pages_) page->set_job(opening ? WindowJob::opening : WindowJob::other, /*succeeded=*/false);
  return job_;
}

Drawing MainWindow::drawing() const { return {sampling_->value(), adapters_->at_work()}; }

// Of a difference it is open whether there is one.
static QString hatched_means(double threshold, const ValueScale& scale) {
  return scale.colours == ColourMap::difference ? QObject::tr("the interval holds %1: there may be no difference").arg(threshold)
                                                : QObject::tr("the interval holds %1, from which on a site is localized").arg(threshold, 0, 'f', 2);
}

void MainWindow::show_scores(const QString& title, const std::map<int, ScoreValue>& values, std::optional<double> threshold, const ValueScale& scale) {
  map_->set_scores(title, values, threshold, scale);
  legend_->show_scale(values.empty() ? QString() : title, threshold && !values.empty() ? hatched_means(*threshold, scale) : QString(), scale);
  list_->set_scores(title, values);
}

void MainWindow::go_on(const QString& folder) { go_on(folder, /*opened=*/false); }

void MainWindow::go_on(const QString& folder, bool opened) {
  const std::string file = (folder + "/settings.json").toStdString();
  const auto named = attempt([&] {
    const auto document = read_json(file);
    return reading_json(file, [&] { return std::pair(document.value("model", std::string()), document.value("model_hash", std::string())); });
  });
  if (!named) return fail(in_words(named.error()));
  const auto same = attempt([&] { return model_hash_ && *model_hash_ == named->second; });
  const bool other = !same || !*same;
  if (other && opened) return fail(tr("%1 is another model by now than the run in %2 is of.").arg(QString::fromStdString(named->first), folder));
  if (other) {
    if (open(command::OpenModel{named->first})) going_on_ = folder;
    return;
  }
  for (Page* page : pages_)
    if (page->go_on(folder)) return tabs_->setCurrentWidget(page);
}

bool MainWindow::show_run(const QString& folder) {
  for (Page* page : pages_)
    if (page->show_run(folder)) return tabs_->setCurrentWidget(page), true;
  return false;
}

void MainWindow::compare(const QString& what) {
  for (Page* page : pages_)
    if (page->take_to_compare(what)) return tabs_->setCurrentWidget(page);
}

void MainWindow::use_adapter(const QString& file) {
  tabs_->setCurrentIndex(0);
  adapters_->add(file);
}

void MainWindow::choose_adapter() {
  const QString file = QFileDialog::getOpenFileName(this, tr("Put an adapter to work"), {}, tr("Adapters (*.safetensors)"));
  if (!file.isEmpty()) adapters_->add(file);
}

void MainWindow::save_adapter(const QString& file, const QString& format) {
  if (job_) return say(tr("The adapter can be saved when what runs now has ended."));
  const QString out = QFileDialog::getSaveFileName(this, tr("Save the adapter for %1").arg(format), {}, tr("Adapters (*.safetensors)"));
  if (!out.isEmpty()) run(command::ConvertAdapter{file.toStdString(), format.toStdString(), out.toStdString()});
}

void MainWindow::open_model(const QString& source) { open(command::OpenModel{source.toStdString()}); }

bool MainWindow::open(const command::OpenModel& model) {
  // What cannot be opened ends nothing that runs.
  if (const auto possible = can_open(model); !possible) {
    fail(in_words(possible.error()));
    return false;
  }
  if (!may_end(tr("Opening %1").arg(QString::fromStdString(model.source)))) return false;
  run(model);
  return true;
}

void MainWindow::on_event(const Event& event) {
  if (std::any_of(runs_.begin(), runs_.end(), [&](const QueuedRun& run) { return run.job == event.job; })) return on_run_event(event);
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
    last_done_ = tr("Opening %1 on %4 (%2 of weights, %3 free)")
                     .arg(QString::fromStdString(measured->source), size_text(bytes), size_text(free), QString::fromStdString(measured->device));
    jobs_->start(last_done_);
    if (free > 0 && bytes > free)
      say(tr("The weights of %1 take %2, and %3 of memory are free. It may not fit.")
              .arg(QString::fromStdString(measured->source), size_text(bytes), size_text(free)) +
          (measured->halves ? tr(" Opened as bf16 it takes half.") : QString()));
  } else if (auto* model = std::get_if<event::ModelOpened>(&event.what)) {
    show_model(*model);
  } else if (auto* noted = std::get_if<event::Noted>(&event.what)) {
    note({noted->text});
  } else if (is_end(event.what)) {
    job_ = 0;
    if (auto* finished = std::get_if<event::Finished>(&event.what)) jobs_->finish(tr("%1: done in %2").arg(last_done_, duration_text(finished->seconds)));
    if (std::get_if<event::Cancelled>(&event.what)) jobs_->finish(tr("%1: cancelled").arg(last_done_));
    if (auto* failed = std::get_if<event::Failed>(&event.what)) {
      jobs_->finish(tr("%1: failed").arg(last_done_));
      fail(in_words(failed->error));
    }
    const bool succeeded = std::holds_alternative<event::Finished>(event.what);
    for (Page* page : pages_)
      if (!job_) page->set_job(WindowJob::none, succeeded);  // else one of them has started another
    if (!job_ && session_to_show_ && event.job == session_job_) {
      if (succeeded)
        restore_session();
      else
        session_to_show_.reset();
    }
    const QString next = std::exchange(going_on_, QString());
    if (!job_ && !next.isEmpty() && succeeded) go_on(next, /*opened=*/true);
  }
}

void MainWindow::say(const QString& text) { message_->show_message(MessageStrip::Kind::note, text); }

void MainWindow::note(const std::vector<std::string>& texts) {
  notes_.insert(notes_.end(), texts.begin(), texts.end());
  if (!texts.empty()) say(in_words(notes_));
}

void MainWindow::fail(const QString& text) { message_->show_message(MessageStrip::Kind::error, text); }

void MainWindow::show_model(const event::ModelOpened& model) {
  leave_session();  // pages still show it
  model_source_ = QString::fromStdString(model.source);
  model_hash_ = model.hash;
  show_session_status();
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
  model_facts_->setText(facts + tr("\n%1: %2 of weights in %3, on %4")
                                    .arg(parts.join(", "), size_text(static_cast<double>(model.bytes)), QString::fromStdString(model.dtype),
                                         QString::fromStdString(model.device)));
  const QString device =
      model.why_device.empty() ? QString() : tr("On %1: %2").arg(QString::fromStdString(model.device), QString::fromStdString(model.why_device));
  model_facts_->setToolTip(device);
  hash_known_->disconnect();
  connect(hash_known_, &QTimer::timeout, this, [this, device] {
    if (!model_hash_->ready()) return;
    hash_known_->stop();
    check_session_hash();
    model_facts_->setToolTip(tr("SHA-256 %1").arg(hash_text()) + (device.isEmpty() ? QString() : "\n" + device));
  });
  model.hash.begin();
  hash_known_->start(200);
  sites_ = site_items(model.table);
  selection_->clear();
  adapters_->clear();
  map_->set_sites(sites_);
  if (second) map_->set_second_stage(tr("Stage II, to %1 \u00d7 %2: not patched").arg(second->width).arg(second->height), site_items(second->table));
  search_->clear();
  list_->set_sites(sites_);
  for (Page* page : pages_) page->set_model(model);
  device_menu_->setText(QString::fromStdString(model.device).section(' ', 0, 0));
  device_menu_->show();
  opened_ = model.opened_by;
  open_bytes_ = model.bytes;
  OpenDialog::remember(opened_);
  session_->begin_anew();
}

void MainWindow::save_view(const View& view) {
  if (view.figure) return save_figure_of(view.figure(), view.file);
  const QString file = ask_where_to_save(this, tr("Save view"), view.file, tr("Pictures (*.png)"), "png");
  if (file.isEmpty()) return;
  if (save_picture(view.look(), file, settings_text())) return say(tr("Saved %1").arg(file));
  fail(tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(file));
}

void MainWindow::save_figure_of(const Figure& figure, const QString& file) {
  if (figure.parts.empty()) return say(tr("There is nothing to draw yet."));
  auto* dialog = new FigureDialog(figure, file, settings_text(), this);
  connect(dialog, &FigureDialog::saved, this, &MainWindow::say);
  connect(dialog, &FigureDialog::wanted, this, &MainWindow::add_to_figure);
  dialog->open();
}

void MainWindow::add_to_figure(const std::vector<Figure::Part>& parts) {
  for (Page* page : pages_)
    if (!parts.empty() && page->take_parts(parts)) return say(tr("Added to the figure: see the page %1.").arg(page->title()));
}

// Whatever shows something that figures are made of, wherever it is.
void MainWindow::connect_figures() {
  for (QWidget* widget : findChildren<QWidget*>()) {
    auto* source = dynamic_cast<FigureSource*>(widget);
    if (!source) continue;
    const bool picture = qobject_cast<PictureView*>(widget);
    source->more_actions = [this, source, picture](QMenu& menu) {
      if (!picture) {
        menu.addAction(tr("Copy as a picture"), this, [this, source] {
          const auto drawn = attempt([&] { return draw({.parts = source->figure_parts()}, {.dark = QSettings().value("dark", false).toBool()}); });
          if (!drawn) return fail(in_words(drawn.error()));
          QGuiApplication::clipboard()->setImage(to_image(*drawn));
        });
        menu.addAction(tr("Save as a figure\u2026"), this, [this, source] { save_figure_of({.parts = source->figure_parts()}, "figure.png"); });
      }
      menu.addAction(tr("Add to the figure"), this, [this, source] { add_to_figure(source->figure_parts()); });
    };
  }
}

QStringList MainWindow::export_all(const QString& folder) {
  QStringList files, failed;
  for (const Page* page : pages_) page->save(folder, files, failed);
  const QString own = QDir(folder).filePath("window.png");
  (save_picture(look_of(this), own, settings_text()) ? files : failed) << own;
  if (!failed.isEmpty()) fail(tr("Cannot write %1. Is the folder writable, and the disk not full?").arg(failed.join(", ")));
  return failed.isEmpty() ? files : QStringList();
}

}  // namespace glyphscope
