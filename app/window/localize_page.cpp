#include "app/window/localize_page.h"

#include <QtWidgets>
#include <cmath>

#include "app/window/localize_form.h"
#include "app/window/wording.h"
#include "app/window/workspace.h"
#include "io/files.h"
#include "tasks/session_file.h"
#include "widgets/flow_layout.h"
#include "widgets/job_bar.h"

namespace glyphscope {

Page* make_localize_page(Workbench* bench, QWidget* parent) { return new LocalizePage(bench, parent); }

LocalizePage::LocalizePage(Workbench* bench, QWidget* parent) : Page(bench, tr("Localize"), parent) {
  setObjectName("localize_page");
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 6, 0, 0);
  auto* split = new QSplitter(Qt::Horizontal, this);
  form_ = new LocalizeForm(bench, split);
  auto* scroll = new QScrollArea(split);
  scroll->setWidget(form_);
  scroll->setWidgetResizable(true);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setFocusPolicy(Qt::NoFocus);
  scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  split->addWidget(scroll);
  split->addWidget(build_plan());
  split->setStretchFactor(0, 1);
  split->setStretchFactor(1, 1);
  split->setChildrenCollapsible(false);
  split->setSizes({1000, 1100});
  column->addWidget(split, 1);
  connect(form_, &LocalizeForm::changed, this, &LocalizePage::outdate);
  refresh();
}

QWidget* LocalizePage::build_plan() {
  auto* side = new QWidget(this);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(8, 0, 0, 0);
  column->setSpacing(6);
  auto* title = new QLabel(tr("What it takes"), side);
  QFont bold = title->font();
  bold.setBold(true);
  title->setFont(bold);
  column->addWidget(title);
  table_ = new QTableWidget(0, 4, side);
  table_->setObjectName("localize_plan_table");
  table_->setAccessibleName(tr("What the run takes"));
  table_->setHorizontalHeaderLabels({tr("for"), tr("cells"), tr("pictures"), tr("denoiser rows")});
  table_->horizontalHeader()->setSectionResizeMode(QHeaderView::ResizeToContents);
  table_->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
  table_->verticalHeader()->hide();
  table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table_->setSelectionMode(QAbstractItemView::NoSelection);
  table_->setTabKeyNavigation(false);
  table_->setWordWrap(true);
  column->addWidget(table_, 1);
  sums_ = new QLabel(side);
  sums_->setObjectName("localize_sums");
  sums_->setWordWrap(true);
  sums_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(sums_);
  state_ = new QLabel(side);
  state_->setObjectName("localize_state");
  state_->setWordWrap(true);
  state_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(state_);
  auto* line = new FlowLayout;
  const auto button = [&](const QString& text, const QString& tip, const char* name, auto pressed) {
    auto* out = new QPushButton(text, side);
    out->setToolTip(tip);
    out->setObjectName(name);
    connect(out, &QPushButton::clicked, this, pressed);
    line->addWidget(out);
    return out;
  };
  plan_ = button(tr("&Plan"), tr("Counts what the run takes, and measures on a few rows how long that is"), "localize_plan", &LocalizePage::plan);
  line->add_stretch();
  see_ = button(tr("See the run"), tr("On the page Runs, also while it is at work"), "localize_see", [this] { this->bench().show_run(folder_); });
  start_ = button(tr("&Start"), tr("Begins the run, in a folder of the workspace: it is kept from its first cell on"), "localize_start", &LocalizePage::start);
  column->addLayout(line);
  return side;
}

void LocalizePage::keep(SessionFile& session) const {
  if (!folder_.isEmpty()) session.runs.push_back({folder_.toStdString(), {}});
}

void LocalizePage::set_model(const event::ModelOpened& model) {
  model_ = true;
  model_source_ = QString::fromStdString(model.source);
  form_->set_model(model);
  document_.clear();
  table_->setRowCount(0);
  outdate();
}

void LocalizePage::set_job(WindowJob job, bool) {
  window_job_ = job;
  if (job != WindowJob::none) planning_ = 0;  // another job has taken its place
  refresh();
}

std::optional<command::Localize> LocalizePage::asked() {
  auto out = attempt([&] { return form_->command(); });
  if (out) return *out;
  bench().fail(in_words(out.error()));
  return std::nullopt;
}

void LocalizePage::plan() {
  auto command = asked();
  if (!command) return;
  command->plan_only = true;
  changed_since_ = false;
  planning_ = run(std::move(*command));
  state_->setText(tr("Counting, and measuring a few rows\u2026"));
}

void LocalizePage::start() {
  auto command = asked();
  if (!command) return;
  folder_ = new_run_folder(model_source_, form_->question());
  command->folder = folder_.toStdString();
  command->each_pair = false;
  found_.clear();
  running_ = enqueue(std::move(*command));
  state_->setText(tr("The run is at work in %1, once those before it are done.").arg(folder_));
  refresh();
}

bool LocalizePage::go_on(const QString& folder) {
  if (!run_at(folder)) return false;
  folder_ = folder;
  found_.clear();
  running_ = enqueue(
      {.folder = folder.toStdString(), .adapters = bench().drawing().adapters, .begin = command::Localize::Begin::go_on_by_its_own, .each_pair = false});
  state_->setText(tr("The run goes on in %1.").arg(folder_));
  refresh();
  return true;
}

void LocalizePage::on_event(const Event& event) {
  if (event.job == planning_) {
    if (const auto* planned = std::get_if<event::RunPlanned>(&event.what)) show_plan(*planned);
    if (!is_end(event.what)) return;
    planning_ = 0;
    if (!std::holds_alternative<event::Finished>(event.what)) state_->clear();
  } else if (event.job == running_) {
    if (const auto* scores = std::get_if<event::ScoresReady>(&event.what)) found_ = scores->smallest.empty() ? scores->localized : scores->smallest;
    if (const auto* card = std::get_if<event::Certified>(&event.what)) found_ = card->chosen;
    if (!is_end(event.what)) return;
    running_ = 0;
    const bool done = std::holds_alternative<event::Finished>(event.what);
    if (done && !found_.empty()) bench().selection()->select(QSet<int>(found_.begin(), found_.end()));
    state_->setText(done                                                   ? tr("The run is done, and kept in %1.").arg(folder_)
                    : std::holds_alternative<event::Cancelled>(event.what) ? tr("The run was stopped. What is done of it is kept in %1.").arg(folder_)
                                                                           : tr("The run failed."));
  }
  refresh();
}

void LocalizePage::show_plan(const event::RunPlanned& plan) {
  document_ = plan.document;
  const QLocale locale;
  table_->setRowCount(static_cast<int>(plan.questions.size()));
  for (int row = 0; row < table_->rowCount(); ++row) {
    const auto& one = plan.questions[static_cast<size_t>(row)];
    const QString title = QString::fromStdString(one.title);
    table_->setItem(row, 0, new QTableWidgetItem(one.at_most ? tr("at most: %1").arg(title) : title));
    int column = 1;
    for (const auto number : {one.cells, one.pictures, one.denoiser_rows}) {
      auto* item = new QTableWidgetItem(locale.toString(static_cast<qlonglong>(number)));
      item->setTextAlignment(Qt::AlignRight | Qt::AlignVCenter);
      table_->setItem(row, column++, item);
    }
  }
  table_->resizeRowsToContents();
  sums_->setText(tr("%1 pictures, %2 denoiser rows, about %3 here as it is measured now, %4 in its folder at most.\n"
                    "%5 independent words and %6 report: a difference of %7 in a mean share is found four times in five, where words differ as much as they "
                    "can.")
                     .arg(locale.toString(static_cast<qlonglong>(plan.pictures)), locale.toString(static_cast<qlonglong>(plan.denoiser_rows)),
                          duration_text(plan.seconds), locale.formattedDataSize(static_cast<qint64>(plan.bytes), 1, QLocale::DataSizeSIFormat))
                     .arg(plan.words)
                     .arg(plan.noises == 1 ? tr("1 noise") : tr("%1 noises").arg(plan.noises))
                     .arg(plan.detectable, 0, 'f', 2));
  state_->clear();
  const bool current = !changed_since_;
  table_->setEnabled(current);
  sums_->setEnabled(current);
  if (!current) outdate();
}

void LocalizePage::outdate() {
  changed_since_ = true;
  table_->setEnabled(false);
  sums_->setEnabled(document_.empty());
  if (document_.empty())
    sums_->setText(tr("Plan tells how many pictures the question takes, how long that is here, and how small a difference it can find."));
  else if (!sums_->text().startsWith(tr("Of other settings: ")))
    sums_->setText(tr("Of other settings: ") + sums_->text());
  refresh();
}

void LocalizePage::refresh() {
  const bool ready = model_ && window_job_ == WindowJob::none;
  const bool possible = ready && static_cast<bool>(attempt([&] { return form_->command(); }));
  plan_->setEnabled(possible);
  start_->setEnabled(possible);
  see_->setEnabled(!folder_.isEmpty() && QFileInfo::exists(folder_ + "/settings.json"));
  if (!model_)
    state_->setText(tr("Open a model to ask it."));
  else if (state_->text() == tr("Open a model to ask it."))
    state_->clear();
}

void LocalizePage::save(const QString& folder, QStringList& saved, QStringList& failed) const {
  if (document_.empty()) return;
  const QString file = QDir(folder).filePath("localization-plan.json");
  const auto written = attempt([&] { return write_text(file.toStdString(), document_), 0; });
  (written ? saved : failed) << file;
}

}  // namespace glyphscope
