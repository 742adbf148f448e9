#include "demo/train_reader.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "adapt/finetune_settings.h"
#include "adapt/training_state.h"
#include "core/error.h"
#include "core/option.h"
#include "core/unicode.h"
#include "demo/loss_curve.h"
#include "io/files.h"
#include "io/image_file.h"
#include "io/resources.h"
#include "metrics/text_scores.h"
#include "plot/canvas.h"

namespace glyphscope {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr const char* kFolder = "/usr/share/fonts/truetype/dejavu/";
constexpr const char* kFaces[] = {"DejaVuSans.ttf",
                                  "DejaVuSans-Bold.ttf",
                                  "DejaVuSans-Oblique.ttf",
                                  "DejaVuSans-ExtraLight.ttf",
                                  "DejaVuSansCondensed.ttf",
                                  "DejaVuSansMono.ttf",
                                  "DejaVuSansMono-Bold.ttf",
                                  "DejaVuSansMono-Oblique.ttf",
                                  "DejaVuSerif.ttf",
                                  "DejaVuSerif-Italic.ttf",
                                  "DejaVuSerif-BoldItalic.ttf",
                                  "DejaVuSerifCondensed.ttf",
                                  "DejaVuSansMono-BoldOblique.ttf"};
constexpr const char* kHeldOutFaces[] = {"DejaVuSerifCondensed-Bold.ttf", "DejaVuSansCondensed-BoldOblique.ttf", "DejaVuSerifCondensed-Italic.ttf"};
constexpr const char* kSigns = ".,!?'\"&-+%$#@/:()";

enum ReaderStream : std::uint64_t { kReaderWeights = 51, kReaderLines = 52, kReaderTest = 53 };

template <size_t N>
const char* one_of(const char* const (&list)[N], Choice& choice) {
  return list[choice.below(static_cast<int>(N))];
}

int luminance(const Colour& colour) { return (299 * colour[0] + 587 * colour[1] + 114 * colour[2]) / 1000; }

// Two colours that can be told apart.
std::pair<Colour, Colour> two_colours(Choice& choice) {
  const auto any = [&] { return Colour{choice.below(256), choice.below(256), choice.below(256)}; };
  constexpr int kContrast = 70;
  while (true) {
    const Colour back = any(), ink = any();
    if (std::abs(luminance(back) - luminance(ink)) >= kContrast) return {back, ink};
  }
}

// As small pictures and lossy ones have it.
torch::Tensor worn(const torch::Tensor& image, Choice& choice) {
  torch::Tensor x = image.to(torch::kFloat32).unsqueeze(0);
  if (choice.below(3) == 0) {
    const double factor = 0.4 + 0.5 * choice.fraction();
    const auto smaller = [&](std::int64_t side) { return std::max<std::int64_t>(4, static_cast<std::int64_t>(static_cast<double>(side) * factor)); };
    x = at::_upsample_bilinear2d_aa(x, {smaller(x.size(2)), smaller(x.size(3))}, false);
    x = at::upsample_bilinear2d(x, {image.size(1), image.size(2)}, false);
  }
  if (choice.below(2) == 0) x = x + 14 * choice.fraction() * torch::randn(x.sizes(), make_generator(choice.next()));
  return x.squeeze(0).round().clamp(0, 255).to(torch::kUInt8);
}

}  // namespace

LineSampler::LineSampler() {
  for (const char* face : kFaces)
    if (!fs::exists(std::string(kFolder) + face))
      reject("cannot read the font", std::string(kFolder) + face, "Debian's packages fonts-dejavu-core and fonts-dejavu-extra have it");
  for (const char* list : {"words/train.txt", "words/longer.txt"})
    for (const auto& word : read_word_list(resource(list))) train_.push_back(fold_case(word));
  for (const auto& word : read_word_list(resource("words/evaluate.txt"))) held_out_.push_back(fold_case(word));
}

std::string LineSampler::text_for(Part part, int letters, Choice& choice) const {
  const auto& words = part == Part::train ? train_ : held_out_;
  const auto word = [&] {
    // Of about the length that is asked for, if a few tries find one.
    std::string out = words[static_cast<size_t>(choice.below(static_cast<int>(words.size())))];
    for (int tries = 0; tries < 20 && std::abs(static_cast<int>(out.size()) - letters) > 1; ++tries)
      out = words[static_cast<size_t>(choice.below(static_cast<int>(words.size())))];
    return out;
  };
  std::string text;
  const int kind = choice.below(10);
  if (kind < 5 || part == Part::held_out_signs) {
    text = word();
  } else if (kind < 7) {
    while (static_cast<int>(text.size()) < letters)
      text += (text.empty() ? "" : " ") + words[static_cast<size_t>(choice.below(static_cast<int>(words.size())))];
  } else {
    // Letters and digits that make no word, with a sign now and then.
    for (int i = 0; i < letters; ++i) {
      const int which = choice.below(20);
      text += which < 12 ? static_cast<char>('a' + choice.below(26)) : which < 18 ? static_cast<char>('0' + choice.below(10)) : kSigns[choice.below(17)];
    }
  }
  const int form = choice.below(3);  // capitals, small letters, the first a capital
  for (size_t i = 0; i < text.size(); ++i)
    if (form == 0 || (form == 1 && i == 0)) text[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[i])));
  return text;
}

DrawnLine LineSampler::sign(const std::string& word, Choice& choice) const {
  SignSpec spec = SignSampler::with_word(word, choice);
  spec.style.font = static_cast<TextStyle::Font>(choice.below(4));
  for (char& letter : spec.word) letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  const SignImage drawn = signs_.render(spec);
  return {drawn.pixels, {drawn.text.left, drawn.text.top, drawn.text.right, drawn.text.bottom}, spec.word};
}

DrawnLine LineSampler::sample(Part part, int letters, Choice& choice) const {
  const std::string text = text_for(part, letters, choice);
  constexpr size_t kLongestOnASign = 7;
  const bool fits = text.size() <= kLongestOnASign && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c); });
  if (part == Part::held_out_signs || (part == Part::train && fits && choice.below(4) == 0)) {
    DrawnLine out = sign(text, choice);
    out.image = worn(out.image, choice);
    return out;
  }
  const char* face = part == Part::held_out_faces ? one_of(kHeldOutFaces, choice) : one_of(kFaces, choice);
  const int size = 9 + choice.below(36);
  const auto [back, ink] = two_colours(choice);
  const Canvas::Font font{static_cast<double>(size), false, std::string(kFolder) + face};
  const int width = static_cast<int>(std::ceil(Canvas::text_width(text, font)));
  const int margin = size / 2 + 4;
  const int wide = width + 2 * margin, tall = 2 * size + 2 * margin;
  Canvas canvas;
  // Something beside or behind it, as pictures have.
  if (choice.below(3) == 0) {
    const Colour other{(back[0] + 40) % 256, back[1], (back[2] + 25) % 256};
    if (std::abs(luminance(other) - luminance(ink)) >= 60) canvas.fill({0, 0, static_cast<double>(choice.below(wide)), static_cast<double>(tall)}, other);
  }
  const int baseline = margin + size + size / 3;
  canvas.text(text, {static_cast<double>(margin), static_cast<double>(baseline)}, font, ink);
  // Letters' height above the line, and what hangs below it; jittered as a detector's boxes are.
  const auto jitter = [&](int most) { return choice.below(2 * most + 1) - most; };
  const int some = std::max(1, size / 8);
  const Box box{margin + jitter(some), baseline - size * 3 / 4 + jitter(some), margin + width + jitter(some), baseline + size / 5 + jitter(some)};
  return {worn(to_tensor(canvas.pixels({static_cast<double>(wide), static_cast<double>(tall)}, 1, back)), choice), box, text};
}

ordered_json reader_accuracy(const CtcReader& reader, int count, std::uint64_t seed) {
  const LineSampler sampler;
  ordered_json out{{"lines", count}};
  for (const auto& [name, part] :
       {std::pair("words", LineSampler::Part::held_out_words), {"faces", LineSampler::Part::held_out_faces}, {"signs", LineSampler::Part::held_out_signs}}) {
    int exact = 0;
    double f1 = 0;
    for (int i = 0; i < count; ++i) {
      Choice choice(derive_seed(seed, kReaderTest, static_cast<std::uint64_t>(i)));
      const DrawnLine line = sampler.sample(part, 3 + choice.below(8), choice);
      const TextScores scores = score_text(reader.read(CtcReader::line(line.image, line.box)), line.text);
      exact += scores.exact;
      f1 += scores.f1;
    }
    out[name] = {{"exact", static_cast<double>(exact) / count}, {"f1", f1 / count}};
  }
  return out;
}

void train_reader(const TrainReaderSettings& settings, const fs::path& out, bool resume, const std::function<void(const ReaderProgress&)>& report,
                  const CancelToken& cancel) {
  const OutputFolder folder(out);
  const fs::path state_file = out / "checkpoint" / "state.safetensors";
  if (fs::exists(state_file) && !resume)
    reject("the folder holds a training already", out.string(), "Go on with it by " + option(Option::resume) + ", or choose another " + option(Option::out));
  fs::create_directories(out / "checkpoint");
  claim_folder(
      out / "checkpoint" / "settings.json",
      {{"schema", "glyphscope.train-reader/1"}, {"batch", settings.batch}, {"rate", settings.rate}, {"seed", settings.seed}, {"steps", settings.steps}},
      "the folder holds a training with other settings");
  const LineSampler sampler;
  const CtcReader reader(derive_seed(settings.seed, kReaderWeights, 0));
  TrainingState state({{"reader", &reader.module()}}, {.beta2 = 0.98, .weight_decay = 1e-3, .clip_norm = 1, .ema_decay = 0.998, .dtype = torch::kFloat32});
  if (fs::exists(state_file)) state.load(state_file);
  LossCurve curve(out / "training.csv", 20);
  curve.go_back("reader", state.step());
  const auto save = [&] {
    state.save(state_file);
    curve.save();
  };
  double sum = 0;
  int since = 0;
  while (state.step() < settings.steps) {
    const std::int64_t step = state.step();
    if (cancel.cancelled()) {
      save();
      cancel.check();
    }
    Choice choice(derive_seed(settings.seed, kReaderLines, static_cast<std::uint64_t>(step)));
    // Lines of one batch have one width, so texts of about one length.
    const int letters = 1 + choice.below(12);
    std::vector<DrawnLine> drawn;
    double width = 0;
    while (static_cast<std::int64_t>(drawn.size()) < settings.batch) {
      DrawnLine one = sampler.sample(LineSampler::Part::train, letters, choice);
      width += static_cast<double>(CtcReader::line(one.image, one.box).size(3));
      drawn.push_back(std::move(one));
    }
    const std::int64_t wide = std::max<std::int64_t>(32, static_cast<std::int64_t>(width / static_cast<double>(drawn.size())) / 4 * 4);
    std::vector<torch::Tensor> lines;
    std::vector<std::int64_t> targets, lengths;
    for (const DrawnLine& one : drawn) {
      const auto labels = CtcReader::labels(one.text);
      // CTC needs a column a letter, and one more between two that are equal.
      if (!labels || static_cast<std::int64_t>(2 * labels->size()) > wide / 4) continue;
      lines.push_back(CtcReader::line(one.image, one.box, wide));
      targets.insert(targets.end(), labels->begin(), labels->end());
      lengths.push_back(static_cast<std::int64_t>(labels->size()));
    }
    if (lines.empty()) reject("a batch has no line that fits", "train-reader");
    const torch::Tensor columns = reader.log_probabilities(torch::cat(lines));
    const torch::Tensor loss =
        torch::ctc_loss(columns, torch::tensor(targets), torch::full({static_cast<std::int64_t>(lengths.size())}, columns.size(0), torch::kLong),
                        torch::tensor(lengths), 0, at::Reduction::Mean, /*zero_infinity=*/true);
    loss.backward();
    state.update(learning_rate(settings.rate, RateSchedule::cosine, step, 100, settings.steps));
    curve.add("reader", state.step(), loss.item<double>());
    sum += loss.item<double>();
    ++since;
    if (state.step() % settings.report_every == 0) {
      report({state.step(), settings.steps, sum / since});
      sum = 0, since = 0;
    }
    if (state.step() % 250 == 0) save();
  }
  save();
  write_figure(curve.figure("reader"), {}, out / "loss.png", nullptr);
  state.use_average(true);
  // What is shipped is halved: its accuracy is of that.
  reader.write(out / "reader", ordered_json::object());
  const ordered_json accuracy = reader_accuracy(CtcReader(out / "reader"), 500, settings.seed);
  reader.write(out / "reader", {{"steps", settings.steps}, {"seed", settings.seed}, {"accuracy", accuracy}});
  state.use_average(false);
}

}  // namespace glyphscope
