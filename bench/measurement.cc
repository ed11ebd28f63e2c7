#include "measurement.h"

#include <fmt/format.h>

#include <algorithm>

namespace nvfp4::bench {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string to_text(const Measurement& m) {
  std::string line = fmt::format("{:<44}{:>9.2f} {}", m.name, m.value, m.unit);
  if (m.baseline > 0) line += fmt::format("; {} {:.2f} {}; ratio {:.2f}", m.against, m.baseline, m.unit, m.ratio());
  if (m.target > 0) {
    line +=
        fmt::format(", target < {}{}: {}", m.target, m.baseline > 0 ? "" : " " + m.unit, m.met() ? "met" : "MISSED");
  }
  return line;
}

std::string to_json(const std::vector<Measurement>& measurements) {
  std::string json = "{\"measurements\": [";
  const char* comma = "";
  for (const Measurement& m : measurements) {
    json +=
        fmt::format("{}\n  {{\"name\": \"{}\", \"value\": {:.4f}, \"unit\": \"{}\"", comma, m.name, m.value, m.unit);
    if (m.baseline > 0) {
      json += fmt::format(", \"against\": \"{}\", \"baseline\": {:.4f}, \"ratio\": {:.4f}", m.against, m.baseline,
                          m.ratio());
    }
    if (m.target > 0) json += fmt::format(", \"target\": {}, \"met\": {}", m.target, m.met());
    json += '}';
    comma = ",";
  }
  return json + "\n]}\n";
}

}  // namespace nvfp4::bench
