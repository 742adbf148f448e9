#include "demo/sign_folder.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "core/error.h"
#include "core/option.h"
#include "io/files.h"
#include "io/image_file.h"

namespace glyphscope {
namespace fs = std::filesystem;

namespace {
enum FolderStream : std::uint64_t { kNumber = 31, kOrder = 32, kPicture = 33, kPrompt = 34 };
}  // namespace

std::vector<std::string> sign_numbers(int count, const SignData& data, std::uint64_t seed) {
  constexpr int kDigits = 8;  // 2 to 9
  std::set<std::string> seen;
  std::vector<std::string> out;
  // A model that writes few letters has few numbers: no more tries than would find nearly all of them.
  for (std::uint64_t i = 0; static_cast<int>(out.size()) < count && i < 100 * static_cast<std::uint64_t>(count); ++i) {
    Choice choice(derive_seed(seed, kNumber, i));
    std::string number;
    for (int left = data.shortest + choice.below(data.longest - data.shortest + 1); left > 0; --left) number += static_cast<char>('2' + choice.below(kDigits));
    if (seen.insert(number).second) out.push_back(number);
  }
  return out;
}

void draw_sign_folder(const SignFolder& settings, const fs::path& folder, const ProgressCallback& progress, const CancelToken& cancel) {
  if (settings.texts.size() < 4) reject("signs need at least four texts", option(Option::words), "Name a longer list");
  if (fs::exists(folder / "metadata.jsonl")) reject("the folder holds pictures already", folder.string(), "Choose another " + option(Option::out));
  std::vector<std::string> texts = settings.texts;
  Choice order(derive_seed(settings.seed, kOrder, 0));
  for (size_t i = texts.size() - 1; i > 0; --i) std::swap(texts[i], texts[static_cast<size_t>(order.below(static_cast<int>(i) + 1))]);
  const auto held_out = std::min(static_cast<size_t>(settings.held_out), texts.size() / 4);
  const size_t shown = texts.size() - held_out;

  const SignRenderer renderer;
  std::string metadata, prompts = "# Signs with texts that no picture here has, and blank ones\n", blank;
  fs::create_directories(folder);
  for (int i = 0; i < settings.count; ++i) {
    cancel.check();
    Choice choice(derive_seed(settings.seed, kPicture, static_cast<std::uint64_t>(i)));
    SignSpec sign = SignSampler::with_word(texts[static_cast<size_t>(i) % shown], choice, settings.data);
    if (settings.font) sign.style.font = *settings.font;
    char name[32];
    std::snprintf(name, sizeof name, "%05d.png", i);
    write_png(folder / name, renderer.render(sign, settings.data.side).pixels);
    metadata += json_text({{"file_name", name}, {"text", sign.prompt()}}) + "\n";
    progress({"drawing signs", i + 1, settings.count});
  }
  for (size_t i = 0; i < held_out; ++i) {
    Choice choice(derive_seed(settings.seed, kPrompt, i));
    SignSpec sign = SignSampler::with_word(texts[shown + i], choice, settings.data);
    prompts += sign.prompt() + "\n";
    sign.word.clear();
    blank += sign.prompt() + "\n";
  }
  write_text(folder / "prompts.txt", prompts + blank);
  // Last, so that a run which was cut short does not look like a whole one.
  write_text(folder / "metadata.jsonl", metadata);
}

}  // namespace glyphscope
