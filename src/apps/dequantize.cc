// nvfp4 dequantize DIR NAME --out FILE.npy
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <vector>

#include "apps/command.h"
#include "apps/npy.h"
#include "nvfp4/checkpoint.h"

namespace nvfp4::apps {
namespace {

struct DequantizeOptions {
  std::string directory;
  std::string name;
  std::string out;
};

// Rows at a time, so that memory stays small for any weight.
Status write_rows(const Checkpoint& checkpoint, const DescribedTensor& weight, NpyWriter& writer) {
  constexpr std::uint64_t kChunkElements = 4 << 20;
  const std::uint64_t k = std::max<std::uint64_t>(weight.in_features(), 1);
  const std::uint64_t rows = weight.num_elements() / k;
  const std::uint64_t step = std::max<std::uint64_t>(kChunkElements / k, 1);
  std::vector<float> buffer;
  for (std::uint64_t begin = 0; begin < rows; begin += step) {
    const std::uint64_t end = std::min(begin + step, rows);
    buffer.resize((end - begin) * k);
    NVFP4_RETURN_IF_ERROR(checkpoint.dequantize_rows(weight, begin, end, buffer));
    NVFP4_RETURN_IF_ERROR(writer.append(buffer));
  }
  return writer.close();
}

int run(const DequantizeOptions& options) {
  auto directory = model_directory(options.directory);
  if (!directory) return report(directory.error());
  auto checkpoint = Checkpoint::open(*directory);
  if (!checkpoint) return report(checkpoint.error());
  const DescribedTensor* weight = checkpoint->find(options.name);
  if (weight == nullptr) return report(no_such_weight(*checkpoint, *directory, options.name));
  auto writer = NpyWriter::create(options.out, weight->shape);
  if (!writer) return report(writer.error());
  if (Status status = write_rows(*checkpoint, *weight, *writer); !status.ok()) return report(status.error());
  return kDone;
}

}  // namespace

Command add_dequantize_command(CLI::App& app) {
  auto options = std::make_shared<DequantizeOptions>();
  CLI::App* parser =
      app.add_subcommand("dequantize", "Write one weight as float32 [N, K], as its producer's library reconstructs it");
  parser->add_option("DIR", options->directory, "checkpoint directory, or a Hugging Face id in the local cache")
      ->required();
  parser->add_option("NAME", options->name, "weight, with or without \".weight\"")->required();
  parser->add_option("--out", options->out, "the .npy file to write")->required();
  return {parser, [options] { return run(*options); }};
}

}  // namespace nvfp4::apps
