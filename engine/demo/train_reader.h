#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/random.h"
#include "demo/signs.h"
#include "metrics/ctc_reader.h"

namespace glyphscope {

/// One line of text in a picture, as a reader is to learn it.
struct DrawnLine {
  torch::Tensor image;  ///< [3, H, W] uint8
  Box box;              ///< Of the letters.
  std::string text;
};

/// Draws lines: words, numbers and strings of letters in Debian's DejaVu faces, of many sizes and colours, some blurred or noisy; and the demo models' signs.
class LineSampler {
 public:
  /// Which words and faces: those that are learned from, or others, of which a reader's accuracy is told.
  enum class Part { train, held_out_words, held_out_faces, held_out_signs };
  /// Throws a Failure that names a font or a list that is missing.
  LineSampler();
  /// letters: about how long the text is.
  DrawnLine sample(Part part, int letters, Choice& choice) const;

 private:
  std::string text_for(Part part, int letters, Choice& choice) const;
  DrawnLine sign(const std::string& word, Choice& choice) const;
  std::vector<std::string> train_, held_out_;  // words, in small letters
  SignRenderer signs_;
};

struct ReaderProgress {
  std::int64_t step = 0, steps = 0;
  double loss = 0;  ///< Mean since the last report, nats a letter.
};

struct TrainReaderSettings {
  std::int64_t steps = 4000, batch = 48;
  double rate = 2e-3;
  std::uint64_t seed = 42;
  std::int64_t report_every = 50;  ///< Steps between two reports, which change nothing.
};

/// Trains a CtcReader into `out`: checkpoints while it runs, to which it goes back with `resume`, and at the end a folder `out`/reader whose config.json has
/// its accuracy on lines that were not learned from. Throws a Failure.
void train_reader(const TrainReaderSettings& settings, const std::filesystem::path& out, bool resume, const std::function<void(const ReaderProgress&)>& report,
                  const CancelToken& cancel);

/// Shares of so many lines of each held-out part that are read exactly.
nlohmann::ordered_json reader_accuracy(const CtcReader& reader, int count, std::uint64_t seed);

}  // namespace glyphscope
