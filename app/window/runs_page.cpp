#include "app/window/runs_page.h"

#include <QtWidgets>

#include "app/window/card_text.h"
#include "app/window/figure_form.h"
#include "app/window/pictures_panel.h"
#include "app/window/run_list.h"
#include "app/window/scores_panel.h"
#include "app/window/site_items.h"
#include "app/window/wording.h"
#include "io/files.h"
#include "metrics/scores.h"
#include "tasks/session_file.h"
#include "widgets/flow_layout.h"
#include "widgets/heatmap.h"

namespace glyphscope {

namespace {

// Keys of what a run can show, and where that is in the stack.
const QString kScores = "scores", kCard = "card", kMap = "map ";
enum Place { kNothing, kScoresPlace, kCardPlace, kMapPlace };

}  // namespace

Page* make_runs_page(Workbench* bench, QWidget* parent) { return new RunsPage(bench, parent); }

RunsPage::RunsPage(Workbench* bench, QWidget* parent)
    : Page(bench, tr("Runs"), parent), reader_(new EngineBridge(this)), selection_(new SiteSelection(this)), again_(new QTimer(this)) {
  setObjectName("runs_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  auto* split = new QSplitter(Qt::Horizontal, this);
  split->addWidget(build_list());
  split->addWidget(build_run());
  list_->setMinimumWidth(fontMetrics().averageCharWidth() * 32);
  split->setStretchFactor(0, 2);
  split->setStretchFactor(1, 3);
  split->setChildrenCollapsible(false);
  column->addWidget(split, 1);
  connect(reader_, &EngineBridge::happened, this, &RunsPage::on_read);
  connect(list_, &RunList::current_changed, this, [this] {
    const auto run = list_->current();
    read(run ? run->folder : QString());
  });
  connect(list_, &RunList::read, this, [this] {
    if (window_works_) return;  // it may be at one of them
    unfinished_ = list_->unfinished();
    emit title_changed();
  });
  // Runs may be filled by others: seen as long as the page is.
  again_->setInterval(3000);
  connect(again_, &QTimer::timeout, list_, &RunList::read_again);
  refresh();
  list_->read_again();
}

QWidget* RunsPage::build_list() {
  auto* side = new QWidget(this);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(6);
  list_ = new RunList(side);
  column->addWidget(list_, 1);
  auto* line = new FlowLayout;
  const auto button = [&](const QString& text, const char* name, auto pressed) {
    auto* out = new QPushButton(text, side);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, pressed);
    line->addWidget(out);
    return out;
  };
  button(tr("Open a folder\u2026"), "open_run", [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Open a run"), workspace_folder());
    if (!folder.isEmpty() && !show_run(folder)) this->bench().fail(tr("%1 holds no run: it has no settings.json of one.").arg(folder));
  })->setToolTip(tr("A run from outside of the workspace, as localize --out writes it; also one that is being filled"));
  line->add_stretch();
  go_on_ = button(tr("Go on"), "run_go_on", [this] {
    if (const auto run = list_->current()) this->bench().go_on(run->folder);
  });
  compare_ = button(tr("Compare"), "run_compare", [this] {
    if (const auto run = list_->current()) this->bench().compare(run->folder);
  });
  compare_->setToolTip(tr("Puts the run beside another one, on the page Compare"));
  files_ = button(tr("Files"), "run_files", [this] {
    if (const auto run = list_->current()) QDesktopServices::openUrl(QUrl::fromLocalFile(run->folder));
  });
  files_->setToolTip(tr("Opens the run's folder"));
  rename_ = button(tr("Rename\u2026"), "run_rename", [this] { rename(); });
  trash_ = button(tr("To the trash\u2026"), "run_trash", [this] { move_to_trash(); });
  column->addLayout(line);
  return side;
}

QWidget* RunsPage::build_run() {
  auto* side = new QWidget(this);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(8, 0, 0, 0);
  column->setSpacing(6);
  title_ = new QLabel(side);
  title_->setObjectName("run_title");
  QFont bold = title_->font();
  bold.setBold(true);
  title_->setFont(bold);
  title_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(title_);
  facts_ = new QLabel(side);
  facts_->setObjectName("run_facts");
  facts_->setWordWrap(true);
  facts_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(facts_);
  auto* line = new FlowLayout;
  note_ = new QLineEdit(side);
  note_->setObjectName("run_note");
  note_->setPlaceholderText(tr("What you want to remember of it"));
  connect(note_, &QLineEdit::editingFinished, this, [this] {
    // Of the run that is shown, whichever is selected by now.
    const auto run = run_at(shown_folder_);
    if (!run || note_->text() == run->note) return;
    if (!write_run_note(run->folder, note_->text())) bench().fail(tr("Cannot write into %1. Is the folder writable, and the disk not full?").arg(run->folder));
    list_->read_again();
  });
  line->add_field(tr("&Note"), note_);
  part_ = new QComboBox(side);
  part_->setObjectName("run_part");
  part_->setSizeAdjustPolicy(QComboBox::AdjustToContents);
  connect(part_, &QComboBox::currentIndexChanged, this, &RunsPage::show_part);
  line->add_field(tr("Sh&ows"), part_);
  column->addLayout(line);

  parts_ = new QStackedWidget(side);
  state_ = new QLabel(parts_);
  state_->setObjectName("run_state");
  state_->setAlignment(Qt::AlignCenter);
  state_->setWordWrap(true);
  state_->setForegroundRole(QPalette::PlaceholderText);
  parts_->addWidget(state_);
  auto* found = new QSplitter(Qt::Vertical, parts_);
  pictures_ = new PicturesPanel(
      {tr("Click a cell of the heatmap: A's picture of that pair"), tr("The patched picture, if the run was drawn with --keep-images"), tr("B's picture")},
      found);
  scores_ = new ScoresPanel(selection_, found);
  connect(scores_, &ScoresPanel::pair_chosen, this, [this](const event::PairReady& pair, int site) { pictures_->show_pair(pair, site); });
  // Both panels are on the page Study too: by their names one tells them apart.
  for (QWidget* one : found->findChildren<QWidget*>())
    if (!one->objectName().isEmpty() && !one->objectName().startsWith("qt_")) one->setObjectName("run_" + one->objectName());
  found->addWidget(scores_);
  found->addWidget(pictures_);
  found->setStretchFactor(0, 0);
  found->setStretchFactor(1, 1);
  found->setChildrenCollapsible(false);
  parts_->addWidget(found);
  card_ = new QTextBrowser(parts_);
  card_->setObjectName("run_card");
  parts_->addWidget(card_);
  auto* map = new QWidget(parts_);
  auto* rows = new QVBoxLayout(map);
  rows->setContentsMargins(0, 0, 0, 0);
  auto* score_line = new QHBoxLayout;
  auto* score_label = new QLabel(tr("S&core"), map);
  map_score_ = new QComboBox(map);
  map_score_->setObjectName("run_map_score");
  map_score_->setToolTip(arrow_text());
  for (const ScoreInfo* score : charted_scores())
    map_score_->addItem(score_title(*score), QString::fromUtf8(score->key.data(), static_cast<qsizetype>(score->key.size())));
  score_label->setBuddy(map_score_);
  connect(map_score_, &QComboBox::currentIndexChanged, this, &RunsPage::show_map);
  score_line->addWidget(score_label);
  score_line->addWidget(map_score_);
  map_text_ = new QLabel(map);
  map_text_->setWordWrap(true);
  score_line->addWidget(map_text_, 1);
  rows->addLayout(score_line);
  map_ = new Heatmap(selection_, map);
  map_->setObjectName("run_map");
  rows->addWidget(map_, 1);
  parts_->addWidget(map);
  column->addWidget(parts_, 1);
  return side;
}

QString RunsPage::title() const { return unfinished_ == 0 ? name() : tr("%1 (%2 unfinished)").arg(name()).arg(unfinished_); }

void RunsPage::runs_changed(int count) {
  window_works_ = count > 0;
  list_->read_again();
}

void RunsPage::showEvent(QShowEvent* event) {
  Page::showEvent(event);
  list_->read_again();
  again_->start();
}

void RunsPage::hideEvent(QHideEvent* event) {
  Page::hideEvent(event);
  again_->stop();
}

bool RunsPage::show_run(const QString& folder) {
  if (!run_at(folder)) return false;
  list_->add(folder);
  return true;
}

void RunsPage::keep(SessionFile& session) const {
  if (shown_folder_.isEmpty()) return;
  session.runs.push_back({shown_folder_.toStdString(), {}});
  session.window["run"] = shown_folder_.toStdString();
}

void RunsPage::restore(const SessionFile& session) {
  const auto shown = session.window.find("run");
  for (const auto& run : session.runs) list_->know(QString::fromStdString(run.folder));
  if (shown != session.window.end() && shown->is_string()) show_run(QString::fromStdString(shown->get<std::string>()));
}

void RunsPage::read(const QString& folder) {
  const bool other = folder != shown_folder_;
  // A run that grows is read to its end, and then once more.
  if (!other && reading_) {
    read_again_ = true;
    return refresh();
  }
  stop_reading();
  shown_folder_ = folder;
  if (other) {
    scores_->set_sites({});
    pictures_->clear();
    maps_.clear();
    part_->clear();
    title_->clear();
    facts_->clear();
    const auto run = list_->current();
    note_->setText(run ? run->note : QString());
  }
  refresh();
  if (folder.isEmpty()) return;
  if (other) state_->setText(tr("Reading %1").arg(folder));
  faults_.clear();
  reading_ = reader_->post(command::ReadRun{folder.toStdString()});
}

void RunsPage::stop_reading() {
  if (reading_) reader_->cancel(std::exchange(reading_, 0));
  read_again_ = false;
}

void RunsPage::on_read(const Event& event) {
  if (event.job != reading_) return;
  const auto offer = [this](const QString& text, const QString& key) {
    if (part_->findData(key) < 0) part_->addItem(text, key);
  };
  if (const auto* run = std::get_if<event::RunRead>(&event.what)) {
    show_facts(*run);
  } else if (const auto* pair = std::get_if<event::PairReady>(&event.what)) {
    scores_->add_pair(*pair);
  } else if (const auto* scores = std::get_if<event::ScoresReady>(&event.what)) {
    scores_->set_scores(*scores);
    offer(tr("Localization"), kScores);
  } else if (const auto* map = std::get_if<event::MapReady>(&event.what)) {
    const QString name = QString::fromStdString(map->name);
    maps_[name] = *map;
    offer(tr("Map %1").arg(name), kMap + name);
    show_map();
  } else if (const auto* card = std::get_if<event::Certified>(&event.what)) {
    card_->setHtml(card_html(*card));
    offer(tr("Card"), kCard);
  } else if (const auto* noted = std::get_if<event::Noted>(&event.what)) {
    faults_ << in_words(noted->text);
    facts_->setText((QStringList{facts_text_} + faults_).join("\n"));
  } else if (is_end(event.what)) {
    reading_ = 0;
    if (part_->count() == 0) state_->setText(tr("Nothing of it is measured yet."));
    if (const auto* failed = std::get_if<event::Failed>(&event.what)) {
      part_->clear();
      state_->setText(in_words(failed->error));
    }
    show_part();
    if (std::exchange(read_again_, false)) read(shown_folder_);
  }
}

void RunsPage::show_facts(const event::RunRead& run) {
  // What it has found follows, anew.
  scores_->set_sites(site_items(run.table));
  maps_.clear();
  title_->setText(QFileInfo(shown_folder_).fileName());
  QStringList more;
  if (run.adapters > 0) more << counted(static_cast<int>(run.adapters), tr("adapter"), tr("adapters"));
  if (run.guarded) more << tr("guarded");
  QString text =
      tr("%1 (%2, %3 on %4, SHA-256 %5\u2026)%6. ")
          .arg(QString::fromStdString(run.model), QString::fromStdString(run.family), QString::fromStdString(run.dtype), QString::fromStdString(run.device),
               QString::fromStdString(run.model_hash).left(10), more.isEmpty() ? QString() : ", " + more.join(", ")) +
      tr("%1, %2; %3 steps, guidance %4, %5 \u00d7 %6 pixels. Read by %7.")
          .arg(counted(run.pairs, tr("pair"), tr("pairs")), counted(run.noises, tr("noise"), tr("noises")))
          .arg(run.steps)
          .arg(run.guidance)
          .arg(run.width)
          .arg(run.height)
          .arg(QString::fromStdString(run.ocr).section(' ', 0, 0));
  QStringList open;
  for (const auto& question : run.questions)
    if (question.done < question.cells) open << tr("%1: %2 of %3 cells").arg(QString::fromStdString(question.name)).arg(question.done).arg(question.cells);
  if (!open.isEmpty()) text += "\n" + tr("Not whole yet: %1.").arg(open.join(", "));
  facts_text_ = text;
  facts_->setText((QStringList{facts_text_} + faults_).join("\n"));
}

void RunsPage::show_map() {
  const auto found_map = maps_.find(part_->currentData().toString().mid(kMap.size()));
  if (!part_->currentData().toString().startsWith(kMap) || found_map == maps_.end()) return;
  const event::MapReady& map = found_map->second;
  const std::string key = map_score_->currentData().toString().toStdString();
  QStringList rows;
  for (const auto& row : map.rows) rows << QString::fromStdString(row);
  std::vector<Heatmap::Column> columns;
  for (const auto& column : map.columns) columns.push_back({QString::fromStdString(column), QString::fromStdString(column), {}});
  if (columns.empty()) columns.push_back({});
  std::vector<std::vector<std::optional<ScoreValue>>> values(map.rows.size(), std::vector<std::optional<ScoreValue>>(columns.size()));
  for (size_t i = 0; i < map.scores.size() && i < values.size() * columns.size(); ++i)
    if (const auto found = map.scores[i].find(key); found != map.scores[i].end())
      values[i / columns.size()][i % columns.size()] = ScoreValue{found->second.mean, found->second.low, found->second.high, found->second.n};
  map_->set_values(rows, QString::fromStdString(map.column_axis), columns, values);
  const auto own = [&](const std::map<std::string, Score>& of) {
    const auto found = of.find(key);
    return found == of.end() ? QString("\u2013") : score_text(found->second);
  };
  map_text_->setText(tr("Rows: %1; %2. A's own picture %3, B's own %4; means of %5 with %6 each.")
                         .arg(QString::fromStdString(map.row_axis), QString::fromStdString(map.direction), own(map.source), own(map.target))
                         .arg(counted(map.pairs, tr("pair"), tr("pairs")), counted(map.noises, tr("noise"), tr("noises"))));
}

void RunsPage::show_part() {
  const QString part = part_->currentData().toString();
  parts_->setCurrentIndex(part == kScores ? kScoresPlace : part == kCard ? kCardPlace : part.startsWith(kMap) ? kMapPlace : kNothing);
  part_->setEnabled(part_->count() > 1);
  show_map();
}

void RunsPage::refresh() {
  const auto run = list_->current();
  for (QPushButton* button : {compare_, files_, rename_, trash_}) button->setEnabled(run.has_value());
  go_on_->setEnabled(run && run->can_go_on());
  go_on_->setToolTip(!run               ? QString()
                     : run->can_go_on() ? tr("Draws what is missing of it, with the run's model and settings")
                                        : tr("Nothing is missing of it"));
  note_->setEnabled(run.has_value());
  if (!note_->hasFocus() && run && run->folder == shown_folder_) note_->setText(run->note);
  if (!run) state_->setText(tr("Select a run to see what it has found."));
  show_part();
}

bool RunsPage::is_free(const RunEntry& run) {
  // Whoever fills a folder alone holds it. Shards do not: they are seen by what they wrote just now.
  if (!run.whole()) {
    QDateTime last;
    for (const QFileInfo& cell : QDir(run.folder + "/cells").entryInfoList(QDir::Dirs | QDir::NoDotAndDotDot)) last = std::max(last, cell.lastModified());
    constexpr qint64 kMinutes = 10;
    if (last.isValid() && last.secsTo(QDateTime::currentDateTime()) < kMinutes * 60) {
      bench().fail(tr("%1 was written to within the last %2 minutes, and is not whole: somebody may be at it.").arg(run.folder).arg(kMinutes));
      return false;
    }
  }
  const auto held = attempt([&] { const OutputFolder own(run.folder.toStdString()); });
  if (!held) bench().fail(in_words(held.error()));
  return static_cast<bool>(held);
}

void RunsPage::rename() {
  const auto run = list_->current();
  if (!run || !is_free(*run)) return;
  bool accepted = false;
  const QString name = QInputDialog::getText(this, tr("Rename a run"), tr("Name of the folder"), QLineEdit::Normal, run->name(), &accepted).trimmed();
  if (!accepted || name.isEmpty() || name == run->name()) return;
  const QDir parent = QFileInfo(run->folder).dir();
  if (name.contains('/') || name.startsWith('.'))
    return bench().fail(tr("%1 cannot be a folder's name here: use no slash, and no dot at its beginning.").arg(name));
  if (parent.exists(name)) return bench().fail(tr("%1 is there already.").arg(parent.filePath(name)));
  stop_reading();
  if (!QDir(parent).rename(run->name(), name)) return bench().fail(tr("Cannot rename %1. Is its folder writable?").arg(run->folder));
  list_->add(parent.filePath(name));
}

void RunsPage::move_to_trash() {
  const auto run = list_->current();
  if (!run || !is_free(*run)) return;
  if (QMessageBox::question(this, tr("To the trash"), tr("Move %1 and all that was measured in it to the desktop's trash?").arg(run->folder),
                            QMessageBox::Yes | QMessageBox::No, QMessageBox::No) != QMessageBox::Yes)
    return;
  stop_reading();
  if (!QFile::moveToTrash(run->folder))
    bench().fail(tr("%1 cannot be moved to the trash: there may be none for its disk. Nothing was deleted.").arg(run->folder));
  list_->read_again();
}

std::vector<View> RunsPage::views() {
  return {picture_of(this, name()),
          {tr("Heatmap of the run"), "run-heatmap.png", {}, [this] { return scores_->figure(); }},
          {tr("Map of the run"), "run-map.png", {}, [this] {
             return Figure{.title = part_->currentText().toStdString(), .parts = map_->figure_parts(), .note = map_text_->text().toStdString()};
           }}};
}

void RunsPage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  if (scores_->empty()) return;
  const QDir out(folder);
  const auto keep = [&](const QString& name, bool done) { (done ? saved : failed) << out.filePath(name); };
  keep("run-heatmap.png", write_figure_file(scores_->figure(), out.filePath("run-heatmap.png"), scores_->document()));
  keep("run-scores.csv", scores_->save_table(out.filePath("run-scores.csv")));
  keep("run-localization.json", scores_->save_run(out.filePath("run-localization.json")));
}

}  // namespace glyphscope
