// The window's queue of runs: one at work, others that wait, whatever else is drawn meanwhile.
#include <QtWidgets>

#include "app/window/main_window.h"
#include "app/window/wording.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"

namespace glyphscope {

QWidget* MainWindow::build_queue(QWidget* parent) {
  auto* line = new QWidget(parent);
  auto* row = new QHBoxLayout(line);
  row->setContentsMargins(0, 0, 8, 0);
  run_bar_ = new JobBar(line, "cancel_run");
  run_bar_->setObjectName("run_bar");
  connect(run_bar_, &JobBar::cancel_requested, this, [this] {
    if (!runs_.empty()) engine_->cancel(runs_.front().job);
  });
  row->addWidget(run_bar_, 1);
  queue_ = new QToolButton(line);
  queue_->setObjectName("queue");
  queue_->setText(tr("Queue"));
  queue_->setToolTip(tr("Runs that wait: which comes next, and which not at all"));
  queue_->setPopupMode(QToolButton::InstantPopup);
  auto* menu = new QMenu(queue_);
  connect(menu, &QMenu::aboutToShow, this, [this, menu] {
    menu->clear();
    qDeleteAll(menu->findChildren<QMenu*>());  // which clear() leaves
    for (size_t i = 1; i < runs_.size(); ++i) {
      const JobId job = runs_[i].job;
      auto* one = menu->addMenu(tr("%1. %2").arg(i).arg(runs_[i].name));
      one->addAction(tr("Next"), this, [this, job] {
        engine_->move_first(job);
        const auto found = std::find_if(runs_.begin(), runs_.end(), [&](const QueuedRun& run) { return run.job == job; });
        if (found != runs_.end() && found > runs_.begin() + 1) std::rotate(runs_.begin() + 1, found, found + 1);
      });
      one->addAction(tr("Cancel"), this, [this, job] { engine_->cancel(job); });
    }
    menu->addSeparator();
    menu->addAction(tr("Cancel all"), this, &MainWindow::end_runs);
  });
  queue_->setMenu(menu);
  row->addWidget(queue_);
  show_runs();
  return line;
}

JobId MainWindow::enqueue(command::Localize run) {
  message_->hide();
  const QString folder = QFileInfo(QString::fromStdString(run.folder)).fileName();
  const JobId job = engine_->post(std::move(run));
  runs_.push_back({job, folder});
  if (runs_.size() == 1) run_bar_->start(engine_->waiting_text());
  show_runs();
  return job;
}

void MainWindow::show_runs() {
  run_bar_->parentWidget()->setVisible(!runs_.empty());
  const auto more = static_cast<int>(runs_.size()) - 1;
  run_bar_->set_more(more > 0 ? tr("%1 more in the queue").arg(more) : QString());
  queue_->setVisible(more > 0);
  for (Page* page : pages_) page->runs_changed(static_cast<int>(runs_.size()));
}

void MainWindow::end_runs() {
  // From the end, or the next would begin.
  const std::vector<QueuedRun> all = runs_;
  for (auto run = all.rbegin(); run != all.rend(); ++run) engine_->cancel(run->job);
}

void MainWindow::on_run_event(const Event& event) {
  const auto run = std::find_if(runs_.begin(), runs_.end(), [&](const QueuedRun& one) { return one.job == event.job; });
  const QString name = run->name;
  if (const auto* started = std::get_if<event::Started>(&event.what)) {
    // Whichever the engine has begun is at work.
    std::rotate(runs_.begin(), run, run + 1);
    runs_.front().name = tr("%1 (%2)").arg(QString::fromStdString(started->what), name);
    run_bar_->start(runs_.front().name);
  } else if (const auto* progressed = std::get_if<event::Progressed>(&event.what)) {
    const Progress& progress = progressed->progress;
    run_bar_->set_progress(tr("%1: %2").arg(name, QString::fromStdString(progress.what)), progress.done, progress.total);
  } else if (const auto* noted = std::get_if<event::Noted>(&event.what)) {
    note({noted->text});
  } else if (is_end(event.what)) {
    const bool front = run == runs_.begin();
    runs_.erase(run);
    QString summary;
    if (const auto* finished = std::get_if<event::Finished>(&event.what)) summary = tr("%1: done in %2").arg(name, duration_text(finished->seconds));
    if (std::holds_alternative<event::Cancelled>(event.what)) summary = tr("%1: cancelled; what is done of it is kept").arg(name);
    if (const auto* failed = std::get_if<event::Failed>(&event.what)) {
      summary = tr("%1: failed").arg(name);
      fail(in_words(failed->error));
    }
    if (!job_) jobs_->finish(summary);
    if (front) {
      run_bar_->finish(summary);
      if (!runs_.empty()) run_bar_->start(engine_->waiting_text());
    }
    show_runs();
  }
}

}  // namespace glyphscope
