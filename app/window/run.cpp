#include <QApplication>
#include <QIcon>
#include <QSettings>
#include <QTimer>

#include <clocale>

#include "app/window/help.h"
#include "app/window/main_window.h"
#include "app/window/workspace.h"
#include "core/error.h"
#include "io/resources.h"

namespace glyphscope::window {

int run(int argc, char** argv) {
  QApplication application(argc, argv);
  std::setlocale(LC_NUMERIC, "C");  // Qt took the user's: numbers in files have a point, wherever they are written
  QApplication::setApplicationName("Glyphscope");
  QApplication::setOrganizationName("Glyphscope");
  apply_theme(QSettings().value("dark", false).toBool());
  QApplication::setDesktopFileName("glyphscope");
  if (const auto icon = attempt([] { return resource("icons/glyphscope-128.png"); }))
    QApplication::setWindowIcon(QIcon(QString::fromStdString(icon->string())));
  MainWindow window;
  window.show();
  const QString given = argc > 1 ? QString::fromLocal8Bit(argv[1]) : QStringLiteral("demo:sign-unet");
  if (is_session(given))
    window.open_session(given);
  else
    window.open_model(given);
  if (argc == 1 && Tour::unseen()) QTimer::singleShot(0, &window, &MainWindow::start_tour);
  return QApplication::exec();
}

}  // namespace glyphscope::window
