// The tokens put around every encoded text: the "post_processor" of a tokenizer.json.
#pragma once

#include <vector>

#include "text/json_field.h"
#include "text/token_id.h"

namespace nvfp4::text {

struct PostProcessor {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
  bool tells = false;  // there is a part that says which tokens are added, even if none are
};

// `field` may be null. TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel (adds nothing), Sequence.
[[nodiscard]] Result<PostProcessor> read_post_processor(const JsonField* field);

}  // namespace nvfp4::text
