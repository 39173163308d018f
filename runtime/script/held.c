/* SPDX-License-Identifier: MIT
 *
 * Counts by what the buffers have taken of the process, not by what is in them. */
#include "script/held.h"
#include "script/state_private.h"

enum { HELD_FREELY = 64 * 1024 };

void script_held_count(struct script_state *state, const struct buffer *buffer, size_t *counted) {
  size_t size = buffer != NULL && buffer->capacity > HELD_FREELY ? buffer->capacity : 0;
  state->memory_used += size - *counted;
  *counted = size;
}

bool script_held_has_room(struct script_state *state, size_t size) {
  uint64_t limit = state->options.memory - state->options.memory / 4;
  if (limit == 0 || state->memory_used + size <= limit)
    return true;
  script_state_relieve(state);
  return state->memory_used + size <= limit;
}

bool script_held_is_too_much(struct script_state *state, const struct buffer *buffer, size_t size) {
  return buffer_size(buffer) >= HELD_FREELY && !script_held_has_room(state, size);
}
