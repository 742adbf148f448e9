#include "app/window/engine_bridge.h"

namespace glyphscope {

EngineBridge::EngineBridge(QObject* parent) : QObject(parent) {
  engine_ = std::make_unique<EngineThread>([this](const Event& event) {
    // Queued on this object: an event that arrives after its end is dropped by Qt.
    QMetaObject::invokeMethod(
        this,
        [this, event] {
          const auto& what = event.what;
          if (std::holds_alternative<event::Finished>(what) || std::holds_alternative<event::Failed>(what) || std::holds_alternative<event::Cancelled>(what))
            for (JobId* watched : {&training_, &opening_})
              if (event.job == *watched) *watched = 0;
          emit happened(event);
        },
        Qt::QueuedConnection);
  });
}

JobId EngineBridge::post(Command command) {
  const bool trains = std::holds_alternative<command::Finetune>(command), opens = std::holds_alternative<command::OpenModel>(command);
  const JobId job = engine_->post(std::move(command));
  if (trains) training_ = job;
  if (opens) opening_ = job;
  return job;
}

QString EngineBridge::waiting_text() const {
  if (!training()) return tr("Waiting for the engine");
  return opening_ ? tr("Waiting for the end of the training") : tr("Waiting for the training: this runs between two of its steps");
}

}  // namespace glyphscope
