#include "app/window/page.h"

#include "all_pages.h"

namespace glyphscope {

namespace {

bool is_end(const event::Any& what) {
  return std::holds_alternative<event::Finished>(what) || std::holds_alternative<event::Cancelled>(what) || std::holds_alternative<event::Failed>(what);
}

}  // namespace

Page::Page(Workbench* bench, const QString& name, QWidget* parent) : QWidget(parent), bench_(bench), name_(name) {
  connect(bench->engine(), &EngineBridge::happened, this, [this](const Event& event) {
    const bool ended = is_end(event.what);
    if (ended) job_ended();
    if (jobs_.contains(event.job)) on_event(event);
    if (ended) jobs_.erase(event.job);
  });
}

JobId Page::post(Command command) {
  const JobId job = engine()->post(std::move(command));
  jobs_.insert(job);
  return job;
}

std::vector<Page*> make_pages(Workbench* bench, QWidget* parent) { return {GLYPHSCOPE_PAGES(bench, parent)}; }

}  // namespace glyphscope
