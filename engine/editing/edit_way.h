#pragma once

namespace glyphscope {

/// How another text is written into an image: sites see the target prompt (section 5.2 of the paper); the target prompt alone; Prompt-to-Prompt.
enum class EditWay { sites, target_prompt, prompt_to_prompt };

/// As documents have it.
constexpr const char* edit_way_name(EditWay way) {
  return way == EditWay::sites ? "edit" : way == EditWay::target_prompt ? "target prompt" : "prompt-to-prompt";
}

}  // namespace glyphscope
