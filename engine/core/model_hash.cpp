#include "core/model_hash.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <mutex>
#include <utility>

namespace glyphscope {

struct ModelHash::State {
  Form form;
  CancelToken cancel;
  std::mutex mutex;  // of what follows
  std::shared_future<std::string> text;
  ~State() { cancel.cancel(); }  // then the thread is waited for
};

ModelHash::ModelHash(std::string known) : state_(std::make_shared<State>()) {
  std::promise<std::string> promise;
  promise.set_value(std::move(known));
  state_->text = promise.get_future().share();
}

ModelHash::ModelHash(Form form) : state_(std::make_shared<State>()) { state_->form = std::move(form); }

void ModelHash::begin() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->text.valid()) return;
  state_->text = std::async(std::launch::async, [form = state_->form, cancel = state_->cancel] {
                   // Linux has a priority for each thread: what the user waits for goes first.
                   ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10);
                   return form(cancel);
                 }).share();
}

const std::string& ModelHash::text() const {
  begin();
  return state_->text.get();
}

bool ModelHash::ready() const {
  const std::lock_guard lock(state_->mutex);
  return state_->text.valid() && state_->text.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace glyphscope
