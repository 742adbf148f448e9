#include <QApplication>
#include <QPalette>
#include <QStyleFactory>

#include "app/window/main_window.h"

namespace glyphscope {

void apply_theme(bool dark) {
  QApplication::setStyle(QStyleFactory::create("Fusion"));
  QPalette palette;
  auto set = [&](QPalette::ColorRole role, const char* light_colour, const char* dark_colour) {
    palette.setColor(role, QColor(dark ? dark_colour : light_colour));
  };
  set(QPalette::Window, "#f4f5f7", "#202226");
  set(QPalette::WindowText, "#1c1e22", "#e6e8eb");
  set(QPalette::Base, "#ffffff", "#17191c");
  set(QPalette::AlternateBase, "#eceef1", "#26292e");
  set(QPalette::Text, "#1c1e22", "#e6e8eb");
  set(QPalette::PlaceholderText, "#6b7079", "#979ca5");
  set(QPalette::Button, "#e9ebee", "#2d3036");
  set(QPalette::ButtonText, "#1c1e22", "#e6e8eb");
  set(QPalette::ToolTipBase, "#ffffff", "#2d3036");
  set(QPalette::ToolTipText, "#1c1e22", "#e6e8eb");
  set(QPalette::Highlight, "#d3542a", "#f07a4b");
  set(QPalette::HighlightedText, "#ffffff", "#16181b");
  set(QPalette::Link, "#1f6fc4", "#6fb1f5");
  set(QPalette::Mid, "#b9bec6", "#4a4f57");
  set(QPalette::Midlight, "#dfe2e6", "#34383e");
  set(QPalette::Dark, "#a2a8b1", "#121315");
  set(QPalette::Light, "#ffffff", "#3a3e45");
  set(QPalette::Shadow, "#70757d", "#000000");
  for (auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText})
    palette.setColor(QPalette::Disabled, role, QColor(dark ? "#6d727a" : "#9aa0a8"));
  QApplication::setPalette(palette);
}

}  // namespace glyphscope
