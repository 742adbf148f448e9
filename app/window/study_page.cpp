#include "app/window/study_page.h"

#include <QtWidgets>

#include "app/window/figure_form.h"
#include "app/window/pictures_panel.h"
#include "app/window/prompt_panel.h"
#include "app/window/scores_panel.h"
#include "app/window/site_items.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "core/error.h"
#include "io/files.h"
#include "tasks/session_file.h"
#include "widgets/heatmap.h"

namespace glyphscope {

Page* make_study_page(Workbench* bench, QWidget* parent) { return new StudyPage(bench, parent); }

StudyPage::StudyPage(Workbench* bench, QWidget* parent) : Page(bench, tr("Study"), parent) {
  setObjectName("study_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  column->setSpacing(8);
  prompts_ = new PromptPanel(bench->sampling(), this);
  const auto prompts = [this, bench] {
    return command::Generate{.source = prompts_->source(), .target = prompts_->target(), .sampling = bench->sampling()->value()};
  };
  connect(prompts_, &PromptPanel::generate_requested, this, [this, prompts] { draw(prompts()); });
  connect(prompts_, &PromptPanel::edit_requested, this, [this, prompts, bench] {
    command::Generate command = prompts();
    command.plan = PatchPlan::at_sites(bench->selection()->sorted(), 1, prompts_->from_step());
    draw(std::move(command));
  });
  connect(prompts_, &PromptPanel::localize_requested, this, &StudyPage::localize);
  connect(prompts_, &PromptPanel::prompts_changed, this, &StudyPage::mark_undrawn);
  connect(bench->sampling(), &SharedSampling::changed, this, &StudyPage::mark_undrawn);
  column->addWidget(prompts_);
  auto* stack = new QSplitter(Qt::Vertical, this);
  pictures_ = new PicturesPanel({tr("Generate draws prompt A here"), tr("Select sites and press Edit text"), tr("Generate draws prompt B here")}, stack);
  scores_ = new ScoresPanel(bench->selection(), stack);
  connect(scores_, &ScoresPanel::shown, this, [bench](const QString& title, const std::map<int, ScoreValue>& values, std::optional<double> threshold) {
    bench->show_scores(title, values, threshold);
  });
  connect(scores_, &ScoresPanel::pair_chosen, this, [this, bench](const event::PairReady& pair, int site) {
    if (pair.source.rgb) {
      pair_shown_ = true;
      mark_undrawn();
      return pictures_->show_pair(pair, site);
    }
    bench->say(tr("The pictures of pair %1 are no longer kept: there are too many. Its scores are.").arg(pair.pair + 1));
  });
  stack->addWidget(pictures_);
  stack->addWidget(scores_);
  stack->setStretchFactor(0, 3);
  stack->setStretchFactor(1, 2);
  stack->setChildrenCollapsible(false);
  column->addWidget(stack, 1);
  connect(bench->selection(), &SiteSelection::changed, this, &StudyPage::refresh);
  refresh();
}

void StudyPage::set_model(const event::ModelOpened& model) {
  model_source_ = QString::fromStdString(model.source);
  model_hash_ = model.hash;
  drawn_.reset();
  shown_.reset();
  drawn_stale_ = false;
  pair_shown_ = false;
  scores_->set_sites(site_items(model.table));
  pictures_->clear();
  prompts_->set_model(model);
}

void StudyPage::set_job(WindowJob job, bool) {
  window_job_ = job;
  refresh();
  if (job != WindowJob::none) {
    drawing_ = 0;
    return;
  }
  if (drawn_stale_) adapters_changed();
}

void StudyPage::add_actions(QMenu& file, QMenu& view) {
  auto* unfinished = file.addMenu(tr("&Go on with a run"));
  unfinished->setObjectName("unfinished");
  connect(unfinished, &QMenu::aboutToShow, this, [this, unfinished] { list_unfinished(unfinished); });
  view.addAction(tr("&Fit pictures"), QKeySequence(Qt::CTRL | Qt::Key_0), pictures_, &PicturesPanel::fit);
}

std::vector<View> StudyPage::views() {
  return {picture_of(pictures_, tr("Pictures")), {tr("Heatmap"), "heatmap.png", {}, [this] { return scores_->figure(); }}};
}

void StudyPage::describe(QJsonObject& settings) const {
  const command::Sampling& sampling = bench().sampling()->value();
  // Of the fields, which may have been changed since anything was drawn; pictures carry their own settings, and the run its own.
  settings["fields"] = QJsonObject{{"source", QString::fromStdString(prompts_->source())},
                                   {"target", QString::fromStdString(prompts_->target())},
                                   {"steps", static_cast<qint64>(sampling.steps)},
                                   {"upscale_steps", static_cast<qint64>(sampling.upscale_steps)},
                                   {"guidance", sampling.guidance},
                                   {"seed", static_cast<qint64>(sampling.seed)},
                                   {"from_step", prompts_->from_step()}};
  if (scores_->empty()) return;
  settings["run"] = QJsonDocument::fromJson(scores_->document().toUtf8()).object();
  settings["run_is_whole"] = scores_->whole();
}

void StudyPage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  pictures_->save(folder, saved, failed);
  if (scores_->empty()) return;
  const QDir out(folder);
  const auto keep = [&](const QString& name, bool done) { (done ? saved : failed) << out.filePath(name); };
  for (const char* file : {"heatmap.png", "heatmap.svg"}) keep(file, write_figure_file(scores_->figure(), out.filePath(file), scores_->document()));
  keep("scores.csv", scores_->save_table(out.filePath("scores.csv")));
  keep("localization.json", scores_->save_run(out.filePath("localization.json")));
}

void StudyPage::keep(SessionFile& session) const {
  if (shown_) session.study = SessionFile::Study{shown_of_, *shown_};
  if (!scores_->folder().isEmpty()) session.runs.push_back({scores_->folder().toStdString(), {}});
}

void StudyPage::restore(const SessionFile& session) {
  scores_->clear();
  pictures_->clear();
  drawn_.reset();
  shown_.reset();
  drawn_stale_ = pair_shown_ = false;
  if (session.study) {
    drawn_ = shown_of_ = session.study->command;
    shown_ = session.study->ready;
    pictures_->show_pictures(*shown_);
  }
  mark_undrawn();
}

void StudyPage::list_unfinished(QMenu* menu) {
  menu->clear();
  for (const RunEntry& run : runs_in(workspace_folder())) {
    if (!run.can_go_on()) continue;
    const QString text = tr("%1, begun %2: %3 of %4 cells").arg(run.model, QLocale().toString(run.begun, QLocale::ShortFormat)).arg(run.done).arg(run.cells());
    menu->addAction(text, this, [this, run] { bench().go_on(run.folder); })->setToolTip(run.folder);
  }
  if (menu->isEmpty()) menu->addAction(tr("None in %1 is unfinished").arg(workspace_folder()))->setEnabled(false);
  menu->addSeparator();
  menu->addAction(tr("In another folder\u2026"), this, [this] {
    const QString folder = QFileDialog::getExistingDirectory(this, tr("Go on with the run in"), workspace_folder());
    if (!folder.isEmpty()) bench().go_on(folder);
  });
}

bool StudyPage::go_on(const QString& folder) {
  const auto run = run_at(folder);
  if (run && !run->goes_on_localizing()) return false;
  scores_->clear();
  localizing_ = enqueue({.folder = folder.toStdString(), .adapters = bench().drawing().adapters, .begin = command::Localize::Begin::go_on_by_its_own});
  return true;
}

void StudyPage::draw(command::Generate command) {
  command.adapters = bench().drawing().adapters;
  drawn_ = command;
  drawn_stale_ = false;
  const JobId job = run(std::move(command));
  drawing_ = job;  // by now the job before has ended
}

void StudyPage::adapters_changed() {
  if (!drawn_) return;
  // Whatever else runs is not worth losing for a slider: its pictures are drawn after it.
  drawn_stale_ = window_job_ != WindowJob::none && drawing_ == 0;
  if (!drawn_stale_) draw(*drawn_);
}

void StudyPage::localize() {
  scores_->clear();
  const Drawing drawing = bench().drawing();
  localizing_ = enqueue({.pairs = static_cast<size_t>(pairs),
                         .sampling = drawing.sampling,
                         .from_step = prompts_->from_step(),
                         .folder = new_run_folder(model_source_).toStdString(),
                         .adapters = drawing.adapters});
}

void StudyPage::on_event(const Event& event) {
  if (event.job != drawing_ && event.job != localizing_) return;
  if (const auto* pictures = std::get_if<event::PicturesReady>(&event.what)) {
    pictures_->show_pictures(*pictures);
    if (drawn_) {
      shown_ = *pictures;
      shown_of_ = *drawn_;
      emit content_changed();
    }
    pair_shown_ = false;
    mark_undrawn();
    bench().note(pictures->notes);
  } else if (const auto* pair = std::get_if<event::PairReady>(&event.what)) {
    scores_->add_pair(*pair);
  } else if (const auto* scores = std::get_if<event::ScoresReady>(&event.what)) {
    scores_->set_scores(*scores);
    if (scores->final) show_findings(*scores);
    if (scores->final) emit content_changed();
  } else if (is_end(event.what)) {
    if (event.job == localizing_ && !std::holds_alternative<event::Finished>(event.what)) scores_->set_stopped();
    (event.job == drawing_ ? drawing_ : localizing_) = 0;
  }
}

void StudyPage::show_findings(const event::ScoresReady& scores) {
  if (!scores.folder.empty()) bench().say(tr("The run is kept in %1.").arg(QString::fromStdString(scores.folder)));
  const std::vector<int>& best = scores.smallest.empty() ? scores.localized : scores.smallest;
  if (!best.empty()) bench().selection()->select(QSet<int>(best.begin(), best.end()));
}

void StudyPage::mark_undrawn() {
  if (!drawn_ || pair_shown_) return pictures_->mark_undrawn(false, false);
  const bool sampling = bench().sampling()->value() != drawn_->sampling;
  pictures_->mark_undrawn(sampling || prompts_->source() != drawn_->source, sampling || prompts_->target() != drawn_->target);
}

void StudyPage::refresh() { prompts_->set_ready(window_job_ == WindowJob::none && model_hash_.has_value(), bench().selection()->sorted()); }

}  // namespace glyphscope
