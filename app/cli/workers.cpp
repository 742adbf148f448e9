#include "app/cli/workers.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "core/error.h"
#include "core/option.h"
#include "io/files.h"

extern char** environ;

namespace glyphscope::cli {

namespace {

struct Worker {
  std::string device, log;
  pid_t process = -1;
  int status = 0;
  bool ended = false;

  bool failed() const { return ended && status != 0; }
};

pid_t start(std::vector<std::string> arguments, const std::string& log) {
  std::vector<char*> list;
  for (auto& one : arguments) list.push_back(one.data());
  list.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (!log.empty()) {
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  }
  pid_t process = -1;
  // A group of its own: a signal to this one's reaches it through this program, once.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  const int error = ::posix_spawn(&process, "/proc/self/exe", &actions, &attributes, list.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw Failure({ErrorCode::internal, std::string("cannot start a worker: ") + std::strerror(error), "", ""});
  return process;
}

std::string last_line(const std::string& file) {
  const auto text = attempt([&] { return read_text(file); });
  if (!text) return {};
  const size_t end = text->find_last_not_of("\n");
  if (end == std::string::npos) return {};
  const size_t begin = text->find_last_of("\n", end);
  return text->substr(begin == std::string::npos ? 0 : begin + 1, end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

Error error_of(const Worker& worker, const std::string& said) {
  const int code = WIFEXITED(worker.status) ? WEXITSTATUS(worker.status) : 0;
  const ErrorCode kind = code == 2 ? ErrorCode::bad_input : code == 3 ? ErrorCode::cancelled : code == 4 ? ErrorCode::out_of_memory : ErrorCode::internal;
  const std::string how =
      WIFSIGNALED(worker.status) ? "was killed by signal " + std::to_string(WTERMSIG(worker.status)) : "ended with code " + std::to_string(code);
  return {kind, "the worker on " + worker.device + " " + how + (said.empty() ? "" : ": " + said), worker.log,
          "What was finished is kept: the same command goes on"};
}

}  // namespace

std::vector<std::string> without_options(const std::vector<std::string>& arguments, const std::vector<std::string>& options) {
  std::vector<std::string> out;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto names = [&](const std::string& option) { return arguments[i] == option || arguments[i].starts_with(option + "="); };
    const auto found = std::find_if(options.begin(), options.end(), names);
    if (found == options.end())
      out.push_back(arguments[i]);
    else if (arguments[i] == *found)
      ++i;
  }
  return out;
}

void run_workers(const std::vector<std::string>& devices, const std::vector<std::string>& arguments, const std::string& folder, const CancelToken& cancel) {
  std::filesystem::create_directories(folder);
  std::vector<Worker> workers;
  const auto tell_all = [&](int signal) {
    for (const auto& one : workers)
      if (!one.ended) ::kill(one.process, signal);
  };
  for (size_t i = 0; i < devices.size(); ++i) {
    std::vector<std::string> own = arguments;
    for (const std::string& more :
         {std::string("--shard"), std::to_string(i + 1) + "/" + std::to_string(devices.size()), std::string("--wait"), std::string("--device"), devices[i]})
      own.push_back(more);
    const std::string log = i == 0 ? "" : (std::filesystem::path(folder) / ("worker-" + std::to_string(i + 1) + ".log")).string();
    workers.push_back({devices[i], log, start(own, log)});
  }
  bool stopped = false, cancelled = false;
  while (std::any_of(workers.begin(), workers.end(), [](const Worker& one) { return !one.ended; })) {
    for (auto& one : workers)
      if (!one.ended && ::waitpid(one.process, &one.status, WNOHANG) == one.process) one.ended = true;
    const bool failed = std::any_of(workers.begin(), workers.end(), [](const Worker& one) { return one.failed(); });
    if (!stopped && (failed || cancel.finishing())) {
      tell_all(SIGTERM);
      stopped = true;
    }
    if (!cancelled && cancel.cancelled()) {
      tell_all(SIGINT);
      cancelled = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  if (stopped && cancel.finishing()) throw Failure({ErrorCode::cancelled, "cancelled", "", ""});
  // Who failed first stopped the others, which say so themselves.
  for (const bool any : {false, true})
    for (const auto& one : workers)
      if (one.failed() && (any || !(WIFEXITED(one.status) && WEXITSTATUS(one.status) == 3)))
        throw Failure(error_of(one, one.log.empty() ? "" : last_line(one.log)));
}

}  // namespace glyphscope::cli
