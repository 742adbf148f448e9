#include <QApplication>
#include <QSettings>

#include "app/window/main_window.h"

namespace glyphscope::window {

int run(int argc, char** argv) {
  QApplication application(argc, argv);
  QApplication::setApplicationName("Glyphscope");
  QApplication::setOrganizationName("Glyphscope");
  apply_theme(QSettings().value("dark", false).toBool());
  MainWindow window;
  window.show();
  window.open_model(argc > 1 ? QString::fromLocal8Bit(argv[1]) : QStringLiteral("demo:sign-unet"));
  return QApplication::exec();
}

}  // namespace glyphscope::window
