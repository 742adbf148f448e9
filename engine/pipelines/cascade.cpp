#include "pipelines/cascade.h"

#include <torch/types.h>

#include <algorithm>

#include "core/option.h"
#include "device/placement.h"
#include "io/weights.h"

namespace glyphscope {
namespace {

class Cascade : public Pipeline {
 public:
  Cascade(std::shared_ptr<Pipeline> first, std::shared_ptr<Pipeline> second) : first_(std::move(first)), second_(std::move(second)) {
    info_ = first_->info();
    if (info_.enlarges) reject("a first stage draws from a prompt alone; this model enlarges pictures itself", info_.source);
    if (!second_->info().enlarges)
      reject("this model does not enlarge pictures", second_->info().source, option(Option::upscale) + " names a super-resolution model");
    if (second_->info().default_width < info_.default_width)
      reject("the upscaler draws " + std::to_string(second_->info().default_width) + " pixels a side, the model " + std::to_string(info_.default_width),
             second_->info().source, "An upscaler draws larger pictures than the model it goes with");
    info_.upscaler = std::make_shared<const ModelInfo>(second_->info());
    info_.hash = ModelHash([first = info_.hash, second = info_.upscaler->hash](const CancelToken&) { return sha256_text(first.text() + second.text()); });
    for (const auto& [name, count] : info_.upscaler->parameters) info_.parameters.emplace_back("upscaler's " + name, count);
  }
  torch::nn::Module& denoiser_module() override { return first_->denoiser_module(); }
  std::vector<AdaptableEncoder*> text_encoders() override { return first_->text_encoders(); }
  std::int64_t denoiser_rows(const Request& asked) const override {
    const Request request = resolve(asked);
    return first_->denoiser_rows(drawing(request)) + second_->denoiser_rows(enlarging(request, torch::zeros({1, 3, 1, 1}, on_host(torch::kUInt8))));
  }

 protected:
  void check(const Request& request) const override {
    first_->validate(drawing(request));
    second_->validate(enlarging(request, torch::zeros({1, 3, 1, 1}, on_host(torch::kUInt8))));
  }

  Result run(const Request& request, const Observer& observer, const CancelToken& cancel) override {
    // Both stages' calls as one count; they take unequal time, which nobody knows beforehand.
    const auto rows = static_cast<std::int64_t>(request.rows.size()), batches = (rows + request.rows_at_once - 1) / request.rows_at_once;
    const std::int64_t enlarging_calls = batches * request.upscale_steps;
    std::int64_t drawing_calls = 0;
    auto run_stage = [&](Pipeline& stage, const Request& its, const std::function<Progress(const Progress&)>& overall) {
      auto result = stage.generate(its, {.progress = [&](const Progress& p) { observer.progress(overall(p)); }}, cancel);
      if (!result) throw Failure(result.error());
      return std::move(*result);
    };
    Result drawn = run_stage(*first_, drawing(request), [&](const Progress& p) {
      drawing_calls = p.total;
      return Progress{"drawing", p.done, p.total + enlarging_calls};
    });
    Result enlarged = run_stage(*second_, enlarging(request, drawn.images), [&](const Progress& p) {
      return Progress{"enlarging", drawing_calls + p.done, drawing_calls + p.total};
    });
    drawn.images = std::move(enlarged.images);
    for (const auto& note : enlarged.notes)  // a prompt that both cut is one prompt
      if (std::find(drawn.notes.begin(), drawn.notes.end(), note) == drawn.notes.end()) drawn.notes.push_back(note);
    drawn.denoiser_calls += enlarged.denoiser_calls;
    drawn.denoiser_rows += enlarged.denoiser_rows;
    drawn.seconds += enlarged.seconds;
    return drawn;
  }

 private:
  static Request drawing(Request request) {
    request.upscale_steps = 0;
    return request;
  }
  Request enlarging(const Request& request, const torch::Tensor& pictures) const {
    const ModelInfo& small = first_->info();
    const ModelInfo& large = second_->info();
    Request out;
    out.prompts = request.prompts;
    out.negative = request.negative;
    for (const auto& row : request.rows) out.rows.push_back({row.prompt, row.seed, {}});
    out.steps = request.upscale_steps;
    out.width = request.width * large.default_width / small.default_width;
    out.height = request.height * large.default_height / small.default_height;
    out.rows_at_once = request.rows_at_once;
    out.noise_level = request.noise_level;
    out.pictures = pictures;
    return out;
  }

  std::shared_ptr<Pipeline> first_, second_;
};

}  // namespace

std::shared_ptr<Pipeline> make_cascade(std::shared_ptr<Pipeline> first, std::shared_ptr<Pipeline> second) {
  return std::make_shared<Cascade>(std::move(first), std::move(second));
}

}  // namespace glyphscope
