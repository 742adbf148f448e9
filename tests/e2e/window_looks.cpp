// What every page looks like: pictures of each, in both themes and two sizes, on the models that are named. They are compared with those that are committed
// (tests/golden/looks), pixel by pixel within a tolerance; where one differs, it is written beside them as NAME.actual.png.
//   glyphscope_window_looks REFERENCES OUT MODEL...      REFERENCES may be "none": then pictures are only drawn
#include <QtWidgets>
#include <cstdio>

#include "app/window/main_window.h"
#include "app/window/workspace.h"
#include "widgets/job_bar.h"
#include "widgets/message_strip.h"

using namespace glyphscope;

namespace {

/// The share of pixels that differ by more than what 256 colours lose.
double share_of_other_pixels(const QImage& a, const QImage& b) {
  if (a.size() != b.size()) return 1;
  constexpr int kRounding = 48;
  qint64 others = 0;
  for (int y = 0; y < a.height(); ++y)
    for (int x = 0; x < a.width(); ++x) {
      const QRgb p = a.pixel(x, y), q = b.pixel(x, y);
      others += std::max({std::abs(qRed(p) - qRed(q)), std::abs(qGreen(p) - qGreen(q)), std::abs(qBlue(p) - qBlue(q))}) > kRounding;
    }
  return static_cast<double>(others) / (static_cast<double>(a.width()) * a.height());
}

void settle() {
  // Queued replots and layouts, of which one may bring the next.
  for (int i = 0; i < 5; ++i) {
    QCoreApplication::sendPostedEvents();
    QCoreApplication::processEvents(QEventLoop::AllEvents, 50);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return std::fprintf(stderr, "usage: glyphscope_window_looks REFERENCES|none OUT MODEL...\n"), 2;
  const QString references = arguments[1], out = arguments[2];
  // Places are seen: the same on every machine.
  const QByteArray home = "/tmp/glyphscope-looks";
  qputenv("HOME", home);
  qputenv("XDG_CONFIG_HOME", home + "/config");
  QDir(home).removeRecursively();
  QDir().mkpath(home);
  QDir().mkpath(out);
  QApplication application(count, arguments);
  application.setCursorFlashTime(0);
  application.setFont(QFont("DejaVu Sans", 9));  // which the set-up installs, whatever else is there
  set_workspace_folder(home + "/workspace");
  const int percent = qRound(100 * application.devicePixelRatio());
  // A picture may differ by so much: a few letters, no button.
  constexpr double kTolerance = 0.0002;
  int drawn = 0, other = 0;
  for (int m = 3; m < count; ++m)
    for (const bool dark : {false, true}) {
      apply_theme(dark);
      for (const QSize size : {QSize(1280, 800), QSize(1920, 1080)}) {
        MainWindow window;
        window.resize(size / application.devicePixelRatio());
        window.show();
        window.open_model(arguments[m]);
        while (window.busy()) QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents, 100);
        auto* pages = window.findChild<QTabWidget*>("pages");
        for (int page = 0; page < pages->count(); ++page) {
          pages->setCurrentIndex(page);
          settle();
          // Times and free memory are of the moment.
          window.findChild<JobBar*>()->finish("Ready");
          window.findChild<MessageStrip*>("message")->hide();
          if (QWidget* focused = window.focusWidget()) focused->clearFocus();
          settle();
          const QString name = QString("%1-%2-%3x%4-%5-%6.png")
                                   .arg(QFileInfo(QString(arguments[m]).replace("demo:", "")).fileName(), dark ? "dark" : "light")
                                   .arg(size.width())
                                   .arg(size.height())
                                   .arg(percent)
                                   .arg(static_cast<Page*>(pages->widget(page))->name().toLower());
          const QImage now = window.grab().toImage().convertToFormat(QImage::Format_RGB888);
          ++drawn;
          if (references == "none") {
            now.save(QDir(out).filePath(name));
            continue;
          }
          const QImage before(QDir(references).filePath(name));
          if (before.isNull()) continue;  // not every picture is kept
          const double share = share_of_other_pixels(before.convertToFormat(QImage::Format_RGB888), now);
          if (share <= kTolerance) continue;
          ++other;
          const QString actual = QDir(out).filePath(QString(name).replace(".png", ".actual.png"));
          now.save(actual);
          std::printf("%s differs in %.2f %% of its pixels: see %s\n", qPrintable(name), 100 * share, qPrintable(actual));
        }
      }
    }
  std::printf("%d pictures, %d differ from those committed\n", drawn, other);
  return other > 0;
}
