#include "app/window/page.h"

#include <qcustomplot.h>

#include <QCoreApplication>
#include <QEvent>
#include <algorithm>

#include "all_pages.h"

namespace glyphscope {

bool is_end(const event::Any& what) {
  return std::holds_alternative<event::Finished>(what) || std::holds_alternative<event::Cancelled>(what) || std::holds_alternative<event::Failed>(what);
}

QImage look_of(QWidget* widget) {
  QCoreApplication::sendPostedEvents(nullptr, QEvent::LayoutRequest);
  constexpr double kFineness = 2;
  const double ratio = kFineness * widget->devicePixelRatioF();
  // Plots draw into buffers of their own.
  std::vector<std::pair<QCustomPlot*, double>> plots;
  for (auto* plot : widget->findChildren<QCustomPlot*>()) plots.emplace_back(plot, plot->bufferDevicePixelRatio());
  const auto redraw = [](QCustomPlot* plot, double own) {
    plot->setBufferDevicePixelRatio(own);
    plot->replot(QCustomPlot::rpImmediateRefresh);
  };
  for (const auto& [plot, own] : plots) redraw(plot, ratio);
  QImage out((QSizeF(widget->size()) * ratio).toSize(), QImage::Format_RGB32);
  out.setDevicePixelRatio(ratio);
  out.fill(widget->palette().color(QPalette::Window));
  widget->render(&out);
  for (const auto& [plot, own] : plots) redraw(plot, own);
  out.setDevicePixelRatio(1);
  return out;
}

View picture_of(QWidget* widget, const QString& name) {
  return {name, name.toLower() + ".png", [widget] { return look_of(widget); }, {}};
}

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

JobId Page::run(Command command) {
  const JobId job = bench_->run(std::move(command));
  jobs_.insert(job);
  return job;
}

JobId Page::enqueue(command::Localize run) {
  const JobId job = bench_->enqueue(std::move(run));
  jobs_.insert(job);
  return job;
}

std::vector<Page*> make_pages(Workbench* bench, QWidget* parent) {
  std::vector<Page*> pages = all_pages(bench, parent);
  std::stable_sort(pages.begin(), pages.end(), [](const Page* a, const Page* b) { return a->rank() < b->rank(); });
  return pages;
}

}  // namespace glyphscope
