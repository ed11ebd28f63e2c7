#include "kernels/cpu_shared/tile_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/cpu_shared/row_scale.h"

namespace nvfp4::kernels::cpu_shared {
namespace {

constexpr std::uint64_t kPanelTiles = 8;            // 512 columns of 32 rows: 24 KB
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

// Scratch of one worker.
struct Scratch {
  std::uint8_t* panel = nullptr;
  float* acc = nullptr;  // [kMaxChunkTokens, kPanelRows]
  float* x = nullptr;    // [in]
  std::int8_t* codes = nullptr;
  std::uint8_t* block_scales = nullptr;
};

class TileLinear {
 public:
  TileLinear(const TileKernels& kernels, const LinearWeight& weight, Activation activation, const LinearArgs& args)
      : kernels_(kernels),
        weight_(weight),
        activation_(activation),
        args_(args),
        input_(input_of(activation)),
        products_(input_ == TileInput::kDigits ? kernels.digits : kernels.codes),
        num_tiles_(Tile16x64::num_tiles(weight.in_features)),
        num_row_groups_(Tile16x64::num_row_groups(weight.out_features)),
        group_bytes_(num_tiles_ * Tile16x64::kBytes) {}

  void run(Workspace& workspace, WorkerPool& pool);

 private:
  void cut(std::span<Segment> segments);
  Scratch take_scratch(Workspace& workspace) const;
  [[nodiscard]] std::uint8_t* packed_at(std::uint64_t token) const {
    return packed_ + token * num_tiles_ * record_bytes(input_);
  }
  [[nodiscard]] const std::uint8_t* tiles_of(std::uint32_t expert_idx, std::uint64_t row_group) const {
    const std::uint64_t at = expert_idx * num_row_groups_ + std::min(row_group, num_row_groups_ - 1);
    return reinterpret_cast<const std::uint8_t*>(weight_.elements) + at * group_bytes_;
  }
  // The segment whose groups or pieces include idx.
  template <class Member>
  [[nodiscard]] const Segment& segment_of(std::uint64_t idx, Member first) const {
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), idx,
                                        [&](std::uint64_t value, const Segment& s) { return value < s.*first; });
    return *(after - 1);
  }

  void pack_group(std::uint64_t group_idx, const Scratch& scratch) const;
  void pack_token(const Segment& segment, std::uint32_t token, std::uint32_t stride, std::uint8_t* out,
                  const Scratch& scratch) const;
  void run_piece(std::uint64_t piece_idx, const Scratch& scratch) const;
  void run_few(const Segment& segment, std::uint64_t first_row_group, std::uint64_t end_row_group) const;
  void run_panel(const Segment& segment, std::uint32_t chunk, std::uint64_t row_group, const Scratch& scratch) const;
  void store(const Segment& segment, std::uint64_t row, std::uint32_t token, const float* acc, const float* scales,
             std::uint64_t num_rows) const;

  const TileKernels& kernels_;
  const LinearWeight& weight_;
  Activation activation_;
  const LinearArgs& args_;
  TileInput input_;
  const TileProducts& products_;
  std::uint64_t num_tiles_, num_row_groups_, group_bytes_;
  std::uint64_t row_groups_per_piece_ = 1;
  std::span<const Segment> segments_;
  std::uint64_t num_groups_ = 0, num_pieces_ = 0;
  std::uint8_t* packed_ = nullptr;  // [token][tile] records, tokens of a group interleaved
  float* multipliers_ = nullptr;    // [num_rows]
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
    segment.num_tokens =
        (args_.expert_offsets.empty() ? args_.num_rows : args_.expert_offsets[e + 1]) - segment.first_token;
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
  scratch.acc = workspace.take<float>(kMaxChunkTokens * kPanelRows).data();
  scratch.x = workspace.take<float>(in).data();
  if (input_ == TileInput::kCodes) {
    scratch.codes = workspace.take<std::int8_t>(in).data();
    scratch.block_scales = workspace.take<std::uint8_t>(in / Tile16x64::kBlockCols).data();
  }
  return scratch;
}

void TileLinear::run(Workspace& workspace, WorkerPool& pool) {
  cut(workspace.take<Segment>(weight_.num_experts));
  if (num_pieces_ == 0) return;
  packed_ = workspace.take<std::uint8_t>(args_.num_rows * num_tiles_ * record_bytes(input_)).data();
  multipliers_ = workspace.take<float>(args_.num_rows).data();
  const std::span<Scratch> scratch = workspace.take<Scratch>(pool.num_workers());
  for (Scratch& of_worker : scratch) of_worker = take_scratch(workspace);
  pool.run(num_groups_,
           [&](std::size_t group_idx, std::size_t worker_idx) { pack_group(group_idx, scratch[worker_idx]); });
  pool.run(num_pieces_,
           [&](std::size_t piece_idx, std::size_t worker_idx) { run_piece(piece_idx, scratch[worker_idx]); });
}

void TileLinear::pack_group(std::uint64_t group_idx, const Scratch& scratch) const {
  const Segment& segment = segment_of(group_idx, &Segment::first_group);
  const auto group = static_cast<std::uint32_t>(group_idx - segment.first_group);
  const std::uint32_t begin = segment.group_begin(group);
  const std::uint32_t size = segment.group_begin(group + 1) - begin;
  std::uint8_t* const out = packed_at(segment.first_token + begin);
  for (std::uint32_t t = 0; t < size; ++t) {
    pack_token(segment, segment.first_token + begin + t, size, out + t * record_bytes(input_), scratch);
  }
}

void TileLinear::pack_token(const Segment& segment, std::uint32_t token, std::uint32_t stride, std::uint8_t* out,
                            const Scratch& scratch) const {
  const std::uint64_t in = weight_.in_features;
  const float* x = args_.x + token * in;
  if (input_ == TileInput::kCodes) {
    const float multiplier = kernels_.quantize_nvfp4_row(weight_, activation_, segment.expert_idx, x, scratch.x,
                                                         scratch.codes, scratch.block_scales);
    kernels_.pack_codes(scratch.codes, scratch.block_scales, in, stride, reinterpret_cast<CodeTile*>(out));
    multipliers_[token] = 0.25F * multiplier;  // weights and inputs are twice E2M1
    return;
  }
  if (!weight_.pre_quant_scale.empty()) {
    for (std::uint64_t k = 0; k < in; ++k) scratch.x[k] = x[k] * weight_.pre_quant_scale[k];
    x = scratch.x;
  }
  multipliers_[token] = kernels_.pack_digits(x, in, stride, !segment.few, reinterpret_cast<DigitTile*>(out));
}

void TileLinear::run_piece(std::uint64_t piece_idx, const Scratch& scratch) const {
  const Segment& segment = segment_of(piece_idx, &Segment::first_piece);
  const std::uint64_t local = piece_idx - segment.first_piece;
  if (segment.few) {
    const std::uint64_t begin = local * row_groups_per_piece_;
    run_few(segment, begin, std::min(begin + row_groups_per_piece_, num_row_groups_));
  } else {
    run_panel(segment, static_cast<std::uint32_t>(local / segment.pieces_per_chunk),
              local % segment.pieces_per_chunk * 2, scratch);
  }
}

void TileLinear::store(const Segment& segment, std::uint64_t row, std::uint32_t token, const float* acc,
                       const float* scales, std::uint64_t num_rows) const {
  const std::uint64_t t = segment.first_token + token;
  kernels_.store(acc, multipliers_[t], scales, weight_.bias.empty() ? nullptr : weight_.bias.data() + row, num_rows,
                 args_.round_to_bf16, args_.y + t * weight_.out_features + row);
}

void TileLinear::run_few(const Segment& segment, std::uint64_t first_row_group, std::uint64_t end_row_group) const {
  const auto multiply = products_.few[segment.num_tokens - 1];
  const std::uint8_t* const x = packed_at(segment.first_token);
  alignas(64) std::array<float, kMaxTokens * Tile16x64::kRows> acc;
  alignas(64) std::array<float, Tile16x64::kRows> scales;
  for (std::uint64_t group = first_row_group; group < end_row_group; ++group) {
    multiply(tiles_of(segment.expert_idx, group), num_tiles_, x, acc.data());
    const std::uint64_t row = group * Tile16x64::kRows;
    const std::uint64_t num_rows = std::min(Tile16x64::kRows, weight_.out_features - row);
    scales_of_rows(weight_, segment.expert_idx, row, num_rows, scales.data());
    for (std::uint32_t t = 0; t < segment.num_tokens; ++t) {
      store(segment, row, t, acc.data() + t * Tile16x64::kRows, scales.data(), num_rows);
    }
  }
}

void TileLinear::run_panel(const Segment& segment, std::uint32_t chunk, std::uint64_t row_group,
                           const Scratch& scratch) const {
  const std::uint32_t first_group = segment.chunk_begin(chunk);
  const std::uint32_t end_group = segment.chunk_begin(chunk + 1);
  const std::uint32_t first_token = segment.group_begin(first_group);
  const std::uint32_t num_tokens = segment.group_begin(end_group) - first_token;
  std::fill_n(scratch.acc, num_tokens * kPanelRows, 0.0F);
  for (std::uint64_t tile = 0; tile < num_tiles_; tile += kPanelTiles) {
    const std::uint64_t num_tiles = std::min(kPanelTiles, num_tiles_ - tile);
    const std::uint64_t offset = tile * Tile16x64::kBytes;
    products_.decode_panel(tiles_of(segment.expert_idx, row_group) + offset,
                           tiles_of(segment.expert_idx, row_group + 1) + offset, num_tiles, scratch.panel);
    for (std::uint32_t group = first_group; group < end_group; ++group) {
      const std::uint32_t begin = segment.group_begin(group);
      const std::uint32_t size = segment.group_begin(group + 1) - begin;
      products_.panel[size - 1](scratch.panel, num_tiles,
                                packed_at(segment.first_token + begin) + tile * size * record_bytes(input_),
                                scratch.acc + (begin - first_token) * kPanelRows);
    }
  }
  const std::uint64_t row = row_group * Tile16x64::kRows;
  const std::uint64_t num_rows = std::min(kPanelRows, weight_.out_features - row);
  alignas(64) std::array<float, kPanelRows> scales;
  scales_of_rows(weight_, segment.expert_idx, row, num_rows, scales.data());
  for (std::uint32_t t = 0; t < num_tokens; ++t) {
    store(segment, row, first_token + t, scratch.acc + t * kPanelRows, scales.data(), num_rows);
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
                                        std::uint32_t num_rows, std::size_t num_workers) {
  const TileInput input = input_of(problem.activation);
  const std::uint64_t num_tiles = Tile16x64::num_tiles(problem.in_features);
  std::size_t of_worker = Workspace::bytes_for<std::uint8_t>(kPanelTiles * kernels.panel_tile_bytes) +
                          Workspace::bytes_for<float>(kMaxChunkTokens * kPanelRows) +
                          Workspace::bytes_for<float>(problem.in_features);
  if (input == TileInput::kCodes) {
    of_worker += Workspace::bytes_for<std::int8_t>(problem.in_features) +
                 Workspace::bytes_for<std::uint8_t>(problem.in_features / Tile16x64::kBlockCols);
  }
  return Workspace::bytes_for<Segment>(problem.num_experts) +
         Workspace::bytes_for<std::uint8_t>(num_rows * num_tiles * record_bytes(input)) +
         Workspace::bytes_for<float>(num_rows) + Workspace::bytes_for<Scratch>(num_workers) + num_workers * of_worker;
}

void run_tile_linear(const TileKernels& kernels, const LinearWeight& weight, Activation activation,
                     const LinearArgs& args, Workspace& workspace, WorkerPool& pool) {
  const Workspace::Mark mark(workspace);
  TileLinear(kernels, weight, activation, args).run(workspace, pool);
}

}  // namespace nvfp4::kernels::cpu_shared
