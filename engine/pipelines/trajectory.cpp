#include "pipelines/trajectory.h"

#include <torch/types.h>

#include <map>
#include <utility>

namespace glyphscope {

Trajectory Trajectory::to(torch::Device device) const {
  const auto there = [&](const std::vector<torch::Tensor>& list) {
    return list.empty() || list.front().device() == device ? list : torch::stack(list).to(device).unbind();
  };
  return {there(latents), there(outputs)};
}

Followers::Followers(const std::vector<const Following*>& rows, torch::Device device, std::function<std::int64_t(std::int64_t call)> step_of)
    : step_of_(std::move(step_of)) {
  std::map<const Trajectory*, std::shared_ptr<const Trajectory>> there;
  for (const Following* row : rows) {
    Following& own = rows_.emplace_back(*row);
    if (own.mask.defined()) own.mask = own.mask.to(device);
    if (!own.path) continue;
    auto& path = there[own.path.get()];
    if (!path) path = std::make_shared<const Trajectory>(own.path->to(device));
    own.path = path;
  }
}

bool Followers::follows(size_t row, std::int64_t call) const { return rows_[row].path && step_of_(call) < rows_[row].until_step; }

torch::Tensor Followers::output(std::int64_t call, const torch::Tensor& latent) const {
  std::vector<torch::Tensor> out;
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (!follows(row, call)) return {};
    // Where it is unknown, place() gives the row's latent after this call all the same.
    const auto& known = rows_[row].path->outputs;
    out.push_back(known.empty() ? torch::zeros_like(latent[static_cast<std::int64_t>(row)]) : known[static_cast<size_t>(call)]);
  }
  return torch::stack(out);
}

torch::Tensor Followers::merged(std::int64_t call, torch::Tensor output) const {
  for (size_t row = 0; row < rows_.size(); ++row)
    if (follows(row, call) && !rows_[row].path->outputs.empty())
      output[static_cast<std::int64_t>(row)].copy_(rows_[row].path->outputs[static_cast<size_t>(call)]);
  return output;
}

torch::Tensor Followers::place(std::int64_t call, torch::Tensor latent) const {
  for (size_t i = 0; i < rows_.size(); ++i) {
    const Following& row = rows_[i];
    if (!row.path) continue;
    const torch::Tensor& there = row.path->latents[static_cast<size_t>(call)];
    torch::Tensor own = latent[static_cast<std::int64_t>(i)];
    if (call == 0 || follows(i, call - 1))
      own.copy_(there);
    else if (row.mask.defined())
      own.copy_(torch::where(row.mask > 0, there + row.mask * (own - there), there));
  }
  return latent;
}

}  // namespace glyphscope
