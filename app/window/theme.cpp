#include <QApplication>
#include <QPainter>
#include <QPalette>
#include <QProxyStyle>
#include <QStyleOption>

#include "app/window/main_window.h"

namespace glyphscope {

namespace {

// Fusion outlines its boxes darker than the window, which in a dark one cannot be seen.
class Style : public QProxyStyle {
 public:
  explicit Style(bool dark) : QProxyStyle("Fusion"), dark_(dark) {}
  void drawPrimitive(PrimitiveElement element, const QStyleOption* option, QPainter* painter, const QWidget* widget) const override {
    QProxyStyle::drawPrimitive(element, option, painter, widget);
    if (!dark_ || (element != PE_IndicatorCheckBox && element != PE_IndicatorItemViewItemCheck)) return;
    painter->save();
    painter->setBrush(Qt::NoBrush);
    painter->setPen(option->palette.color(option->state & State_Enabled ? QPalette::PlaceholderText : QPalette::Mid));
    painter->drawRect(option->rect.adjusted(0, 0, -1, -1));
    painter->restore();
  }

 private:
  bool dark_;
};

}  // namespace

void apply_theme(bool dark) {
  QApplication::setStyle(new Style(dark));
  QPalette palette;
  auto set = [&](QPalette::ColorRole role, const char* light_colour, const char* dark_colour) {
    palette.setColor(role, QColor(dark ? dark_colour : light_colour));
  };
  set(QPalette::Window, "#f4f5f7", "#202226");
  set(QPalette::WindowText, "#1c1e22", "#e6e8eb");
  set(QPalette::Base, "#ffffff", "#17191c");
  set(QPalette::AlternateBase, "#eceef1", "#26292e");
  set(QPalette::Text, "#1c1e22", "#e6e8eb");
  set(QPalette::PlaceholderText, "#656a73", "#979ca5");
  set(QPalette::Button, "#e9ebee", "#2d3036");
  set(QPalette::ButtonText, "#1c1e22", "#e6e8eb");
  set(QPalette::ToolTipBase, "#ffffff", "#2d3036");
  set(QPalette::ToolTipText, "#1c1e22", "#e6e8eb");
  set(QPalette::Highlight, "#bf4820", "#f07a4b");
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
