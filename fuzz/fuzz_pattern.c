/* SPDX-License-Identifier: MIT
 *
 * Any pattern on any subject: our own functions have to answer as LuaJIT's do. The input is three lines, the subject,
 * the pattern and the replacement; its first byte is also where to start. */
#include "compare_patterns.h"

#include <stdint.h>

enum { LONGEST = 512 };

/* Up to the next end of line, with a NUL behind it. */
static const char *take_line(const uint8_t **at, const uint8_t *end, char room[LONGEST + 1], size_t *size) {
  *size = 0;
  for (; *at < end && **at != '\n' && *size < LONGEST; (*at)++)
    room[(*size)++] = (char)**at;
  room[*size] = '\0';
  *at += *at < end;
  return room;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct pattern_pair pair;
  if (!pair.plain && !pattern_pair_init(&pair))
    abort();
  char subject[LONGEST + 1], pattern[LONGEST + 1], replacement[LONGEST + 1];
  const uint8_t *at = bytes, *end = bytes + size;
  struct compared_case one = {.start = size > 0 ? (int8_t)bytes[0] : 0};
  one.subject = take_line(&at, end, subject, &one.subject_size);
  one.pattern = take_line(&at, end, pattern, &one.pattern_size);
  one.replacement = take_line(&at, end, replacement, &one.replacement_size);
  if (!pattern_pair_agrees(&pair, &one))
    abort();
  return 0;
}
