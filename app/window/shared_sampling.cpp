#include "app/window/shared_sampling.h"

namespace glyphscope {

void SharedSampling::set(const command::Sampling& value) {
  value_ = value;
  emit changed();
}

}  // namespace glyphscope
