#include <QApplication>
#include <QSettings>

#include <clocale>

#include "app/window/main_window.h"

namespace glyphscope::window {

int run(int argc, char** argv) {
  QApplication application(argc, argv);
  std::setlocale(LC_NUMERIC, "C");  // Qt took the user's: numbers in files have a point, wherever they are written
  QApplication::setApplicationName("Glyphscope");
  QApplication::setOrganizationName("Glyphscope");
  apply_theme(QSettings().value("dark", false).toBool());
  MainWindow window;
  window.show();
  window.open_model(argc > 1 ? QString::fromLocal8Bit(argv[1]) : QStringLiteral("demo:sign-unet"));
  return QApplication::exec();
}

}  // namespace glyphscope::window
