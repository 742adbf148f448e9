#include "core/progress.h"

#include "core/error.h"

namespace glyphscope {

void CancelToken::check() const {
  if (cancelled()) throw Failure({ErrorCode::cancelled, "cancelled", "", ""});
}

void CancelToken::check_between() const {
  if (finishing()) throw Failure({ErrorCode::cancelled, "stopped after what was begun", "", ""});
}

}  // namespace glyphscope
