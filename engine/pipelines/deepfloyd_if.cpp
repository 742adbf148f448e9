#include "pipelines/deepfloyd_if.h"

#include <torch/torch.h>

#include <algorithm>

#include "core/error.h"
#include "core/unicode.h"
#include "models/unet.h"
#include "pipelines/batched_pipeline.h"
#include "pipelines/clip_prompt.h"
#include "text/t5_encoder.h"
#include "text/t5_tokenizer.h"

namespace glyphscope {
namespace {

constexpr std::int64_t kTokens = 77;  // diffusers' max_length

std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"unet", "text_encoder", "tokenizer", "scheduler"};
  model.require(out);
  return out;
}

// As diffusers does where captions are not cleaned: text.lower().strip().
std::string prepared(const std::string& prompt) {
  std::vector<char32_t> lower;
  for (char32_t code : decode_utf8(prompt))
    for (char32_t one : to_lower(code)) lower.push_back(one);
  while (!lower.empty() && is_space(lower.back())) lower.pop_back();
  size_t first = 0;
  while (first < lower.size() && is_space(lower[first])) ++first;
  return encode_utf8({lower.begin() + static_cast<std::ptrdiff_t>(first), lower.end()});
}

class DeepFloydIf : public BatchedPipeline {
 public:
  DeepFloydIf(const ModelFolder& model, const OpenOptions& options, std::vector<std::string> components)
      : BatchedPipeline(model, options, Config::read(model / "scheduler" / "scheduler_config.json"), std::move(components)),
        tokenizer_(T5Tokenizer::load(model / "tokenizer")),
        text_encoder_(T5Config::parse(Config::read(model / "text_encoder" / "config.json"))),
        unet_(UNetConfig::parse(Config::read(model / "unet" / "config.json"))) {
    const auto& unet = unet_.config();
    if (!unet.added_kv || unet.in_channels != 3) reject("the U-Net is none of DeepFloyd IF's first stage", (model / "unet").string());
    if (text_encoder_.config().d_model != unet.raw_prompt_width())
      reject("T5 writes " + std::to_string(text_encoder_.config().d_model) + " numbers a token, the U-Net reads " + std::to_string(unet.raw_prompt_width()),
             model.folder().string(), "text_encoder and unet belong to different models");
    load("text_encoder", text_encoder_, t5_dtype(dtype()), t5_key);
    load("unet", unet_, dtype());
    info_.default_steps = 100;
    info_.default_guidance = 7.0;
    info_.methods = {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep};
    describe("DeepFloyd IF, stage I", unet_.sites(), unet.sample_size, std::int64_t{1} << (unet.block_out_channels.size() - 1));
  }

 protected:
  // What the U-Net pools are the same raw states.
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>& notes) const override {
    const Tokens tokens = tokenizer_.tokenize(prepared(prompt), std::min(kTokens, tokenizer_.max_length()));
    note_cut("T5", tokens.cut, notes);
    const torch::Tensor ids = torch::tensor(tokens.ids).unsqueeze(0);
    const torch::Tensor states = text_encoder_.forward(ids, (ids != T5Tokenizer::kPad).to(torch::kInt64)).to(dtype());
    return {states, states};
  }
  torch::Tensor site_embedding(const Prompt& prompt) const override { return unet_.project_prompt(prompt.embedding); }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return unet_.forward(latent, timestep, conditioning, taps);
  }
  std::int64_t channels() const override { return 3; }
  std::int64_t factor() const override { return 1; }
  torch::Tensor decode(const torch::Tensor& latent, const CancelToken&) const override { return latent; }

 private:
  T5Tokenizer tokenizer_;
  T5Encoder text_encoder_;
  UNet unet_;
};

}  // namespace

std::shared_ptr<Pipeline> open_deepfloyd_if(const ModelFolder& folder, const OpenOptions& options) {
  return std::make_shared<DeepFloydIf>(folder, options, find_components(folder));
}

}  // namespace glyphscope
