#pragma once

#include <QObject>

#include "runtime/engine_thread.h"

namespace glyphscope {

/// The engine thread as the window's thread sees it: events arrive as signals, in order, on this object's thread.
class EngineBridge : public QObject {
  Q_OBJECT
 public:
  explicit EngineBridge(QObject* parent = nullptr);

  JobId post(Command command) { return engine_->post(std::move(command)); }
  void cancel(JobId job) { engine_->cancel(job); }

 signals:
  void happened(const glyphscope::Event& event);

 private:
  std::unique_ptr<EngineThread> engine_;
};

}  // namespace glyphscope
