#pragma once

#include <QObject>

#include "tasks/commands.h"

namespace glyphscope {

/// How pictures are sampled: one for all pages, whoever shows its fields.
class SharedSampling : public QObject {
  Q_OBJECT
 public:
  using QObject::QObject;
  const command::Sampling& value() const { return value_; }
  void set(const command::Sampling& value);

 signals:
  void changed();

 private:
  command::Sampling value_{.steps = 20, .guidance = 3};  // until a model has its own
};

}  // namespace glyphscope
