#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "editing/audit_log.h"
#include "editing/term_list.h"
#include "metrics/ocr.h"
#include "pipelines/pipeline.h"
#include "pipelines/prompt_policy.h"

namespace glyphscope {

struct GuardSettings {
  TermList terms;
  std::vector<int> sites;     ///< Those that write the text: they see the prompt with its terms replaced. None: the whole prompt is swapped at once.
  int from_step = 0;          ///< First step at which they do.
  std::filesystem::path log;  ///< An AuditLog's; empty: none.
  bool clear_text = false;    ///< The log names prompts, terms and what was read; else their SHA-256.
};

/// Keeps listed terms out of images (section 5.4 of the paper). A row whose prompts have terms is drawn with the user's own prompt, while the sites that
/// write the text see it with the terms replaced. Every image is read by OCR; where a term can be read, the next way is tried: the sites from the first
/// step on, every site and the pooled prompt, the replaced prompt in place of the user's. If none helps, the image is withheld: an image that says so takes its
/// place. Negative prompts are no concern of the guard's: what they name is kept away.
class Guard : public PromptPolicy {
 public:
  /// Throws a Failure for a list without terms, a replacement that has a term itself, or a log that is damaged or has no folder.
  Guard(GuardSettings settings, std::shared_ptr<TextReader> reader);

  Result generate(const ModelInfo& model, const Request& request, const std::function<Result(const Request&)>& draw) override;
  bool allows(const ModelInfo& model, const torch::Tensor& picture) override;
  nlohmann::ordered_json describe() const override;
  const GuardSettings& settings() const { return settings_; }

  /// Images so far; those that were drawn otherwise than asked, or withheld.
  struct Tally {
    std::int64_t images = 0, changed = 0, withheld = 0;
  };
  const Tally& tally() const { return tally_; }
  /// What it has done since a tally, as a note for who reads scores of the images; empty if it did nothing.
  std::string note_since(const Tally& before) const;

  /// Terms that can be read in these pieces, whether their letters stand together or apart.
  std::vector<TermMatch> read_in(const std::vector<TextPiece>& pieces) const;

 private:
  // As the log has it: a text, or its hash; matched terms; a row that was asked for, with the terms of the request's prompts; and what all rows share.
  nlohmann::ordered_json logged(const char* name, const std::string& text) const;
  nlohmann::ordered_json logged_terms(const std::vector<TermMatch>& matches) const;
  nlohmann::ordered_json logged_row(const Request& request, const Row& row, const std::vector<std::vector<TermMatch>>& terms) const;
  nlohmann::ordered_json logged_settings(const ModelInfo& model, const Request& request) const;
  void log(const ModelInfo& model, nlohmann::ordered_json settings, nlohmann::ordered_json images);

  GuardSettings settings_;
  std::shared_ptr<TextReader> reader_;
  std::unique_ptr<AuditLog> log_;
  Tally tally_;
  std::string unreadable_;  // a note on terms that OCR cannot read; given once
};

/// What stands in place of an image that is withheld, with the reason as far as there is room for words: [3, height, width] uint8.
torch::Tensor withheld_image(std::int64_t height, std::int64_t width);

}  // namespace glyphscope
