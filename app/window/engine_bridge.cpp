#include "app/window/engine_bridge.h"

namespace glyphscope {

EngineBridge::EngineBridge(QObject* parent) : QObject(parent) {
  engine_ = std::make_unique<EngineThread>([this](const Event& event) {
    // Queued on this object: an event that arrives after its end is dropped by Qt.
    QMetaObject::invokeMethod(
        this, [this, event] { emit happened(event); }, Qt::QueuedConnection);
  });
}

}  // namespace glyphscope
