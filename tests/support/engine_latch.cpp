// Without Qt: its macros and torch's headers do not go together.
#include "tests/support/engine_latch.h"

#include <ATen/record_function.h>

#include <condition_variable>
#include <cstring>
#include <mutex>

namespace glyphscope::testing {

struct EngineLatch::State {
  std::mutex mutex;
  std::condition_variable wake;
  bool open = false, held = false;
};

namespace {

std::weak_ptr<void> current;  // a callback of torch's is a plain function

}  // namespace

EngineLatch::EngineLatch() : state_(std::make_shared<State>()) {
  current = state_;
  handle_ = at::addGlobalCallback(at::RecordFunctionCallback([](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
                                    if (std::strcmp(function.name(), "aten::scaled_dot_product_attention") != 0) return nullptr;
                                    if (const auto state = std::static_pointer_cast<State>(current.lock())) {
                                      std::unique_lock lock(state->mutex);
                                      state->held = true;
                                      state->wake.wait(lock, [&] { return state->open; });
                                    }
                                    return nullptr;
                                  }).scopes({at::RecordScope::FUNCTION}));
}

EngineLatch::~EngineLatch() {
  release();
  at::removeCallback(handle_);
}

bool EngineLatch::holds() const {
  std::lock_guard lock(state_->mutex);
  return state_->held;
}

void EngineLatch::release() {
  std::lock_guard lock(state_->mutex);
  state_->open = true;
  state_->wake.notify_all();
}

}  // namespace glyphscope::testing
