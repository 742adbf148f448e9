#include <algorithm>
#include <cmath>
#include <filesystem>
#include <future>
#include <opencv2/imgproc.hpp>
#include <openvino/openvino.hpp>
#include <sstream>

#include "core/error.h"
#include "core/memory.h"
#include "core/unicode.h"
#include "io/files.h"
#include "metrics/ocr.h"
#include "metrics/ocr_models.h"

namespace glyphscope {
namespace {

// Constants of RapidOCR 1.4.4's config.yaml for PP-OCRv4, but for the size: it enlarges to a shorter side of 736, which
// costs eight times as much and reads the same words on pictures of signs.
constexpr int kShorterSide = 256, kLongerSide = 1280, kMultiple = 32, kOverlap = 256;
constexpr double kPixelThreshold = 0.3, kBoxThreshold = 0.5, kUnclip = 1.6, kTextThreshold = 0.5;
constexpr int kLineHeight = 48, kLineWidth = 320, kDirectionWidth = 192, kSmallestSide = 3;
constexpr double kTurnedOver = 0.3;    // likely enough to be read both ways up
constexpr double kTall = 1.5;          // times as high as wide: a line that is turned
constexpr double kSingleLetter = 3.5;  // less tall than this it may be one upright letter

cv::Mat to_bgr(const torch::Tensor& image) {
  const torch::Tensor pixels = image.permute({1, 2, 0}).flip(2).contiguous();
  return cv::Mat(static_cast<int>(pixels.size(0)), static_cast<int>(pixels.size(1)), CV_8UC3, pixels.data_ptr()).clone();
}

// [1, 3, H, W], (x / 255 - 0.5) / 0.5, the channels in OpenCV's order as the models were trained.
ov::Tensor to_input(const cv::Mat& image) {
  ov::Tensor tensor(ov::element::f32, {1, 3, static_cast<size_t>(image.rows), static_cast<size_t>(image.cols)});
  float* data = tensor.data<float>();
  for (int c = 0; c < 3; ++c)
    for (int y = 0; y < image.rows; ++y)
      for (int x = 0; x < image.cols; ++x) *data++ = static_cast<float>(image.at<cv::Vec3b>(y, x)[c]) / 127.5f - 1.0f;
  return tensor;
}

// OpenVINO tells of memory that is not there, or not enough for a thread, in words alone.
template <class Body>
auto telling_of_memory(Body&& body) {
  try {
    return body();
  } catch (const ov::Exception& error) {
    const std::string what = error.what();
    for (const char* word : {"alloc", "memory", "Resource temporarily unavailable"})
      if (what.find(word) != std::string::npos) throw std::bad_alloc();
    throw;
  }
}

void infer(ov::InferRequest& request) {
  telling_of_memory([&] { request.infer(); });
}

// Where there is too little of it, OpenVINO's threads neither start nor fail: they may wait for ever.
void check_address_space() {
  constexpr std::uint64_t kNeeded = 1 << 30, kMiB = 1 << 20;
  const auto left = address_space_left();
  if (left && *left < kNeeded)
    throw Failure({ErrorCode::out_of_memory,
                   "not enough memory to read text: that takes " + std::to_string(kNeeded / kMiB) + " MiB of address space, and " +
                       std::to_string(*left / kMiB) + " are left",
                   "", "Raise the limit (ulimit -v)"});
}

class PpOcr : public TextReader {
 public:
  PpOcr() {
    check_address_space();
    const std::filesystem::path folder = ocr_model_folder();
    const auto detector = folder / "ch_PP-OCRv4_det_infer.onnx", recogniser = folder / "ch_PP-OCRv4_rec_infer.onnx",
               direction = folder / "ch_ppocr_mobile_v2.0_cls_infer.onnx", alphabet = folder / "alphabet.txt";
    for (const auto& file : {detector, recogniser, direction, alphabet})
      if (!std::filesystem::exists(file))
        reject("an OCR model file is missing", file.string(), "Run packaging/setup.sh, or set GLYPHSCOPE_OCR_MODELS to the folder that has it");
    std::istringstream lines(read_text(alphabet));
    std::string line;
    while (std::getline(lines, line)) alphabet_.push_back(line);
    alphabet_.emplace_back(" ");
    // A quarter of a second each, on a core.
    const auto compile = [&](const std::filesystem::path& file) {
      return std::async(std::launch::async,
                        [&] { return telling_of_memory([&] { return core_.compile_model(file.string(), "CPU").create_infer_request(); }); });
    };
    auto detecting = compile(detector), recognising = compile(recogniser), turning = compile(direction);
    detector_ = detecting.get();
    recogniser_ = recognising.get();
    direction_ = turning.get();
  }

  bool knows(const std::string& text) const override {
    const std::vector<char32_t> codes = decode_utf8(text);
    return std::all_of(codes.begin(), codes.end(),
                       [&](char32_t code) { return std::find(alphabet_.begin(), alphabet_.end(), encode_utf8({code})) != alphabet_.end(); });
  }

  std::vector<TextPiece> read(const torch::Tensor& image) override {
    std::vector<TextPiece> pieces = read_page(to_bgr(image));
    std::erase_if(pieces, [](const TextPiece& piece) { return piece.confidence < kTextThreshold; });
    return pieces;
  }

  std::vector<TextPiece> read_faint(const torch::Tensor& image) override {
    const cv::Mat original = to_bgr(image);
    std::vector<TextPiece> pieces = read_page(original);
    if (std::max(original.rows, original.cols) <= kLongerSide) return pieces;
    // Small print is lost where a large picture is made smaller: it is read in parts too.
    const cv::Rect whole(0, 0, original.cols, original.rows);
    constexpr int kStride = kLongerSide - kOverlap;
    for (int top = 0; top == 0 || top + kOverlap < original.rows; top += kStride)
      for (int left = 0; left == 0 || left + kOverlap < original.cols; left += kStride) {
        const cv::Rect part = cv::Rect(left, top, kLongerSide, kLongerSide) & whole;
        for (auto& piece : read_page(original(part))) {
          auto& box = piece.box;
          // What a part cuts through, perhaps within a letter, is whole in the next one, or large enough to be read in the whole picture.
          const int letter = std::min(box.right - box.left, box.bottom - box.top);
          const auto cut = [&](int begin, int end, int size, int before, int all) {
            return (before > 0 && begin < letter) || (before + size < all && end > size - letter);
          };
          if (cut(box.left, box.right, part.width, left, original.cols) || cut(box.top, box.bottom, part.height, top, original.rows)) continue;
          box = {box.left + left, box.top + top, box.right + left, box.bottom + top};
          pieces.push_back(std::move(piece));
        }
      }
    return pieces;
  }

  std::string name() const override { return std::string("PP-OCRv4 (OpenVINO ") + ov::get_openvino_version().buildNumber + ")"; }

 private:
  std::vector<TextPiece> read_page(const cv::Mat& original) {
    double scale = std::max(1.0, static_cast<double>(kShorterSide) / std::min(original.rows, original.cols));
    scale = std::min(scale, static_cast<double>(kLongerSide) / std::max(original.rows, original.cols));
    auto side = [&](int pixels) { return std::max(kMultiple, static_cast<int>(std::lround(pixels * scale / kMultiple)) * kMultiple); };
    cv::Mat page;
    cv::resize(original, page, {side(original.cols), side(original.rows)}, 0, 0, cv::INTER_CUBIC);
    const double sx = static_cast<double>(original.cols) / page.cols, sy = static_cast<double>(original.rows) / page.rows;

    std::vector<TextPiece> pieces;
    for (const auto& box : detect(page)) {
      TextPiece piece = read_line(crop(page, box));
      if (piece.text.empty()) continue;
      const cv::Rect2f bounds = box.boundingRect2f();
      piece.box = {std::clamp(static_cast<int>(std::floor(bounds.x * sx)), 0, original.cols),
                   std::clamp(static_cast<int>(std::floor(bounds.y * sy)), 0, original.rows),
                   std::clamp(static_cast<int>(std::ceil((bounds.x + bounds.width) * sx)), 0, original.cols),
                   std::clamp(static_cast<int>(std::ceil((bounds.y + bounds.height) * sy)), 0, original.rows)};
      pieces.push_back(std::move(piece));
    }
    // Reading order: lines that overlap by half of their height are one line.
    std::sort(pieces.begin(), pieces.end(), [](const TextPiece& a, const TextPiece& b) { return a.box.top + a.box.bottom < b.box.top + b.box.bottom; });
    for (size_t begin = 0; begin < pieces.size();) {
      size_t end = begin + 1;
      const int middle = (pieces[begin].box.top + pieces[begin].box.bottom) / 2;
      while (end < pieces.size() && pieces[end].box.top < middle) ++end;
      std::sort(pieces.begin() + static_cast<std::ptrdiff_t>(begin), pieces.begin() + static_cast<std::ptrdiff_t>(end),
                [](const TextPiece& a, const TextPiece& b) { return a.box.left < b.box.left; });
      begin = end;
    }
    return pieces;
  }

  // Differentiable-binarization post-processing (arXiv 1911.08947), as RapidOCR's DBPostProcess does it.
  std::vector<cv::RotatedRect> detect(const cv::Mat& page) {
    detector_.set_input_tensor(to_input(page));
    infer(detector_);
    const cv::Mat probability(page.rows, page.cols, CV_32F, detector_.get_output_tensor().data<float>());
    cv::Mat mask = probability > kPixelThreshold;
    cv::dilate(mask, mask, cv::Mat::ones(2, 2, CV_8U));
    std::vector<std::vector<cv::Point>> contours;
    cv::findContours(mask, contours, cv::RETR_LIST, cv::CHAIN_APPROX_SIMPLE);
    std::vector<cv::RotatedRect> boxes;
    for (const auto& contour : contours) {
      cv::RotatedRect box = cv::minAreaRect(contour);
      if (std::min(box.size.width, box.size.height) < kSmallestSide || score(probability, box) < kBoxThreshold) continue;
      // The detector finds shrunken text: grow by area x ratio / perimeter on every side.
      const float grow = static_cast<float>(box.size.area() * kUnclip / (2 * (box.size.width + box.size.height)));
      box.size.width += 2 * grow;
      box.size.height += 2 * grow;
      if (std::min(box.size.width, box.size.height) < kSmallestSide + 2) continue;
      boxes.push_back(box);
    }
    return boxes;
  }

  static double score(const cv::Mat& probability, const cv::RotatedRect& box) {
    cv::Point2f corners[4];
    box.points(corners);
    std::vector<cv::Point> polygon(corners, corners + 4);
    const cv::Rect bounds = cv::boundingRect(polygon) & cv::Rect(0, 0, probability.cols, probability.rows);
    if (bounds.empty()) return 0;
    cv::Mat inside = cv::Mat::zeros(bounds.size(), CV_8U);
    for (auto& point : polygon) point -= bounds.tl();
    cv::fillConvexPoly(inside, polygon, 255);
    return cv::mean(probability(bounds), inside)[0];
  }

  static cv::Mat crop(const cv::Mat& page, const cv::RotatedRect& box) {
    cv::Point2f corners[4];
    box.points(corners);
    // Upper left first, then clockwise.
    std::sort(corners, corners + 4, [](const cv::Point2f& a, const cv::Point2f& b) { return a.x < b.x; });
    if (corners[0].y > corners[1].y) std::swap(corners[0], corners[1]);
    if (corners[2].y > corners[3].y) std::swap(corners[2], corners[3]);
    const cv::Point2f from[4] = {corners[0], corners[2], corners[3], corners[1]};
    const float width = static_cast<float>(cv::norm(from[0] - from[1])), height = static_cast<float>(cv::norm(from[0] - from[3]));
    const cv::Point2f to[4] = {{0, 0}, {width, 0}, {width, height}, {0, height}};
    cv::Mat line;
    cv::warpPerspective(page, line, cv::getPerspectiveTransform(from, to), {std::max(1, static_cast<int>(width)), std::max(1, static_cast<int>(height))},
                        cv::INTER_CUBIC, cv::BORDER_REPLICATE);
    return line;
  }

  // A line in any of four directions.
  TextPiece read_line(const cv::Mat& line) {
    const double height = static_cast<double>(line.rows) / line.cols;
    if (height < kTall) return read_upright_or_turned_over(line);
    cv::Mat laid;
    cv::rotate(line, laid, cv::ROTATE_90_COUNTERCLOCKWISE);
    TextPiece piece = read_upright_or_turned_over(laid);
    if (height < kSingleLetter)
      if (TextPiece upright = recognise(line); upright.confidence > piece.confidence) return upright;
    return piece;
  }

  // Where it may stand on its head, both ways up: the surer reading.
  TextPiece read_upright_or_turned_over(const cv::Mat& line) {
    TextPiece piece = recognise(line);
    if (turned_over(line) < kTurnedOver) return piece;
    cv::Mat turned;
    cv::rotate(line, turned, cv::ROTATE_180);
    TextPiece other = recognise(turned);
    return other.confidence > piece.confidence ? other : piece;
  }

  // How likely a line stands on its head. Source: RapidOCR's TextClassifier.
  double turned_over(const cv::Mat& line) {
    const int width = std::clamp(static_cast<int>(std::ceil(static_cast<double>(kLineHeight) * line.cols / line.rows)), 1, kDirectionWidth);
    cv::Mat resized, padded(kLineHeight, kDirectionWidth, CV_8UC3, cv::Scalar::all(127.5));
    cv::resize(line, resized, {width, kLineHeight});
    resized.copyTo(padded(cv::Rect(0, 0, width, kLineHeight)));
    direction_.set_input_tensor(to_input(padded));
    infer(direction_);
    return direction_.get_output_tensor().data<float>()[1];
  }

  // Connectionist temporal classification, greedy: class 0 is the blank, repeats collapse.
  TextPiece recognise(const cv::Mat& line) {
    const int width = std::clamp(static_cast<int>(std::ceil(static_cast<double>(kLineHeight) * line.cols / line.rows)), 1, 4096);
    cv::Mat resized, padded(kLineHeight, std::max(kLineWidth, width), CV_8UC3, cv::Scalar::all(127.5));
    cv::resize(line, resized, {width, kLineHeight});
    resized.copyTo(padded(cv::Rect(0, 0, width, kLineHeight)));
    recogniser_.set_input_tensor(to_input(padded));
    infer(recogniser_);
    const ov::Tensor output = recogniser_.get_output_tensor();
    const size_t steps = output.get_shape()[1], classes = output.get_shape()[2];
    TextPiece piece;
    double sum = 0;
    int letters = 0;
    size_t before = 0;
    for (size_t t = 0; t < steps; ++t) {
      const float* row = output.data<float>() + t * classes;
      const auto best = static_cast<size_t>(std::max_element(row, row + classes) - row);
      if (best != 0 && best != before && best - 1 < alphabet_.size()) {
        piece.text += alphabet_[best - 1];
        sum += row[best];
        ++letters;
      }
      before = best;
    }
    piece.confidence = letters > 0 ? sum / letters : 0;
    return piece;
  }

  ov::Core core_;
  ov::InferRequest detector_, recogniser_, direction_;
  std::vector<std::string> alphabet_;
};

}  // namespace

std::unique_ptr<TextReader> make_ppocr_reader() { return std::make_unique<PpOcr>(); }

}  // namespace glyphscope
