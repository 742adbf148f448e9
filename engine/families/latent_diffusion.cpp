#include <torch/types.h>

#include "core/error.h"
#include "device/placement.h"
#include "models/unet.h"
#include "pipelines/clip_prompt.h"
#include "pipelines/family.h"
#include "pipelines/latent_pipeline.h"
#include "text/ldm_bert.h"
#include "text/word_piece_tokenizer.h"

namespace glyphscope {
namespace {

std::vector<std::string> find_components(const ModelFolder& model) {
  std::vector<std::string> out{"unet", "vqvae", "bert", "tokenizer", "scheduler"};
  model.require(out);
  return out;
}

class LatentDiffusion : public LatentPipeline {
 public:
  LatentDiffusion(const ModelFolder& model, const Opening& opening, std::vector<std::string> components)
      : LatentPipeline(model, opening, model.scheduler(), std::move(components), "vqvae"),
        tokenizer_(WordPieceTokenizer::load(model / "tokenizer")),
        bert_(LdmBertConfig::parse(model.config("bert"))),
        unet_(UNetConfig::parse(model.config("unet"))) {
    const auto& unet = unet_.config();
    if (bert_.config().d_model != unet.cross_attention_dim)
      reject("the text encoder's width is " + std::to_string(bert_.config().d_model) + ", the U-Net reads " + std::to_string(unet.cross_attention_dim),
             model.folder().string(), "bert and unet belong to different models");
    if (channels() != unet.in_channels || unet.in_channels != unet.out_channels)
      reject("the autoencoder has " + std::to_string(channels()) + " latent channels, the U-Net reads " + std::to_string(unet.in_channels),
             model.folder().string(), "vqvae and unet belong to different models");
    load("bert", bert_, ldm_bert_key);
    load("unet", unet_);
    load_autoencoder();
    info_.default_guidance = 6.0;  // of its published example; diffusers' default is none
    info_.methods = {PatchMethod::injection, PatchMethod::recording, PatchMethod::lockstep};
    SiteTable table = unet_.sites();
    for (auto& site : table.sites) site.kohya.clear();  // kohya has no names for this family
    describe("Latent diffusion", table, unet.sample_size, std::int64_t{1} << (unet.block_out_channels.size() - 1));
  }

  torch::nn::Module& denoiser_module() override { return unet_; }

 protected:
  Prompt encode(const std::string& prompt, std::int64_t, std::vector<std::string>& notes) const override {
    const std::int64_t length = bert_.config().max_positions;
    const Tokens tokens = tokenizer_.tokenize(WeightedPrompt::parse(prompt), length);
    note_cut("BERT", tokens.cut, notes);
    auto states = [&](const Tokens& each) { return bert_.forward(torch::tensor(each.ids, on_host(torch::kInt64)).unsqueeze(0)); };
    const torch::Tensor plain = states(tokens);
    return {even(tokens.weights) ? plain : weighted_states(plain, states(tokenizer_.tokenize("", length)), tokens.weights), {}};
  }
  std::vector<WordTokens> words(const std::string& prompt) const override {
    return {find_words(TokenEncoder::bert, WeightedPrompt::parse(prompt).text(), 0, bert_.config().max_positions, 1,
                       [this](const std::string& text) { return tokenizer_.encode(text); })};
  }
  torch::Tensor denoiser(const torch::Tensor& latent, const torch::Tensor& timestep, const Conditioning& conditioning, Taps* taps) const override {
    return unet_.forward(latent, timestep, conditioning, taps);
  }
  bool reads_prompts_at_sites_alone() const override { return true; }

 private:
  WordPieceTokenizer tokenizer_;
  LdmBert bert_;
  UNet unet_;
};

}  // namespace

namespace family {

// Latent diffusion text-to-image: its own BERT encoder, latent U-Net, KL or VQ autoencoder. Source: diffusers `LDMTextToImagePipeline`.
Family latent_diffusion() {
  return {.classes = {{"LDMTextToImagePipeline", "latent diffusion"}}, .open = [](const ModelFolder& model, const Opening& opening, const Pipeline*) {
            return std::make_shared<LatentDiffusion>(model, opening, find_components(model));
          }};
}

}  // namespace family

}  // namespace glyphscope
