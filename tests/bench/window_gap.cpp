// The longest time in which the window handles no event while a localization runs, and while an adapter is trained: a timer beats each
// 5 ms in the window's own event loop, and the gaps between its beats are what a user would feel. And how soon the heatmap has its first cells.
// Usage: glyphscope_window_bench [MODEL [PAIRS [OUT [PICTURES [PROMPTS]]]]]    (default: demo:sign-unet, 4 pairs); GLYPHSCOPE_DARK=1: in the dark theme
// With OUT, a folder, it then edits the text by the sites that were found, compares the guard, and exports all views there: so the README's picture is made.
// With PICTURES, a folder with captions, it fine-tunes on these sites for some steps, with PROMPTS (a file) as samples, and saves that page as
// OUT/finetune.png.
#include <QApplication>
#include <QCheckBox>
#include <QElapsedTimer>
#include <QFile>
#include <QLineEdit>
#include <QPlainTextEdit>
#include <QPushButton>
#include <QSpinBox>
#include <QTabWidget>
#include <QTimer>
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "app/window/edit_page.h"
#include "app/window/finetune_page.h"
#include "app/window/guard_page.h"
#include "app/window/main_window.h"
#include "app/window/study_page.h"

using namespace glyphscope;

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  apply_theme(qEnvironmentVariableIsSet("GLYPHSCOPE_DARK"));
  constexpr double kAim = 50;
  MainWindow window;
  window.show();
  auto* study = window.findChild<StudyPage*>();
  study->pairs = argc > 2 ? std::max(1, std::atoi(argv[2])) : 4;
  window.open_model(argc > 1 ? argv[1] : "demo:sign-unet");

  std::vector<double> gaps, training_gaps;
  QElapsedTimer clock;
  enum { opening, sweeping, editing, writing, typing, guarding, reading, training } state = opening;
  QElapsedTimer typed;
  QElapsedTimer pressed;
  double first_cells = 0;     // seconds from Localize
  std::vector<double> drawn;  // seconds from a key to the preview and to the whole edit
  QObject::connect(window.engine(), &EngineBridge::happened, [&](const Event& event) {
    if (state == typing && std::holds_alternative<event::EditReady>(event.what)) drawn.push_back(static_cast<double>(typed.elapsed()) / 1000);
    if (state == sweeping && !first_cells && std::holds_alternative<event::ScoresReady>(event.what))
      first_cells = static_cast<double>(pressed.elapsed()) / 1000;
  });
  auto* page = window.findChild<FinetunePage*>("finetune_page");
  auto* text = window.findChild<EditPage*>("edit_page");
  auto* guard = window.findChild<GuardPage*>("guard_page");
  QTimer beat;
  beat.setTimerType(Qt::PreciseTimer);
  QObject::connect(&beat, &QTimer::timeout, [&] {
    if (state == sweeping || state == training) (state == training ? training_gaps : gaps).push_back(static_cast<double>(clock.nsecsElapsed()) / 1e6);
    clock.start();
    if (window.busy() || page->training() || text->busy() || guard->busy() || (state == typing && drawn.size() < 2)) return;
    if (state == opening) {
      auto* localize = window.findChild<QPushButton*>("localize");
      if (!localize->isEnabled()) {
        std::fprintf(stderr, "the model does not open\n");
        return QApplication::exit(2);
      }
      state = sweeping;
      pressed.start();
      return localize->click();
    }
    if (state == editing) {
      if (window.export_all(argv[3]).isEmpty()) return QApplication::exit(1);
      state = writing;
      window.findChild<QTabWidget*>("pages")->setCurrentWidget(window.findChild<EditPage*>());
      window.findChild<QCheckBox*>("edit_compared")->setChecked(true);
      return window.findChild<QPushButton*>("edit_text")->click();
    }
    if (state == writing) {
      if (!look_of(&window).save(QString(argv[3]) + "/edit.png")) return QApplication::exit(1);
      state = typing;
      window.findChild<QCheckBox*>("edit_compared")->setChecked(false);
      auto* target = window.findChild<QLineEdit*>("edit_target");
      target->setText(target->text().replace(target->text().lastIndexOf('"') - 1, 1, "S"));
      typed.start();
      emit target->textEdited(target->text());
      return;
    }
    if (state == typing) {
      state = guarding;
      window.findChild<QTabWidget*>("pages")->setCurrentWidget(window.findChild<GuardPage*>());
      window.findChild<QLineEdit*>("guard_test")->setText("A wall with \"h4te\" and L I A R");
      window.findChild<QSpinBox*>("guard_count")->setValue(8);
      return window.findChild<QPushButton*>("guard_compare")->click();
    }
    if (state == guarding) {
      if (!look_of(&window).save(QString(argv[3]) + "/guard.png")) return QApplication::exit(1);
      if (argc <= 4) return QApplication::quit();
      state = reading;
      window.findChild<QTabWidget*>("pages")->setCurrentWidget(window.findChild<FinetunePage*>());
      auto set = [&](const char* name, int value) { window.findChild<QSpinBox*>(name)->setValue(value); };
      set("training_steps", 400);
      set("sample_every", 100);
      window.findChild<QLineEdit*>("training_folder")->setText(QString(argv[3]) + "/adapter");
      if (QFile prompts(argc > 5 ? argv[5] : ""); prompts.open(QIODevice::ReadOnly))
        window.findChild<QPlainTextEdit*>("sample_prompts")->setPlainText(QString::fromUtf8(prompts.readAll()));
      auto* pictures = window.findChild<QLineEdit*>("training_pictures");
      pictures->setText(argv[4]);
      emit pictures->editingFinished();
      return;
    }
    if (state == reading) {
      auto* start = window.findChild<QPushButton*>("start_training");
      if (!start->isEnabled()) return;
      state = training;
      return start->click();
    }
    if (state == training) return QApplication::exit(look_of(&window).save(QString(argv[3]) + "/finetune.png") ? 0 : 1);
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
  auto print = [&](const QString& what, std::vector<double>& list) {
    if (list.empty()) return;
    std::sort(list.begin(), list.end());
    auto quantile = [&](double share) { return list[static_cast<size_t>(share * static_cast<double>(list.size() - 1))]; };
    std::printf("window during %s, %.0f s, %zu beats of 5 ms\n", qPrintable(what), std::accumulate(list.begin(), list.end(), 0.0) / 1000, list.size());
    std::printf("  gap between beats: median %.1f ms, 99 %% %.1f ms, longest %.1f ms: %.2f of the aim of %.0f ms\n", quantile(0.5), quantile(0.99), list.back(),
                list.back() / kAim, kAim);
  };
  print(QStringLiteral("a localization of %1 pairs").arg(study->pairs), gaps);
  std::printf("  first cells of the heatmap: %.1f s after Localize\n", first_cells);
  print(QStringLiteral("a fine-tuning"), training_gaps);
  if (drawn.size() == 2)
    std::printf("an edit as one types: %.2f s to the preview, %.2f s to the whole edit, of which 0.60 s are the pause after the last key\n", drawn[0],
                drawn[1]);
  return code;
}
