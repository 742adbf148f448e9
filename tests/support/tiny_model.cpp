#include "demo/train_demo.h"
#include "tests/support/golden.h"

namespace glyphscope::testing {

std::filesystem::path tiny_model() {
  static const TemporaryFolder folder;
  static const bool trained = [] {
    train_demo(demo_recipe("sign-unet", true), folder / "tiny", false, [](const DemoProgress&) {}, {});
    return true;
  }();
  (void)trained;
  return folder.path() / "tiny" / "model";
}

}  // namespace glyphscope::testing
