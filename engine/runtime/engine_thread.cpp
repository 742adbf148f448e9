#include "runtime/engine_thread.h"

#include <algorithm>
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
        job = take(waiting.begin());
      }
      execute(job);
    }
  }

  // The mutex is held.
  Waiting take(const std::deque<Waiting>::iterator& which) {
    Waiting job = std::move(*which);
    waiting.erase(which);
    running.push_back(job);
    return job;
  }

  void execute(const Waiting& job) {
    const auto start = std::chrono::steady_clock::now();
    const bool trains = std::holds_alternative<command::Finetune>(job.command);
    const auto done = attempt([&] {
      session.run(job.command, {.tell =
                                    [&](event::Any what) {
                                      listener({job.id, std::move(what)});
                                    },
                                .cancel = job.cancel,
                                .interrupted =
                                    [this, trains] {
                                      const std::lock_guard lock(mutex);
                                      return next_between(trains) != waiting.end();
                                    },
                                .interlude = [this, trains] { interlude(trains); }});
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

  // What looks, and changes nothing that a run depends on.
  static bool only_looks(const Command& command) {
    if (const auto* run = std::get_if<command::Localize>(&command)) return run->plan_only;
    return std::holds_alternative<command::Generate>(command) || std::holds_alternative<command::EditText>(command) ||
           std::holds_alternative<command::ReadRun>(command) || std::holds_alternative<command::Compare>(command) ||
           std::holds_alternative<command::ReadPictures>(command) || std::holds_alternative<command::ConvertAdapter>(command);
  }
  // What may run between two steps of a training, or two cells of a run; the mutex is held. Another model, another training or the guard waits for the end, and
  // so does what was asked for after it.
  std::deque<Waiting>::iterator next_between(bool training) {
    for (auto one = waiting.begin(); one != waiting.end(); ++one) {
      if (std::holds_alternative<command::OpenModel>(one->command) || std::holds_alternative<command::Finetune>(one->command)) break;
      if (training || only_looks(one->command)) return one;
      if (std::holds_alternative<command::SetGuard>(one->command)) break;
    }
    return waiting.end();
  }
  void interlude(bool training) {
    for (;;) {
      Waiting job;
      {
        const std::lock_guard lock(mutex);
        const auto next = next_between(training);
        if (next == waiting.end()) return;
        job = take(next);
      }
      execute(job);
    }
  }

  std::function<void(const Event&)> listener;
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Waiting> waiting;
  std::vector<Waiting> running;  // a training or a run, and what runs between two of its parts
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

void EngineThread::move_first(JobId job) {
  const std::lock_guard lock(state_->mutex);
  auto& waiting = state_->waiting;
  const auto found = std::find_if(waiting.begin(), waiting.end(), [&](const State::Waiting& one) { return one.id == job; });
  if (found == waiting.end()) return;
  auto place = found;
  for (auto one = found; one != waiting.begin();) {
    --one;
    const Command& command = one->command;
    if (std::holds_alternative<command::OpenModel>(command) || std::holds_alternative<command::Finetune>(command) ||
        std::holds_alternative<command::SetGuard>(command))
      break;
    if (!State::only_looks(command)) place = one;
  }
  std::rotate(place, found, found + 1);
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
