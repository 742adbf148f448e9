#pragma once

#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <torch/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/progress.h"
#include "models/block.h"

namespace glyphscope {

/// Parameters of a network's blocks that can be away, and of the largest of them.
struct BlockSizes {
  std::int64_t parameters = 0, largest = 0;
};
BlockSizes block_sizes(const torch::nn::Module& module);

/// For a network that is larger than its device: weights of blocks lie in pinned host memory, and each is copied to the device, by a stream of its own, while
/// the block before it computes. Two places on the device, each as large as the largest block, hold them in turn. Which block comes next is what came next the
/// last time: blocks are run in an order that is none of the module's, and the other way round in backward.
class BlockStream {
 public:
  /// module: not made in inference mode; its weights are anywhere, in the dtype in which they compute; afterwards they are on the device, but for those of
  /// blocks that are streamed, which are spread over the network. resident: the share of the blocks' bytes that is to stay on the device, 0 to 1. The module's
  /// blocks are not to be run after the stream's end. Throws a Failure where host memory cannot be pinned.
  BlockStream(torch::nn::Module& module, torch::Device device, double resident, const CancelToken& cancel = {});
  ~BlockStream();
  BlockStream(const BlockStream&) = delete;
  BlockStream& operator=(const BlockStream&) = delete;

  /// Bytes of weights that lie on the host, and of the places on the device that they are copied to.
  std::uint64_t host_bytes() const { return host_ ? static_cast<std::uint64_t>(host_->size()) : 0; }
  std::uint64_t place_bytes() const { return kPlaces * static_cast<std::uint64_t>(place_bytes_); }
  size_t blocks() const { return blocks_.size(); }

  /// While one lives, the block's weights are there. One within another is of the same block. stream: null where there is nothing to do.
  class Visit {
   public:
    Visit(BlockStream* stream, size_t number);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    BlockStream* stream_;
  };

 private:
  friend BlockSizes block_sizes(const torch::nn::Module& module);
  // The outermost blocks that may be away, in the module's order.
  static void find_blocks(const torch::nn::Module& module, std::vector<Block*>& out);

  static constexpr size_t kPlaces = 2, kNobody = static_cast<size_t>(-1);

  // Pinned memory in pieces, as LibTorch pins whole powers of two.
  class HostMemory {
   public:
    /// bytes: how many will come.
    explicit HostMemory(std::int64_t bytes);
    /// The place of the next bytes, contiguous ones, which are copied there.
    void append(const torch::Tensor& bytes);
    std::int64_t size() const { return size_; }
    /// Copies the bytes that begin there to all of `to`, on the current stream.
    void copy(std::int64_t begin, const torch::Tensor& to) const;

   private:
    // f(piece, what of the bytes it holds) for all pieces of those bytes.
    void each_piece(std::int64_t begin, std::int64_t bytes, const std::function<void(const torch::Tensor&, std::int64_t)>& f) const;
    void add_piece();
    std::int64_t all_bytes_, piece_bytes_, size_ = 0;
    std::vector<torch::Tensor> pieces_;
  };
  struct Streamed {
    std::int64_t begin = 0, bytes = 0;                      // in the host's memory
    std::vector<torch::Tensor> parameters;                  // of the module
    std::array<std::vector<torch::Tensor>, kPlaces> views;  // of each place, as the parameters
  };
  struct Place {
    Place(torch::Tensor bytes, torch::DeviceType type) : memory(std::move(bytes)), arrived(type), left(type) {}
    torch::Tensor memory;
    size_t holds = kNobody;
    c10::Event arrived, left;  // the copy to it is done; who read it has done so
  };

  void enter(size_t number);
  void leave();
  // Where the block is or will be, once that place's `arrived` has passed.
  size_t fetch(size_t number);

  torch::Device device_;
  c10::Stream copies_;
  std::optional<HostMemory> host_;
  std::vector<Streamed> blocks_;
  std::vector<Place> places_;
  std::int64_t place_bytes_ = 0;
  // Blocks: the one that runs, and those that ran last and before that.
  size_t depth_ = 0, running_ = kNobody, last_ = kNobody, before_last_ = kNobody;
  std::map<std::pair<size_t, size_t>, size_t> next_;  // of a block and the one before it: what came after them
};

}  // namespace glyphscope
