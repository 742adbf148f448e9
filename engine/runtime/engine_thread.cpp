#include "runtime/engine_thread.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "metrics/ocr.h"
#include "tasks/session.h"

namespace glyphscope {

struct EngineThread::State {
  struct Waiting {
    JobId id;
    Command command;
    CancelToken cancel;
  };

  State(std::function<void(const Event&)> listener, std::function<std::unique_ptr<TextReader>()> make_reader)
      : listener(std::move(listener)), session([make_reader = std::move(make_reader)](const CancelToken&) { return make_reader(); }) {
    thread = std::thread([this] { loop(); });
  }

  void loop() {
    for (;;) {
      Waiting job;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [this] { return closing || !waiting.empty(); });
        if (waiting.empty()) return;
        job = take();
      }
      execute(job);
    }
  }

  // The first job that waits; the mutex is held.
  Waiting take() {
    Waiting job = std::move(waiting.front());
    waiting.pop_front();
    running.push_back(job);
    return job;
  }

  void execute(const Waiting& job) {
    const auto start = std::chrono::steady_clock::now();
    const auto done = attempt([&] {
      session.run(job.command, {.tell =
                                    [&](event::Any what) {
                                      listener({job.id, std::move(what)});
                                    },
                                .cancel = job.cancel,
                                .interrupted =
                                    [this] {
                                      const std::lock_guard lock(mutex);
                                      return can_interlude();
                                    },
                                .interlude = [this] { interlude(); }});
    });
    {
      const std::lock_guard lock(mutex);
      running.pop_back();
    }
    if (done) {
      listener({job.id, event::Finished{std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}});
    } else if (done.error().code == ErrorCode::cancelled) {
      listener({job.id, event::Cancelled{}});
    } else {
      listener({job.id, event::Failed{done.error()}});
    }
  }

  // Another model, or another training, waits for the end of the one that runs; and so does what was asked for after it.
  bool can_interlude() const {
    if (waiting.empty()) return false;
    const Command& next = waiting.front().command;
    return !std::holds_alternative<command::OpenModel>(next) && !std::holds_alternative<command::Finetune>(next);
  }
  void interlude() {
    for (;;) {
      Waiting job;
      {
        const std::lock_guard lock(mutex);
        if (!can_interlude()) return;
        job = take();
      }
      execute(job);
    }
  }

  std::function<void(const Event&)> listener;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Waiting> waiting;
  std::vector<Waiting> running;  // a training, and what runs between two of its steps
  bool closing = false;
  JobId next = 1;
  Session session;  // touched by the engine's thread only
  std::thread thread;
};

EngineThread::EngineThread(std::function<void(const Event&)> listener) : EngineThread(std::move(listener), [] { return make_text_reader(); }) {}
EngineThread::EngineThread(std::function<void(const Event&)> listener, std::function<std::unique_ptr<TextReader>()> make_reader)
    : state_(std::make_unique<State>(std::move(listener), std::move(make_reader))) {}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
    state_->waiting.clear();
    for (auto& one : state_->running) one.cancel.cancel();
  }
  state_->wake.notify_all();
  state_->thread.join();
}

JobId EngineThread::post(Command command) {
  const std::lock_guard lock(state_->mutex);
  const JobId id = state_->next++;
  state_->waiting.push_back({id, std::move(command), {}});
  state_->wake.notify_all();
  return id;
}

void EngineThread::cancel(JobId job) {
  bool waited = false;
  {
    const std::lock_guard lock(state_->mutex);
    for (auto& one : state_->running)
      if (one.id == job) one.cancel.cancel();
    waited = std::erase_if(state_->waiting, [&](const State::Waiting& one) { return one.id == job; }) > 0;
  }
  if (waited) state_->listener({job, event::Cancelled{}});
}

void EngineThread::cancel_all() {
  std::deque<State::Waiting> waited;
  {
    const std::lock_guard lock(state_->mutex);
    for (auto& one : state_->running) one.cancel.cancel();
    waited.swap(state_->waiting);
  }
  for (const auto& one : waited) state_->listener({one.id, event::Cancelled{}});
}

}  // namespace glyphscope
