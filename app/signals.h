#pragma once

#include <csignal>

namespace glyphscope {

/// Holds back Ctrl-C and SIGTERM (`how`: SIG_BLOCK), or lets in what came meanwhile (SIG_UNBLOCK). The launcher holds them back while the program is loaded,
/// which takes longer than a person's change of mind; the program lets them in when it can say that it was cancelled.
inline void hold_signals(int how) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  ::sigprocmask(how, &signals, nullptr);
}

}  // namespace glyphscope
