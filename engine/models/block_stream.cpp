#include "models/block_stream.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "core/option.h"
#include "device/devices.h"
#include "device/placement.h"
#include "models/layers.h"

namespace glyphscope {

namespace {

constexpr std::int64_t kGrain = 256;  // bytes: as allocators of devices align

std::int64_t padded(std::int64_t bytes) { return (bytes + kGrain - 1) / kGrain * kGrain; }

// memory: bytes; a tensor like that one at that offset.
torch::Tensor view_like(const torch::Tensor& memory, std::int64_t offset, const torch::Tensor& like) {
  return memory.narrow(0, offset, static_cast<std::int64_t>(like.nbytes()))
      .view(like.scalar_type())
      .as_strided(like.sizes(), like.strides(), (memory.storage_offset() + offset) / static_cast<std::int64_t>(like.element_size()));
}

std::int64_t bytes_of(const torch::nn::Module& module) {
  std::int64_t sum = 0;
  for (const auto& parameter : module.parameters()) sum += padded(static_cast<std::int64_t>(parameter.nbytes()));
  return sum;
}

}  // namespace

void BlockStream::find_blocks(const torch::nn::Module& module, std::vector<Block*>& out) {
  for (const auto& child : module.children()) {
    auto* const block = dynamic_cast<Block*>(child.get());
    if (block && !block->read_from_outside_) {
      out.push_back(block);
    } else if (!block) {
      find_blocks(*child, out);
    }
  }
}

BlockSizes block_sizes(const torch::nn::Module& module) {
  std::vector<Block*> blocks;
  BlockStream::find_blocks(module, blocks);
  BlockSizes out;
  for (const Block* const block : blocks) {
    const std::int64_t size = count_parameters(*block);
    out.parameters += size;
    out.largest = std::max(out.largest, size);
  }
  return out;
}

BlockStream::HostMemory::HostMemory(std::int64_t bytes) : all_bytes_(bytes), piece_bytes_(std::int64_t{64} << 20) {
  while (piece_bytes_ / 2 >= bytes) piece_bytes_ /= 2;
}

// As they are needed: what is copied there is freed elsewhere meanwhile.
void BlockStream::HostMemory::add_piece() {
  const auto refuse = [this](const std::string& why) {
    throw Failure({ErrorCode::out_of_memory, memory_text(static_cast<std::uint64_t>(all_bytes_)) + " of weights do not fit into the host's memory: " + why, "",
                   "End what else uses memory, or use " + option(Option::dtype, "bf16")});
  };
  const auto needed = static_cast<std::uint64_t>(piece_bytes_);
  if (const std::uint64_t free = device_memory(torch::kCPU).free; needed > free)
    refuse("after " + memory_text(pieces_.size() * needed) + " " + memory_text(free) + " are free");
  try {
    pieces_.push_back(torch::empty({piece_bytes_}, on_host(torch::kUInt8).pinned_memory(true)));
  } catch (const c10::Error& error) {
    refuse(error.what_without_backtrace());
  }
}

void BlockStream::HostMemory::each_piece(std::int64_t begin, std::int64_t bytes, const std::function<void(const torch::Tensor&, std::int64_t)>& f) const {
  for (std::int64_t done = 0; done < bytes;) {
    const std::int64_t at = (begin + done) % piece_bytes_, length = std::min(bytes - done, piece_bytes_ - at);
    f(pieces_[static_cast<size_t>((begin + done) / piece_bytes_)].narrow(0, at, length), done);
    done += length;
  }
}

void BlockStream::HostMemory::append(const torch::Tensor& bytes) {
  while (static_cast<std::int64_t>(pieces_.size()) * piece_bytes_ < size_ + bytes.size(0)) add_piece();
  each_piece(size_, bytes.size(0), [&](const torch::Tensor& piece, std::int64_t at) { piece.copy_(bytes.narrow(0, at, piece.size(0))); });
  size_ += padded(bytes.size(0));
}

void BlockStream::HostMemory::copy(std::int64_t begin, const torch::Tensor& to) const {
  each_piece(begin, to.size(0), [&](const torch::Tensor& piece, std::int64_t at) { to.narrow(0, at, piece.size(0)).copy_(piece, /*non_blocking=*/true); });
}

BlockStream::BlockStream(torch::nn::Module& module, torch::Device device, double resident, const CancelToken& cancel)
    : device_(device), copies_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, /*isHighPriority=*/false)) {
  release_pinned_memory(device);
  const torch::InferenceMode also_for_training(false);
  const torch::NoGradGuard no_grad;
  std::vector<Block*> all, streamed;
  find_blocks(module, all);
  // Of every stretch of the network the same share.
  double wanted = 0;
  std::int64_t sum = 0;
  for (Block* const block : all) {
    const std::int64_t bytes = bytes_of(*block);
    wanted += static_cast<double>(bytes) * (1 - resident);
    if (static_cast<double>(sum) >= wanted) continue;
    streamed.push_back(block);
    sum += bytes;
    place_bytes_ = std::max(place_bytes_, bytes);
  }
  if (!streamed.empty()) host_.emplace(sum);
  for (size_t i = 0; i < kPlaces && !streamed.empty(); ++i)
    places_.emplace_back(torch::empty({place_bytes_}, Placement{device, torch::kUInt8}.options()), device.type());
  for (Block* const block : streamed) {
    cancel.check();
    Streamed own{host_->size(), bytes_of(*block), block->parameters(), {}};
    std::int64_t offset = 0;
    for (auto& parameter : own.parameters) {
      const torch::Tensor dense = parameter.is_non_overlapping_and_dense() ? parameter.detach() : parameter.detach().contiguous();
      host_->append(dense.as_strided({dense.numel()}, {1}).view(torch::kUInt8));
      for (size_t i = 0; i < kPlaces; ++i) own.views[i].push_back(view_like(places_[i].memory, offset, dense));
      offset += padded(static_cast<std::int64_t>(dense.nbytes()));
      parameter.set_data(own.views[0].back());
    }
    block->stream_ = this;
    block->number_ = blocks_.size();
    blocks_.push_back(std::move(own));
  }
  for (auto& parameter : module.parameters())
    if (parameter.device() != device) parameter.set_data(parameter.detach().to(device));
  for (auto& buffer : module.buffers())  // scales of quantized weights, of all blocks
    if (buffer.device() != device) buffer.set_data(buffer.detach().to(device));
  // What had the places' memory before may still be computed with.
  for (Place& place : places_) place.left.record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

BlockStream::~BlockStream() {
  try {
    c10::impl::VirtualGuardImpl(device_.type()).synchronizeStream(copies_);
    host_.reset();
    release_pinned_memory(device_);
  } catch (const c10::Error&) {  // a device that was lost copies nothing more
  }
}

size_t BlockStream::fetch(size_t number) {
  for (size_t i = 0; i < kPlaces; ++i)
    if (places_[i].holds == number) return i;
  const size_t in_use = running_ != kNobody ? running_ : last_, at = places_[0].holds == in_use ? 1 : 0;
  Place& place = places_[at];
  Streamed& block = blocks_[number];
  place.holds = kNobody;
  {
    const c10::StreamGuard guard(copies_);
    place.left.block(copies_);
    host_->copy(block.begin, place.memory.narrow(0, 0, block.bytes));
    place.arrived.record(copies_);
  }
  for (size_t i = 0; i < block.parameters.size(); ++i) block.parameters[i].set_data(block.views[at][i]);
  place.holds = number;
  return at;
}

void BlockStream::enter(size_t number) {
  if (depth_ == 0) {
    const torch::NoGradGuard no_grad;
    Place& place = places_[fetch(number)];
    place.arrived.block(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
    next_[{before_last_, last_}] = number;
    before_last_ = last_;
    last_ = number;
    running_ = number;
    if (const auto found = next_.find({before_last_, last_}); found != next_.end()) fetch(found->second);
  }
  ++depth_;
}

void BlockStream::leave() {
  if (--depth_ > 0) return;
  for (Place& place : places_)
    if (place.holds == running_) place.left.record(c10::impl::VirtualGuardImpl(device_.type()).getStream(device_));
  running_ = kNobody;
}

BlockStream::Visit::Visit(BlockStream* stream, size_t number) : stream_(stream) {
  if (stream_ != nullptr) stream_->enter(number);
}

BlockStream::Visit::~Visit() {
  if (stream_ == nullptr) return;
  try {
    stream_->leave();
  } catch (const c10::Error&) {  // the device was lost; what reads from it next says so
  }
}

}  // namespace glyphscope
