// The longest time in which the window handles no event while a localization runs: a timer beats each 5 ms in the window's
// own event loop, and the gaps between its beats are what a user would feel.
// Usage: glyphscope_window_bench [MODEL [PAIRS [OUT]]]    (default: demo:sign-unet, 4 pairs)
// With OUT it then edits the text by the sites that were found, and exports all views there: so the README's picture is made.
#include <QApplication>
#include <QElapsedTimer>
#include <QPushButton>
#include <QTimer>
#include <algorithm>
#include <cstdio>
#include <vector>

#include "app/window/main_window.h"

using namespace glyphscope;

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  apply_theme(false);
  constexpr double kAim = 50;
  MainWindow window;
  window.show();
  window.pairs = argc > 2 ? std::max(1, std::atoi(argv[2])) : 4;
  window.open_model(argc > 1 ? argv[1] : "demo:sign-unet");

  std::vector<double> gaps;
  QElapsedTimer clock;
  enum { opening, sweeping, editing } state = opening;
  QTimer beat;
  beat.setTimerType(Qt::PreciseTimer);
  QObject::connect(&beat, &QTimer::timeout, [&] {
    if (state == sweeping) gaps.push_back(static_cast<double>(clock.nsecsElapsed()) / 1e6);
    clock.start();
    if (window.busy()) return;
    if (state == opening) {
      auto* localize = window.findChild<QPushButton*>("localize");
      if (!localize->isEnabled()) {
        std::fprintf(stderr, "the model does not open\n");
        return QApplication::exit(2);
      }
      state = sweeping;
      return localize->click();
    }
    if (state == editing) {
      return QApplication::exit(window.export_all(argv[3]).isEmpty() ? 1 : 0);
    }
    auto* edit = window.findChild<QPushButton*>("edit");
    if (argc <= 3) return QApplication::quit();
    if (!edit->isEnabled()) {
      std::fprintf(stderr, "no sites were found to edit by\n");
      return QApplication::exit(1);
    }
    state = editing;
    edit->click();
  });
  beat.start(5);
  const int code = QApplication::exec();
  if (gaps.empty()) return code ? code : 1;
  std::sort(gaps.begin(), gaps.end());
  auto quantile = [&](double share) { return gaps[static_cast<size_t>(share * static_cast<double>(gaps.size() - 1))]; };
  double all = 0;
  for (double gap : gaps) all += gap;
  std::printf("window during a localization of %d pairs, %.0f s, %zu beats of 5 ms\n", window.pairs, all / 1000, gaps.size());
  std::printf("  gap between beats: median %.1f ms, 99 %% %.1f ms, longest %.1f ms: %.2f of the aim of %.0f ms\n", quantile(0.5), quantile(0.99), gaps.back(),
              gaps.back() / kAim, kAim);
  return code;
}
