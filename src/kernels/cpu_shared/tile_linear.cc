#include "kernels/cpu_shared/tile_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/cpu_shared/row_scale.h"

namespace nvfp4::kernels::cpu_shared {
namespace {

constexpr std::uint64_t kChunkBytes = 768 << 10;    // packed inputs that stay in the L2 cache
constexpr std::uint32_t kMaxChunkTokens = 96;       // and of their sums
constexpr std::uint64_t kFewPieceBytes = 64 << 10;  // weights of a piece when tokens are few

TileInput input_of(Activation activation) {
  return activation == Activation::k16Bit ? TileInput::kDigits : TileInput::kCodes;
}

std::size_t record_bytes(TileInput input) { return input == TileInput::kDigits ? sizeof(DigitTile) : sizeof(CodeTile); }

constexpr std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }

// The tokens of one expert and how they are cut: groups of tokens that are multiplied at a time, chunks of groups.
struct Segment {
  std::uint32_t expert_idx = 0;
  std::uint32_t first_token = 0;
  std::uint32_t num_tokens = 0;
  bool few = false;
  std::uint32_t num_groups = 0;
  std::uint32_t num_chunks = 0;
  std::uint64_t pieces_per_chunk = 0;
  std::uint64_t first_group = 0;  // of all segments
  std::uint64_t first_piece = 0;

  [[nodiscard]] std::uint32_t group_begin(std::uint32_t group) const {
    return static_cast<std::uint32_t>(std::uint64_t{num_tokens} * group / num_groups);
  }
  [[nodiscard]] std::uint32_t chunk_begin(std::uint32_t chunk) const {
    return static_cast<std::uint32_t>(std::uint64_t{num_groups} * chunk / num_chunks);
  }
};

constexpr std::size_t kMaxLowBlocks = kMaxTokens * kPanelTiles * Tile16x64::kBlocks;  // of one panel call
constexpr std::uint16_t kAllLowBlocks = 0xFFFF;

// Scratch of one worker.
struct Scratch {
  std::uint8_t* panel = nullptr;
  float* acc[2] = {};    // of each weight [kMaxChunkTokens, kPanelRows]
  float* low = nullptr;  // the same, of low numbers
  float* x = nullptr;    // [in]
  std::int8_t* codes = nullptr;
  std::uint8_t* block_scales = nullptr;
};

// One weight and its packed inputs.
struct Operand {
  const LinearWeight* weight = nullptr;
  std::uint8_t* packed = nullptr;  // [token][tile] records, tokens of a group interleaved
  float* multipliers = nullptr;    // [num_rows]
  // Digits: of each group and stream of packed inputs.
  LowBlock* low_blocks = nullptr;  // [groups, streams, kMaxLowBlocks]
  std::uint16_t* num_low_blocks = nullptr;
};

// Tiles that will be read soon, in two streams of the same size: brought into the second-level cache bit by bit.
class Prefetcher {
 public:
  Prefetcher(const std::uint8_t* first, const std::uint8_t* second, std::uint64_t num_bytes, std::uint32_t num_steps)
      : streams_{first, second},
        num_bytes_(num_bytes),
        step_bytes_(divide_up(divide_up(num_bytes, num_steps), 64) * 64) {}
  void step() {
    const std::uint64_t end = std::min(at_ + step_bytes_, num_bytes_);
    for (; at_ < end; at_ += 64) {
      for (const std::uint8_t* stream : streams_) __builtin_prefetch(stream + at_, 0, 2);
    }
  }

 private:
  std::array<const std::uint8_t*, 2> streams_;
  std::uint64_t num_bytes_, step_bytes_;
  std::uint64_t at_ = 0;
};

// Are A(x) of both the same, so that packing once is enough?
bool same_input(const LinearWeight& a, const LinearWeight& b, Activation activation) {
  if (!a.pre_quant_scale.empty() || !b.pre_quant_scale.empty()) return false;
  if (activation != Activation::kNvfp4Static) return true;
  return a.input_rule == b.input_rule &&
         std::equal(a.input_scale.begin(), a.input_scale.end(), b.input_scale.begin(), b.input_scale.end());
}

// A layer, or a gated pair of layers.
class TileLinear {
 public:
  TileLinear(const TileKernels& kernels, const LinearWeight& weight, const GatedPair* pair, Activation activation,
             const LinearArgs& args)
      : kernels_(kernels),
        weight_(weight),
        pair_(pair),
        activation_(activation),
        args_(args),
        input_(input_of(activation)),
        products_(input_ == TileInput::kDigits ? kernels.digits : kernels.codes),
        num_tiles_(Tile16x64::num_tiles(weight.in_features)),
        num_row_groups_(Tile16x64::num_row_groups(weight.out_features)),
        group_bytes_(num_tiles_ * Tile16x64::kBytes),
        num_operands_(pair == nullptr ? 1 : 2) {}

  void run(Workspace& workspace, WorkerPool& pool);

 private:
  void cut(std::span<Segment> segments);
  void take_inputs(Workspace& workspace);
  Scratch take_scratch(Workspace& workspace) const;
  // After the last row group of a segment comes the first of the next one.
  [[nodiscard]] StreamEnd stream_end(const Operand& operand, const Segment& segment) const {
    const std::uint8_t* const end = tiles_of(operand, segment.expert_idx, num_row_groups_ - 1) + group_bytes_;
    const bool is_last = &segment == &segments_.back();
    const std::uint32_t next_expert = is_last ? segment.expert_idx : (&segment + 1)->expert_idx;
    return {end, tiles_of(operand, next_expert, is_last ? num_row_groups_ - 1 : 0) - end};
  }
  // Packed inputs of a segment are one stream for each kPanelTiles of columns: [group][tile][token of the group]. Whole
  // multiples of kPanelTiles, when there are more.
  [[nodiscard]] std::uint64_t stream_tiles() const { return std::min(num_tiles_, kPanelTiles); }
  [[nodiscard]] std::uint64_t padded_tiles() const { return divide_up(num_tiles_, stream_tiles()) * stream_tiles(); }
  [[nodiscard]] std::uint64_t record_of(const Segment& segment, std::uint32_t group, std::uint64_t stream) const {
    return segment.first_token * padded_tiles() +
           (segment.num_tokens * stream + segment.group_begin(group)) * stream_tiles();
  }
  [[nodiscard]] const std::uint8_t* tiles_of(const Operand& operand, std::uint32_t expert_idx,
                                             std::uint64_t row_group) const {
    const std::uint64_t at = expert_idx * num_row_groups_ + std::min(row_group, num_row_groups_ - 1);
    return reinterpret_cast<const std::uint8_t*>(operand.weight->elements) + at * group_bytes_;
  }
  // The segment whose groups or pieces include idx.
  template <class Member>
  [[nodiscard]] const Segment& segment_of(std::uint64_t idx, Member first) const {
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), idx,
                                        [&](std::uint64_t value, const Segment& s) { return value < s.*first; });
    return *(after - 1);
  }

  [[nodiscard]] std::uint64_t num_streams() const { return padded_tiles() / stream_tiles(); }
  [[nodiscard]] LowBlocks low_blocks_of(const Operand& operand, std::uint64_t group_idx, std::uint64_t stream) const {
    if (operand.low_blocks == nullptr) return {};
    const std::uint64_t idx = group_idx * num_streams() + stream;
    const std::uint32_t count = operand.num_low_blocks[idx];
    if (count == kAllLowBlocks) return {nullptr, 0, true};
    return {operand.low_blocks + idx * kMaxLowBlocks, count, false};
  }
  void list_low_blocks(const Operand& operand, const Segment& segment, std::uint32_t group) const;
  void pack_group(const Operand& operand, std::uint64_t group_idx, const Scratch& scratch) const;
  void pack_token(const Operand& operand, const Segment& segment, std::uint32_t token, const PackedPlace& place,
                  std::uint8_t* out, const Scratch& scratch) const;
  void run_piece(std::uint64_t piece_idx, const Scratch& scratch) const;
  void run_few(const Segment& segment, std::uint64_t first_row_group, std::uint64_t end_row_group,
               const Scratch& scratch) const;
  void run_panel(const Segment& segment, std::uint32_t chunk, std::uint64_t row_group, const Scratch& scratch) const;
  // Rows of two row groups. `next` and its next_row_group are what will be multiplied afterwards.
  void multiply_panel(const Operand& operand, const Segment& segment, std::uint32_t chunk, std::uint64_t row_group,
                      const Operand& next, std::uint64_t next_row_group, const Scratch& scratch, float* acc) const;
  // Sums of rows [row, row + num_rows) for the segment's tokens from first_token on; acc [num_tokens, acc_stride].
  void store(const Segment& segment, std::uint64_t row, std::uint64_t num_rows, std::uint32_t first_token,
             std::uint32_t num_tokens, std::uint64_t acc_stride, const Scratch& scratch) const;

  const TileKernels& kernels_;
  const LinearWeight& weight_;  // of a pair: the gate; both have the same shape
  const GatedPair* pair_;
  Activation activation_;
  const LinearArgs& args_;
  TileInput input_;
  const TileProducts& products_;
  std::uint64_t num_tiles_, num_row_groups_, group_bytes_;
  std::size_t num_operands_;
  std::array<Operand, 2> operands_{};
  std::uint64_t row_groups_per_piece_ = 1;
  std::span<const Segment> segments_;
  std::uint64_t num_groups_ = 0, num_pieces_ = 0;
};

void TileLinear::cut(std::span<Segment> segments) {
  row_groups_per_piece_ = std::clamp<std::uint64_t>(kFewPieceBytes / group_bytes_, 1, num_row_groups_);
  const std::uint64_t token_bytes = num_tiles_ * record_bytes(input_);
  const std::uint64_t chunk_tokens = std::clamp<std::uint64_t>(kChunkBytes / token_bytes, 1, kMaxChunkTokens);
  const std::uint64_t groups_per_chunk = std::max<std::uint64_t>(1, chunk_tokens / products_.max_panel);
  std::size_t count = 0;
  for (std::uint32_t e = 0; e < weight_.num_experts; ++e) {
    Segment segment;
    segment.expert_idx = e;
    segment.first_token = args_.expert_offsets.empty() ? 0 : args_.expert_offsets[e];
    const std::uint32_t end = args_.expert_offsets.empty() ? args_.num_rows : args_.expert_offsets[e + 1];
    segment.num_tokens = end - segment.first_token;
    if (segment.num_tokens == 0) continue;
    segment.few = segment.num_tokens <= products_.max_few;
    segment.num_groups =
        segment.few ? 1 : static_cast<std::uint32_t>(divide_up(segment.num_tokens, products_.max_panel));
    segment.num_chunks = static_cast<std::uint32_t>(divide_up(segment.num_groups, groups_per_chunk));
    segment.pieces_per_chunk = divide_up(num_row_groups_, segment.few ? row_groups_per_piece_ : 2);
    segment.first_group = num_groups_;
    segment.first_piece = num_pieces_;
    num_groups_ += segment.num_groups;
    num_pieces_ += segment.num_chunks * segment.pieces_per_chunk;
    segments[count++] = segment;
  }
  segments_ = segments.first(count);
}

Scratch TileLinear::take_scratch(Workspace& workspace) const {
  const std::uint64_t in = weight_.in_features;
  Scratch scratch;
  scratch.panel = workspace.take<std::uint8_t>(kPanelTiles * kernels_.panel_tile_bytes).data();
  for (std::size_t i = 0; i < num_operands_; ++i) {
    scratch.acc[i] = workspace.take<float>(kMaxChunkTokens * kPanelRows).data();
  }
  scratch.x = workspace.take<float>(in).data();
  if (input_ == TileInput::kDigits) {
    scratch.low = workspace.take<float>(kMaxChunkTokens * kPanelRows).data();
  } else {
    scratch.codes = workspace.take<std::int8_t>(in).data();
    scratch.block_scales = workspace.take<std::uint8_t>(in / Tile16x64::kBlockCols).data();
  }
  return scratch;
}

void TileLinear::take_inputs(Workspace& workspace) {
  operands_[0].weight = &weight_;
  if (pair_ != nullptr) operands_[1].weight = &pair_->up;
  for (std::size_t i = 0; i < num_operands_; ++i) {
    Operand& operand = operands_[i];
    if (i == 1 && same_input(*operands_[0].weight, *operand.weight, activation_)) {
      operand = operands_[0];
      operand.weight = &pair_->up;
      continue;
    }
    operand.packed = workspace.take<std::uint8_t>(args_.num_rows * padded_tiles() * record_bytes(input_)).data();
    operand.multipliers = workspace.take<float>(args_.num_rows).data();
    if (input_ == TileInput::kDigits) {
      operand.low_blocks = workspace.take<LowBlock>(num_groups_ * num_streams() * kMaxLowBlocks).data();
      operand.num_low_blocks = workspace.take<std::uint16_t>(num_groups_ * num_streams()).data();
    }
  }
}

void TileLinear::run(Workspace& workspace, WorkerPool& pool) {
  cut(workspace.take<Segment>(weight_.num_experts));
  if (num_pieces_ == 0) return;
  take_inputs(workspace);
  const std::span<Scratch> scratch = workspace.take<Scratch>(pool.num_workers());
  for (Scratch& of_worker : scratch) of_worker = take_scratch(workspace);
  const bool packs_both = operands_[1].packed != nullptr && operands_[1].packed != operands_[0].packed;
  pool.run(num_groups_, [&](std::size_t group_idx, std::size_t worker_idx) {
    pack_group(operands_[0], group_idx, scratch[worker_idx]);
    if (packs_both) pack_group(operands_[1], group_idx, scratch[worker_idx]);
  });
  pool.run(num_pieces_,
           [&](std::size_t piece_idx, std::size_t worker_idx) { run_piece(piece_idx, scratch[worker_idx]); });
}

void TileLinear::pack_group(const Operand& operand, std::uint64_t group_idx, const Scratch& scratch) const {
  const Segment& segment = segment_of(group_idx, &Segment::first_group);
  const auto group = static_cast<std::uint32_t>(group_idx - segment.first_group);
  const std::uint32_t begin = segment.group_begin(group);
  const std::uint32_t size = segment.group_begin(group + 1) - begin;
  const PackedPlace place{size, segment.num_tokens * stream_tiles(), stream_tiles()};
  std::uint8_t* const out = operand.packed + record_of(segment, group, 0) * record_bytes(input_);
  for (std::uint32_t t = 0; t < size; ++t) {
    pack_token(operand, segment, segment.first_token + begin + t, place, out + t * record_bytes(input_), scratch);
  }
  if (operand.low_blocks != nullptr && !segment.few) list_low_blocks(operand, segment, group);
}

void TileLinear::list_low_blocks(const Operand& operand, const Segment& segment, std::uint32_t group) const {
  const std::uint32_t size = segment.group_begin(group + 1) - segment.group_begin(group);
  for (std::uint64_t stream = 0; stream < num_streams(); ++stream) {
    const auto* x = reinterpret_cast<const DigitTile*>(operand.packed) + record_of(segment, group, stream);
    const std::uint64_t idx = (segment.first_group + group) * num_streams() + stream;
    LowBlock* const begin = operand.low_blocks + idx * kMaxLowBlocks;
    LowBlock* next = begin;
    const std::uint64_t num_tiles = std::min(stream_tiles(), num_tiles_ - stream * stream_tiles());
    for (std::uint64_t i = 0; i < num_tiles; ++i) {
      for (std::uint32_t t = 0; t < size; ++t, ++x) {
        for (std::uint32_t blocks = x->low_blocks; blocks != 0; blocks &= blocks - 1) {
          *next++ = {static_cast<std::uint8_t>(t), static_cast<std::uint8_t>(4 * i + std::countr_zero(blocks))};
        }
      }
    }
    // One block of many costs about twice what it costs in a pass over all.
    const bool are_many = static_cast<std::uint64_t>(next - begin) * 5 > size * num_tiles * Tile16x64::kBlocks * 2;
    operand.num_low_blocks[idx] = are_many ? kAllLowBlocks : static_cast<std::uint16_t>(next - begin);
  }
}

void TileLinear::pack_token(const Operand& operand, const Segment& segment, std::uint32_t token,
                            const PackedPlace& place, std::uint8_t* out, const Scratch& scratch) const {
  const LinearWeight& weight = *operand.weight;
  const std::uint64_t in = weight.in_features;
  const float* x = args_.x + token * in;
  if (input_ == TileInput::kCodes) {
    const float multiplier = kernels_.quantize_nvfp4_row(weight, activation_, segment.expert_idx, x, scratch.x,
                                                         scratch.codes, scratch.block_scales);
    kernels_.pack_codes(scratch.codes, scratch.block_scales, in, place, reinterpret_cast<CodeTile*>(out));
    operand.multipliers[token] = 0.25F * multiplier;  // weights and inputs are twice E2M1
    return;
  }
  if (!weight.pre_quant_scale.empty()) {
    for (std::uint64_t k = 0; k < in; ++k) scratch.x[k] = x[k] * weight.pre_quant_scale[k];
    x = scratch.x;
  }
  operand.multipliers[token] = kernels_.pack_digits(x, in, place, !segment.few, reinterpret_cast<DigitTile*>(out));
}

void TileLinear::run_piece(std::uint64_t piece_idx, const Scratch& scratch) const {
  const Segment& segment = segment_of(piece_idx, &Segment::first_piece);
  const std::uint64_t local = piece_idx - segment.first_piece;
  if (segment.few) {
    const std::uint64_t begin = local * row_groups_per_piece_;
    run_few(segment, begin, std::min(begin + row_groups_per_piece_, num_row_groups_), scratch);
  } else {
    run_panel(segment, static_cast<std::uint32_t>(local / segment.pieces_per_chunk),
              local % segment.pieces_per_chunk * 2, scratch);
  }
}

void TileLinear::run_few(const Segment& segment, std::uint64_t first_row_group, std::uint64_t end_row_group,
                         const Scratch& scratch) const {
  const auto multiply = products_.few[segment.num_tokens - 1];
  std::array<StreamEnd, 2> ends;
  for (std::size_t i = 0; i < num_operands_; ++i) ends[i] = stream_end(operands_[i], segment);
  for (std::uint64_t group = first_row_group; group < end_row_group; ++group) {
    for (std::size_t i = 0; i < num_operands_; ++i) {
      multiply(tiles_of(operands_[i], segment.expert_idx, group), num_tiles_, ends[i],
               operands_[i].packed + record_of(segment, 0, 0) * record_bytes(input_), scratch.acc[i]);
    }
    const std::uint64_t row = group * Tile16x64::kRows;
    store(segment, row, std::min(Tile16x64::kRows, weight_.out_features - row), 0, segment.num_tokens, Tile16x64::kRows,
          scratch);
  }
}

void TileLinear::multiply_panel(const Operand& operand, const Segment& segment, std::uint32_t chunk,
                                std::uint64_t row_group, const Operand& next, std::uint64_t next_row_group,
                                const Scratch& scratch, float* acc) const {
  const std::uint32_t num_groups = segment.chunk_begin(chunk + 1) - segment.chunk_begin(chunk);
  const std::uint32_t first_token = segment.group_begin(segment.chunk_begin(chunk));
  for (std::uint64_t tile = 0; tile < num_tiles_; tile += kPanelTiles) {
    const std::uint64_t num_tiles = std::min(kPanelTiles, num_tiles_ - tile);
    const std::uint64_t offset = tile * Tile16x64::kBytes;
    products_.decode_panel(tiles_of(operand, segment.expert_idx, row_group) + offset,
                           tiles_of(operand, segment.expert_idx, row_group + 1) + offset, num_tiles, scratch.panel);
    const bool is_last = tile + num_tiles == num_tiles_;
    const Operand& soon = is_last ? next : operand;
    const std::uint64_t soon_row_group = is_last ? next_row_group : row_group;
    const std::uint64_t soon_offset = is_last ? 0 : offset + num_tiles * Tile16x64::kBytes;
    Prefetcher prefetcher(tiles_of(soon, segment.expert_idx, soon_row_group) + soon_offset,
                          tiles_of(soon, segment.expert_idx, soon_row_group + 1) + soon_offset,
                          num_tiles * Tile16x64::kBytes, num_groups);
    for (std::uint32_t group = segment.chunk_begin(chunk); group < segment.chunk_begin(chunk + 1); ++group) {
      prefetcher.step();
      const std::uint32_t begin = segment.group_begin(group);
      const std::uint32_t size = segment.group_begin(group + 1) - begin;
      const std::uint8_t* const x =
          operand.packed + record_of(segment, group, tile / kPanelTiles) * record_bytes(input_);
      const std::uint64_t at = (begin - first_token) * kPanelRows;
      products_.panel[size - 1](scratch.panel, num_tiles, x,
                                low_blocks_of(operand, segment.first_group + group, tile / kPanelTiles), acc + at,
                                scratch.low == nullptr ? nullptr : scratch.low + at);
    }
  }
}

void TileLinear::run_panel(const Segment& segment, std::uint32_t chunk, std::uint64_t row_group,
                           const Scratch& scratch) const {
  const std::uint32_t first_token = segment.group_begin(segment.chunk_begin(chunk));
  const std::uint32_t num_tokens = segment.group_begin(segment.chunk_begin(chunk + 1)) - first_token;
  for (std::size_t i = 0; i < num_operands_; ++i) {
    std::fill_n(scratch.acc[i], num_tokens * kPanelRows, 0.0F);
    if (scratch.low != nullptr) std::fill_n(scratch.low, num_tokens * kPanelRows, 0.0F);
    const bool is_last = i + 1 == num_operands_;
    multiply_panel(operands_[i], segment, chunk, row_group, operands_[is_last ? 0 : i + 1],
                   is_last ? row_group + 2 : row_group, scratch, scratch.acc[i]);
    if (scratch.low == nullptr) continue;
    for (std::uint64_t j = 0; j < num_tokens * kPanelRows; ++j) {
      scratch.acc[i][j] = kHighUnit * scratch.acc[i][j] + scratch.low[j];
    }
  }
  const std::uint64_t row = row_group * Tile16x64::kRows;
  store(segment, row, std::min(kPanelRows, weight_.out_features - row), first_token, num_tokens, kPanelRows, scratch);
}

void TileLinear::store(const Segment& segment, std::uint64_t row, std::uint64_t num_rows, std::uint32_t first_token,
                       std::uint32_t num_tokens, std::uint64_t acc_stride, const Scratch& scratch) const {
  alignas(64) std::array<std::array<float, kPanelRows>, 2> scales;
  alignas(64) std::array<std::array<float, kPanelRows>, 2> values;
  for (std::size_t i = 0; i < num_operands_; ++i) {
    scales_of_rows(*operands_[i].weight, segment.expert_idx, row, num_rows, scales[i].data());
  }
  for (std::uint32_t t = 0; t < num_tokens; ++t) {
    const std::uint64_t token = segment.first_token + first_token + t;
    float* const y = args_.y + token * weight_.out_features + row;
    for (std::size_t i = 0; i < num_operands_; ++i) {
      const std::span<const float> bias = operands_[i].weight->bias;
      kernels_.store(scratch.acc[i] + t * acc_stride, operands_[i].multipliers[token], scales[i].data(),
                     bias.empty() ? nullptr : bias.data() + row, num_rows, args_.round_to_bf16,
                     pair_ == nullptr ? y : values[i].data());
    }
    if (pair_ == nullptr) continue;
    pair_->rows.gated(pair_->function, values[0].data(), values[1].data(), y, num_rows,
                      args_.round_to_bf16 ? Rounding::kBF16 : Rounding::kNone);
  }
}

}  // namespace

std::string tile_linear_refusal(TileInput input, const LinearProblem& problem) {
  if (problem.weight != WeightFormat::kNvfp4) return fmt::format("weights are {}", weight_format_name(problem.weight));
  const bool is_fp4 = problem.activation == Activation::kNvfp4Static || problem.activation == Activation::kNvfp4Dynamic;
  if (input == TileInput::kDigits ? problem.activation != Activation::k16Bit : !is_fp4) {
    return fmt::format("activations are {}", activation_name(problem.activation));
  }
  if (problem.block_size == 0 || problem.in_features % problem.block_size != 0) {
    return fmt::format("in_features {} is not a multiple of the block size {}", problem.in_features,
                       problem.block_size);
  }
  if (problem.block_size % Tile16x64::kBlockCols != 0) {
    return fmt::format("block size {} is not a multiple of {}", problem.block_size, Tile16x64::kBlockCols);
  }
  if (problem.odd_scales) return "a block scale is negative or NaN";
  return {};
}

std::size_t tile_linear_workspace_bytes(const TileKernels& kernels, const LinearProblem& problem,
                                        std::uint32_t num_rows, std::size_t num_workers, bool gated) {
  const TileInput input = input_of(problem.activation);
  const std::size_t num_operands = gated ? 2 : 1;
  const std::uint64_t num_tiles = Tile16x64::num_tiles(problem.in_features);
  std::size_t of_worker = Workspace::bytes_for<std::uint8_t>(kPanelTiles * kernels.panel_tile_bytes) +
                          num_operands * Workspace::bytes_for<float>(kMaxChunkTokens * kPanelRows) +
                          Workspace::bytes_for<float>(problem.in_features);
  if (input == TileInput::kDigits) {
    of_worker += Workspace::bytes_for<float>(kMaxChunkTokens * kPanelRows);
  } else {
    of_worker += Workspace::bytes_for<std::int8_t>(problem.in_features) +
                 Workspace::bytes_for<std::uint8_t>(problem.in_features / Tile16x64::kBlockCols);
  }
  const std::uint64_t padded_tiles =
      num_tiles <= kPanelTiles ? num_tiles : divide_up(num_tiles, kPanelTiles) * kPanelTiles;
  std::size_t of_input = Workspace::bytes_for<std::uint8_t>(num_rows * padded_tiles * record_bytes(input)) +
                         Workspace::bytes_for<float>(num_rows);
  if (input == TileInput::kDigits) {
    // Each expert's last group may have fewer tokens than the others.
    const std::uint64_t num_groups =
        std::min<std::uint64_t>(num_rows, num_rows / kernels.digits.max_panel + problem.num_experts);
    const std::uint64_t num_lists = num_groups * divide_up(padded_tiles, kPanelTiles);
    of_input +=
        Workspace::bytes_for<LowBlock>(num_lists * kMaxLowBlocks) + Workspace::bytes_for<std::uint16_t>(num_lists);
  }
  return Workspace::bytes_for<Segment>(problem.num_experts) + num_operands * of_input +
         Workspace::bytes_for<Scratch>(num_workers) + num_workers * of_worker;
}

void run_tile_linear(const TileKernels& kernels, const LinearWeight& weight, Activation activation,
                     const LinearArgs& args, Workspace& workspace, WorkerPool& pool) {
  const Workspace::Mark mark(workspace);
  TileLinear(kernels, weight, nullptr, activation, args).run(workspace, pool);
}

void run_gated_tile_linear(const TileKernels& kernels, const GatedPair& pair, Activation activation,
                           const LinearArgs& args, Workspace& workspace, WorkerPool& pool) {
  const Workspace::Mark mark(workspace);
  TileLinear(kernels, pair.gate, &pair, activation, args).run(workspace, pool);
}

}  // namespace nvfp4::kernels::cpu_shared
