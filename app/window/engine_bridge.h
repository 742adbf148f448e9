#pragma once

#include <QObject>

#include "runtime/engine_thread.h"

namespace glyphscope {

/// The engine thread as the window's thread sees it: events arrive as signals, in order, on this object's thread.
class EngineBridge : public QObject {
  Q_OBJECT
 public:
  explicit EngineBridge(QObject* parent = nullptr);

  JobId post(Command command);
  void cancel(JobId job) { engine_->cancel(job); }
  void move_first(JobId job) { engine_->move_first(job); }

  /// An adapter is being trained, or waits to be.
  bool training() const { return training_ != 0; }
  /// What to tell who waits for a job that was posted just now.
  QString waiting_text() const;

 signals:
  void happened(const glyphscope::Event& event);

 private:
  std::unique_ptr<EngineThread> engine_;
  JobId training_ = 0, opening_ = 0;
};

}  // namespace glyphscope
