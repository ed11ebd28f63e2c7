// Where the time of steps goes. Layers open spans on a pointer that is null unless somebody asked: then a span is a
// test.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nvfp4::layers {

enum class Stage : std::uint8_t {
  kEmbedding,
  kNorms,
  kQkvLinear,
  kRopeAndCache,  // norms of heads, rotation, writing keys and values
  kAttention,
  kOutLinear,
  kRouter,  // its linear layer and the choice of experts
  kGateUp,
  kActivation,
  kDown,
  kExpertSum,  // of the chosen experts, and bringing their rows together before
  kHead,
  kSampling,
  kRest,  // whatever no span covers
};
inline constexpr std::size_t kNumStages = static_cast<std::size_t>(Stage::kRest) + 1;
[[nodiscard]] std::string_view stage_name(Stage stage);
[[nodiscard]] bool is_linear(Stage stage);

class Profile {
 public:
  using Clock = std::chrono::steady_clock;
  enum class StepKind : std::uint8_t { kDecode, kPrefill };  // kDecode: one token of each sequence

  struct Steps {
    std::uint64_t num_steps = 0;
    std::uint64_t num_tokens = 0;
    std::array<Clock::duration, kNumStages> times{};

    [[nodiscard]] Clock::duration total() const;
    [[nodiscard]] double share_outside_linear() const;  // 0 to 1
  };

  void begin_step(StepKind kind, std::size_t num_tokens);
  void end_step();
  // From now on time belongs to the stage. Returns the stage before; outside of steps nothing is counted.
  Stage enter(Stage stage);
  [[nodiscard]] const Steps& steps(StepKind kind) const { return steps_[static_cast<std::size_t>(kind)]; }

 private:
  std::array<Steps, 2> steps_;
  Steps* current_ = nullptr;
  Stage stage_ = Stage::kRest;
  Clock::time_point since_;
};

// Time during its life belongs to the stage; a span inside another takes its own part out of it.
class ProfileSpan {
 public:
  ProfileSpan(Profile* profile, Stage stage)
      : profile_(profile), before_(profile == nullptr ? Stage::kRest : profile->enter(stage)) {}
  ~ProfileSpan() {
    if (profile_ != nullptr) profile_->enter(before_);
  }
  ProfileSpan(const ProfileSpan&) = delete;
  ProfileSpan& operator=(const ProfileSpan&) = delete;

 private:
  Profile* profile_;
  Stage before_;
};

}  // namespace nvfp4::layers
