#include "core/progress.h"

#include "core/error.h"

namespace glyphscope {

void CancelToken::check() const {
  if (cancelled()) throw Failure({ErrorCode::cancelled, "cancelled", "", ""});
}

}  // namespace glyphscope
