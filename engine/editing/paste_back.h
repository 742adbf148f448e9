#pragma once

#include "editing/text_edit.h"

namespace glyphscope {

/// A masked edit of a real picture in the picture as it was given, which may be larger than the model draws, and of another aspect: what is new inside the
/// mask is scaled to where it came from; outside of the mask's feather not a bit changes. edited: [3, h, w] uint8, of the source's size; the picture given: as
/// take_picture() had it. Returns [3, H, W] uint8.
torch::Tensor paste_back(const torch::Tensor& edited, const EditMask& mask, const torch::Tensor& given);

}  // namespace glyphscope
