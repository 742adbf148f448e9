#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "tasks/commands.h"
#include "tasks/events.h"

/// The one thread that owns every tensor. Commands go in and events come out, both as values without a torch type, so that a window can include this.
namespace glyphscope {

class TextReader;

using JobId = std::uint64_t;

struct Event {
  JobId job = 0;
  event::Any what;
};

/// A queue of commands, which a Session does one after the other; but between two steps of a training others run (see Finetune), and between two cells of a
/// run what only looks: pictures, edits, runs that are read or planned. The listener is called on the engine's own thread, or, of a job that is
/// cancelled while it waits, on the thread that cancels it; it must not call back into the object. Destroying it cancels what runs, drops what waits, and
/// joins.
class EngineThread {
 public:
  explicit EngineThread(std::function<void(const Event&)> listener);
  /// With another way to read pictures than the usual one; called once, when the first is to be read.
  EngineThread(std::function<void(const Event&)> listener, std::function<std::unique_ptr<TextReader>()> make_reader);
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// Returns at once; events carry the id. Each job ends in exactly one of Finished, Cancelled and Failed.
  JobId post(Command command);
  /// Cancels the job whether it waits or runs. One that waits ends at once; one that runs, within one attention layer, or on a training's way back through
  /// the layers, at the end of that.
  void cancel(JobId job);
  void cancel_all();
  /// Of the runs that wait, this one is next; but not before another model, training or guard that it was asked for after.
  void move_first(JobId job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace glyphscope
